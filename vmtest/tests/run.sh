#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The harness's own tests: a recorded good run and what can go wrong with one,
# each with the verdict that the judge must give; machines that die, on an emulator
# that only pretends; the limits of a test; and the stack, on trees that only pretend.
# TAP.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

here=$TOP/vmtest/tests

# check NAME TOTALS PATTERN...: judge $run; the last line must be TOTALS and for each
# PATTERN there must be a line; the exit status must fit.
check() {
	local name=$1 totals=$2 pattern out ret=0 spoilt=0
	shift 2
	out=$("$TOP/vmtest/judge.sh" "$run" 2>&1) || ret=$?
	[ "$(tail -n 1 <<<"$out")" = "$totals" ] || spoilt=1
	case $totals in *', 0 failed,'*) [ $ret -eq 0 ] ;; *) [ $ret -ne 0 ] ;; esac || spoilt=1
	for pattern; do
		grep -q -- "$pattern" <<<"$out" || spoilt=1
	done
	verdict "$name" $spoilt "$out"
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
	"FAIL tdx_mig_kunit: illegal_arcs"

fresh
edit results.log '/^# verdict/d'
check "a missing verdict fails the run" "6 passed, 1 failed, 1 skipped" "FAIL no verdict"

fresh
edit results.log 's/^# verdict 0123456789abcdef/# verdict fedcba9876543210/'
check "a verdict of another boot is none" "6 passed, 2 failed, 1 skipped" \
	"FAIL a verdict of another run"

fresh
edit results.log '/^ok 3 tdx_vm/,$d'
check "a machine that dies in a test fails the run" "4 passed, 1 failed, 0 skipped" \
	"FAIL tdx_vm_test: did not end -- the machine died in it"

fresh
edit results.log '/^ok 3 tdx_vm/,$d'
edit results.log '$a #  RUN           tdx_vm.an_accepted_page_is_zero ...'
edit console.log '2,$d'
edit console.log '$a [    5.0] WARNING: CPU: 0 PID: 77 at arch/x86/kvm/vmx/tdx.c:1234'
edit console.log '$a [    5.1] Kernel panic - not syncing: kernel: panic_on_warn set ...'
check "a warning in which the machine dies is the failure of its test" \
	"4 passed, 1 failed, 0 skipped" \
	"FAIL tdx_vm_test: .* died in tdx_vm.an_accepted_page_is_zero" \
	"^     console: .*tdx.c:1234" "^     console: .*panic_on_warn"

fresh
echo timeout >"$run/status"
edit results.log '/^# start sev/,$d'
check "a machine that does not end fails the run" "6 passed, 1 failed, 0 skipped" \
	"FAIL no verdict -- the machine did not stop in time after set_memory_region_test"

fresh
echo hang >"$run/status"
edit results.log '/^ok 3 tdx_vm/,$d'
check "a hang fails the run" "4 passed, 1 failed, 0 skipped" \
	"FAIL tdx_vm_test: did not end -- the machine hung in it"

fresh
echo timeout >"$run/status"
check "a machine that does not end after its verdict fails the run" \
	"6 passed, 1 failed, 1 skipped" "FAIL the machine did not stop in time"

fresh
: >"$run/console.log"
: >"$run/results.log"
check "lost consoles fail the run" "0 passed, 3 failed, 0 skipped" "FAIL no verdict"

fresh
edit results.log '/^ok 3 tdx_vm/d'
check "a test that ends before its plan is done fails" "5 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: 2 of 3 planned results"

fresh
edit results.log '/^1\.\.3/d'
check "a test of this series without a plan fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: no plan, and exit status 0"

fresh
edit results.log '/^TAP version 13/,/^# PASSED/d'
check "a test of this series that says nothing fails" "3 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: no plan, and exit status 0"

fresh
edit results.log '/^TAP version 13/,/^# PASSED/c 1..0'
check "a test of this series that plans nothing fails" "3 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: no case, and exit status 0"

