#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make build/tree: the base kernel with the new files and the patches of this
# repository.  Unchanged files keep their time stamps, so that a later build
# compiles only what changed.
#
# Usage: tree.sh [LINUX-TREE]
. "$(dirname "$0")/lib.sh"

base=${1:-$BUILD/base}
tree=$BUILD/tree
new=$BUILD/tree.new

[ -f "$base/Kbuild" ] || die "$base is no kernel tree"
case $base in
/*) ;;
*) die "LINUX=$base is not an absolute path" ;;
esac

# Files of this repository that lie where the kernel wants them.
overlay() {
	(cd "$TOP" && find arch tools Documentation -type f | sort)
}

# Where the base has renamed a folder, its name counts.
target() {
	local path=$1
	case $path in
	tools/testing/selftests/kvm/*x86_64/*)
		[ -d "$base/tools/testing/selftests/kvm/x86_64" ] || path=${path/x86_64\//x86/} ;;
	esac
	echo "$path"
}

base_id="$base $(sed -n '1,5p' "$base/Makefile" | tr -d '\n')"
state=$({
	echo "$base_id"
	cat "$TOP/vmtest/tree.sh" "$TOP/Kconfig" "$TOP"/patches/series "$TOP"/patches/*.patch
	overlay | while read -r f; do
		echo "$f"
		cat "$TOP/$f"
	done
} | sha256sum)
[ "$(cat "$tree/.state" 2>/dev/null)" != "$state" ] || exit 0

# Another base, or none yet: start from a copy, which hard links make cheap.
# Everything below replaces files, never writes into them.
if [ "$(cat "$tree/.base" 2>/dev/null)" != "$base_id" ] || [ ! -f "$tree/.made" ]; then
	if [ "$(stat -c %d "$base")" = "$(stat -c %d "$BUILD")" ]; then
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
mapfile -t series < <(sed -n 's/^\([^# ][^ ]*\).*/\1/p' "$TOP/patches/series")
for patch in "${series[@]}"; do
	[ -f "$TOP/patches/$patch" ] || die "patches/series names $patch, which is not there"
done
rm -rf "$new"
mkdir -p "$new"
(cd "$TOP/patches" && sed -n 's,^\(--- a\|+++ b\)/\([^\t]*\).*,\2,p' "${series[@]}") | sort -u |
	while read -r f; do
		[ ! -f "$base/$f" ] || echo "$f"
	done | (cd "$base" && cpio -pdm --quiet "$new")

overlay | while read -r f; do
	to=$(target "$f")
	[ ! -e "$base/$to" ] || die "$f is in the base already" "make the change a patch"
	mkdir -p "$new/$(dirname "$to")"
	cp -p "$TOP/$f" "$new/$to"
done
mkdir -p "$new/arch/x86/virt/vmx/tdx"
cp -p "$TOP/Kconfig" "$new/arch/x86/virt/vmx/tdx/Kconfig"

for patch in "${series[@]}"; do
	patch -d "$new" -p1 -F0 --no-backup-if-mismatch --reject-file=- -f \
		<"$TOP/patches/$patch" >"$BUILD/patch.log" 2>&1 || {
		cat "$BUILD/patch.log" >&2
		die "$patch does not apply to $base" \
			"the hunks named above have to be adapted to this base"
	}
done
rm -f "$BUILD/patch.log"

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
say "tree ready: ${#series[@]} patches, $(overlay | wc -l) new files"
