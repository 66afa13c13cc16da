#!/bin/sh
set -u
. "$BUNDLE/steps/tag.sh"
if [ ! -e "$STEP_DIR/previous" ]; then
    echo "The tag was not changed."
    exit 0
fi
previous=$(cat "$STEP_DIR/previous")
write_tag "$previous" || exit 1
echo ".env says $TAG_VARIABLE=$previous."
