#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All tests: the harness, the module model in userspace, static checks, and the
# machine.  The last line totals them.
#
# Usage: check.sh OBJDIR LINUX-TREE QEMU-TREE
. "$(dirname "$0")/lib.sh"

obj=$1
base=$2
qemu_base=$3
skipped=0
parts=()

# total LABEL LOG RET: add the totals of the last line of LOG.
total() {
	local line p f s
	line=$(tail -n 1 "$2")
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		p=${BASH_REMATCH[1]}
		f=${BASH_REMATCH[2]}
		s=${BASH_REMATCH[4]:-0}
	else
		p=0
		f=1
		s=0
	fi
	# Neither a green total with a bad exit status nor an empty one counts.
	if [ "$f" -eq 0 ] && { [ "$3" -ne 0 ] || [ "$p" -eq 0 ]; }; then
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
	parts+=("$(printf '   %-44s %6d passed %4d failed %4d skipped' "$1" "$p" "$f" "$s")")
}

log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

# part LABEL COMMAND...: run one part, show it, total it.
part() {
	local label=$1 ret=0
	shift
	say "$label"
	"$@" 2>&1 | tee "$log" || ret=$?
	total "$label" "$log" "$ret"
}

tap() {
	local ret=0
	"$@" >"$log.tap" || ret=$?
	grep -v '^ok\|^TAP' "$log.tap" || true
	echo "$(grep -c '^ok' "$log.tap") passed, $(grep -c '^not ok' "$log.tap" || true) failed"
	rm -f "$log.tap"
	return $ret
}

fuzz() {
	if make --no-print-directory -s -C "$TOP/tools/testing/tdx-sim" O="$BUILD/tdx-sim" \
		FUZZ_SECONDS=20 fuzz-short >"$log.fuzz" 2>&1; then
		grep -E 'number_of_executed_units' "$log.fuzz" || true
		echo "1 passed, 0 failed"
	else
		tail -n 40 "$log.fuzz"
		echo "0 passed, 1 failed"
		return 1
	fi
}

# passes COMMAND...: something that gives no totals.
passes() {
	if "$@" >"$log.whole" 2>&1; then
		tail -n 12 "$log.whole"
		echo "1 passed, 0 failed"
	else
		tail -n 40 "$log.whole"
		echo "0 passed, 1 failed"
		return 1
	fi
}

# The first thing that a newcomer tries, in short.
demo() { DEMO_ARGS="--rounds 2" passes "$TOP/vmtest/demo.sh" "$obj"; }

# What it measures depends on the machine, that it measures does not.
bench() { BENCH_ARGS="-m 64 -r 1" passes "$TOP/vmtest/bench.sh" "$obj"; }

# The VMM that users have, in the place of ours.
qemu() { "$TOP/host/root.sh" && "$TOP/host/run.sh" "$obj" env QEMU=qemu-system-x86_64 /host/boot_test; }

# The same host, in which a TD moves.
qemu_moves() { "$TOP/host/root.sh" && "$TOP/vmm/qemu/tests/run.sh" "$obj" smoke; }

part "the harness itself" tap "$TOP/vmtest/tests/run.sh"
part "the host of QEMU, without a machine" tap "$TOP/vmtest/tests/host.sh"
part "two hosts, without a machine" tap "$TOP/vmtest/tests/hosts.sh"
part "the source and the series of QEMU, without a network" tap "$TOP/vmtest/tests/qemu.sh"
part "the picture of the demo" tap "$TOP/vmtest/tests/picture.sh"
part "images of TDs, good and bad" tap "$TOP/vmtest/tests/tdvf.sh"
part "the report of what tests reach" tap "$TOP/vmtest/tests/coverage.sh"
part "the check of the documents" tap "$TOP/vmtest/tests/documents.sh" "$BUILD/tree"
part "the faults that the tests have to notice" tap "$TOP/vmtest/tests/mutants.sh" "$BUILD/tree"
part "the module model: unit tests and conformance" \
	make --no-print-directory -s -C "$TOP/tools/testing/tdx-sim" O="$BUILD/tdx-sim" check
part "the module model: 20 seconds of fuzzing" fuzz
part "static checks" "$TOP/vmtest/static.sh" "$obj"
part "the machine" "$TOP/vmtest/test.sh" "$obj"
PROFILE=1.5.01 part "the machine with TDX module 1.5.01: migration" \
	"$TOP/vmtest/test.sh" "$obj" "${core_tests[*]}"
MACHINE=amd part "a machine with an AMD CPU: other VMs" "$TOP/vmtest/test.sh" "$obj"
part "the kernel is replaced while TDs migrate" "$TOP/vmtest/kexec.sh" "$obj"
part "the instructions of a migration in KVM" "$TOP/vmtest/count.sh" "$obj"
part "the benchmark, in short" bench
part "the mails: the end of the series, checkpatch, sizes, maintainers" \
	"$TOP/vmtest/series-check.sh" "$base" "$obj" quick
part "the mails of QEMU: the end of the series, checkpatch, maintainers, headers" \
	"$TOP/vmm/qemu/check.sh" "$qemu_base" "$base"
part "a host with QEMU: a TD boots" qemu
part "a host with QEMU: a TD moves" qemu_moves
part "the demo: a Linux guest moves" demo
part "a migration TD starts from an image" "$TOP/vmtest/migtd.sh" "$obj"

say "in all"
printf '%s\n' "${parts[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
