#!/bin/sh
# Asks an upgrade to stop before its next step, while it has not passed its point of no return.
# Standard input: the site's path, the number. The answer is one word.
set -u
IFS= read -r site
IFS= read -r number

cd "$site/.releasemgr/upgrades/$number" && : >stop && echo asked
