#!/bin/sh
# Exit status 0 is not success: the site itself says what it runs.
set -u
. "$BUNDLE/compare.sh"
patience=${HEALTH_TIMEOUT:-60}
until_second=$(($(date +%s) + patience))
until version=$(sh "$BUNDLE/version.sh") && is_new_version "$version"; do
    if [ "$(date +%s)" -ge "$until_second" ]; then
        echo "The site reports version ${version:-unknown}, but $TO_VERSION was installed."
        exit 1
    fi
    sleep 1
done
echo "The site runs $version."
