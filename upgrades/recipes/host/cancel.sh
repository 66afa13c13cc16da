#!/bin/sh
# Has an upgrade end as soon as that is safe (see run.sh). May come again and again.
# Standard input: the site's path, the number.
# The answer is one word: asked, or lingers where a step that outlived its runner could not be ended.
set -u
export LC_ALL=C
IFS= read -r site
IFS= read -r number

cd "$site/.releasemgr/upgrades/$number" && : >cancel || exit 1
. ./groups.sh

is_alive() { # the number and the start of a process, as run.sh wrote them down
    [ -n "${2-}" ] && [ "$(started_at "$1")" = "$2" ]
}

# shellcheck disable=SC2046 # two numbers
set -- $(cat runner)
if is_alive "$@"; then
    kill -s USR1 "$1" 2>/dev/null
elif ! flock -n -s running true; then # a step outlived it
    # shellcheck disable=SC2046 # two numbers
    set -- $(cat step 2>/dev/null)
    if is_alive "$@" && ! end_group "$1"; then
        echo lingers
        exit 0
    fi
fi
echo asked
