#!/bin/bash
# The units are free of errors (systemd-analyze verify), and what an intruder could do with the services stays small (exposure ≤ 2.0 of 10).
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# the targets that the units refer to
mkdir -p "$root/usr/lib/systemd" "$root/run"
cp -r /lib/systemd/system /lib/systemd/user "$root/usr/lib/systemd/"
ln -s usr/lib "$root/lib"
make -s install DESTDIR="$root" PREFIX=/usr

verify() {
    local said
    said=$(systemd-analyze --man=no "$@" 2>&1) || { echo "$said" >&2; return 1; }
    # it also speaks of the units around ours, and of unknown lines without failing
    said=$(grep devtrust <<<"$said" || true)
    [[ -z $said ]] || { echo "$said" >&2; return 1; }
}
verify --root="$root" verify devtrustd.service devtrustd.socket devtrust-server.service
# a user's manager knows no other root: there the program's path is what is adjusted
sed "s,/usr/bin/,$root/usr/bin/," "$root/usr/lib/systemd/user/devtrust-agent.service" >"$root/run/devtrust-agent.service"
XDG_RUNTIME_DIR=$root/run verify --user verify "$root/run/devtrust-agent.service"
for unit in devtrustd devtrust-server; do
    systemd-analyze security --offline=yes --threshold=20 "$root/usr/lib/systemd/system/$unit.service" | tail -1
done
systemd-tmpfiles --root="$root" --create "$root/usr/lib/tmpfiles.d/devtrust.conf"
# a user's unit has no namespaces: what its seccomp filters and flags give is not to become less
systemd-analyze security --offline=yes --threshold=60 "$root/usr/lib/systemd/user/devtrust-agent.service" | tail -1
[[ -d $root/etc/chromium/policies/managed ]]
# where systemd runs the session the unit starts the agent, and the entry is left out; elsewhere it starts what is installed
mkdir -p "$root/run/xdg/autostart" "$root/run/generated"
sed "s,=/usr/,=$root/usr/," "$root/etc/xdg/autostart/devtrust-agent.desktop" >"$root/run/xdg/autostart/devtrust-agent.desktop"
[[ -x $(sed -n 's/^Exec=//p' "$root/run/xdg/autostart/devtrust-agent.desktop") ]] || { echo "the autostart entry starts nothing" >&2; exit 1; }
XDG_CONFIG_DIRS=$root/run/xdg XDG_CONFIG_HOME=$root/run XDG_RUNTIME_DIR=$root/run \
    /usr/lib/systemd/user-generators/systemd-xdg-autostart-generator "$root/run/generated" "$root/run/generated" "$root/run/generated"
[[ -z $(ls "$root/run/generated") ]] || { echo "systemd would start the agent twice" >&2; exit 1; }
desktop-file-validate "$root/etc/xdg/autostart/devtrust-agent.desktop" "$root/usr/share/applications/devtrust-status.desktop"
# the entry's icon is there under the name that it is asked for
[[ -e $root/usr/share/icons/hicolor/scalable/apps/$(sed -n 's/^Icon=//p' "$root/usr/share/applications/devtrust-status.desktop").svg ]]
