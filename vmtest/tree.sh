#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make build/tree, or build/qemu-tree: the base with the series of this repository, patch
# by patch, each with its new files.  Unchanged files keep their time stamps, so that a
# later build compiles only what changed.
#
# Usage: tree.sh TREE   the base; SERIES_PATHS, see patches.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

base=$1
new=$tree.new

is_base "$base" || die "$base is no such tree as $variable= names"
case $base in
/*) ;;
*) die "$variable=$base is not an absolute path" ;;
esac

base_id=$(base_id "$base")
state=$({
	echo "$base_id"
	cat "$TOP/vmtest/tree.sh" "$TOP/vmtest/patches.sh" "$patches/series"
	patch_names | (cd "$patches" && xargs cat)
	new_files | while read -r f; do
		echo "$f"
		cat "$new_root/$f"
	done
} | sha256sum)
[ "$(cat "$tree/.state" 2>/dev/null)" != "$state" ] || exit 0

# Another base, or none yet: start from a copy, which hard links make cheap where
# they are possible, i.e. within a mount.
# Everything below replaces files, never writes into them.
if [ "$(cat "$tree/.base" 2>/dev/null)" != "$base_id" ] || [ ! -f "$tree/.made" ]; then
	if ln -f "$base/MAINTAINERS" "$BUILD/.link" 2>/dev/null; then
		rm -f "$BUILD/.link"
		link=-al
	else
		link=-a
	fi
	rm -rf "$tree"
	mkdir -p "$tree"
	find "$base" -mindepth 1 -maxdepth 1 ! -name .git ! -name .complete \
		-exec cp "$link" -t "$tree" {} +
	: >"$tree/.made"
	echo "$base_id" >"$tree/.base"
fi

# All files that this repository makes or changes, in a folder of their own.
check_landings
rm -rf "$new"
mkdir -p "$new"
edited_files | while read -r f; do
	[ ! -f "$base/$f" ] || echo "$f"
done | (cd "$base" && cpio -pdm --quiet "$new")
mapfile -t series < <(patch_names)
for patch in "${series[@]}"; do
	apply_patch "$base" "$new" "$patch"
done

# Carry over what differs. What is not made any more becomes what the base has.
rm -f "$tree/.state"
(cd "$new" && find . -type f -printf '%P\n') | sort >"$new/.made"
sort -u "$tree/.made" "$new/.made" | while read -r f; do
	from=$new/$f
	[ -e "$from" ] || from=$base/$f
	if [ ! -e "$from" ]; then
		rm -f "$tree/$f"
	elif ! cmp -s "$from" "$tree/$f"; then
		mkdir -p "$(dirname "$tree/$f")"
		cp "$from" "$tree/$f.tmp"
		mv "$tree/$f.tmp" "$tree/$f"
	fi
done
mv "$new/.made" "$tree/.made"
rm -rf "$new"
echo "$state" >"$tree/.state"
say "${tree#"$TOP/"} ready: ${#series[@]} patches, $(new_files | wc -l) new files"