fresh
edit results.log '/^KTAP version 1/,/^ok 1 tdx_mig/c tdx_mig_kunit has left no results'
check "a KUnit module that leaves no results fails" "4 passed, 1 failed, 1 skipped" \
	"FAIL tdx_mig_kunit: no plan" "^     tdx_mig_kunit has left no results"

fresh
edit results.log '/^    ok 2 illegal_arcs/d'
check "a KUnit suite that ends before its plan is done fails" "5 passed, 1 failed, 1 skipped" \
	"FAIL tdx_mig_kunit: 1 of 2 planned results"

fresh
edit results.log '/^# end tdx_mig_kunit/i KTAP version 1\n1..1\n    1..1\n    ok 1 third\nok 1 other'
check "a KUnit module may have two suites" "7 passed, 0 failed, 1 skipped" passed

fresh
edit results.log '/^# end tdx_mig_kunit/i KTAP version 1\n1..1\n    1..1\n    not ok 1 third\nnot ok 1 other'
check "and both count" "6 passed, 1 failed, 1 skipped" "FAIL tdx_mig_kunit: third"

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
check "a skipped case of a test of the list fails" "5 passed, 1 failed, 2 skipped" \
	"FAIL tdx_vm_test: skipped"

fresh
edit results.log 's/^ok 2 tdx_vm.*/1..0 # SKIP - Requirement not met\n& # SKIP unknown/'
check "a case that skips as if it were a whole test is one case" \
	"5 passed, 1 failed, 2 skipped" "FAIL tdx_vm_test: skipped"

fresh
edit results.log '/^# start tdx_vm_test/,/^# end tdx_vm_test/d'
check "a test of the list that did not run fails" "3 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: did not run"

fresh
: >"$run/tests.list"
check "an empty list of tests fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL the list of tests is empty"

fresh
rm "$run/tests.list"
check "a list of tests that is missing fails" "6 passed, 1 failed, 1 skipped" \
	"FAIL the list of tests is empty"

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

# ------------------------------------------------------------ what no kernel may say

gcc -O2 -Wall -Wextra -Werror -o "$work/splats" "$here/splats.c" "$TOP/vmtest/leaks.c"
splats=$TOP/vmtest/splats.list

# seen_by LINE: who takes a line of the kernel for one that it may not say.
seen_by() {
	local out
	fresh
	printf '[    5.000000] %s\r\n' "$1" >>"$run/console.log"
	out=$("$TOP/vmtest/judge.sh" "$run" || true)
	! grep -q '^FAIL console: ' <<<"$out" || echo judge
	out=$("$work/splats" "$splats" <<<"$1")
	[ -z "$out" ] || echo init
	rm -rf "$run"
}

