#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Would the tests notice?  Put the faults of mutants/ into the driver, one after
# another, and boot the machine with the tests that should notice each.  A fault that none
# of them notices is a failure, unless the list says why that cannot be helped; and so is
# one that is noticed all the same, or cannot be built.  What is known is not run once more
# before the fault, the file it is in, or a test has changed, so this can be stopped, and
# goes on where it was.
#
# Usage: mutate_driver.sh OBJDIR
# Environment: MUTANTS=REGEX runs those whose names match; N=n as many as that, by lot, and
#	SEED=n repeats a lot; LASTS=SECONDS starts no other one after that time; WORKERS=n
#	builds and boots as many at a time; SLOW=n multiplies the limits of tests.
. "$(dirname "$0")/lib.sh"

base=$1
faults=$TOP/vmtest/mutants
dir=$BUILD/mutate
tests=$BUILD/tests
# STATE OUTCOME [BY] of all that was ever tried, and of those that cannot be.
known=$dir/known
broken=$dir/broken
seed=${SEED:-$RANDOM}
# Without a line of output.  The tests take a few seconds.
seconds=$((60 * ${SLOW:-1}))
workers=${WORKERS:-1}
modules=(virt/lib/irqbypass.ko arch/x86/kvm/kvm.ko arch/x86/kvm/kvm-intel.ko arch/x86/kvm/tdx_mig_kunit.ko)
skipped=0
mkdir -p "$dir" "$tests"
touch "$known"
: >"$broken"

mutant() { "$TOP/vmtest/mutant.pl" "$faults" "$@"; }

# part_of NAME KEY: what the list says of a fault.
part_of() { mutant show "$1" | sed -n "s/^$2\t//p"; }

# ------------------------------------------------------------------------- the copy

# use WORKER: its copies of the tree and of what was built from it.
use() {
	own=$dir/$1
	tree=$own/tree
	obj=$own/obj
	mkdir -p "$own"
}

# Copies at the same distance from each other, so that nothing is built again but what
# has a fault.
prepare() {
	local state
	state=$(cat "$BUILD/tree/.state" "$base/.config" "$base/Module.symvers" | sha256sum)
	[ "$(cat "$own/state" 2>/dev/null)" != "$state" ] || return 0

	say "copying the tree and the kernel"
	rm -rf "$tree" "$obj" "$own/state"
	# Nothing writes into a file of the tree, see tree.sh.
	cp -al "$BUILD/tree" "$tree"
	cp -a "$base" "$obj"
	find "$obj" \( -name '.*.cmd' -o -name '*.conf.cmd' \) -exec \
		sed -i "s,$BUILD/tree\>,$tree,g; s,$base\>,$obj,g" {} +
	logged "$own/build.log" "the copy does not build" kbuild "$tree" "$obj" bzImage modules
	echo "$state" >"$own/state"
}

# put FILE: replace a file of the tree by stdin.
put() {
	cat >"$own/new"
	mv "$own/new" "$tree/$1"
}

