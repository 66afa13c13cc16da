#!/bin/sh
# Asks a site for its version, outside any upgrade.
# Standard input: the time limit in seconds, KEY=value lines, an empty line, then the recipe's script that reads the version.
set -u
IFS= read -r seconds
while IFS= read -r line && [ -n "$line" ]; do
    export "${line?}"
done
script=$(cat)
if [ -n "${SITE_PATH-}" ]; then
    cd "$SITE_PATH" || exit 1
fi
export LC_ALL=C.UTF-8
exec timeout -k 5 "$seconds" sh -c "$script" </dev/null
