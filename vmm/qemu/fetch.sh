#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Put the source of QEMU, as Debian has patched it, at build/qemu-base: from the folder
# DISTFILES if it is set, else fetched by apt from whichever Debian suite carries it.
# Wherever the files come from, they have the SHA-256 sums that are given.
#
# Usage: fetch.sh VERSION SUITES {SHA256 FILE}...
. "$(dirname "$0")/../../vmtest/lib.sh"
. "$(dirname "$0")/../../vmtest/apt.sh"

version=$1
read -ra suites <<<"$2"
shift 2
out=$BUILD/qemu-base
tmp=$BUILD/qemu-base.tmp

[ "$(cat "$out/.complete" 2>/dev/null)" != "$version" ] || exit 0

sums=()
files=()
while [ $# -gt 0 ]; do
	sums+=("$1  $2")
	files+=("$2")
	shift 2
done
hint="say DISTFILES=/path to a folder with ${files[*]}, or QEMU=/path to a QEMU ${version%%+*} tree"

# from_apt: the files, from the first suite that has them.
from_apt() {
	local suite full apt_type=deb-src

	for suite in "${suites[@]}"; do
		say "looking for the source of qemu $version in $suite"
		apt_begin "$tmp" "$hint" "$suite"
		# The epoch is not in the names of the files.
		full=$(apt-cache "${private_apt[@]}" madison qemu 2>/dev/null |
			awk -F' *[|] *' -v version="$version" '{ v = $2; sub(/^[0-9]+:/, "", v) }
				v == version { print $2; exit }' || true)
		[ -n "$full" ] || continue
		say "fetching it (about 39 MB)"
		! (cd "$tmp" && apt-get "${private_apt[@]}" source --download-only "qemu=$full") \
			>"$tmp/log" 2>&1 || return 0
	done
	tail -n 5 "$tmp/log" >&2
	die "the source of qemu $version cannot be fetched from ${suites[*]}" "$hint"
}

# Nothing of an earlier, interrupted attempt is trusted.
rm -rf "$out" "$tmp"
mkdir -p "$tmp"
if [ -n "${DISTFILES:-}" ]; then
	for file in "${files[@]}"; do
		[ -r "$DISTFILES/$file" ] || die "$DISTFILES/$file is not there" "$hint"
		ln -s "$(realpath "$DISTFILES/$file")" "$tmp/$file"
	done
else
	from_apt
fi
wrong=$(cd "$tmp" && printf '%s\n' "${sums[@]}" | sha256sum --check --quiet 2>/dev/null || true)
[ -z "$wrong" ] || die "not the source of qemu $version, by its SHA-256: ${wrong%%:*}" "$hint"

say "unpacking it"
mkdir "$tmp/src"
for file in "${files[@]}"; do
	case $file in
	*.orig.tar.*) tar -xf "$tmp/$file" -C "$tmp/src" --strip-components=1 ;;
	*.debian.tar.*) tar -xf "$tmp/$file" -C "$tmp" ;;
	esac
done
lines_of "$tmp/debian/patches/series" | while read -r patch; do
	logged "$tmp/log" "Debian's $patch does not apply" \
		patch -d "$tmp/src" -p1 -s -f --no-backup-if-mismatch -i "$tmp/debian/patches/$patch"
done
# The sources of other firmware, of which QEMU's own repository has no copies either: most
# of the tree, and no part of the build.
rm -rf "$tmp"/src/roms/*/
[ -f "$tmp/src/VERSION" ] || die "these files hold no QEMU"
echo "$version" >"$tmp/src/.complete"
mv "$tmp/src" "$out"
rm -rf "$tmp"