unseen=
while IFS= read -r line; do
	case $line in
	'- '*) [ -z "$(seen_by "${line#- }")" ] || unseen+="$line"$'\n' ;;
	*) [ "$(seen_by "a $line of mm" | paste -sd ' ')" = "judge init" ] || unseen+="$line"$'\n' ;;
	esac
done < <(lines_of "$splats")
verdict "init and the judge see what no kernel may say, and nothing else" \
	"${#unseen}" "$unseen"

out=$(echo harmless | "$work/splats" "$work/missing.list" 2>&1) || true
verdict "init fails without the list of what no kernel may say" \
	"$(grep -q '^# failure: .*/missing.list' <<<"$out"; echo $?)" "$out"

# The good run in two boots: the first one dies in tdx_vm_test.
fresh_boots() {
	fresh
	cp -r "$here/good" "$run/boot2"
	edit results.log '/^ok 3 tdx_vm/,$d'
	edit boot2/results.log '/^# start tdx_mig_kunit/,/^# end tdx_vm/d'
	edit boot2/results.log 's/^# verdict 0123456789abcdef/# verdict 2222222222222222/'
	echo 2222222222222222 >"$run/boot2/nonce"
}

fresh_boots
check "what was not run before the machine died is run by the next boot" \
	"5 passed, 1 failed, 1 skipped" "FAIL tdx_vm_test: did not end"

fresh_boots
echo hang >"$run/status"
edit console.log '$a [    5.0] BUG: soft lockup'
check "a hang costs its test alone" "5 passed, 1 failed, 1 skipped" \
	"FAIL tdx_vm_test: did not end -- the machine hung in it" "^     console: .*soft lockup"

fresh_boots
edit boot2/results.log 's/^# verdict 2222222222222222/# verdict 0123456789abcdef/'
check "a boot needs a verdict of its own" "5 passed, 3 failed, 1 skipped" \
	"FAIL a verdict of another run"

fresh_boots
edit boot2/results.log 's/^# verdict.*/# failure: 3 pages are still owned by the TDX module\n&/; s/complete$/fail/'
check "a leak that the second boot found fails the run" "5 passed, 2 failed, 1 skipped" \
	"FAIL 3 pages are still owned"

fresh_boots
edit boot2/console.log '2a [    5.000000] WARNING: CPU: 0 PID: 77 at arch/x86/kvm/vmx/tdx.c:1234'
check "a warning in the second boot fails the run" "5 passed, 2 failed, 1 skipped" \
	"FAIL console: .*WARNING"

fresh_boots
mv "$run/boot2" "$run/boot3"
check "boots count up to the first one that is missing" "4 passed, 1 failed, 0 skipped" \
	"FAIL tdx_vm_test: did not end"

# ------------------------------------------------------------- machines that die

# An emulator that reads from SCENARIO what its machine does in each test.
mkdir "$work/bin"
cat >"$work/bin/qemu-system-x86_64" <<'END'
#!/bin/bash
serial=()
first=
while [ $# -gt 0 ]; do
	case $1 in
	-serial) serial+=("${2#file:}") ;;
	-append) for word in $2; do
		case $word in
		vmtest.nonce=*) nonce=${word#*=} ;;
		vmtest.first=*) first=${word#*=} ;;
		esac
	done ;;
	esac
	shift
done
exec >>"${serial[1]}" 2>>"${serial[0]}"
panic() { echo "[ 1.0] Kernel panic - not syncing: in $1" >&2; exit 0; }
echo "# vmtest: first test after 0.1 s"
while read -r name action; do
	[ -z "$first" ] || [ "$name" = "$first" ] || continue
	first=
	[ "$action" != unload ] || panic "unloading"
	printf '%s\n' "# start $name" "TAP version 13" "1..2" "ok 1 $name.first"
	case $action in
	die) panic "$name" ;;
	hang) exec sleep 600 ;;
	talk) while :; do echo "still here"; sleep 0.2; done ;;
	slow) for i in 1 2 3 4 5; do echo "still here"; sleep 1; done ;;
	crash) exit 139 ;;
	esac
	printf '%s\n' "ok 2 $name.second" "# end $name status 0 0.1"
done <"$SCENARIO"
[ ! -e "$SCENARIO.scan" ] || panic "the last scan"
echo "# verdict $nonce complete"
END
chmod +x "$work/bin/qemu-system-x86_64"
export SCENARIO

# boot ACTION...: one for each test; four of them.
boot() {
	run=$work/$((n + 1))
	SCENARIO=$work/scenario.$((n + 1))
	local list=$work/list.$((n + 1)) i=0 action
	for action; do
		i=$((i + 1))
		echo "test$i $action" >>"$SCENARIO"
		echo "test$i 1 . /tests/test$i" >>"$list"
	done
	[ -z "${scan:-}" ] || : >"$SCENARIO.scan"
	PATH=$work/bin:$PATH ACCEL=kvm SHOW=none QUIET=1 "$TOP/vmtest/boots.sh" "$run" \
		/dev/null /dev/null "$list" >"$work/boots.log" 2>&1 || sed 's/^/# /' "$work/boots.log"
}

