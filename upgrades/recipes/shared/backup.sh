#!/bin/sh
set -u
. "$BUNDLE/steps/hook.sh"
run_hook backup "${BACKUP_COMMAND-}" "$SITE_PATH"
