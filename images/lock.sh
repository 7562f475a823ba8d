#!/bin/sh
# Renew the locks of all images: newest releases that the floors admit, with hashes, no server named.
# Run in the checkout with the development environment active; needs uv and npm.
set -eu
cd "$(dirname "$0")"
uv=${UV:-../.venv/bin/uv}

# rfc3987-syntax builds a parser whenever jsonschema is imported, a third of a server's start, for a
# check of "iri" strings that nothing here makes; jsonschema does without it. lark is only its own.
compile() {
    "$uv" pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --no-emit-package rfc3987-syntax --no-emit-package lark "$@"
}

compile base/requirements.in --output-file base/requirements.lock
compile ../pyproject.toml control/requirements.in --output-file control/requirements.lock
# hub and session must agree on what they share
compile --constraint control/requirements.lock julia/requirements.in \
    --output-file julia/requirements.lock

cd control
rm -f package-lock.json
npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts
python3 - <<'PY'
import json
from pathlib import Path

path = Path("package-lock.json")
lock = json.loads(path.read_text())
for package in lock["packages"].values():
    package.pop("funding", None)
path.write_text(json.dumps(lock, indent=2) + "\n")
PY
