#!/bin/sh
# Lay out JuliaBox itself below /out: from its source tree, or from a wheel laid beside it.
set -eu
if ! ls /build/project/*.whl > /dev/null 2>&1; then
    /build/tools/bin/uv build --offline --no-cache --wheel --no-build-isolation \
        --python /build/tools/bin/python --out-dir /build/project /build/project
fi
/build/install.sh /build/project/*.whl
# what browsers fetch has its compressed twin beside it: see juliabox_spawner.hub.compressed; forced, since
# these files are hard links
find /out -type f -path '*/static/*' -size +1k \( -name '*.js' -o -name '*.css' -o -name '*.svg' \) \
    -exec gzip --best --keep --force --no-name {} +
find /out -name direct_url.json -delete
