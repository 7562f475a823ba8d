#!/bin/sh
# Lay out JuliaBox's own part of a session: entry program, kernel, server extension, notebooks.
set -eu
source=/build/julia
own=/opt/juliabox
mkdir -p $own/jupyter
cp -r $source/jupyter/. $own/jupyter/
[ ! -e $source/juliabox_entry.py ] || cp $source/juliabox_entry.py $own/
[ ! -d $source/notebooks ] || cp -r $source/notebooks $own/
for package in kernel juliabox_activity; do
    if [ -e $source/$package/pyproject.toml ]; then
        /build/tools/bin/uv build --offline --no-cache --wheel --no-build-isolation \
            --python /build/tools/bin/python --out-dir /build/wheel $source/$package
    fi
done
if [ -d /build/wheel ]; then
    UV_LINK_MODE=copy /build/tools/bin/uv pip install --quiet --offline --no-cache --no-deps \
        --python /opt/venv/bin/python /build/wheel/*.whl
fi
for folder in /opt/venv/lib/python3.11/site-packages/juliabox*; do
    [ ! -d "$folder" ] || /opt/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash \
        "$folder"
done
[ ! -e $own/juliabox_entry.py ] || /opt/venv/bin/python -m py_compile $own/juliabox_entry.py
