# Read by the steps that make a release.
# shellcheck shell=sh

# The release, and its mark: a file with the SHA-256 of the artefact that it was made of, once it is complete.
begin_release() { # ends the step where there is nothing to do, or nothing may be done
    case $TO_VERSION in
        '' | */* | .* | -*)
            echo "$TO_VERSION cannot be the name of a directory."
            : >"$STEP_DIR/release-was-there"
            exit 1
            ;;
    esac
    made_of=$(cat "$2" 2>/dev/null)
    if [ -e "$1" ] && [ "$made_of" != incomplete ]; then
        : >"$STEP_DIR/release-was-there"
        if [ "$made_of" = "$ARTIFACT_SHA256" ]; then
            echo "releases/$TO_VERSION is there already, complete and from the same artefact."
            exit 0
        fi
        echo "releases/$TO_VERSION is there already, but not made from this artefact. Move it away first."
        exit 1
    fi
    rm -rf "$1"
    mkdir -p "$SITE_PATH/releases" || exit 1
}
