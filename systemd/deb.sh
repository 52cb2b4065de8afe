#!/bin/bash
# deb.sh [DIRECTORY]: builds the Debian packages from what git tracks, in DIRECTORY (build/deb). The same tree gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
place=${1:-build/deb}
source=$place/devtrust
rm -rf "$place"
mkdir -p "$source"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$source"
mv "$source/systemd/debian" "$source/debian"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog --file "$source/debian/changelog" --show-field Timestamp)
export SOURCE_DATE_EPOCH
(cd "$source" && dpkg-buildpackage --build=binary --no-sign --no-pre-clean) >"$place/build.log" 2>&1 || {
    tail -30 "$place/build.log" >&2
    exit 1
}
rm -rf "$source"
(cd "$place" && sha256sum ./*.deb)
