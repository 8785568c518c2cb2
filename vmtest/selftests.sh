#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the KVM selftests that the machines run, statically, from build/tree: all of
# this series, and those of the base that vmtest/amd.list names.
#
# Usage: selftests.sh OBJDIR OUTDIR
. "$(dirname "$0")/lib.sh"

obj=$1
out=$2
tree=$BUILD/tree
kvm=$tree/tools/testing/selftests/kvm

make -s -C "$tree" O="$obj" headers >"$out/headers.log" 2>&1 || {
	tail -n 20 "$out/headers.log" >&2
	die "the kernel headers cannot be installed"
}

targets=()
for test in "$TOP"/tools/testing/selftests/kvm/x86_64/*_{test,bench}.c; do
	targets+=("$out/x86/$(basename "$test" .c)")
done

while read -r test; do
	dir=x86/
	[ -f "$kvm/x86/$test.c" ] || dir=
	targets+=("$out/$dir$test")
done < <(awk '!/^ *(#|$)/ { sub(/.*\//, "", $4); print $4 }' "$TOP/vmtest/amd.list" | sort -u)

cc=gcc
! command -v ccache >/dev/null || cc="ccache gcc"
say "building the selftests"
make -C "$kvm" OUTPUT="$out" CC="$cc" ARCH=x86 KHDR_INCLUDES="-isystem $obj/usr/include" \
	LDFLAGS=-static -j"${JOBS:-$(nproc)}" "${targets[@]}" >"$out/build.log" 2>&1 || {
	grep -E -A6 'error|warning|undefined' "$out/build.log" | head -n 40 >&2
	die "the selftests do not build" "the whole log is $out/build.log"
}
