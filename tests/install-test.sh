#!/bin/bash
# What make install puts under DESTDIR runs from there, and make uninstall takes all of it away again.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make -s install DESTDIR="$root" PREFIX=/usr
for program in usr/sbin/devtrustd usr/bin/devtrust-agent usr/bin/devtrustctl usr/sbin/devtrust-server; do
    "$root/$program" --version
done
[[ -e $root/usr/share/man/man1/devtrustctl.1 && -e $root/usr/lib/systemd/system/devtrustd.service ]]
[[ -s $root/usr/share/bash-completion/completions/devtrustctl ]]
zsh -fc "fpath=(\$^fpath(/N)); fpath=($root\${^fpath}(/N)); autoload -Uz +X _devtrustctl && whence -w _devtrustctl" | grep -q function ||
    { echo "zsh does not find the completion where it looks by itself" >&2; exit 1; }
make -s uninstall DESTDIR="$root" PREFIX=/usr
left=$(find "$root" ! -type d)
[[ -z $left ]] || { echo "left behind after uninstall: $left" >&2; exit 1; }
