#!/bin/bash
# packages.sh SET…: installs the Debian packages of the named sets that are missing: build, demo, check, bench, deb, rpm. As root directly, else
# through sudo; with neither it names them and stops.
set -euo pipefail

build=(gcc libc6-dev binutils pkg-config libssl-dev libcurl4-openssl-dev libjson-c-dev libuv1-dev libsystemd-dev libinih-dev
    libpsl-dev libnss3-dev libevent-dev libsqlite3-dev)
demo=(python3 chromium chromium-driver libnss3-tools openssl util-linux uidmap iproute2 procps publicsuffix ca-certificates)
check=(clang clang-format clang-tidy libclang-rt-14-dev libcmocka-dev python3-pytest shellcheck curl dbus strace sqlite3 firefox-esr
    systemd desktop-file-utils mmdebstrap systemd-container zsh lintian mandoc groff-base varlink-go xdg-utils
    nginx p11-kit libengine-pkcs11-openssl gnutls-bin wget git python3-pycurl xvfb python3-xlib)
deb=(build-essential debhelper dpkg-dev fakeroot)
rpm=(rpm)
bench=(certmonger dbus strace firefox-esr systemd)

wanted=()
for set in "$@"; do
    case $set in
    build) wanted+=("${build[@]}") ;;
    demo) wanted+=("${demo[@]}") ;;
    check) wanted+=("${check[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    deb) wanted+=("${deb[@]}") ;;
    rpm) wanted+=("${rpm[@]}") ;;
    *)
        echo "packages.sh: unknown set '$set': build, demo, check, bench, deb or rpm" >&2
        exit 2
        ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
# evhttp before this version has eight published holes; an installed older one is upgraded
if dpkg-query -W -f '${Version}' libevent-2.1-7 >/dev/null 2>&1 &&
    dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libevent-2.1-7)" lt 2.1.12-stable-8+deb12u1; then
    missing+=(libevent-2.1-7)
fi
((${#missing[@]})) || exit 0

if ((EUID == 0)); then
    as=()
    echo "installing as root: ${missing[*]}"
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    as=(sudo)
    echo "installing through sudo: ${missing[*]}"
else
    echo "These Debian packages are missing, and this is neither root nor is there a usable sudo. Install them, then try again:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as[@]}" apt-get -qq update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -20 "$log" >&2
    echo "The installation failed: see above; the packages are: ${missing[*]}" >&2
    exit 1
fi
# tests start an nginx of their own: none is to serve this machine because of them
if [[ " ${missing[*]} " == *" nginx "* ]]; then
    "${as[@]}" service nginx stop >/dev/null 2>&1 || true
    "${as[@]}" update-rc.d nginx disable >/dev/null 2>&1 || true
fi