# boots NAME NR: so many boots there were.
boots() {
	local nr=1
	while [ -d "$run/boot$((nr + 1))" ]; do
		nr=$((nr + 1))
	done
	verdict "$1" "$((nr - $2))" "$nr boots"
}

boot ok ok ok ok
check "a machine that lives runs all tests" "8 passed, 0 failed, 0 skipped" passed
boots "and is booted once" 1

boot die ok ok ok
check "the first test kills the machine" "7 passed, 1 failed, 0 skipped" \
	"FAIL test1: did not end -- the machine died" "^     console: .*in test1"

boot ok die ok ok
check "a test in the middle kills the machine" "7 passed, 1 failed, 0 skipped" \
	"FAIL test2: did not end -- the machine died" "^     console: .*in test2"
boots "and it is booted again once" 2

boot ok ok ok die
check "the last test kills the machine" "7 passed, 1 failed, 0 skipped" \
	"FAIL test4: did not end -- the machine died" "^     console: .*in test4"
boots "and there is nothing to boot for" 1

boot ok die ok die
check "two tests kill the machine" "6 passed, 2 failed, 0 skipped" \
	"FAIL test2: did not end" "FAIL test4: did not end" "^     console: .*in test2" \
	"^     console: .*in test4"

boot die die ok ok
check "two tests in a row kill the machine" "6 passed, 2 failed, 0 skipped" \
	"FAIL test1: did not end" "FAIL test2: did not end"
boots "and it is booted again twice" 3

boot die die die ok
check "three tests in a row are no fault of the tests" "3 passed, 4 failed, 0 skipped" \
	"FAIL test3: did not end" "FAIL test4: did not run"

boot ok hang ok ok
check "a test hangs the machine" "7 passed, 1 failed, 0 skipped" \
	"FAIL test2: did not end -- the machine hung in it"

boot ok crash ok ok
check "a test kills the emulator" "7 passed, 1 failed, 0 skipped" \
	"FAIL test2: did not end -- the emulator ended with status 139 in it"

boot ok ok unload ok
check "a machine that dies between two tests is booted until it does so at once" \
	"4 passed, 4 failed, 0 skipped" "FAIL no verdict -- the machine died after test2" \
	"FAIL no verdict -- the machine died before its first test" \
	"FAIL test4: did not run"

scan=1 boot ok ok ok ok
check "a machine that dies after the last test" "8 passed, 1 failed, 0 skipped" \
	"FAIL no verdict -- the machine died after test4" "^     console: .*the last scan"

# --------------------------------------------------------------------- the limits

boot ok slow ok ok
check "a machine may take its time as long as it says something" \
	"8 passed, 0 failed, 0 skipped" passed

boot talk
check "a machine that talks for ever is ended" "1 passed, 1 failed, 0 skipped" \
	"FAIL test1: did not end -- the machine did not stop in time in it"

gcc -O2 -Wall -Wextra -Werror -o "$work/limits" "$here/limits.c" "$TOP/vmtest/leaks.c"

# limits NAME PATTERN SCRIPT: what init makes of a test with a limit of one second.
limits() {
	local out ret=0
	out=$("$work/limits" "$3" 2>&1) || ret=$?
	grep -q -- "$2" <<<"$out" || ret=1
	verdict "$1" $ret "$out"
}

limits "a test may take its time as long as it says something" "^# end test status 0" \
	'for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done'
limits "a test that says nothing is killed" "^# failure: test: no progress within 1 seconds" \
	'echo begin; exec sleep 600'
limits "half a line is no progress" "^# failure: test: no progress within 1 seconds" \
	'while :; do printf .; sleep 0.2; done'
limits "a test that talks for ever is killed" "^# failure: test: no end within 10 seconds" \
	'while :; do echo still here; sleep 0.2; done'

