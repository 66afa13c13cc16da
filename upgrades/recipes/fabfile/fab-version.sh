#!/bin/sh
# By our own connection to the site's host, not by the fabfile's (U10).
set -u
cd "$FAB_HOME" && exec "$FAB_OURS" -m upgrades.on_site "$BUNDLE/steps/site-version" 30
