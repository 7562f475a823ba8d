#!/bin/sh
# Install Julia: julia.sh auto|official|debian
#
# official   the pinned release of the Julia project, checked by its SHA-256, with IJulia
# debian     the julia package of Debian 11 (Debian 12 has none); the kernel is JuliaBox's own
# auto       official where its server answers, else debian
set -eu
version=1.10.11
depot=/opt/juliabox/depot

official() {
    case $(dpkg --print-architecture) in
    amd64) cpu=x64 name=x86_64
        sum=fb49c6b174600cd2051e37ba3f7330f8acf06dd00bce609bab6611387fdb37bf ;;
    arm64) cpu=aarch64 name=aarch64
        sum=3004a980420e5f3a08847f44db9699105d9febc519205af52764fc97eb12c6b2 ;;
    *) echo "no official Julia for this processor" >&2; return 1 ;;
    esac
    url="https://julialang-s3.julialang.org/bin/linux/$cpu/${version%.*}/julia-$version-linux-$name.tar.gz"
    /build/with-ca.sh curl --fail --silent --show-error --location --retry 2 \
        --connect-timeout 10 --output /build/julia.tar.gz "$url" || return 1
    echo "$sum  /build/julia.tar.gz" | sha256sum --check --quiet || exit 1
    mkdir -p /opt/julia
    tar -xzf /build/julia.tar.gz -C /opt/julia --strip-components=1
    rm -rf /opt/julia/share/doc/julia/html/en/.git /opt/julia/share/man
    ln -s /opt/julia/bin/julia /usr/local/bin/julia
    # the project stands last on every session's load path, so that no environment of the user's
    # hides IJulia from its kernel; byte code for every processor, not just that of this machine
    if [ "$cpu" = x64 ]; then
        export JULIA_CPU_TARGET="generic;sandybridge,-xsaveopt,clone_all;haswell,-rdrnd,base(1)"
    fi
    [ ! -s /build/ca.crt ] || export JULIA_SSL_CA_ROOTS_PATH=/build/ca.crt
    JUPYTER_DATA_DIR=/build/jupyter JUPYTER=jupyter JULIA_DEPOT_PATH="$depot:" \
        julia --project=/opt/juliabox/environment -e '
            using Pkg
            Pkg.add(name="IJulia", version="1.25")
            using IJulia
            IJulia.installkernel("Julia"; julia=`/usr/local/bin/julia`, displayname="Julia")
        ' || return 1
    rm -rf "$depot/registries" "$depot/logs"
    mkdir -p /opt/venv/share/jupyter/kernels
    cp -r /build/jupyter/kernels/* /opt/venv/share/jupyter/kernels/
    echo official > /opt/juliabox/julia-source
}

debian() {
    # with Debian 12's libunwind this Julia dies of SIGSEGV at its first exception
    APT_SUITE=bullseye /build/apt.sh julia libunwind8/bullseye
    echo debian > /opt/juliabox/julia-source
}

mkdir -p "$depot"
case $1 in
official) official ;;
debian) debian ;;
auto) official || { rm -rf /opt/julia /opt/juliabox/environment "$depot"/* /usr/local/bin/julia; debian; } ;;
*) echo "JULIA_SOURCE is auto, official or debian, not '$1'" >&2; exit 2 ;;
esac
julia --startup-file=no -e 'try; sqrt(-1); catch; println("Julia ", VERSION, ": ", sum(1:10)); end'
