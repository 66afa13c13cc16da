#!/bin/sh
set -u
. "$BUNDLE/steps/link.sh"
if [ ! -e "$STEP_DIR/previous" ]; then
    echo "current was not switched."
    exit 0
fi
previous=$(cat "$STEP_DIR/previous")
if [ "$(readlink "$SITE_PATH/current")" != "$previous" ]; then
    point_current_to "$previous" || exit 1
fi
if [ ! -d "$SITE_PATH/current/" ]; then
    echo "current points to $previous, which is not there any more."
    exit 1
fi
echo "current points to $previous."
