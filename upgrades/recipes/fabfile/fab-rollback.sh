#!/bin/sh
# What a task has begun and not finished, only another one can take back.
set -u
. "$BUNDLE/steps/fab.sh"
if [ -z "${FAB_ROLLBACK_TASK-}" ]; then
    echo "The recipe names no rollback task: somebody has to see how far $FAB_TASK came."
    exit 1
fi
run_task "$FAB_ROLLBACK_TASK" "$FROM_VERSION"
