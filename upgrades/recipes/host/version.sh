#!/bin/sh
# Asks a site for its version, outside any upgrade.
# Standard input: the time limit in seconds, KEY=value lines, an empty line, then the recipe's script that reads the version.
# With a SITE_MARK it first looks whether the directory is that site's; if not, it answers "other-site" and the mark
# found there, with the exit status 78. A site that told its version and has no mark gets its own.
set -u
IFS= read -r seconds
while IFS= read -r line && [ -n "$line" ]; do
    export "${line?}"
done
script=$(cat)
if [ -n "${SITE_PATH-}" ]; then
    cd "$SITE_PATH" || exit 1
fi

is_right_site() { # into $found what its mark says
    found=$(mark_of "$SITE_PATH")
    is_ours "$found" "$SITE_MARK" "${SITE_MARK_OVER-}"
}

mark() { # not while an upgrade has the lock: its runner has marked the site
    [ -d .releasemgr ] || mkdir -m 700 .releasemgr || return
    (! flock -n 9 || ! is_right_site || put_mark "$SITE_PATH" "$SITE_MARK") 9>>.releasemgr/lock
}

if [ -n "${SITE_MARK-}" ] && ! is_right_site; then
    printf 'other-site %s\n' "$found"
    exit 78
fi
export LC_ALL=C.UTF-8
timeout -k 5 "$seconds" sh -c "$script" </dev/null
status=$?
if [ "$status" -eq 0 ] && [ -n "${SITE_MARK-}" ]; then
    mark 2>/dev/null
fi
exit "$status"
