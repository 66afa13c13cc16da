#!/bin/sh
# Kept are the release that runs, the one to go back to, and the newest that were verified. What was unpacked
# here but never verified is a failed one: it counts for nothing. A release that we did not unpack counts.
set -u
unpacked=.releasemgr-release
verified=.releasemgr-verified
cd "$SITE_PATH/releases" || exit 1

name_of() {
    basename "$(readlink -f "$1")"
}

current=$(name_of "$SITE_PATH/current")
if [ -z "$current" ] || [ ! -d "$current" ]; then
    echo "current does not point to a release; nothing is removed."
    exit 1
fi
: >"$current/$verified" || exit 1
previous=
[ ! -e "$STEP_DIR/previous" ] || previous=$(basename "$(cat "$STEP_DIR/previous")")

# One line a release: when it was verified (0 for a failed one), then its name.
by_age() {
    for release in *; do
        if [ ! -d "$release" ] || [ -L "$release" ]; then
            continue
        elif [ -e "$release/$verified" ]; then
            echo "$(stat -c %Y "$release/$verified") $release"
        elif [ -e "$release/$unpacked" ]; then
            echo "0 $release"
        else
            echo "$(stat -c %Y "$release") $release"
        fi
    done | sort -rn
}

left=${KEEP_RELEASES:-5}
failures=0
by_age >"$STEP_DIR/releases-by-age"
while read -r age release; do
    if [ "$age" -gt 0 ] && [ "$left" -gt 0 ]; then
        left=$((left - 1))
    elif [ "$release" != "$current" ] && [ "$release" != "$previous" ]; then
        rm -rf "./$release" && echo "Removed releases/$release." || failures=1
    fi
done <"$STEP_DIR/releases-by-age"

sh "$BUNDLE/steps/remove-old-upgrades.sh" || failures=1
exit "$failures"
