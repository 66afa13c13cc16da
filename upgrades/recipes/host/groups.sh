# Read by run.sh and cancel.sh: knows processes again, ends a process group and makes sure that it is gone.
# shellcheck shell=sh

started_at() { # of a living process, in ticks since the boot: with its number it names one process of this boot
    sed -n 's/.*) \([^ZX] \)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

group_lives() { # what is dead and only not collected yet does not count
    sed 's/.*) //' /proc/[0-9]*/stat 2>/dev/null | cut -d ' ' -f 1,3 | grep -q -x "[^ZX] $1"
}

gone_within() { # group, tenths of a second
    tenths=$2
    while group_lives "$1"; do
        [ "$tenths" -gt 0 ] || return 1
        tenths=$((tenths - 1))
        sleep 0.1 2>/dev/null || { sleep 1 && tenths=$((tenths - 9)); }
    done
}

end_group() { # false where something of it lives on
    kill -s TERM -- "-$1" 2>/dev/null || kill -s TERM "$1" 2>/dev/null
    gone_within "$1" 100 && return 0
    kill -s KILL -- "-$1" 2>/dev/null
    gone_within "$1" 50
}
