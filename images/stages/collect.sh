#!/bin/sh
# Copy what a build stage changed to /out, so that the final stage takes just that and nothing of
# what fetched it: no CA bundle, package lists, mirror addresses or caches.
#
#   collect.sh mark              remember the time
#   collect.sh [FOLDER ...]      copy what changed since, below FOLDER (default: everywhere)
set -eu
mark=/build/.mark
if [ "${1:-}" = mark ]; then
    touch "$mark"
    exit 0
fi
[ $# -gt 0 ] || set -- /
mkdir -p /out
find "$@" -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run \
        -o -path /root -o -path /build -o -path /out -o -path /etc/apt -o -path /var/cache \
        -o -path /var/lib/apt -o -path /var/log -o -name __pycache__ -path '/usr/lib/python3/*' \
        -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /.dockerenv \) -prune \
    -o -cnewer "$mark" -print \
    | awk '{ p = $0; while (p != "" && p != "/") { print p; sub("/[^/]*$", "", p) } }' \
    | sort -u > /build/.changed
cd /
# folders by tar, which keeps their modes; files as hard links, which cost nothing
while IFS= read -r path; do
    if [ -d "$path" ] && [ ! -L "$path" ]; then echo "$path"; fi
done < /build/.changed \
    | tar --verbatim-files-from --no-recursion -P -T - -cf - | tar -C /out -xpf -
while IFS= read -r path; do
    if [ ! -d "$path" ] || [ -L "$path" ]; then printf '.%s\n' "$path"; fi
done < /build/.changed \
    | xargs -r -d '\n' cp -dl --preserve=all --parents -t /out
# no program of an image needs to gain rights
find /out -xdev -type f -perm /6000 -exec chmod a-s {} +
