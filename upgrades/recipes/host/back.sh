#!/bin/sh
# Has the way back of an upgrade run once more, since a person asked for it, and says in one word how that went.
# Standard input: the site's path, the number, and which time it is: each time begins once.
set -u
export LC_ALL=C
IFS= read -r site
IFS= read -r number
IFS= read -r time

cd "$site/.releasemgr/upgrades/$number" || exit 1
site=$(cd "$site" && pwd -P)

# The pipe of the answer closes when the runner has answered or is dead.
answer=$(setsid sh run.sh "$site" "$number" back "$time" 3>&1 </dev/null >>runner.out 2>&1 &)
case $answer in
    begun | already-begun | locked)
        echo "$answer"
        ;;
    *)
        tail -n 5 runner.out >&2
        echo "The runner did not begin." >&2
        exit 1
        ;;
esac
