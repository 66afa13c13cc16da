#!/bin/sh
set -u
release=$SITE_PATH/releases/$TO_VERSION
if [ -e "$STEP_DIR/release-was-there" ]; then
    echo "releases/$TO_VERSION was there before this upgrade and stays."
    exit 0
fi
if [ -e "$release" ] && [ "$(readlink -f "$SITE_PATH/current")" = "$(readlink -f "$release")" ]; then
    echo "releases/$TO_VERSION stays: current points to it."
    exit 1
fi
rm -rf "$SITE_PATH/releases/.$TO_VERSION.partial" "$release" || exit 1
echo "Removed releases/$TO_VERSION."
