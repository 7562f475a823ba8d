#!/bin/sh
# Run a command of a build stage with the host's CA bundle, where the host has one of its own.
set -eu
if [ -s /build/ca.crt ]; then
    export SSL_CERT_FILE=/build/ca.crt PIP_CERT=/build/ca.crt REQUESTS_CA_BUNDLE=/build/ca.crt \
        NODE_EXTRA_CA_CERTS=/build/ca.crt CURL_CA_BUNDLE=/build/ca.crt GIT_SSL_CAINFO=/build/ca.crt
fi
if [ -n "${PIP_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
fi
exec "$@"
