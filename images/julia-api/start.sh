#!/bin/sh
# Become the worker. The further workers of a container are started by the first.
system=/opt/juliabox/api/system.so
[ ! -e $system ] || set -- --sysimage=$system
exec julia "$@" --startup-file=no --history-file=no --color=no /opt/juliabox/api/main.jl
