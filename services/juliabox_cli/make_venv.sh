#!/bin/sh
# Make a virtual environment with pip; as root, install the distribution's venv module if missing.
set -eu
venv=$1

if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

python=
for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null &&
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$name
        break
    fi
done
if [ -z "$python" ]; then
    echo "JuliaBox needs Python 3.11 or newer, and there is none on the PATH. Install it" \
        "(apt-get install python3), then repeat." >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Python's venv module is missing. Install the package python$version-venv" \
            "(or repeat as root), then repeat." >&2
        exit 1
    fi
    echo "Installing python$version-venv"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
    apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
        "python$version-venv" >/dev/null
fi

echo "Making the virtual environment $venv"
"$python" -m venv "$venv"
