#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make build/host/root.img, the user space of the host: the packages of packages.list,
# unpacked into a file system.  No maintainer script runs, and nothing is mounted, so
# that anybody can do it.
#
# Usage: root.sh
# Leaves the versions of all packages in build/host/root.versions.
. "$(dirname "$0")/../vmtest/lib.sh"
. "$(dirname "$0")/../vmtest/apt.sh"

list=$TOP/host/packages.list
out=$BUILD/host
work=$out/root.tmp
root=$work/root
state=$(cat "$list" "$0" | sha256sum)

[ "$(cat "$out/root.state" 2>/dev/null)" != "$state" ] || [ ! -e "$out/root.img" ] || exit 0
mkdir -p "$out"
rm -f "$out/root.state"

mapfile -t suites < <(lines_of "$list" | awk '$1 != "without" && !seen[$1]++ { print $1 }')
mapfile -t packages < <(lines_of "$list" | awk '$1 != "without" { for (i = 2; i <= NF; i++) print $i }')

say "looking for the packages of the host in ${suites[*]}"
apt_begin "$work" "the host needs Debian's packages" "${suites[@]}"

# Each package of the list from its suite, all others from the first one.
lines_of "$list" | awk -v base="${suites[0]}" '
	function pin(what, suite, priority) {
		printf "Package: %s\nPin: release n=%s\nPin-Priority: %d\n\n", what, suite, priority
	}
	NR == 1 { pin("*", base, 500); pin("*", "*", 100) }
	$1 != "without" { for (i = 2; i <= NF; i++) pin($i, $1, 900) }' >"$work/preferences"
lines_of "$list" | awk '$1 == "without" { for (i = 2; i <= NF; i++) printf \
	"Package: %s\nStatus: install ok installed\nVersion: 9999:1\nArchitecture: all\n" \
	"Maintainer: nobody\nDescription: not here\n\n", $i }' >"$work/state/status"

say "fetching them (about 100 MB)"
logged "$work/log" "the packages of the host could not be fetched" \
	apt-get "${private_apt[@]}" --yes --download-only install "${packages[@]}"

say "unpacking them"
mkdir -p "$root/usr"/{bin,sbin,lib,lib64}
for dir in bin sbin lib lib64; do
	ln -s "usr/$dir" "$root/$dir"
done
unneeded=()
for dir in doc man info locale lintian bug zoneinfo; do
	unneeded+=("--exclude=./usr/share/$dir/*")
done
: >"$work/versions"
for deb in "$work"/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$root" --keep-directory-symlink --no-same-owner "${unneeded[@]}"
	dpkg-deb -f "$deb" Package Version | awk '{ printf "%s%s", $2, NR == 1 ? " " : "\n" }' >>"$work/versions"
done

# What maintainer scripts would have done.
mkdir -p "$root"/{dev,etc,proc,sys,run,tmp,share,host,root,var/tmp}
for file in passwd group; do
	cp "$root/usr/share/base-passwd/$file.master" "$root/etc/$file"
done
printf '127.0.0.1 localhost\n10.0.0.1 a\n10.0.0.2 b\n' >"$root/etc/hosts"
# Whatever has no program of its own is one of busybox.
"$root/bin/busybox" --list | while read -r applet; do
	[ -e "$root/bin/$applet" ] || [ -e "$root/sbin/$applet" ] || [ "$applet" = busybox ] ||
		ln -s busybox "$root/bin/$applet"
done

say "making the file system"
rm -f "$work/root.img"
logged "$work/log" "the file system cannot be made" \
	mke2fs -q -t ext4 -O ^has_journal -L host -E root_owner=0:0 -d "$root" "$work/root.img" 2G
cp "$root/bin/busybox" "$out/busybox"
mv "$work/versions" "$out/root.versions"
mv "$work/root.img" "$out/root.img"
rm -rf "$work"
echo "$state" >"$out/root.state"
