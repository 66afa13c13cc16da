#!/bin/sh
set -u
. "$BUNDLE/steps/old-upgrades.sh"
remove_old_upgrades
