#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Compile the interface as C, as C++ and for 32 bits, and compare the size of each
# structure and the offset of each member.
#
# Usage: uapi-check.sh INCLUDE-DIR   where the kernel's headers are installed
. "$(dirname "$0")/lib.sh"

include=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -f "$include/asm/kvm.h" ] || die "$include has no asm/kvm.h"

# Structures that this series adds, with all their members.
perl -0777 -ne '
	while (/struct (kvm_tdx_mig_\w+|kvm_tdx_servtd_\w+|kvm_dev_tdx_mig_\w+|tdx_mig_\w+) \{(.*?)\n\};/gs) {
		my ($name, $body) = ($1, $2);
		print "S($name)\n";
		print "M($name, $1)\n" while $body =~ /\b(\w+)(?:\[\w+\])*;/g;
	}' "$include"/asm/kvm*.h >"$work/layout.h"
[ -s "$work/layout.h" ] || die "the headers in $include define no structure of this series"

cat >"$work/layout.c" <<'END'
#include <stddef.h>
#include <linux/kvm.h>

extern const unsigned int layout[];
const unsigned int layout[] = {
#define S(s)	(unsigned int)sizeof(struct s),
#define M(s, m)	(unsigned int)offsetof(struct s, m),
#include "layout.h"
};
END
cp "$work/layout.c" "$work/layout.cc"

# dump NAME COMPILER ARGUMENT...: the table as bytes.
dump() {
	local name=$1
	shift
	"$@" -Wall -Wextra -Werror -I"$work" -isystem "$include" -c -o "$work/$name.o"
	objcopy -O binary -j .rodata "$work/$name.o" "$work/$name.bin"
}
dump c gcc -std=c11 -Wpedantic -Wno-overlength-strings "$work/layout.c"
dump c++ g++ -std=c++17 "$work/layout.cc"
dump 32 gcc -m32 -ffreestanding "$work/layout.c"
cmp "$work/c.bin" "$work/c++.bin" || die "the layout differs between C and C++"
cmp "$work/c.bin" "$work/32.bin" || die "the layout differs between 64 and 32 bits"
say "$(grep -c ^S "$work/layout.h") structures, $(grep -c ^M "$work/layout.h") members"
