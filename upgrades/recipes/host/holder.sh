# Read by run.sh: says in words who holds a site's lock.
# shellcheck shell=sh

holder_of() { # the folder with the lock, for a process that does not hold it. Empty where nobody can tell
    for pid in $(takers_of "$1/lock") $(openers_of "$1/lock"); do
        [ "$pid" != $$ ] || continue
        holder_words "$pid" "$1" && return
    done
}

takers_of() { # who took it, by the kernel's list, which may name one that is gone and has left it to its children
    inode=$(stat -c %i "$1") || return 0
    sed -n "s/^[0-9]*: FLOCK .* \([0-9]*\) [0-9a-f]*:[0-9a-f]*:$inode .*/\1/p" /proc/locks 2>/dev/null
}

openers_of() { # of this account's processes
    find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | cut -d / -f 3 | sort -n -u
}

holder_words() { # process, the folder with the lock
    words=$(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | tr -d '[:cntrl:]' | cut -c 1-160)
    [ -n "$words" ] || return 1
    upgrade=$(readlink "/proc/$1/cwd" 2>/dev/null)
    case $upgrade in
        "$2"/upgrades/*) echo "upgrade ${upgrade#"$2"/upgrades/}, process $1" ;;
        *) echo "$(stat -c %U "/proc/$1" 2>/dev/null), process $1: $words" ;;
    esac
}
