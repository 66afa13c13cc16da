#!/bin/sh
set -u
if [ -z "${PACKAGE-}" ]; then
    echo 'The name of the package is missing: set PACKAGE among the values of the site, or of the recipe.'
    exit 1
fi
if ! "$PYTHON" -c 'import ensurepip, venv'; then
    echo "$PYTHON on $HOST makes no virtual environments. On Debian and Ubuntu, python3-venv is to be installed."
    exit 1
fi
echo "$("$PYTHON" --version) makes virtual environments."
