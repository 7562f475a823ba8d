#!/bin/sh
# Make /opt/venv from a lock file with hashes, compiled, without what only tests and tools need.
# What has no wheel is built with the tools of our own lock.
set -eu
lock=$1
uv=/build/tools/bin/uv
$uv venv --quiet --no-project --python /usr/bin/python3 /opt/venv
export UV_LINK_MODE=copy UV_NO_CACHE=1 UV_HTTP_TIMEOUT=120
/build/with-ca.sh $uv pip install --quiet --python /opt/venv/bin/python \
    --require-hashes --no-deps --build-constraints /build/tools.lock --requirement "$lock"
site=/opt/venv/lib/python3.11/site-packages
find "$site" -depth -type d \( -name tests -o -name test \) -not -path '*/numpy/*' -exec rm -rf {} +
find /opt/venv -name '*.js.map' -o -name '*.mjs.map' | xargs -r rm -f
# bytecode that is never checked against its source: the root is read-only and files lose their times
/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site"
rm -f /opt/venv/.lock /opt/venv/.gitignore