# build FILE: the modules, and the kernel if the file is a part of it.
build() {
	local targets=("${modules[@]}")
	case $1 in
	arch/x86/kvm/* | virt/kvm/*) ;;
	*) targets=(bzImage modules) ;;
	esac
	kbuild "$tree" "$obj" "${targets[@]}" >"$own/build.log" 2>&1
}

# ------------------------------------------------------------------------ the tests

# The lines of the machine's list for tests on stdin, "TEST [CASE]..." each.
lines_for() {
	awk -v seconds="$seconds" '
		NR == FNR { if (!/^ *(#|$)/) { name = $1; $1 = $2 = ""; rest[name] = $0 } next }
		{ cases = ""; for (i = 2; i <= NF; i++) cases = cases " -t " $i }
		{ print $1, seconds, rest[$1] cases }' "$TOP/vmtest/tests.list" - | tr -s ' '
}

# programs_of LINES: their paths.
programs_of() { grep -o '/tests/[a-z_]*' "$1" | sort -u | sed "s,^/tests/,$tests/x86/," || true; }

# run_tests DIR OBJDIR: boot a kernel with the tests of DIR/tests.  Succeeds if all pass.
run_tests() {
	local run=$1 programs
	lines_for <"$run/tests" >"$run/list"
	mapfile -t programs < <(programs_of "$run/list")
	"$TOP/vmtest/initramfs.sh" "$run/cpio" "$2" "$tests/init" "$run/list" "${programs[@]}"
	SHOW=none QUIET=$seconds "$TOP/vmtest/run.sh" "$run/boot" "$2/arch/x86/boot/bzImage" "$run/cpio" \
		"$run/list" tdxsim=on sysctl.vm.mem_profiling=1 || return 1
	rm -f "$run/cpio"
	"$TOP/vmtest/judge.sh" "$run/boot" >"$run/judgement"
}

# has_not_begun DIR: nothing was heard of the machine before its first test.
has_not_begun() { grep -qs '^FAIL no verdict.*hung before its first test' "$1/judgement"; }

# state_of NAME: what a result depends on.
state_of() {
	local file
	file=$(part_of "$1" in)
	{
		mutant text "$1"
		cat "$BUILD/tree/$file" "$base/.config" "$TOP/vmtest/init.c"
		part_of "$1" test | lines_for >"$dir/lines"
		programs_of "$dir/lines" | xargs -d '\n' -r cat
	} | sha256sum | cut -c1-64
}

# ------------------------------------------------------------------------ the faults

# without_fault NAME...: the tests of these faults must pass on the driver as it is, or
# they would notice anything.
without_fault() {
	local run=$dir/without name sum
	mkdir -p "$run"
	# The cases of a test in one line, and all of them if one line names none.
	for name; do
		part_of "$name" test
	done | awk '
		NF == 1 { all[$1] = 1 }
		{ tests[$1] = 1; for (i = 2; i <= NF; i++) if (!seen[$1, $i]++) cases[$1] = cases[$1] " " $i }
		END { for (name in tests) print name (all[name] ? "" : cases[name]) }' | sort >"$run/tests"
	lines_for <"$run/tests" >"$run/list"
	sum=$({
		cat "$run/tests" "$BUILD/tree/.state" "$base/.config"
		programs_of "$run/list" | xargs -d '\n' -r cat
	} | sha256sum | cut -c1-64)
	! grep -q "^$sum " "$known" || return 0

	say "the tests, of $(wc -l <"$run/tests") programs, without a fault"
	if ! run_tests "$run" "$base"; then
		grep '^FAIL' "$run/judgement" >&2 || true
		die "the driver fails as it is" "see $run"
	fi
	echo "$sum passed" >>"$known"
}

# try NAME: build and boot with a fault.  Prints noticed and by what, survived, or what is
# wrong with the fault.
try() {
	local file run=$own/run ret=0
	file=$(part_of "$1" in)
	rm -rf "$run"
	mkdir -p "$run"
	if ! mutant apply "$1" <"$tree/$file" >"$run/file" 2>"$run/error"; then
		cat "$run/error"
		return
	fi
	put "$file" <"$run/file"
	if ! build "$file"; then
		echo "does not build: $(grep -m1 -E 'error|undefined|warning' "$own/build.log" || true)"
	else
		part_of "$1" test >"$run/tests"
		run_tests "$run" "$obj" || ret=$?
		# No test has noticed anything if another load of this host was too much.
		if has_not_begun "$run"; then
			ret=0
			run_tests "$run" "$obj" || ret=$?
		fi
		if [ $ret -eq 0 ]; then
			echo survived
		elif has_not_begun "$run"; then
			echo "does not boot"
		else
			echo "noticed $(sed -n '/^FAIL /{s///;p;q}' "$run/judgement" | cut -c1-120)"
		fi
	fi
	put "$file" <"$BUILD/tree/$file"
}

# line NAME OUTCOME [BY]
line() { printf '   %-72s %s\n' "$1" "$2${3:+ by $3}"; }

# work WORKER: try its share of what is to do.
work() {
	local i outcome by
	use "$1"
	prepare
	for ((i = $1; i < ${#todo[@]}; i += workers)); do
		[ -z "${LASTS:-}" ] || [ $SECONDS -lt "$LASTS" ] || break
		read -r outcome by < <(try "${todo[i]}")
		case $outcome in
		noticed | survived) echo "${state[${todo[i]}]} $outcome $by" >>"$known" ;;
		*)
			echo "${state[${todo[i]}]} $outcome $by" >>"$broken"
			outcome="$outcome $by" by=
			;;
		esac
		line "${todo[i]}" "$outcome" "$by"
	done
}

# conclude NAME: count its outcome, which is as the list has it, or a failure.
conclude() {
	local outcome by reason
	reason=$(part_of "$1" survives)
	if ! read -r _ outcome by < <(grep -hm1 "^${state[$1]} " "$known" "$broken"); then
		later=$((later + 1))
		return
	fi
	case $outcome:${reason:+excused} in
	noticed:) result "$1" 0 ;;
	noticed:excused) result "$1: noticed by $by, although it survives: $reason" 1 ;;
	survived:excused)
		skipped=$((skipped + 1))
		line "$1" "survived: $reason"
		;;
	survived:) result "$1: nobody has noticed" 1 ;;
	*) result "$1: $outcome $by" 1 ;;
	esac
}

mapfile -t names < <(mutant names | grep -E -- "${MUTANTS:-}" || true)
[ "${#names[@]}" -gt 0 ] || die "no fault is called '$MUTANTS'"
if [ -n "${N:-}" ]; then
	mapfile -t names < <(printf '%s\n' "${names[@]}" | shuf -n "$N" --random-source=<(yes "$seed"))
	say "${#names[@]} faults, SEED=$seed"
fi

wrong=$(mutant check "$BUILD/tree" "$TOP/vmtest/tests.list" "$TOP/tools/testing/selftests/kvm/x86_64")
[ -z "$wrong" ] || die "the list of faults does not fit:" "$wrong"

for name in "${names[@]}"; do
	part_of "$name" test
done | lines_for >"$dir/lines"
mapfile -t programs < <(programs_of "$dir/lines" | sed "s,^$tests/,,")
[ "${#programs[@]}" -eq 0 ] || "$TOP/vmtest/selftests.sh" "$base" "$tests" "${programs[@]}"
build_init "$tests/init"

declare -A state
todo=()
for name in "${names[@]}"; do
	state[$name]=$(state_of "$name")
	grep -q "^${state[$name]} " "$known" || todo+=("$name")
done
say "${#names[@]} faults, $((${#names[@]} - ${#todo[@]})) of them known"
if [ "${#todo[@]}" -gt 0 ]; then
	without_fault "${todo[@]}"
	pids=()
	for ((worker = 0; worker < workers; worker++)); do
		work $worker &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || die "a worker has failed"
	done
fi

later=0
for name in "${names[@]}"; do
	conclude "$name"
done
[ $later -eq 0 ] || say "$later faults are left for another time"
say "$passed of $((passed + failed + skipped)) faults were noticed"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
