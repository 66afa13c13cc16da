#!/bin/sh
# The runner: one upgrade of one site, from its bundle, in the directory that it lies in.
# Arguments: the site's path, the number of the upgrade, the last second at which it may begin, and where its bundle
# lies; or `back`, which time it is, and where its secrets lie, where a person has its way back run again (U2).
# It answers on descriptor 3 with one word: begun, already-begun, too-late; or other-site and the mark found, or locked
# and who holds the lock, where that can be told.
# Its directory then holds: log, events (a line each), and as its last act, by rename, result.
# A file `stop` in it stops the upgrade before its next step, up to the point of no return that its bundle names.
# A file `cancel`, and then SIGUSR1, ends the upgrade sooner: a step that only checks, prepares or verifies is ended
# with its process group, one that changes something is waited for, and a way back is never ended.
set -u
awaited=
trap '' HUP
trap 'woken=yes; interrupt' USR1

site=$1
number=$2
not_after=$3
incoming=$4
secrets=${5-}
work=$site/.releasemgr
here=$work/upgrades/$number

answer() { # whoever asked may be gone: only a subshell may die of that
    (printf '%s\n' "$1" >&3) 2>/dev/null
    exec 3>&-
}

refuse() {
    cd "$site" && rm -rf "$incoming"
    answer "$1"
    exit 0
}

# Our own number, sent before, takes the lock a moment before it has its directory.
who_holds_it() {
    sleep 1
    if [ -e "$here" ]; then echo already-begun; else locked; fi
}

locked() { # the lock's file is still open, and is not ours
    holder=$(
        exec 9>&-
        holder_of "$work"
    )
    echo "locked${holder:+ $holder}"
}

# Everything that a follower looks for is in place before the one rename that makes the upgrade begun.
# A directory that holds files is never replaced by a rename, so a number begins once.
begin() {
    [ ! -e "$here" ] || refuse already-begun
    exec 9>>"$work/lock"
    flock -n 9 || refuse "$(who_holds_it)"
    [ "$(date +%s)" -le "$not_after" ] || refuse too-late
    check_mark
    exec 8>running
    flock 8
    : >log
    : >events
    echo "$$ $(started_at $$)" >runner
    mkdir state
    if ! mv -T "$incoming" "$here"; then
        [ ! -e "$here" ] || refuse already-begun
        exit 1
    fi
    cd "$here" || exit 1
    answer begun
}

check_mark() { # the directory is to be the site that the bundle is for
    mark=$(sed -n 's/^SITE_MARK=//p' env)
    [ -n "$mark" ] || return 0
    found=$(mark_of "$site")
    is_ours "$found" "$mark" "$(sed -n 's/^SITE_MARK_OVER=//p' env)" || refuse "other-site $found"
    put_mark "$site" "$mark"
}

load_values() { # no value is ever read as a command
    while IFS= read -r line; do
        export "${line?}"
    done <./env
    export UPGRADE="$number" BUNDLE="$here" STEP_DIR="$here/state"
    export LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1
    export VERSION_BEFORE=
    load_secrets
}

