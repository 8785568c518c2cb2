#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All of a test of which the machine's list runs a part, chosen at random: boot the machine
# with each of its scenarios.  Takes long.
#
# Usage: scenarios.sh OBJDIR PROGRAM [SCENARIO]   SCENARIO: the name of one of its cases
# Environment: SLOW=n multiplies the time limit.
. "$(dirname "$0")/lib.sh"

obj=$1
program=$2
only=${3:-}
tests=$BUILD/tests
run=$BUILD/run-$program-all
list=$tests/$program.list
# Without a line of output.
seconds=$((3600 * ${SLOW:-1}))
source=$TOP/tools/testing/selftests/kvm/x86_64/$program.c
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests" "x86/$program"
build_init "$tests/init"

# One line for each scenario: the machine that dies in one of them is booted again for the rest.
sed -n 's/^SCENARIO(\([a-z_]*\),.*/\1/p' "$source" | awk -v only="$only" -v seconds="$seconds" \
	-v program="$program" 'only == "" || $1 == only {
		print "tdx_" $1, seconds, "tdx=1,tdx_mig=1", "/tests/" program, "-t", $1 }' >"$list"
[ -s "$list" ] || die "no scenario is called '$only'"
"$TOP/vmtest/initramfs.sh" "$tests/$program.cpio" "$obj" "$tests/init" "$list" "$tests/x86/$program"

say "booting the machine; this takes hours, or a while for one scenario"
"$TOP/vmtest/boots.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/$program.cpio" "$list" \
	tdxsim=on sysctl.vm.mem_profiling=1
"$TOP/vmtest/judge.sh" "$run"
