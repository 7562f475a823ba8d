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
# from 1.9 on this is native code; before, Julia keeps that in an image of its whole system alone
if [ "$($run -e 'print(VERSION < v"1.9-")')" = true ]; then
    # as Debian's own, which has code for newer processors beside that for all
    case $(uname -m) in x86_64) target="generic;haswell,-rdrnd" ;; *) target=generic ;; esac
    system=$($run -e 'print(unsafe_string(Base.JLOptions().image_file))')
    export JULIA_DEPOT_PATH=$api/depot
    $run /build/first.jl /tmp/first
    $run --cpu-target="$target" --sysimage="$system" --output-o=$api/system.o \
        /build/system.jl /tmp/first
fi
mkdir -p /out/opt/juliabox /out/usr/bin
cp -a $api /out/opt/juliabox/
cp -a /usr/bin/tini /out/usr/bin/
