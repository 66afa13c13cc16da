#!/bin/sh
set -u
found=$(sha256sum <"$ARTIFACT") || exit 1
found=${found%% *}
if [ "$found" != "$ARTIFACT_SHA256" ]; then
    echo "The artefact on $HOST has the SHA-256 $found, not $ARTIFACT_SHA256."
    exit 1
fi
echo "SHA-256 $found is right."
