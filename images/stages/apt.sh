#!/bin/sh
# Install Debian packages in a build stage: apt.sh [--upgrade | --unpack] PACKAGE...
#
# --upgrade    bring what is there up to date first
# --unpack     only unpack the packages below /build/unpacked, without what they depend on
#
# APT_MIRROR   base URL of a Debian mirror; empty: the sources that the image brings along
# APT_SUITE    a second, older suite that gives only what the main one lacks (see images/julia)
# A https mirror behind a private CA works: the bundle is /build/ca.crt and stays in the stage.
set -eu
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

if [ -n "${APT_MIRROR:-}" ]; then
    rm -f /etc/apt/sources.list.d/*
    {
        echo "deb [signed-by=$keyring] $APT_MIRROR $suite main"
        echo "deb [signed-by=$keyring] $APT_MIRROR $suite-updates main"
        echo "deb [signed-by=$keyring] ${APT_MIRROR%/}-security $suite-security main"
    } > /etc/apt/sources.list
fi
if [ -n "${APT_SUITE:-}" ]; then
    mirror=${APT_MIRROR:-$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)}
    echo "deb [signed-by=$keyring] $mirror $APT_SUITE main" > /etc/apt/sources.list.d/older.list
    # below the main suite's 500: never preferred, only used for what is nowhere else
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$APT_SUITE" \
        > /etc/apt/preferences.d/older
fi
if [ -s /build/ca.crt ]; then
    echo 'Acquire::https::CaInfo "/build/ca.crt";' > /etc/apt/apt.conf.d/90build
fi
cat > /etc/dpkg/dpkg.cfg.d/juliabox <<'CFG'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
CFG

export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o Acquire::Retries=3 -o Acquire::Languages=none update
if [ "$1" = --unpack ]; then
    shift
    mkdir -p /tmp/packages /build/unpacked
    chown _apt /tmp/packages
    cd /tmp/packages
    apt-get -qq -o Acquire::Retries=3 download "$@"
    for package in *.deb; do
        dpkg-deb -x "$package" /build/unpacked
    done
    exit 0
fi
if [ "$1" = --upgrade ]; then
    shift
    apt-get -qq -y -o Acquire::Retries=3 dist-upgrade
fi
apt-get -qq -y -o Acquire::Retries=3 install --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
