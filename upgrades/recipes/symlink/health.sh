#!/bin/sh
set -u
if [ -z "${HEALTH_URL-}" ]; then
    echo "No health address is set for this site."
    exit 0
fi

answers_200() { # what else it answers is left in $said
    if command -v curl >/dev/null; then
        said=$(curl -sS -o /dev/null --max-time 5 -w '%{http_code}' -- "$HEALTH_URL" 2>&1)
        [ "$said" = 200 ] && return
        said=${said%000} # that of no answer at all, after curl's own words
        return 1
    elif command -v wget >/dev/null; then
        said=$(wget -nv -O /dev/null -T 5 -t 1 --max-redirect=0 -- "$HEALTH_URL" 2>&1)
    else
        echo "Neither curl nor wget is on $HOST."
        exit 1
    fi
}

patience=${HEALTH_TIMEOUT:-60}
until_second=$(($(date +%s) + patience))
before=
until answers_200; do
    [ "$said" = "$before" ] || echo "$HEALTH_URL answers: $said"
    before=$said
    if [ "$(date +%s)" -ge "$until_second" ]; then
        echo "$HEALTH_URL did not answer 200 within $patience seconds."
        exit 1
    fi
    sleep 1
done
echo "$HEALTH_URL answers 200."
