#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The harness's own tests: a recorded good run and what can go wrong with one,
# each with the verdict that the judge must give.  TAP.
. "$(dirname "$0")/../lib.sh"

here=$TOP/vmtest/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

# check NAME TOTALS PATTERN: judge $run; the last line must be TOTALS and some
# line must match PATTERN; the exit status must fit.
check() {
	local name=$1 totals=$2 pattern=$3 out ret=0
	n=$((n + 1))
	out=$("$TOP/vmtest/judge.sh" "$run" 2>&1) || ret=$?
	if [ "$(tail -n 1 <<<"$out")" = "$totals" ] && grep -q -- "$pattern" <<<"$out" &&
		case $totals in *', 0 failed,'*) [ $ret -eq 0 ] ;; *) [ $ret -ne 0 ] ;; esac; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		sed 's/^/# /' <<<"$out"
		bad=$((bad + 1))
	fi
}

# A fresh copy of the good run, to be spoilt.
fresh() {
	run=$work/$((n + 1))
	cp -r "$here/good" "$run"
}

edit() { sed -i "$2" "$run/$1"; }

echo "TAP version 13"

fresh
check "a good run passes and is totalled" "6 passed, 0 failed, 1 skipped" passed

fresh
edit results.log 's/^ok 2 tdx_vm/not &/'
check "a failed case fails the run" "5 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: tdx_vm.two_vcpus_run_at_once"

fresh
edit results.log 's/^ok 2 tdx_vm/==== Test Assertion Failure ====\n  tdx_vm_test.c:1: 3 of 4 vCPUs\nnot &/'
check "a failed case shows what it said" "5 passed, 1 failed, 1 skipped" \
	"^     tdx_vm_test.c:1: 3 of 4 vCPUs"

fresh
edit results.log 's/^    ok 2/    not ok 2/; s/^ok 1 tdx_mig/not &/'
check "a failed nested case counts once" "5 passed, 1 failed, 1 skipped" \
	"FAIL kunit-tdx_mig: illegal_arcs"

fresh
edit results.log '/^# verdict/d'
check "a missing verdict fails the run" "6 passed, 1 failed, 1 skipped" "FAIL no verdict"

fresh
edit results.log 's/^# verdict 0123456789abcdef/# verdict fedcba9876543210/'
check "a verdict of another boot is none" "6 passed, 2 failed, 1 skipped" \
	"FAIL a verdict of another run"

fresh
edit results.log '/^ok 3 tdx_vm/,$d'
check "a machine that dies in a test fails the run" "4 passed, 3 failed, 0 skipped" \
	"FAIL tdx_vm_test: did not end"

fresh
echo timeout >"$run/status"
edit results.log '/^# start sev/,$d'
check "a hang fails the run" "6 passed, 2 failed, 0 skipped" \
	"FAIL the machine did not stop in time"

fresh
: >"$run/console.log"
: >"$run/results.log"
check "lost consoles fail the run" "0 passed, 3 failed, 0 skipped" "FAIL no verdict"

fresh
edit results.log '/^ok 3 tdx_vm/d'
check "a test that ends before its plan is done fails" "5 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: 2 of 3 planned results"

fresh
edit results.log 's/^# end tdx_vm_test status 0/# end tdx_vm_test signal 11/'
check "a crash after the last case fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: killed by signal 11"

fresh
edit results.log 's/^# end tdx_vm_test status 0/# end tdx_vm_test status 1/'
check "a bad exit status without a failed case fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: exit status 1"

fresh
edit results.log 's/^# end set_memory_region_test status 0/# end set_memory_region_test status 254/'
check "a test without TAP fails by its exit status" "5 passed, 1 failed, 1 skipped" \
	"FAIL set_memory_region_test: exit status 254"

fresh
edit results.log 's/^ok 2 tdx_vm.*/& # SKIP no second CPU/'
check "a skipped case of a must-run test fails" "5 passed, 1 failed, 2 skipped" \
	"FAIL tdx_vm_test: is on the must-run list and skipped"

fresh
edit results.log 's/^ok 2 tdx_vm.*/1..0 # SKIP - Requirement not met\n& # SKIP unknown/'
check "a case that skips as if it were a whole test is one case" \
	"5 passed, 1 failed, 2 skipped" "FAIL tdx_vm_test: is on the must-run list and skipped"

fresh
edit results.log '/^# start tdx_vm_test/,/^# end tdx_vm_test/d'
check "a must-run test that did not run fails" "3 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: is on the must-run list and did not run"

fresh
: >"$run/must-run.list"
check "an empty must-run list fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL the must-run list is empty"

fresh
edit console.log '2a [    5.000000] WARNING: CPU: 0 PID: 77 at arch/x86/kvm/vmx/tdx.c:1234'
check "a kernel warning fails the run" "6 passed, 1 failed, 1 skipped" "FAIL console: .*WARNING"

fresh
edit results.log 's/^# verdict.*/# failure: 3 pages are still owned by the TDX module\n# verdict 0123456789abcdef fail/'
check "a leak that the machine found fails the run" "6 passed, 1 failed, 1 skipped" \
	"FAIL 3 pages are still owned"

fresh
edit results.log 's/complete$/fail/'
check "a failing verdict fails even without a reason" "6 passed, 1 failed, 1 skipped" \
	"FAIL the machine reports a failure"

fresh
echo 'ok 1 late' >>"$run/results.log"
check "nothing counts after the verdict" "6 passed, 1 failed, 1 skipped" \
	"FAIL output after the verdict"

fresh
echo 1 >"$run/status"
check "an emulator error fails the run" "6 passed, 1 failed, 1 skipped" \
	"FAIL the emulator ended with status 1"

echo "1..$n"
[ "$bad" -eq 0 ]
