#!/bin/sh
# Install JuliaBox itself into /opt/venv: from its source tree, or from a wheel laid beside it.
set -eu
uv=/build/tools/bin/uv
if ! ls /build/project/*.whl > /dev/null 2>&1; then
    $uv build --offline --no-cache --wheel --no-build-isolation \
        --python /build/tools/bin/python --out-dir /build/project /build/project
fi
export UV_LINK_MODE=copy UV_NO_CACHE=1 UV_OFFLINE=1
$uv pip install --quiet --python /opt/venv/bin/python --no-deps /build/project/*.whl
/opt/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash \
    /opt/venv/lib/python3.11/site-packages/juliabox_*
