# Read by the steps that run a task of the team's own fabfile, on the dashboard's machine.
# shellcheck shell=sh

pinned_fab='
import sys, sitecustomize
from fabric.main import program
sys.argv[0] = "fab"
program.run() if sitecustomize.PINNED else sys.exit("The connections are not held to the approved keys.")
'

fab() { # in the fabfile's folder, as by hand
    folder=$(dirname -- "$FAB_FILE")
    cd "$folder" || return 1
    export PYTHONPATH="$BUNDLE/steps" FAB_KNOWN_HOSTS="$BUNDLE/steps/known_hosts"
    "$FAB_PYTHON" -c "$pinned_fab" --search-root "$folder" --collection "$(basename -- "$FAB_FILE" .py)" "$@"
}

value_of() { # what a parameter is called in the recipe, and the version to go to
    case $1 in
        version) printf '%s\n' "$2" ;;
        site) printf '%s\n' "$SITE" ;;
        path) printf '%s\n' "$SITE_PATH" ;;
        host) printf '%s\n' "$FAB_HOST" ;;
        artifact) printf '%s\n' "$ARTIFACT" ;;
    esac
}

run_task() { # the task, the version to go to; the hosts are an option of fab itself, which stands before the task
    task=$1 version=$2
    set -f
    set --
    for pair in $FAB_PARAMETERS; do
        case ${pair#*=} in -H | --hosts) set -- "--hosts=$(value_of "${pair%%=*}" "$version")" ;; esac
    done
    set -- "$@" "$task"
    for pair in $FAB_PARAMETERS; do
        case ${pair#*=} in
            -H | --hosts) ;;
            *) set -- "$@" "${pair#*=}=$(value_of "${pair%%=*}" "$version")" ;;
        esac
    done
    fab "$@"
}
