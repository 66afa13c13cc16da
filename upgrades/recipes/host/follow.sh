#!/bin/sh
# Sends what an upgrade writes, from given offsets on, until it has ended or its runner is gone.
# Standard input: the site's path, the number, the log's offset, the events' offset.
# Frames: a line of kind, offset and size, then so many bytes. Kinds: L log, E events (whole lines),
# B a beat every five seconds, D done (the bytes are the result), G gone: no runner and no result,
# V vanished: what the upgrade wrote is not there.
# It ends by itself when the channel is gone: the next frame cannot be written.
set -u
export LC_ALL=C
IFS= read -r site
IFS= read -r number
IFS= read -r log_at
IFS= read -r events_at

newline='
'
most=262144

send_log() { # up to $1; false when there was nothing to send
    count=$(($1 - log_at))
    [ "$count" -gt 0 ] || return 1
    [ "$count" -le "$most" ] || count=$most
    printf 'L %d %d\n' "$log_at" "$count" || exit 1
    tail -c +$((log_at + 1)) log | head -c "$count" || exit 1
    log_at=$((log_at + count))
}

send_events() { # up to $1; false when there was no whole line to send
    count=$(($1 - events_at))
    [ "$count" -gt 0 ] || return 1
    [ "$count" -le 65536 ] || count=65536
    piece=$(tail -c +$((events_at + 1)) events | head -c "$count" && echo .)
    piece=${piece%.}
    case $piece in
        *"$newline"*) piece=${piece%"$newline"*}$newline ;;
        *) return 1 ;;
    esac
    printf 'E %d %d\n%s' "$events_at" "${#piece}" "$piece" || exit 1
    events_at=$((events_at + ${#piece}))
}

# The result is looked at first: if it stands, the sizes seen after it are final.
# Events are sent before the log: whoever keeps only parts of a step's log has to know where it begins.
look() {
    done=0 events_size=0 log_size=0
    # shellcheck disable=SC2046 # names and sizes have no blanks
    set -- $(stat -c '%n %s' result events log 2>/dev/null)
    while [ "$#" -ge 2 ]; do
        case $1 in
            result) done=1 ;;
            events) events_size=$2 ;;
            log) log_size=$2 ;;
        esac
        shift 2
    done
}

send_all() {
    while send_events "$events_size"; do :; done
    while send_log "$log_size"; do :; done
}

end_if_done() {
    look
    send_all
    [ "$done" -eq 1 ] || return 0
    printf 'D 0 %d\n' "$(wc -c <result)"
    cat result
    exit 0
}

end_if_gone() {
    flock -n -s running true || return 0
    end_if_done
    rm -rf secrets # of a runner that was gone before it read them
    printf 'G 0 0\n'
    exit 0
}

if ! cd "$site/.releasemgr/upgrades/$number"; then
    printf 'V 0 0\n'
    exit 0
fi
end_if_done
end_if_gone
while :; do
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
        sleep 0.4 2>/dev/null || sleep 1
        end_if_done
    done
    end_if_gone
    printf 'B 0 0\n' || exit 1
done
