#!/bin/sh
# What the site itself reports: by its own command, on its page, or else as its recipe asks it.
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

command=${VERSION_COMMAND-}
if [ -z "$command${VERSION_URL-}" ]; then
    command=${VERSION_FALLBACK:-cat current/VERSION}
fi
if [ -n "$command" ]; then
    answer=$(cd "$SITE_PATH" && sh -c "$command") || exit 1
else
    answer=$(fetch "$VERSION_URL") || exit 1
fi
printf '%s\n' "$answer" | head -n 1
