#!/bin/sh
# Starts the runner of one upgrade in a session of its own and says how that went, as the runner does.
# Standard input: the site's path, the number, the last second for a begin, the bundle's size, the bundle.
set -u
export LC_ALL=C
IFS= read -r site
IFS= read -r number
IFS= read -r not_after
IFS= read -r size

cd "$site" || exit 1
site=$(pwd -P)
work=$site/.releasemgr
mkdir -p "$work/upgrades" && chmod 700 "$work" || exit 1
find "$work" -maxdepth 1 -name 'incoming.*' -mmin +60 -exec rm -rf {} + 2>/dev/null
incoming=$(mktemp -d "$work/incoming.XXXXXX") || exit 1
cd "$incoming" || exit 1

unpack() {
    head -c "$size" >bundle.tar && [ "$(wc -c <bundle.tar)" -eq "$size" ] &&
        tar -x --no-same-owner -f bundle.tar && rm bundle.tar
}

if ! unpack; then
    echo "The bundle did not arrive whole." >&2
    rm -rf "$incoming"
    exit 1
fi

# The pipe of the answer closes when the runner has answered or is dead.
answer=$(setsid sh run.sh "$site" "$number" "$not_after" "$incoming" 3>&1 </dev/null >runner.out 2>&1 &)
case $answer in
    begun | already-begun | locked* | too-late | other-site*)
        echo "$answer"
        ;;
    *)
        cat "$incoming/runner.out" >&2
        echo "The runner did not begin." >&2
        rm -rf "$incoming"
        exit 1
        ;;
esac
