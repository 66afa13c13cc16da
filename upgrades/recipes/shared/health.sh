#!/bin/sh
set -u
if [ -z "${HEALTH_URL-}" ]; then
    echo "No health address is set for this site."
    exit 0
fi
folder=${STEP_DIR-}
if [ -z "$folder" ]; then # asked for outside of an upgrade's folder
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
fi
page=$folder/health.page

by_python='
import sys, urllib.error, urllib.request
url, page = sys.argv[1:]
try:
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5)
except urllib.error.HTTPError as error:
    answer = error
except OSError as error:
    sys.exit(str(getattr(error, "reason", error)))
open(page, "wb").write(answer.read(4096))
sys.exit(None if answer.url == url and answer.getcode() == 200 else str(answer.getcode()))
'

answers_200() { # what else it answers is left in $said, and its page in the file
    : >"$page"
    if command -v curl >/dev/null; then
        said=$(curl -sS -o "$page" --max-time 5 -w '%{http_code}' -- "$HEALTH_URL" 2>&1)
        [ "$said" = 200 ] && return
        said=${said%000} # that of no answer at all, after curl's own words
        return 1
    elif command -v wget >/dev/null; then
        said=$(wget -nv -O "$page" -T 5 -t 1 --max-redirect=0 --content-on-error -- "$HEALTH_URL" 2>&1)
    elif command -v python3 >/dev/null; then
        said=$(python3 -c "$by_python" "$HEALTH_URL" "$page" 2>&1)
    else
        echo "Neither curl nor wget nor python3 is on $HOST."
        exit 1
    fi
}

its_words() {
    head -c 4096 "$page" | grep -m 1 . | tr -d '[:cntrl:]' | cut -c 1-300
}

patience=${HEALTH_TIMEOUT:-60}
until_second=$(($(date +%s) + patience))
before=
until answers_200; do
    words=$(its_words)
    now="$HEALTH_URL answers: $said${words:+: $words}"
    [ "$now" = "$before" ] || echo "$now"
    before=$now
    if [ "$(date +%s)" -ge "$until_second" ]; then
        echo "$HEALTH_URL did not answer 200 within $patience seconds."
        exit 1
    fi
    sleep 1
done
echo "$HEALTH_URL answers 200."