# ----------------------------------------------------------------------- the leaks

gcc -O2 -Wall -Wextra -Werror -o "$work/leaks" "$here/leaks.c" "$TOP/vmtest/leaks.c"

# allocinfo LINES: what KVM, and others, have allocated, "BYTES CALLS WHERE" each.
allocinfo() { printf 'allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n%s\n' "$1"; }

# leaks NAME STATUS PATTERN BEFORE NOW: what init makes of a test that begins with
# BEFORE and ends with NOW.
leaks() {
	local out ret=0
	allocinfo "$4" >"$work/before"
	allocinfo "$5" >"$work/now"
	out=$("$work/leaks" "$work/before" "$work/now" 2>&1) || ret=$?
	[ $ret -eq "$2" ] && grep -q -- "$3" <<<"$out" && ret=0 || ret=1
	verdict "$1" $ret "$out"
}

site='arch/x86/kvm/vmx/tdx_mig_stream.c:216 [kvm_intel] func:tdx_mig_stream_alloc_pages'
leaks "a test that frees what it has allocated leaks nothing" 0 '^$' "0 0 $site" "   0   0 $site"
leaks "a test that leaks is told where" 1 \
	"^# failure: test: leaks 8192 bytes, allocations: 2, at ${site//[\[\]]/.}$" \
	"4096 1 $site" "12288 3 $site"
leaks "a test that is the first to allocate something leaks it" 1 ' leaks 64 bytes' \
	"0 0 $site" "0 0 $site"$'\n'"64 1 virt/kvm/kvm_main.c:1 [kvm] func:f"
leaks "a place that could not count an allocation leaks nothing" 0 '^$' \
	"4096 1 $site " "4096 1 $site accurate:no "
leaks "two allocations in one line count together" 0 '^$' \
	"64 1 $site"$'\n'"0 0 $site" "0 0 $site"$'\n'"64 1 $site"
leaks "a page of guest_memfd that was leaked is one of the page cache" 1 ' leaks 4096 bytes' \
	"0 0 mm/filemap.c:2018 func:g" "4096 1 mm/filemap.c:2018 func:g"
leaks "what others allocate is their business" 0 '^$' \
	"0 0 $site"$'\n'"0 0 mm/shmem.c:1 func:h" "0 0 $site"$'\n'"4096 1 mm/shmem.c:1 func:h"
leaks "a kernel that counts no allocation of KVM fails" 2 '^# failure: ' \
	"0 0 mm/shmem.c:1 func:h" "0 0 mm/shmem.c:1 func:h"

# ---------------------------------------------------------------------- the counts

# counts NAME TOTALS FIGURES [MADE-BY]: compare FIGURES, as "WHAT BATCH NUMBER;...", with
# a list; the last line must be TOTALS and the exit status must fit.
counts() {
	local name=$1 totals=$2 out ret=0 spoilt=0
	tr ' ;' '\t\n' <<<"made by gcc and QEMU;export 1 100.0;export 8 20.0" |
		sed "1s/.*/made by gcc and QEMU\t1 2/" >"$work/counts.list"
	tr ' ;' '\t\n' <<<"$3" | sed 's/^/count\t/; s/$/\t0/' >"$work/counts"
	out=$(awk -v made_by="${4:-1 2}" -f "$TOP/vmtest/counts.awk" "$work/counts.list" "$work/counts") || ret=$?
	[ "$(tail -n 1 <<<"$out")" = "$totals" ] || spoilt=1
	case $totals in *', 0 failed') [ $ret -eq 0 ] ;; *) [ $ret -ne 0 ] ;; esac || spoilt=1
	verdict "$name" $spoilt "$out"
}

