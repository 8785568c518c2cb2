#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Put the pristine base kernel at build/base, fetched and verified by apt from
# whichever Debian suite carries it.  The machine's own apt configuration is
# read (for the mirror's address), never changed.
#
# Usage: fetch.sh PACKAGE SUITE...
. "$(dirname "$0")/lib.sh"

package=$1
shift
suites=("$@")
series=${package#linux-source-}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
tmp=$BUILD/base.tmp

[ ! -e "$BUILD/base/.complete" ] || exit 0

command -v apt-get >/dev/null ||
	die "apt-get is not here, so the base kernel cannot be fetched" \
		"give a Linux $series tree with LINUX=/path"
[ -r "$keyring" ] || die "$keyring is missing" "install the package debian-archive-keyring"

# The mirror: where this machine gets Debian itself from.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
	awk '$2 == "Debian" { print $1; exit }')
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
	grep -m1 '/debian/\?$' || true)
[ -n "$mirror" ] || die "no Debian mirror in the machine's apt sources" \
	"give a Linux $series tree with LINUX=/path"

# Nothing of an earlier, interrupted attempt is trusted.
rm -rf "$tmp" "$BUILD/base"
mkdir -p "$tmp"/{state/lists/partial,cache/archives/partial,src}
: >"$tmp/state/status"
for suite in "${suites[@]}"; do
	echo "deb [signed-by=$keyring] $mirror $suite main"
done >"$tmp/sources.list"

private_apt=(
	-o "Dir::Etc::sourcelist=$tmp/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null
	-o "Dir::State=$tmp/state" -o "Dir::State::status=$tmp/state/status"
	-o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
)

say "looking for $package in ${suites[*]}"
apt-get "${private_apt[@]}" update >"$tmp/log" 2>&1 || true
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
