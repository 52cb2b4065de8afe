#!/bin/bash
# rpm.sh [--built] [--release N] [DIRECTORY]: builds the RPM packages from what git tracks, in DIRECTORY (build/rpm). The same tree gives the
# same bytes. --built packs the programs that lie in build/ already. Needs rpmbuild only: what is built against is asked of pkg-config, so on
# Debian, whose packages have other names than the spec's, rpm's own look at them is passed over (--nodeps).
set -euo pipefail
cd "$(dirname "$0")/.."
options=()
built=
while [[ ${1:-} == --* ]]; do
    case $1 in
    --built) built=yes options+=(--with built) ;;
    --release) options+=(--define "release_number $2") && shift ;;
    *) echo "rpm.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
[[ ! -e /etc/debian_version ]] || options+=(--nodeps)
mkdir -p "${1:-build/rpm}"
place=$(cd "${1:-build/rpm}" && pwd)
name=devtrust-$(sed -n 's/^Version: //p' systemd/devtrust.spec)
# a version's time, as the Debian packages have it
SOURCE_DATE_EPOCH=$(date --utc --date "$(sed -n 's/^ -- .*>  //p;T;q' systemd/debian/changelog)" +%s)
export SOURCE_DATE_EPOCH

rm -rf "$place"/*.rpm "$place/top"
mkdir -p "$place/top/SOURCES" "$place/top/$name"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$place/top/$name"
if [[ $built ]]; then
    mkdir "$place/top/$name/build"
    cp -a build/devtrustd build/devtrust-agent build/devtrustctl build/devtrust-server build/completion "$place/top/$name/build"
fi
tar --create --directory="$place/top" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --file="$place/top/SOURCES/$name.tar" "$name"
rpmbuild -bb "${options[@]}" --define "_topdir $place/top" --define "_rpmdir $place" --define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
    systemd/devtrust.spec >"$place/build.log" 2>&1 || {
    tail -30 "$place/build.log" >&2
    exit 1
}
rm -rf "$place/top"
(cd "$place" && sha256sum ./*.rpm)
