#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The benchmark: boot the machine, measure in it what a migration costs in KVM,
# and print each figure beside its limit.  A limit that is missed is no failure;
# that something could not be measured is one, and so is a blackout that takes other
# calls than its formula says.
#
# Usage: bench.sh OBJDIR
# Environment: BENCH_ARGS, arguments for the programs (-m MiB, a multiple of 64, and
# -r repetitions); SLOW=n multiplies the time limit.
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-bench
seconds=$((900 * ${SLOW:-1}))
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests"
build_init "$tests/init"

{
	echo "bench $seconds tdx=1,tdx_mig=1 /tests/tdx_mig_bench ${BENCH_ARGS:-}"
	echo "streams $seconds tdx=1,tdx_mig=1 /tests/tdx_mig_bench_streams ${BENCH_ARGS:-}"
	echo "blackout $seconds tdx=1,tdx_mig=1 /tests/tdx_mig_count_blackout -c"
} >"$tests/bench.list"
"$TOP/vmtest/initramfs.sh" "$tests/bench.cpio" "$obj" "$tests/init" "$tests/bench.list" \
	"$tests/x86/tdx_mig_bench" "$tests/x86/tdx_mig_bench_streams" \
	"$tests/x86/tdx_mig_count_blackout"

# The emulator takes longer for memory that it touches for the first time, and for all
# CPUs at once.
say "booting the machine; this takes some minutes"
if ! PREALLOC=on boot_and_judge "$run" "$obj" "$tests/bench.cpio" "$tests/bench.list"; then
	cat "$run/judgement"
	die "the benchmark failed" "all that the machine said is in $run"
fi
