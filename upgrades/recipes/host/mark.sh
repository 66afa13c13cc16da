# Read by run.sh, and before version.sh: which site a directory says that it is.
# The mark is one line in .releasemgr/site: the installation, the site's number there, and its name, for people.
# shellcheck shell=sh

mark_of() { # of the site at $1: empty without one, "-" where it says nothing
    [ -e "$1/.releasemgr/site" ] || return 0
    said=$(head -n 1 "$1/.releasemgr/site" | tr -cd 'A-Za-z0-9 ._-' | cut -c 1-200)
    printf '%s\n' "${said:--}"
}

is_ours() { # what was found, our mark, and one that a person said means nothing any more
    [ -z "$1" ] || [ "$1" = "$3" ] || [ "${1% *}" = "${2% *}" ]
}

put_mark() { # site, mark; for whoever holds the site's lock
    [ "$(mark_of "$1")" = "$2" ] ||
        { printf '%s\n' "$2" >"$1/.releasemgr/site.new" && mv -f "$1/.releasemgr/site.new" "$1/.releasemgr/site"; }
}