counts "the same counts pass" "2 passed, 0 failed" "export 1 100.0;export 8 20.0"
counts "a count may grow by 3 %, or shrink" "2 passed, 0 failed" "export 1 103.0;export 8 2.0"
counts "a count that grows by more fails" "1 passed, 1 failed" "export 1 103.1;export 8 20.0"
counts "a count that is missing fails" "1 passed, 1 failed" "export 1 100.0"
counts "a count that nobody has accepted fails" "2 passed, 1 failed" \
	"export 1 100.0;export 8 20.0;import 1 1.0"
counts "other tools may make it 25 %" "2 passed, 0 failed" "export 1 125.0;export 8 20.0" "3 2"
counts "and no more" "1 passed, 1 failed" "export 1 126.0;export 8 20.0" "3 2"

# allocation NAME TOTALS FIGURE: the same of a row that allocates pages, and was 100.
allocation() {
	local out
	printf 'made by gcc and QEMU\t1 2\nIMPORT_MEM, new page\t64\t100.0\n' >"$work/counts.list"
	printf 'count\tIMPORT_MEM, new page\t64\t%s\t0\n' "$3" >"$work/counts"
	out=$(awk -v made_by="1 2" -f "$TOP/vmtest/counts.awk" "$work/counts.list" "$work/counts" || true)
	[ "$(tail -n 1 <<<"$out")" = "$2" ] && verdict "$1" 0 || verdict "$1" 1 "$out"
}

allocation "a count of what allocates pages may grow by 10 %" "1 passed, 0 failed" 110.0
allocation "and no more than that" "0 passed, 1 failed" 110.1

# goal NAME PATTERN LISTED TOLD: the same of a row that was 100, whose goal is LISTED in the
# list and TOLD by the program, 0 if it has none; its line must end with PATTERN.
goal() {
	local out ret=0
	printf 'made by gcc and QEMU\t1 2\nexport\t1\t100.0%b\n' "${3:+\\t$3}" >"$work/counts.list"
	printf 'count\texport\t1\t100.0\t%s\n' "$4" >"$work/counts"
	out=$(awk -v made_by="1 2" -f "$TOP/vmtest/counts.awk" "$work/counts.list" "$work/counts") || ret=$?
	case $2 in FAIL*) [ $ret -ne 0 ] ;; *) [ $ret -eq 0 ] ;; esac &&
		grep -q -- " $2\$" <<<"$out" && ret=0 || ret=1
	verdict "$1" $ret "$out"
}

goal "a goal that is reached is said to be" "100  reached" 100 100
goal "a goal that is missed is, too, and no failure" "99  missed" 99 99
goal "a goal that the list has not fails" "FAIL not the goal of counts.list" "" 99
goal "so does another one" "FAIL not the goal of counts.list" 98 99
goal "and one that the program has not any more" "FAIL not the goal of counts.list" 99 0

# ---------------------------------------------------------------------- the trace

# trace NAME STATUS LAST-LINE SPANS: what trace.pl makes of two figures whose spans, 2 and 3,
# have 1000 instructions each by the TSC.  SPANS are what the trace has counted, as
# "SPAN COUNT;...", with the 10 of each span that is empty.
trace() {
	local out ret=0
	printf 'count\texport\t%d\t1.0\t0\t%d\t1000\n' 8 2 512 3 >"$work/counts"
	echo "ffffffff81000000 T function" >"$work/System.map"
	tr ';' '\n' <<<"$4" | sed 's/ / ffffffff81000000 /; s/$/ 0/' >"$work/trace"
	out=$("$TOP/vmtest/trace.pl" "$work/counts" "$work/trace" "$work/System.map" /dev/null \
		"$work/locks" 2>&1) || ret=$?
	[ $ret -eq "$2" ] && [ "$(tail -n 1 <<<"$out")" = "$3" ] && ret=0 || ret=1
	verdict "$1" $ret "$out"
}

