#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every failure once: boot the machine, and have each allocation and each SEAMCALL of a
# migration fail in each way in which it can.  Takes long.
#
# Usage: fail_nth.sh OBJDIR [SCENARIO]   SCENARIO: the name of one of its cases
# Environment: SLOW=n multiplies the time limit.
. "$(dirname "$0")/lib.sh"

obj=$1
only=${2:-}
tests=$BUILD/tests
run=$BUILD/run-fail-nth
# Without a line of output.
seconds=$((3600 * ${SLOW:-1}))
source=$TOP/tools/testing/selftests/kvm/x86_64/tdx_mig_fail_nth_test.c
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests" x86/tdx_mig_fail_nth_test
build_init "$tests/init"

# One line for each scenario: the machine that dies in one of them is booted again for the rest.
sed -n 's/^SCENARIO(\([a-z_]*\),.*/\1/p' "$source" | awk -v only="$only" -v seconds="$seconds" \
	'only == "" || $1 == only { print "tdx_" $1, seconds, "tdx=1,tdx_mig=1",
		"/tests/tdx_mig_fail_nth_test -t", $1 }' >"$tests/fail_nth.list"
[ -s "$tests/fail_nth.list" ] || die "no scenario is called '$only'"
"$TOP/vmtest/initramfs.sh" "$tests/fail_nth.cpio" "$obj" "$tests/init" "$tests/fail_nth.list" \
	"$tests/x86/tdx_mig_fail_nth_test"

say "booting the machine; this takes hours, or a while for one scenario"
"$TOP/vmtest/boots.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/fail_nth.cpio" \
	"$tests/fail_nth.list" tdxsim=on
"$TOP/vmtest/judge.sh" "$run"
