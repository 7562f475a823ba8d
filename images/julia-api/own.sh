#!/bin/sh
# Lay out an API container's own part below /out: the worker's program.
set -eu
own=/out/opt/juliabox/api
mkdir -p $own
cp -r /build/julia-api/worker/* $own/
cp /build/content.jl $own/packages/JuliaBoxWorker/src/   # what functions answer is the same in notebooks
install -m 0755 /build/julia-api/start.sh $own/start
# a process whose program cannot be read is not dumpable: what the publisher's code runs cannot
# reach the container's log by way of /proc/1
install -D -m 0711 /usr/bin/tini /out/usr/bin/tini
