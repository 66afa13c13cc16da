# Read by run.sh and by steps: whether two texts name the same version.
# shellcheck shell=sh

normal_version() { # without blanks, a leading v and trailing .0 groups
    normal=$(printf '%s' "$1" | tr -d '[:space:]')
    normal=${normal#[vV]}
    while [ "$normal" != "${normal%.0}" ]; do
        normal=${normal%.0}
    done
    printf '%s\n' "$normal"
}

same_version() {
    [ -n "$1" ] && [ -n "$2" ] && [ "$(normal_version "$1")" = "$(normal_version "$2")" ]
}

is_new_version() {
    same_version "$1" "${TO_VERSION-}" || same_version "$1" "${TO_VERSION_CANONICAL-}"
}