load_secrets() { # none is ever in a command line (U8); from here on they are only in environments
    for secret in secrets/*; do
        [ -f "$secret" ] || continue
        value=$(cat "$secret" && echo .)
        export "${secret#secrets/}=${value%.}"
    done
    value=
    rm -rf secrets
}

moment() {
    stamp=$(date +%s.%N)
    case $stamp in
        *[!0-9.]*) date +%s ;;
        *) printf '%s\n' "$stamp" ;;
    esac
}

tell() { # one write for a line
    printf '%s %s\n' "$(moment)" "$*" >>events
}

log_size() {
    wc -c <log
}

# Becomes a command of the site with a time limit, in a process group of its own that has this process's number.
# The file `step` names the group before anything of the site runs in it: it is found even if this runner is killed.
# The descriptors of both locks stay with `timeout`, so that a step that outlives its runner keeps the site locked,
# but are closed for the command, so that a daemon does not.
become_limited() {
    seconds=$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands them
    exec timeout -k 10 "$seconds" sh -c '. ./groups.sh && echo "$PPID $(started_at "$PPID")" >step
        cd "$1" && shift && exec sh "$@" 8>&- 9>&-' sh "$site" "$@" </dev/null
}

# The signal is acted on wherever it arrives: before the wait, which then ends at once, or in it.
await_step() { # phase; into $status, and into $interrupted whether it was ended
    interrupted='' waited='' status=143
    awaited=$1
    [ ! -e cancel ] || interrupt
    woken=first
    while [ -n "$woken" ] && [ -z "$lingers" ]; do
        woken=
        wait "$step"
        ended=$?
        [ "$ended" -eq 127 ] && [ -n "$waited" ] || status=$ended # 127: an earlier wait was told
        waited=yes
    done
    awaited=
}

interrupt() { # what changes the site is let come to its own end
    case $awaited in
        check | prepare | verify) ;;
        *) return 0 ;;
    esac
    [ -z "$interrupted" ] || return 0
    interrupted=yes
    end_group "$step" || lingers=yes
}

run_step() { # phase, position, name, time limit, script
    [ -z "$(tail -c 1 log | tr -d '\0')" ] || echo >>log
    tell "start $1 $2 $3 $(log_size)"
    printf '$ %s\n' "$3" >>log
    began=$(date +%s)
    become_limited "$4" "$here/steps/$5" >>log 2>&1 &
    step=$!
    await_step "$1"
    late=
    if [ -n "$interrupted" ]; then
        printf 'Cancelled: the step was ended.\n' >>log
        [ "$status" -ne 0 ] || status=143
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        [ $(($(date +%s) - began)) -lt "$4" ] || late=' timed-out'
    fi
    [ -z "$late" ] || printf 'Stopped: the time limit of %s seconds is over.\n' "$4" >>log
    tell "end $1 $2 $3 $status $(log_size)$late"
    return "$status"
}

first_line() {
    head -n 1 "$1" | tr -d '[:cntrl:]' | cut -c 1-200
}

read_version() { # into $version; false when the site did not tell it
    version=
    (become_limited 60 "$here/version.sh") >version.out 2>version.err || return 1
    version=$(first_line version.out)
    [ -n "$version" ]
}

tell_version() { # before or after
    if [ -n "$version" ]; then
        tell "version $1 $version"
    else
        tell "no-version $1 $(cat version.err version.out | tr '\n' ' ' | tr -d '[:cntrl:]' | cut -c 1-300)"
    fi
}

# shellcheck disable=SC2329 # called by its name in await_version
is_old_version() {
    same_version "$1" "$VERSION_BEFORE"
}

await_version() { # $1 judges what was read; a restarted site is given time to answer
    patience=$(($(date +%s) + ${HEALTH_TIMEOUT:-60}))
    until read_version && "$1" "$version"; do
        [ "$(date +%s)" -lt "$patience" ] || break
        sleep 1
    done
    tell_version after
    [ -n "$version" ] && "$1" "$version"
}

seal() { # whoever reads the result may begin the site's next upgrade
    exec 9>&-
    printf '%s\n' "$*" >result.new
    mv -f result.new result
    exit 0
}

keep_locks() { # the site's too, until what was to end is gone
    while group_lives "$step"; do
        sleep 1
    done >/dev/null 2>&1
}

leave() { # stopped or cancelled: at this step
    outcome=$1
    tell "$outcome $phase $position $name"
}

go_forward() {
    while read -r phase position name limit script _; do
        case $phase in
            back | finish) continue ;;
        esac
        if [ -e cancel ]; then
            leave cancelled
            return 1
        elif [ -n "$may_stop" ] && [ -e stop ]; then
            leave stopped
            return 1
        fi
        [ "$name" != "$no_return" ] || may_stop=
        [ "$phase" = check ] || touched=yes
        begun="$begun$name "
        if ! run_step "$phase" "$position" "$name" "$limit" "$script"; then
            [ -z "$interrupted" ] || leave cancelled
            return 1
        fi
    done <plan
    phase=verify
    name=-
    touched=yes
    await_version is_new_version
}

go_back() { # in the order of the recipe, only what had begun, and no further than the first failure
    tell way-back-begins
    while read -r phase position name limit script undoes; do
        [ "$phase" = back ] || continue
        case $begun in
            *" $undoes "*) run_step "$phase" "$position" "$name" "$limit" "$script" || break ;;
        esac
    done <plan
    await_version is_old_version
}

finish() { # a failure here is a warning
    while read -r phase position name limit script _; do
        [ "$phase" != finish ] || run_step "$phase" "$position" "$name" "$limit" "$script"
    done <plan
}

begin_again() { # in $incoming: which time it is; in $secrets: where they were put
    cd "$here" && . ./groups.sh && . ./holder.sh && . ./compare.sh || exit 1
    [ ! -e "back.$incoming" ] || refuse_again already-begun
    exec 9>>"$work/lock"
    flock -n 9 || refuse_again "$(locked)"
    exec 8>>running
    flock -n 8 || refuse_again "$(locked)"
    mkdir "back.$incoming" || exit 1
    [ ! -e "$secrets" ] || { rm -rf secrets && mv -f "$secrets" secrets; } || exit 1
    [ ! -e result ] || mv -f result "back.$incoming/result"
    echo "$$ $(started_at $$)" >runner
    answer begun
}

refuse_again() {
    answer "$1"
    exit 0
}

recall() { # what the events say that began, and what ran before
    VERSION_BEFORE=$(sed -n 's/^[0-9.]* version before //p' events | tail -n 1)
    begun=" $(sed -n 's/^[0-9.]* start [a-z]* [0-9]* \([a-z0-9-]*\) .*/\1/p' events | tr '\n' ' ')"
}

back_again() {
    begin_again
    load_values
    recall
    lingers=
    go_back
    seal went-back
}

main() {
    [ "$not_after" != back ] || back_again
    cd "$incoming" || exit 1
    . ./groups.sh
    . ./holder.sh
    . ./mark.sh
    begin
    load_values
    . ./compare.sh
    tell "upgrade $number ${FROM_VERSION:--} ${TO_VERSION:--} ${TO_VERSION_CANONICAL:--}"
    read_version
    tell_version before
    VERSION_BEFORE=$version
    if is_new_version "$version"; then
        seal already-there
    fi
    begun=' ' touched='' may_stop=yes outcome=failed lingers=
    IFS= read -r no_return <no-return
    if go_forward; then
        finish
        seal completed
    fi
    at="$phase $name"
    if [ -n "$lingers" ]; then
        keep_locks &
        seal "lingers $at" # nobody goes back while what was to end still runs
    fi
    [ -z "$touched" ] || go_back
    seal "$outcome $at"
}

main