agree="trace and TSC differ by no more than 1 % in 2 figures"
trace "a trace that counts what the TSC counts confirms it" 0 "$agree" "1 10;2 1010;3 1010"
trace "it may count 1 % more or less" 0 "$agree" "1 10;2 1000;3 1020"
trace "a trace that counts more fails" 1 \
	"FAIL trace and TSC differ by more than 1 % in 1 of 2 figures, most in export, batch of 512: 1011 and 1000 instructions" \
	"1 10;2 1010;3 1021"
trace "so does one that counts less, in a batch that is not shown" 1 \
	"FAIL trace and TSC differ by more than 1 % in 1 of 2 figures, most in export, batch of 8: 989 and 1000 instructions" \
	"1 10;2 999;3 1010"
trace "and one that has not all spans" 1 \
	"FAIL trace and TSC differ by more than 1 % in 2 of 2 figures, most in export, batch of 512: 0 and 1000 instructions" \
	"1 10;2 900"

# ---------------------------------------------------------------------- the lists

# A program that is gone may have left a binary, so that nothing else would notice.
differ=$(comm -3 <(cd "$TOP/tools/testing/selftests/kvm/x86_64" && printf '%s\n' *_test.c | sed 's/\.c$//' | sort) \
	<(lines_of "$TOP/vmtest/tests.list" | awk 'sub(/^\/tests\//, "", $4) { print $4 }' | sort -u))
verdict "tests.list names each test program, and no other" "${#differ}" "$differ"

double=$(lines_of "$TOP/vmtest/tests.list" | awk '{ print $1 }' | sort | uniq -d)
verdict "no two lines of tests.list have the same name" "${#double}" "$double"

# ---------------------------------------------------------------------- the stack

# A series of one patch, which adds a line and a file, and two bases for it.  The second
# one has changed what the patch shows as context.
"$TOP/vmtest/deps.sh" static
top=$work/top
patch=$top/patches/product/0001-Add-a-line.patch
mkdir -p "$work"/{old,new}/arch "$top"/{arch,tools,Documentation,patches/{product,selftests,sim}}
ln -s "$TOP"/{Makefile,base.mk,vmtest} "$top"
echo 'config NEW' >"$top/Kconfig"
echo "product/${patch##*/} # + Kconfig" >"$top/patches/series"
seq 1 20 >"$work/old/arch/file"
sed 's/^8$/eight/; 1i zero' "$work/old/arch/file" >"$work/new/arch/file"
for base in old new; do
	: >"$work/$base/Kbuild"
	printf 'kernelversion:\n\t@echo %s\n' "$base" >"$work/$base/Makefile"
done
printf '%s\n' 'From: A <a@b.c>' 'Date: Thu, 1 Jan 2026 00:00:00 +0000' 'Subject: [PATCH] Add a line' \
	'' 'Why.' '---' '--- a/arch/file' '+++ b/arch/file' '@@ -8,6 +8,7 @@' \
	' 8' ' 9' ' 10' '+line' ' 11' ' 12' ' 13' >"$patch"

# stack TARGET VARIABLE...: make there.
stack() {
	env -u MAKEFLAGS make --no-print-directory -C "$top" "$@" >"$work/stack.log" 2>&1
}

# applies BASE: does the patch apply there as it is, and bring the line?
applies() {
	patch -d "$work/$1" -p1 -F0 -s -o "$work/patched" <"$patch" >/dev/null &&
		cmp -s "$work/patched" <(sed '/^10$/a line' "$work/$1/arch/file")
}

ret=0
applies old && ! applies new && stack rebase LINUX="$work/old" BASE="$work/new" &&
	git -C "$top/build/stack" show base:arch/file | cmp -s - "$work/new/arch/file" || ret=1
verdict "make rebase changes the base of the stack" $ret "$(cat "$work/stack.log")"

ret=0
stack unstack LINUX="$work/new" && applies new && ! applies old && [ -s "$top/Kconfig" ] || ret=1
verdict "and the series that is written back is one for that base" $ret "$(cat "$work/stack.log")"

echo "1..$n"
[ "$bad" -eq 0 ]
