#!/bin/sh
# Debian packages of a session, and its user.
set -eu
/build/apt.sh bash-completion curl fontconfig fonts-dejavu-core git less libzmq5 nano \
    openssh-client procps unzip
groupadd --gid 1000 juser
useradd --uid 1000 --gid 1000 --no-create-home --home-dir /home/juser --shell /bin/bash juser
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
mkdir -p /home/juser
chown 1000:1000 /home/juser
