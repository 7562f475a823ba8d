#!/bin/sh
# Prepare JupyterLab for browsers: its page names at once all scripts that are to be fetched first,
# and each larger file has its compressed twin beside it, which juliabox_lab sends.
set -eu
share=/opt/venv/share/jupyter
page=$share/lab/static/index.html
core=$(basename "$share"/lab/static/jlab_core.*.js)
hash=$(echo "$core" | cut -d. -f2)
preload='<link rel="preload" as="script" href='
core="$preload\"{{page_config.fullStaticUrl}}/$core?v=$hash\">"
# what main.js would ask for only when it has come itself
extensions="{% for one in page_config.federated_extensions %}$preload\"{{page_config.fullLabextensionsUrl}}/{{one.name}}/{{one.load}}\">{% endfor %}"
sed -i "s|<script defer=\"defer\" src=\"{{page_config.fullStaticUrl}}/main|$core$extensions&|" "$page"
grep -q "$hash" "$page"
find "$share" -type f -size +1k \( -name '*.js' -o -name '*.css' -o -name '*.svg' \) \
    -exec gzip --best --keep --no-name {} +
