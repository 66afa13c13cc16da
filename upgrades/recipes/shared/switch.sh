#!/bin/sh
# Where current pointed before is written down first: the way back and the pruning never guess it.
set -u
. "$BUNDLE/steps/link.sh"
previous=$(readlink "$SITE_PATH/current") || exit 1
printf '%s\n' "$previous" >"$STEP_DIR/previous.new" || exit 1
mv -f "$STEP_DIR/previous.new" "$STEP_DIR/previous" || exit 1
point_current_to "releases/$TO_VERSION" || exit 1
echo "current points to releases/$TO_VERSION, before to $previous."
