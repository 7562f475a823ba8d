#!/bin/sh
# Lay out a session's own part below /out: output and entry programs, kernel, server extension, JupyterLab
# extension, notebooks, Julia's module JuliaBox and the program that asks the API engine for it.
set -eu
source=/build/julia
own=/out/opt/juliabox
mkdir -p $own
for name in jupyter juliabox_apis.py juliabox_entry.py juliabox_output.py notebooks packages; do
    [ ! -e $source/$name ] || cp -r $source/$name $own/
done
for package in kernel juliabox_activity juliabox_home juliabox_lab juliabox_server; do
    if [ -e $source/$package/pyproject.toml ]; then
        /build/tools/bin/uv build --offline --no-cache --wheel --no-build-isolation \
            --python /build/tools/bin/python --out-dir /build/wheels $source/$package
    fi
done
extensions=/out/opt/venv/share/jupyter/labextensions
mkdir -p $extensions
cp -r $source/labextension $extensions/juliabox-session-head
# as lab.sh does for all others
gzip --best --keep --force --no-name $extensions/juliabox-session-head/static/remoteEntry.js
[ ! -d /build/wheels ] || /build/install.sh /build/wheels/*.whl
# a process whose program cannot be read is not dumpable: see juliabox_output.py
install -D -m 0711 /usr/bin/tini /out/usr/bin/tini
find /out -name direct_url.json -delete
