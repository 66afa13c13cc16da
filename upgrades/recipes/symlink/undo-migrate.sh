#!/bin/sh
# The new release knows how to undo its own migration.
set -u
. "$BUNDLE/steps/hook.sh"
run_hook 'migrate undo' "${MIGRATE_UNDO_COMMAND-}" "$SITE_PATH/releases/$TO_VERSION"
