#!/bin/sh
# Nothing is touched here: the site runs what we think it runs, and there is room for another release.
set -u
. "$BUNDLE/compare.sh"

stop() {
    echo "$1"
    exit 1
}

in_words() { # kilobytes, and 0 to round down or 1 to round up
    if [ "$1" -ge 1048576 ]; then
        tenths=$((($1 * 10 + $2 * 1048575) / 1048576))
        printf '%d.%d GB\n' $((tenths / 10)) $((tenths % 10))
    else
        printf '%d MB\n' $((($1 + $2 * 1023) / 1024))
    fi
}

free_kilobytes() {
    df -Pk "$SITE_PATH" | {
        read -r _
        read -r _ _ _ free _
        echo "$free"
    }
}

[ -L "$SITE_PATH/current" ] || stop "$SITE_PATH/current is not a symbolic link."
[ -d "$SITE_PATH/current/" ] || stop "$SITE_PATH/current leads nowhere: $(readlink "$SITE_PATH/current")"

[ -n "$VERSION_BEFORE" ] || stop "The site did not tell its version: $(cat "$BUNDLE/version.err")"
same_version "$VERSION_BEFORE" "$FROM_VERSION" ||
    stop "The site reports version $VERSION_BEFORE, but $FROM_VERSION was expected."
echo "The site runs $VERSION_BEFORE."

[ -f "$ARTIFACT" ] || stop "The artefact is not on $HOST: $ARTIFACT"
size=$(($(wc -c <"$ARTIFACT") / 1024 + 1))
needed=$((${MIN_FREE_MB:-0} * 1024 + 2 * size))
free=$(free_kilobytes)
room="$(in_words "$free" 0) free, $(in_words "$needed" 1) needed"
[ "$free" -ge "$needed" ] || stop "Not enough disk on $HOST: $room"
echo "Disk on $HOST: $room."
