#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Noise for the interface of TD migration, until it is stopped or finds something.  What
# ends the machine is made smaller by booting it with less and less of the program.
#
# Usage: fuzz_kvm.sh OBJDIR
# Environment: LASTS=n ends it after n seconds; SEED=n; PROGRAM=... carries out that one
#	alone, as it was printed
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-fuzz-kvm
mkdir -p "$tests"
"$TOP/vmtest/selftests.sh" "$obj" "$tests" x86/tdx_mig_fuzz_test
build_init "$tests/init"

# boot DIR QUIET ARGUMENT...: QUIET seconds without a line of output end the machine.
boot() {
	local dir=$1 quiet=$2
	shift 2
	echo "tdx_mig_fuzz_test $quiet tdx=1,tdx_mig=1 /tests/tdx_mig_fuzz_test $*" >"$tests/fuzz.list"
	"$TOP/vmtest/initramfs.sh" "$tests/fuzz.cpio" "$obj" "$tests/init" "$tests/fuzz.list" \
		"$tests/x86/tdx_mig_fuzz_test"
	"$TOP/vmtest/run.sh" "$dir" "$obj/arch/x86/boot/bzImage" "$tests/fuzz.cpio" "$tests/fuzz.list" \
		tdxsim=on
}

# dies PROGRAM: the machine, or the test in it.
dies() {
	SHOW=none boot "$run/small" 900 -p "$1"
	! "$TOP/vmtest/judge.sh" "$run/small" >"$run/small.judgement"
}

# smaller PROGRAM: without all that it does not need to be the end of the machine.
smaller() {
	local program=$1 ops nr i fewer
	IFS=, read -ra ops <<<"$program"
	for ((nr = ${#ops[@]} / 2; nr > 0; nr /= 2)); do
		for ((i = 0; i + nr <= ${#ops[@]}; )); do
			fewer=("${ops[@]:0:i}" "${ops[@]:i+nr}")
			printf '   %d operations, trying %d of them\n' ${#ops[@]} ${#fewer[@]} >&2
			if [ ${#fewer[@]} -gt 0 ] && dies "$(IFS=,; echo "${fewer[*]}")"; then
				ops=("${fewer[@]}")
			else
				i=$((i + nr))
			fi
		done
	done
	(IFS=,; echo "${ops[*]}")
}

if [ -n "${PROGRAM:-}" ]; then
	boot "$run" 900 -p "$PROGRAM"
	"$TOP/vmtest/judge.sh" "$run"
	exit
fi

say "booting the machine for noise${LASTS:+ of $LASTS seconds}; build/run-fuzz-kvm/results.log has each program"
boot "$run" 900000 -v ${LASTS:+-d "$LASTS"} ${SEED:+-s "$SEED"}
! "$TOP/vmtest/judge.sh" "$run" || exit 0

# A program that fails without harm for the machine was made smaller there.
small=$(sed -n 's/^# small: //p' "$run/results.log")
if [ -z "$small" ]; then
	program=$(sed -n 's/^# program //p' "$run/results.log" | tail -n 1)
	[ -n "$program" ] || die "the machine dies before the first program"
	say "the machine has died in a program, which is made smaller now"
	mkdir -p "$run/small"
	if dies "$program"; then
		small=$(smaller "$program")
	else
		say "that program alone does not do it; those before it are in build/run-fuzz-kvm/results.log"
		small=$program
	fi
fi
die "found something" "once more: make fuzz-kvm PROGRAM=$small"
