#!/bin/sh
# Nothing is touched here: the fabfile can be read, and has the tasks with the parameters that the recipe names.
set -u
. "$BUNDLE/steps/fab.sh"

stop() {
    echo "$1"
    exit 1
}

check_task() {
    help=$(fab --help "$1" 2>&1) || stop "$FAB_FILE cannot be used for the task $1: $help"
    set -f
    for pair in $FAB_PARAMETERS; do
        case ${pair#*=} in -H | --hosts) continue ;; esac
        case $help in
            *"${pair#*=}="* | *"${pair#*=} "*) ;;
            *) stop "The task $1 of $FAB_FILE has no parameter ${pair#*=}: $help" ;;
        esac
    done
}

[ -f "$FAB_FILE" ] || stop "There is no fabfile $FAB_FILE on the dashboard's machine."
"$FAB_PYTHON" -c 'import fabric' || stop "$FAB_PYTHON has no Fabric."
(check_task "$FAB_TASK") || exit 1
[ -z "${FAB_ROLLBACK_TASK-}" ] || (check_task "$FAB_ROLLBACK_TASK") || exit 1
commit=$(git -C "$(dirname -- "$FAB_FILE")" rev-parse --short HEAD 2>/dev/null)
echo "$FAB_FILE${commit:+, commit $commit,} has the task $FAB_TASK."
