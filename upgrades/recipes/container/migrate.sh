#!/bin/sh
# Only the newer images know how to undo their migrations. On the way down they run, and .env names them.
set -u
. "$BUNDLE/steps/hook.sh"
if [ "${DIRECTION-up}" = down ]; then
    run_hook 'migrate undo' "${MIGRATE_UNDO_COMMAND-}" "$SITE_PATH"
else
    export "$TAG_VARIABLE=$TO_VERSION"
    run_hook migrate "${MIGRATE_COMMAND-}" "$SITE_PATH"
fi
