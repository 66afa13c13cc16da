#!/bin/sh
# The last 20 upgrades keep their logs where they ran.
set -u
cd "$BUNDLE/.." || exit 1
failures=0
for old in $(printf '%s\n' [0-9]* | sort -rn | tail -n +21); do
    [ "$old" = "$UPGRADE" ] || rm -rf "./$old" || failures=1
done
exit "$failures"
