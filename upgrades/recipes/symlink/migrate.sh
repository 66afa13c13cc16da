#!/bin/sh
set -u
. "$BUNDLE/steps/hook.sh"
run_hook migrate "${MIGRATE_COMMAND-}" "$SITE_PATH/releases/$TO_VERSION"
