#!/bin/sh
# Become the worker. The further workers of a container are started by the first.
exec julia --startup-file=no --history-file=no --color=no /opt/juliabox/api/main.jl
