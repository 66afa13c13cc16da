#!/bin/sh
# A release is under its own name only when it is complete; its mark says from which artefact it came.
set -u
. "$BUNDLE/steps/release.sh"
mark=.releasemgr-release
release=$SITE_PATH/releases/$TO_VERSION
partial=$SITE_PATH/releases/.$TO_VERSION.partial

begin_release "$release" "$release/$mark"
rm -rf "$partial" && mkdir "$partial" || exit 1
tar -x --no-same-owner -f "$ARTIFACT" -C "$partial" || exit 1
printf '%s\n' "$ARTIFACT_SHA256" >"$partial/$mark" || exit 1
mv -T "$partial" "$release" || exit 1
echo "Unpacked to releases/$TO_VERSION."
