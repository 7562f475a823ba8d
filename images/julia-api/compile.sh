#!/bin/sh
# Compile the worker's program in its place, and lay all of it out below /out.
set -eu
api=/opt/juliabox/api
run="julia --startup-file=no --history-file=no"
export HOME=/tmp
JULIA_DEPOT_PATH=/tmp/depot $run --compiled-modules=no --trace-compile=/tmp/trace \
    -e 'using JuliaBoxWorker; JuliaBoxWorker.exercise(() -> false)'
grep JuliaBoxWorker /tmp/trace | grep -v Rehearsal > $api/packages/JuliaBoxWorker/src/used.txt
JULIA_DEPOT_PATH=$api/depot $run -e 'using JuliaBoxWorker'
rm -rf $api/depot/logs
ls $api/depot/compiled/*/JuliaBoxWorker* > /dev/null
mkdir -p /out/opt/juliabox /out/usr/bin
cp -a $api /out/opt/juliabox/
cp -a /usr/bin/tini /out/usr/bin/
