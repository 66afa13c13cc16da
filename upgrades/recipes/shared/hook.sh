# Read by the steps that run a command of the site's own.
# shellcheck shell=sh

run_hook() { # what it is for, the command, the directory to run it in
    if [ -z "$2" ]; then
        echo "No $1 command is set for this site."
        exit 0
    fi
    cd "$3" || exit 1
    sh -c "$2"
}
