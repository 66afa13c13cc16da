#!/bin/sh
# Makes a virtual environment for the release and installs the package into it: the artefact itself where it is a
# wheel, else this version from the index. It cannot be moved later, so it is marked as incomplete until it is done.
set -u
. "$BUNDLE/steps/release.sh"
release=$SITE_PATH/releases/$TO_VERSION
mark=$release/.releasemgr-release
inside=$release/bin/python

wheel_name='
import re, sys, zipfile
artifact, package = sys.argv[1:]
try:
    archive = zipfile.ZipFile(artifact)
except zipfile.BadZipFile:
    sys.exit()
found = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name)]
if not found:
    sys.exit()
name, version = found[0].split("/")[0][: -len(".dist-info")].split("-")[:2]
if re.sub("[-_.]+", "-", name).lower() != re.sub("[-_.]+", "-", package).lower():
    sys.exit("The artefact is a wheel of %s, not of %s." % (name, package))
lines = archive.read(found[0]).decode().splitlines()
tags = [line[4:].strip().split("-") for line in lines if line.startswith("Tag:")]
tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags))
print("%s-%s-%s.whl" % (name, version, tag))
'

begin_release "$release" "$mark"
mkdir "$release" && echo incomplete >"$mark" || exit 1
"$PYTHON" -m venv "$release" || exit 1

name=${PACKAGE%%\[*}
wheel=$("$inside" -I -c "$wheel_name" "$ARTIFACT" "$name") || exit 1
if [ -n "$wheel" ]; then
    ln -sf "$ARTIFACT" "$STEP_DIR/$wheel" || exit 1
    what=$STEP_DIR/$wheel${PACKAGE#"$name"}
else
    what=$PACKAGE==$TO_VERSION
fi
"$inside" -m pip install --no-input --disable-pip-version-check --progress-bar off "$what" || exit 1

echo "$ARTIFACT_SHA256" >"$mark.new" && mv -f "$mark.new" "$mark" || exit 1
echo "Installed into releases/$TO_VERSION."
