#!/bin/sh
# Lay out JuliaBox's own part of a session: entry program, kernel, server extension, notebooks.
set -eu
source=/build/julia
own=/opt/juliabox
uv="/build/tools/bin/uv pip install --quiet --offline --no-cache --no-deps --no-build-isolation --python /opt/venv/bin/python"
mkdir -p $own/jupyter
cp -r $source/jupyter/. $own/jupyter/
[ ! -e $source/juliabox_entry.py ] || cp $source/juliabox_entry.py $own/
[ ! -d $source/notebooks ] || cp -r $source/notebooks $own/
for package in kernel juliabox_activity; do
    if [ -e $source/$package/pyproject.toml ] || [ -e $source/$package/setup.py ]; then
        VIRTUAL_ENV=/build/tools /build/tools/bin/uv build --quiet --offline --no-cache --wheel \
            --no-build-isolation --python /build/tools/bin/python --out-dir /build/wheel $source/$package
    fi
done
[ ! -d /build/wheel ] || UV_LINK_MODE=copy $uv /build/wheel/*.whl
/opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash \
    /opt/venv/lib/python3.11/site-packages
[ ! -e $own/juliabox_entry.py ] || /opt/venv/bin/python -m py_compile $own/juliabox_entry.py
