#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the KVM selftests that the machines run, statically, from build/tree: all of
# this series, and those of the base that vmtest/amd.list names, or just PROGRAMs,
# which are paths below OUTDIR.  The headers of the kernel land in OBJDIR/usr/include.
#
# Usage: selftests.sh OBJDIR OUTDIR [PROGRAM]...
. "$(dirname "$0")/lib.sh"

obj=$1
out=$2
shift 2
tree=$BUILD/tree
kvm=$tree/tools/testing/selftests/kvm
mkdir -p "$out"

logged "$out/headers.log" "the kernel headers cannot be installed" \
	make -s -C "$tree" O="$obj" headers

# The names of all programs, those of the base from the list of the AMD machine.
all_programs() {
	local source program

	for source in "$TOP"/tools/testing/selftests/kvm/x86_64/*.c; do
		echo "x86/$(basename "$source" .c)"
	done
	lines_of "$TOP/vmtest/amd.list" | awk '{ sub(/.*\//, "", $4); print $4 }' | sort -u |
		while read -r program; do
			[ ! -f "$kvm/x86/$program.c" ] || program=x86/$program
			echo "$program"
		done
}

if [ $# -eq 0 ]; then
	mapfile -t programs < <(all_programs)
else
	programs=("$@")
fi

# The dependencies that the compiler writes name objects below another path than OUTPUT.
if [ -n "$(find "$kvm" "$obj/usr/include" -name '*.h' -newer "$out/headers.stamp" -print -quit 2>&1)" ]; then
	find "$out" -name '*.o' -delete
fi
touch "$out/headers.stamp"

say "building the selftests"
make -C "$kvm" OUTPUT="$out" CC="$cc" ARCH=x86 KHDR_INCLUDES="-isystem $obj/usr/include" \
	LDFLAGS=-static -j"${JOBS:-$(nproc)}" "${programs[@]/#/$out/}" >"$out/build.log" 2>&1 || {
	grep -E -A6 'error|warning|undefined' "$out/build.log" | head -n 40 >&2
	die "the selftests do not build" "the whole log is $out/build.log"
}
