#!/bin/sh
# Nothing is touched here: the site runs what we think it runs, its tag is where we write it, and the project is one.
set -u
. "$BUNDLE/compare.sh"
. "$BUNDLE/steps/tag.sh"

stop() {
    echo "$1"
    exit 1
}

[ -n "${SERVICE-}${VERSION_COMMAND-}${VERSION_URL-}" ] ||
    stop 'Nothing tells the version: set SERVICE among the values of the site, or a version command or page.'
[ -n "$VERSION_BEFORE" ] || stop "The site did not tell its version: $(cat "$BUNDLE/version.err")"
same_version "$VERSION_BEFORE" "$FROM_VERSION" ||
    stop "The site reports version $VERSION_BEFORE, but $FROM_VERSION was expected."
echo "The site runs $VERSION_BEFORE."

[ -f "$SITE_PATH/.env" ] || stop "$SITE_PATH/.env is not there: it is to have a line $TAG_VARIABLE=$VERSION_BEFORE."
tag=$(written_tag)
same_version "$tag" "$VERSION_BEFORE" ||
    stop "$SITE_PATH/.env says $TAG_VARIABLE=$tag, but what runs is $VERSION_BEFORE. Make them agree first."
case $TO_VERSION in
    *[!A-Za-z0-9_.-]*) stop "$TO_VERSION cannot be the tag of an image." ;;
esac
docker compose config --quiet || stop "docker compose does not accept the project in $SITE_PATH."
echo "docker compose accepts the project."
