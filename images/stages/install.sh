#!/bin/sh
# Install wheels of our own into /opt/venv as it will be in the image, laid out below /out.
set -eu
uv=/build/tools/bin/uv
$uv venv --quiet --no-project --python /usr/bin/python3 /opt/venv
/build/collect.sh mark
UV_LINK_MODE=copy $uv pip install --quiet --offline --no-cache --no-deps \
    --python /opt/venv/bin/python "$@"
# bytecode that is never checked against its source, as in venv.sh
/opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib
/build/collect.sh /opt/venv
