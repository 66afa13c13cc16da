#!/bin/sh
# What the site itself reports: its own command, its page, or the file in its current release.
set -u

by_python='
import sys, urllib.request
answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=10)
sys.stdout.buffer.write(answer.read(4096))
'

fetch() {
    if command -v curl >/dev/null; then
        curl -fsS --max-time 10 -- "$1"
    elif command -v wget >/dev/null; then
        wget -q -O - -T 10 -t 1 -- "$1"
    else
        python3 -c "$by_python" "$1"
    fi
}

if [ -n "${VERSION_COMMAND-}" ]; then
    answer=$(cd "$SITE_PATH" && sh -c "$VERSION_COMMAND") || exit 1
elif [ -n "${VERSION_URL-}" ]; then
    answer=$(fetch "$VERSION_URL") || exit 1
else
    answer=$(cat "$SITE_PATH/current/VERSION") || exit 1
fi
printf '%s\n' "$answer" | head -n 1
