#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Count the instructions that a migration takes in KVM, and compare them with those of
# counts.list, which has the last ones that were accepted.  The machine has a CPU whose
# TSC counts instructions, so each run gives the same figures, whatever else the host
# does.  One that has grown by more than 3 % is a failure, or 10 % if pages are allocated.
#
# Usage: count.sh OBJDIR
# Environment: UPDATE=1 accepts the figures; TRACE=1 also tells in which functions they
# are spent, and traces them to do so, which takes longer; SLOW=n multiplies the time
# limit.
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-count
list=$TOP/vmtest/counts.list
picture=$TOP/Documentation/virt/kvm/tdx-migration-cost.svg
seconds=$((300 * ${SLOW:-1}))
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests" x86/tdx_mig_count
build_init "$tests/init"

echo "count $seconds tdx=1,tdx_mig=1 /tests/tdx_mig_count${TRACE:+ -s}" >"$tests/count.list"
"$TOP/vmtest/initramfs.sh" "$tests/count.cpio" "$obj" "$tests/init" "$tests/count.list" \
	"$tests/x86/tdx_mig_count"

if [ -n "${TRACE:-}" ]; then
	# Its interface has changed with QEMU 9.
	major=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
	gcc -shared -fPIC -O2 -Wall -Wextra -Werror -DPLUGIN_VERSION="$([ "$major" -lt 9 ] && echo 1 || echo 3)" \
		-o "$tests/trace.so" "$TOP/vmtest/trace.c"
	export DEVICES="-plugin"$'\n'"$tests/trace.so,out=$tests/trace"
fi

say "booting the machine; this takes a minute"
ACCEL=icount SHOW=none "$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/count.cpio" \
	"$tests/count.list" tdxsim=on || die "the machine cannot be booted"
if ! "$TOP/vmtest/judge.sh" "$run" >"$run/judgement"; then
	cat "$run/judgement"
	die "the instructions could not be counted" "all that the machine said is in $run"
fi
grep '^count	' "$run/results.log" >"$run/counts" || die "nothing was counted"

# What makes other code of the same source, or takes other paths through it.
made_by="$(gcc -dumpfullversion) $(qemu-system-x86_64 --version | awk 'NR == 1 { print $4 }')"
if [ -n "${UPDATE:-}" ]; then
	{
		sed -n '/^#/p; /^#/!q' "$list"
		printf 'made by gcc and QEMU\t%s\n' "$made_by"
		awk -F '\t' -v OFS='\t' '{ print $2, $3, $4 }' "$run/counts"
	} >"$list.$$"
	mv "$list.$$" "$list"
	awk -f "$TOP/vmtest/count-picture.awk" "$list" >"$picture"
fi
awk -f "$TOP/vmtest/count-picture.awk" "$list" | cmp -s - "$picture" ||
	die "$picture is not that of $list" "make count UPDATE=1 draws it"
if [ -n "${TRACE:-}" ]; then
	grep '^symbol ' "$run/results.log" >"$run/symbols"
	"$TOP/vmtest/trace.pl" "$run/counts" "$tests/trace" "$obj/System.map" "$run/symbols"
	echo
fi
awk -v made_by="$made_by" -f "$TOP/vmtest/counts.awk" "$list" "$run/counts"
