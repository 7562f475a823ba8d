#!/bin/sh
# Install packages of plugins into /opt/venv and lay out what is new below /out.
# What the image has already keeps its version.
set -eu
export PYTHONPATH=/build/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
python=/opt/venv/bin/python
$python -m pip freeze > /build/constraints
site=/opt/venv/lib/python3.11/site-packages
# what was left out of the image on purpose counts as there, else pip would bring it
$python /build/absent.py \
    | while read -r name; do
        [ -n "$name" ] || continue
        mkdir -p "$site/$(echo "$name" | tr - _)-9999.dist-info"
        printf 'Metadata-Version: 2.1\nName: %s\nVersion: 9999\n' "$name" \
            > "$site/$(echo "$name" | tr - _)-9999.dist-info/METADATA"
    done
/build/collect.sh mark
cd /build/packages
/build/with-ca.sh $python -m pip install --quiet --no-compile --no-warn-script-location \
    --constraint /build/constraints --requirement requirements.txt
rm -rf "$site"/*-9999.dist-info
# where a package came from may hold a password
find "$site" -name direct_url.json -cnewer /build/.mark -delete
# bytecode that is never checked against its source, as in venv.sh
find "$site" -name '*.py' -cnewer /build/.mark \
    | PYTHONPATH='' $python -m compileall -q --invalidation-mode unchecked-hash -i -
/build/collect.sh /opt/venv
