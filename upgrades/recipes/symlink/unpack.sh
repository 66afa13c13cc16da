#!/bin/sh
# A release is under its own name only when it is complete; its mark says from which artefact it came.
set -u
mark=.releasemgr-release
release=$SITE_PATH/releases/$TO_VERSION
partial=$SITE_PATH/releases/.$TO_VERSION.partial

case $TO_VERSION in
    '' | */* | .* | -*)
        echo "$TO_VERSION cannot be the name of a directory."
        : >"$STEP_DIR/release-was-there"
        exit 1
        ;;
esac
if [ -e "$release" ]; then
    : >"$STEP_DIR/release-was-there"
    if [ "$(cat "$release/$mark" 2>/dev/null)" = "$ARTIFACT_SHA256" ]; then
        echo "releases/$TO_VERSION is there already, complete and from the same artefact."
        exit 0
    fi
    echo "releases/$TO_VERSION is there already, but not unpacked from this artefact. Move it away first."
    exit 1
fi
mkdir -p "$SITE_PATH/releases" && rm -rf "$partial" && mkdir "$partial" || exit 1
tar -x --no-same-owner -f "$ARTIFACT" -C "$partial" || exit 1
printf '%s\n' "$ARTIFACT_SHA256" >"$partial/$mark" || exit 1
mv -T "$partial" "$release" || exit 1
echo "Unpacked to releases/$TO_VERSION."
