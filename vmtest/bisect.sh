#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the host kernel after each patch of the series, the way git bisect would
# come across it.  None may fail to build, or bring a warning.
#
# Usage: bisect.sh LINUX-TREE   after series.sh
. "$(dirname "$0")/lib.sh"

base=$1
dir=$BUILD/bisect
tree=$dir/tree
obj=$dir/obj
rm -rf "$tree"
mkdir -p "$tree" "$obj"
find "$base" -mindepth 1 -maxdepth 1 ! -name .git ! -name .complete -exec cp -al -t "$tree" {} +

cc=gcc
if command -v ccache >/dev/null; then
	cc="ccache gcc"
	export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1
	export KBUILD_BUILD_TIMESTAMP='' KBUILD_BUILD_USER=tdx-mig KBUILD_BUILD_HOST=vmtest
fi

# Symbols that are not there yet are dropped.
configure() {
	rm -rf "$dir/config"
	mkdir -p "$dir/config"
	make -s -C "$tree" O="$dir/config" tinyconfig
	(cd "$tree" && ./scripts/kconfig/merge_config.sh -m -O "$dir/config" "$dir/config/.config" \
		"$TOP/vmtest/kernel.config")
	make -s -C "$tree" O="$dir/config" olddefconfig
	cmp -s "$dir/config/.config" "$obj/.config" || cp "$dir/config/.config" "$obj/.config"
}

failed=0
mails=()
for series in product selftests sim; do
	mapfile -t -O "${#mails[@]}" mails < <(find "$BUILD/series/$series" -name '0*.patch' ! -name '0000-*' | sort)
done
for mail in "${mails[@]}"; do
	name=$(basename "$(dirname "$mail")")-$(basename "$mail" .patch)
	patch -d "$tree" -p1 -F0 -s --no-backup-if-mismatch <"$mail" || die "$name does not apply"
	configure >/dev/null 2>&1 || die "the kernel cannot be configured after $name"
	if ! make -C "$tree" O="$obj" CC="$cc" -j"${JOBS:-$(nproc)}" bzImage modules \
		>"$dir/$name.log" 2>&1; then
		grep -E -m1 'error|undefined' "$dir/$name.log" >&2 || true
		verdict="does not build"
	elif grep -q 'warning:' "$dir/$name.log"; then
		grep -m1 'warning:' "$dir/$name.log" >&2
		verdict="brings a warning"
	else
		printf '   %-64s ok\n' "$name"
		continue
	fi
	printf '   %-64s %s, see %s\n' "$name" "$verdict" "$dir/$name.log"
	failed=$((failed + 1))
done
[ "$failed" -eq 0 ] || die "$failed of ${#mails[@]} patches leave a kernel that does not build"
say "the kernel builds after each of ${#mails[@]} patches"
