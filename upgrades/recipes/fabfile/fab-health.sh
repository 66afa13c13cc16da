#!/bin/sh
# On the site's host, as for every other site.
set -u
cd "$FAB_HOME" && exec "$FAB_OURS" -m upgrades.on_site "$BUNDLE/steps/health.sh" $((${HEALTH_TIMEOUT:-60} + 30))
