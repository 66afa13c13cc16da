#!/bin/sh
# Says how one upgrade stands: begun, running, ended (0 or 1 each), and the host's clock.
# Standard input: the site's path, the number.
set -u
IFS= read -r site
IFS= read -r number

begun=0 running=0 ended=0
if cd "$site/.releasemgr/upgrades/$number" 2>/dev/null; then
    begun=1
    # In this order: a runner writes its result before it lets go of its lock.
    flock -n -s running true || running=1
    [ ! -e result ] || ended=1
elif ! cd "$site"; then
    exit 1
fi
echo "$begun $running $ended $(date +%s)"
