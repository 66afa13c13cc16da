#!/bin/sh
# Which tag was written before is kept first: the way back never guesses it.
set -u
. "$BUNDLE/steps/tag.sh"
written_tag >"$STEP_DIR/previous.new" && mv -f "$STEP_DIR/previous.new" "$STEP_DIR/previous" || exit 1
write_tag "$TO_VERSION" || exit 1
echo ".env says $TAG_VARIABLE=$TO_VERSION, before $(cat "$STEP_DIR/previous")."
