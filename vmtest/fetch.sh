#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Put the pristine base kernel at build/base, fetched and verified by apt from
# whichever Debian suite carries it.
#
# Usage: fetch.sh PACKAGE SUITE...
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/apt.sh"

package=$1
shift
suites=("$@")
series=${package#linux-source-}
tmp=$BUILD/base.tmp

[ ! -e "$BUILD/base/.complete" ] || exit 0

say "looking for $package in ${suites[*]}"
rm -rf "$BUILD/base"
apt_begin "$tmp" "give a Linux $series tree with LINUX=/path" "${suites[@]}"
mkdir "$tmp/src"
version=$(apt-cache "${private_apt[@]}" madison "$package" 2>/dev/null |
	awk -F' *[|] *' -v series="$series" 'index($2, series ".") == 1 && $2 !~ /~rc/ { print $2 }' |
	sort -V | tail -n 1)
if [ -z "$version" ]; then
	tail -n 5 "$tmp/log" >&2
	die "no suite of ${suites[*]} carries $package" \
		"check the network, or give a Linux $series tree with LINUX=/path"
fi

say "fetching $package $version (about 170 MB)"
(cd "$tmp" && apt-get "${private_apt[@]}" download "$package=$version") >"$tmp/log" 2>&1 || {
	tail -n 5 "$tmp/log" >&2
	die "$package $version could not be fetched"
}

say "unpacking it"
dpkg-deb --fsys-tarfile "$tmp"/"$package"_*.deb |
	tar -xO --wildcards "./usr/src/$package.tar.*" | tar -xJ -C "$tmp/src" --strip-components=1
[ -f "$tmp/src/Kbuild" ] || die "$package holds no kernel tree"
echo "$version" >"$tmp/src/.complete"
mv "$tmp/src" "$BUILD/base"
rm -rf "$tmp"
