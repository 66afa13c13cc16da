#!/bin/sh
# Takes an artefact into the cache of this account, unless it lies there whole.
# Standard input: the SHA-256, the size; and after the answer "send" and an offset, the bytes from there on.
# What a lost connection left behind is gone on with: however large an artefact, it arrives in the end.
# The last line of the answer is "have" and the path.
set -u
export LC_ALL=C
umask 077
IFS= read -r sha256
IFS= read -r size

cache=$HOME/.releasemgr/artifacts
mkdir -p "$cache" || exit 1
# What nobody asked for in 60 days, and what a lost connection left behind a day ago.
find "$cache" -maxdepth 1 -type f -mtime +60 -exec rm -f {} + 2>/dev/null
find "$cache" -maxdepth 1 -type f -name 'arriving.*' -mmin +1440 -exec rm -f {} + 2>/dev/null

is_whole() {
    [ -f "$1" ] && [ "$(wc -c <"$1")" -eq "$size" ] && echo "$sha256  $1" | sha256sum -c --status
}

if is_whole "$cache/$sha256"; then
    touch -a -m "$cache/$sha256"
else
    arriving=$cache/arriving.$sha256
    exec 9>>"$HOME/.releasemgr/receiving"
    if ! flock -n 9; then # by a sender whose connection is not over yet
        arriving=$(mktemp "$cache/arriving.XXXXXX") || exit 1
        trap 'rm -f "$arriving"' EXIT
        trap 'exit 1' HUP INT TERM
    fi
    : >>"$arriving" || exit 1
    have=$(($(wc -c <"$arriving")))
    if [ "$have" -ge "$size" ]; then
        : >"$arriving"
        have=0
    fi
    echo "send $have"
    if ! head -c $((size - have)) >>"$arriving"; then
        rm -f "$arriving"
        exit 1
    fi
    if ! is_whole "$arriving"; then
        [ "$(wc -c <"$arriving")" -lt "$size" ] || rm -f "$arriving"
        echo "The artefact did not arrive whole." >&2
        exit 1
    fi
    mv -f "$arriving" "$cache/$sha256" || exit 1
fi
echo "have $cache/$sha256"
