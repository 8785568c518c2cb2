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

state=$({
	echo "$base"
	sed -n '1,5p' "$base/Makefile"
	cat "$TOP/vmtest/tree.sh" "$TOP/Kconfig" "$TOP"/patches/series "$TOP"/patches/*.patch
	overlay | while read -r f; do
		echo "$f"
		cat "$TOP/$f"
	done
} | sha256sum)
[ "$(cat "$tree/.state" 2>/dev/null)" != "$state" ] || exit 0

# Hard links make the copy cheap; everything below replaces files, never
# writes into them.
if [ "$(stat -c %d "$base")" = "$(stat -c %d "$BUILD")" ]; then
	link=-al
else
	link=-a
fi
rm -rf "$new"
mkdir -p "$new"
find "$base" -mindepth 1 -maxdepth 1 ! -name .git ! -name .complete \
	-exec cp "$link" -t "$new" {} +

overlay | while read -r f; do
	to=$new/$(target "$f")
	[ ! -e "$to" ] || die "$f is in the base already" "make the change a patch"
	mkdir -p "$(dirname "$to")"
	cp -p "$TOP/$f" "$to"
done
cp -p "$TOP/Kconfig" "$new/arch/x86/virt/vmx/tdx/Kconfig"

while read -r patch _; do
	case $patch in '' | '#'*) continue ;; esac
	[ -f "$TOP/patches/$patch" ] || die "patches/series names $patch, which is not there"
	patch -d "$new" -p1 -F0 --no-backup-if-mismatch --reject-file=- -f \
		<"$TOP/patches/$patch" >"$BUILD/patch.log" 2>&1 || {
		cat "$BUILD/patch.log" >&2
		die "$patch does not apply to $base" \
			"the hunks named above have to be adapted to this base"
	}
done <"$TOP/patches/series"
rm -f "$BUILD/patch.log"

if [ ! -d "$tree" ]; then
	mv "$new" "$tree"
else
	# Files that are not (or no longer) links into the base are those that
	# this repository makes: carry over what differs, in both directions.
	rm -f "$tree/.state"
	for list in "$new" "$tree"; do
		(cd "$list" && find . -type f -links -3 -print)
	done | sort -u | while read -r f; do
		if [ ! -e "$new/$f" ]; then
			rm -f "$tree/$f"
		elif ! cmp -s "$new/$f" "$tree/$f"; then
			mkdir -p "$(dirname "$tree/$f")"
			cp -p "$new/$f" "$tree/$f.tmp"
			touch "$tree/$f.tmp"
			mv "$tree/$f.tmp" "$tree/$f"
		fi
	done
	rm -rf "$new"
fi
echo "$state" >"$tree/.state"
say "tree ready: $(grep -c '^[^#]' "$TOP/patches/series") patches, $(overlay | wc -l) new files"
