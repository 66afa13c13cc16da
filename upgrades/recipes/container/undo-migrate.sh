#!/bin/sh
# By the newer images: on the way down .env names them again.
set -u
. "$BUNDLE/steps/hook.sh"
if [ "${DIRECTION-up}" = down ]; then
    run_hook migrate "${MIGRATE_COMMAND-}" "$SITE_PATH"
else
    export "$TAG_VARIABLE=$TO_VERSION"
    run_hook 'migrate undo' "${MIGRATE_UNDO_COMMAND-}" "$SITE_PATH"
fi
