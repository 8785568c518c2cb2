#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Noise for the interface of TD migration, until it is stopped or finds something.  What
# ends the machine is made smaller by booting it with less and less of the program.
#
# Usage: fuzz_kvm.sh OBJDIR
# Environment: LASTS=n ends it after n seconds; SEED=n; PROGRAM=... carries out that one
#	alone, as it was printed; PROFILE=the version of the TDX module
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-fuzz-kvm
# Not all that a kernel complains of ends the machine, so look at it every so often.
round=1800
# Without a line of output.
quiet=1200
options=("tdxsim=on${PROFILE:+,profile=$PROFILE}")

# Without these, chance is all that guides it.
grep -q 'sanitize-coverage' "$obj/arch/x86/kvm/vmx/.tdx_mig_export.o.cmd" ||
	die "$obj does not tell which places of KVM are reached"
mkdir -p "$tests"
"$TOP/vmtest/selftests.sh" "$obj" "$tests" x86/tdx_mig_fuzz_test
build_init "$tests/init"

# boot DIR ARGUMENT...
boot() {
	local dir=$1
	shift
	echo "tdx_mig_fuzz_test $quiet tdx=1,tdx_mig=1 /tests/tdx_mig_fuzz_test $*" >"$tests/fuzz.list"
	"$TOP/vmtest/initramfs.sh" "$tests/fuzz.cpio" "$obj" "$tests/init" "$tests/fuzz.list" \
		"$tests/x86/tdx_mig_fuzz_test" &&
		"$TOP/vmtest/run.sh" "$dir" "$obj/arch/x86/boot/bzImage" "$tests/fuzz.cpio" \
			"$tests/fuzz.list" "${options[@]}"
}

# dies PROGRAM: the machine, or the test in it.
dies() {
	SHOW=none boot "$run/small" -p "$1" || die "the machine cannot be booted"
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
	boot "$run" -p "$PROGRAM"
	"$TOP/vmtest/judge.sh" "$run"
	exit
fi

# One that does not come to its end may have found something before.
trap '"$TOP/vmtest/judge.sh" "$run" || true; exit 130' INT

left=${LASTS:-0}
seed=${SEED:-}
while :; do
	[ -z "${LASTS:-}" ] || [ "$left" -ge "$round" ] || round=$left
	say "booting the machine for noise of $round seconds; build/run-fuzz-kvm/results.log has each program"
	boot "$run" -v -d "$round" ${seed:+-s "$seed"}
	"$TOP/vmtest/judge.sh" "$run" || break
	left=$((left - round))
	[ -z "${LASTS:-}" ] || [ "$left" -gt 0 ] || exit 0
	# The same programs twice are of no use.
	seed=${seed:+$((seed + 1))}
done

# A program that fails without harm for the machine was made smaller there.
small=$(sed -n 's/^# small: //p' "$run/results.log")
if [ -z "$small" ]; then
	program=$(sed -n 's/^# program //p' "$run/results.log" | tail -n 1)
	[ -n "$program" ] || die "the machine dies before the first program"
	mkdir -p "$run/small"
	say "does the last program do it alone?"
	if dies "$program"; then
		small=$(smaller "$program")
	else
		die "found something, in no program alone" "all of them are in build/run-fuzz-kvm/results.log"
	fi
fi
die "found something" "once more: make fuzz-kvm PROGRAM=$small"
