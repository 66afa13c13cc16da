#!/bin/sh
set -u
. "$BUNDLE/steps/hook.sh"
if [ "${DIRECTION-up}" = down ]; then # only the newer release knows how to undo its migrations
    run_hook 'migrate undo' "${MIGRATE_UNDO_COMMAND-}" "$SITE_PATH/current"
else
    run_hook migrate "${MIGRATE_COMMAND-}" "$SITE_PATH/releases/$TO_VERSION"
fi
