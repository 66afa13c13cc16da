#!/bin/sh
set -u
. "$BUNDLE/steps/hook.sh"
run_hook restart "${RESTART_COMMAND-}" "$SITE_PATH"
