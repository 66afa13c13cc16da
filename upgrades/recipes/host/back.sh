#!/bin/sh
# Has the way back of an upgrade run once more, since a person asked for it, and says in one word how that went.
# Standard input: the site's path, the number, which time it is (each begins once), the size of an archive with its
# secrets, and the archive. A minus in place of the size: it is not to begin, but may have begun before.
set -u
export LC_ALL=C
IFS= read -r site
IFS= read -r number
IFS= read -r time
IFS= read -r size

cd "$site/.releasemgr/upgrades/$number" || exit 1
site=$(cd "$site" && pwd -P)

if [ "${size:-0}" = - ] && [ ! -e "back.$time" ]; then
    echo no-secrets
    exit 0
fi
incoming=$(mktemp -d "$site/.releasemgr/incoming.XXXXXX") || exit 1
trap 'rm -rf "$incoming"' EXIT
trap 'exit 1' HUP INT TERM PIPE

unpack_secrets() {
    (umask 077 && head -c "$size" >"$incoming/secrets.tar") && [ "$(wc -c <"$incoming/secrets.tar")" -eq "$size" ] &&
        tar -x --no-same-owner -C "$incoming" -f "$incoming/secrets.tar" && rm "$incoming/secrets.tar"
}

case $size in
    '' | 0 | -) ;;
    *)
        if ! unpack_secrets; then
            echo "The secrets did not arrive whole." >&2
            exit 1
        fi
        ;;
esac

# The pipe of the answer closes when the runner has answered or is dead.
answer=$(setsid sh run.sh "$site" "$number" back "$time" "$incoming/secrets" 3>&1 </dev/null >>runner.out 2>&1 &)
case $answer in
    begun | already-begun | locked*)
        echo "$answer"
        ;;
    *)
        tail -n 5 runner.out >&2
        echo "The runner did not begin." >&2
        exit 1
        ;;
esac
