#!/bin/sh
set -u
. "$BUNDLE/steps/fab.sh"
run_task "$FAB_TASK" "$TO_VERSION"
