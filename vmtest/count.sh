#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Count the instructions that a migration takes in KVM, and compare them with those of
# counts.list, which has the last ones that were accepted.  The machine has a CPU whose
# TSC counts instructions, so each run gives the same figures, whatever else the host
# does.  One that has grown by more than 3 % is a failure, or 10 % if pages are allocated,
# and so is a goal that is not the one of counts.list; a goal that is missed is none.
# How long a lock is held is what a plugin of the emulator counts.
#
# Usage: count.sh OBJDIR
# Environment: UPDATE=1 accepts the figures; TRACE=1 also tells in which functions they
# are spent, and under which locks, and what follows for several streams.  It traces them
# to do so, which takes longer, and fails if the trace has not counted the same, or if a
# stream acquires locks of others more often than locks.list says.  SLOW=n multiplies the
# time limit.
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-count
list=$TOP/vmtest/counts.list
picture=$TOP/Documentation/virt/kvm/tdx-migration-cost.svg
seconds=$((300 * ${SLOW:-1}))
ret=0
mkdir -p "$tests"

programs=(tdx_mig_count tdx_mig_count_blackout tdx_mig_count_size)
"$TOP/vmtest/selftests.sh" "$obj" "$tests" "${programs[@]/#/x86/}"
build_init "$tests/init"

for program in "${programs[@]}"; do
	echo "${program#tdx_mig_} $seconds tdx=1,tdx_mig=1 /tests/$program${TRACE:+ -s}"
done >"$tests/count.list"
"$TOP/vmtest/initramfs.sh" "$tests/count.cpio" "$obj" "$tests/init" "$tests/count.list" \
	"${programs[@]/#/$tests/x86/}"

# build_plugin NAME: the interface has changed with QEMU 9.
build_plugin() {
	local major

	major=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
	gcc -shared -fPIC -O2 -Wall -Wextra -Werror -DPLUGIN_VERSION="$([ "$major" -lt 9 ] && echo 1 || echo 3)" \
		-o "$tests/$1.so" "$TOP/vmtest/$1.c"
}

# address_of FUNCTION: where the kernel has it.
address_of() {
	local address

	address=$(awk -v name="$1" '$3 == name { print $1 }' "$obj/System.map")
	[ -n "$address" ] || die "the kernel has no function $1"
	echo "$address"
}

# Of the locks that are acquired for read or for write, mmu_lock is the only one in a span.
build_plugin hold
lock=$(address_of _raw_write_lock)
unlock=$(address_of _raw_write_unlock)
export DEVICES="-plugin"$'\n'"$tests/hold.so,out=$tests/hold,lock=$lock,unlock=$unlock"
if [ -n "${TRACE:-}" ]; then
	build_plugin trace
	awk -f "$TOP/vmtest/locks.awk" "$obj/System.map" >"$tests/locks"
	DEVICES+=$'\n'"-plugin"$'\n'"$tests/trace.so,out=$tests/trace,locks=$tests/locks"
fi

say "booting the machine; this takes a minute"
ACCEL=icount SHOW=none "$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/count.cpio" \
	"$tests/count.list" tdxsim=on || die "the machine cannot be booted"
if ! "$TOP/vmtest/judge.sh" "$run" >"$run/judgement"; then
	cat "$run/judgement"
	grep '^blackout, ' "$run/results.log" || true
	die "the instructions could not be counted" "all that the machine said is in $run"
fi
grep '^blackout, ' "$run/results.log"
# Spans are numbered by each program, and by the plugins from the first to the last.
awk -F '\t' -v OFS='\t' '
	$1 == "count" { $6 += before; print }
	$1 == "spans" { before += $2 }
' "$run/results.log" >"$run/counts"
[ -s "$run/counts" ] || die "nothing was counted"
# What is no count of a span, or the most of some.
awk -F '\t' -v OFS='\t' '
	FNR == NR { split($0, field, " "); held[field[1]] = field[2]; next }
	$1 == "figure" { print "count", $2, $3, $4, $5 }
	$1 == "hold" {
		row = "count" OFS $2 OFS $3
		if (!(row in most))
			rows[++nr] = row
		if (held[$4 + before] >= most[row])
			most[row] = held[$4 + before]
	}
	$1 == "spans" { before += $2 }
	END { for (i = 1; i <= nr; i++) print rows[i], most[rows[i]] ".0", 0 }
' "$tests/hold" "$run/results.log" >"$run/figures"

# A trace that does not confirm the figures says so in the last line, and they are not
# accepted.
if [ -n "${TRACE:-}" ]; then
	grep '^symbol ' "$run/results.log" >"$run/symbols"
	"$TOP/vmtest/trace.pl" "$run/counts" "$tests/trace" "$obj/System.map" "$run/symbols" \
		"$run/locks" || exit 1
fi

# What makes other code of the same source, or takes other paths through it.
made_by="$(gcc -dumpfullversion) $(qemu-system-x86_64 --version | awk 'NR == 1 { print $4 }')"
if [ -n "${UPDATE:-}" ]; then
	{
		sed -n '/^#/p; /^#/!q' "$list"
		printf 'made by gcc and QEMU\t%s\n' "$made_by"
		awk -F '\t' -v OFS='\t' '{ print $2, $3, $4 ($5 ? OFS $5 : "") }' \
			"$run/counts" "$run/figures"
	} >"$list.$$"
	mv "$list.$$" "$list"
	awk -f "$TOP/vmtest/count-picture.awk" "$list" >"$picture"
fi
awk -f "$TOP/vmtest/count-picture.awk" "$list" | cmp -s - "$picture" ||
	die "$picture is not that of $list" "make count UPDATE=1 draws it"
if [ -n "${TRACE:-}" ]; then
	echo
	awk -f "$TOP/vmtest/scaling.awk" "$TOP/vmtest/locks.list" "$run/locks" "$run/counts" || ret=1
	echo
fi
awk -v made_by="$made_by" -f "$TOP/vmtest/counts.awk" "$list" <(cat "$run/counts" "$run/figures") || ret=1
exit $ret
