# Read by the steps that clear up.
# shellcheck shell=sh

remove_old_upgrades() { # the last 20 keep their logs on the host
    cd "$SITE_PATH/.releasemgr/upgrades" || return 1
    kept=0
    for old in $(printf '%s\n' [0-9]* | sort -rn | tail -n +21); do
        [ "$old" = "$UPGRADE" ] || rm -rf "./$old" || kept=1
    done
    return "$kept"
}
