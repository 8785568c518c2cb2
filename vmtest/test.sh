#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the tests, boot the machine with them, judge it.
#
# Usage: test.sh OBJDIR [TESTS]   TESTS: names of the machine's list, a word each
# Environment: SLOW=n multiplies the limits of tests, MACHINE=intel|amd,
#	PROFILE=the version of the TDX module that the platform has,
#	RUN_NAME=a word for the folder of the run, LAST_TEST=a line of the list to end with.
. "$(dirname "$0")/lib.sh"

obj=$1
only=${2:-}
slow=${SLOW:-1}
tests=$BUILD/tests
suffix=${only:+-$only}
[[ $suffix != *" "* ]] || suffix=-some
case ${MACHINE:-intel} in
intel)
	list=$TOP/vmtest/tests.list
	run=$BUILD/run${RUN_NAME:+-$RUN_NAME}${PROFILE:+-$PROFILE}$suffix
	options=("tdxsim=on${PROFILE:+,profile=$PROFILE}")
	;;
amd)
	[ -z "${PROFILE:-}" ] || die "a machine with an AMD CPU has no TDX module, so no PROFILE=$PROFILE"
	list=$TOP/vmtest/amd.list
	run=$BUILD/run${RUN_NAME:+-$RUN_NAME}-amd$suffix
	options=(vmtest.kvm=kvm-amd)
	export VENDOR=AuthenticAMD CPUS=1
	;;
*) die "MACHINE=$MACHINE is neither intel nor amd" ;;
esac
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests"

build_init "$tests/init"

# NAME SECONDS PARAMETERS COMMAND: what runs, with how long it may be silent on this kernel.
lines_of "$list" | awk -v slow="$slow" -v only="$only" \
	'BEGIN { only = " " only " " } only == "  " || index(only, " " $1 " ") { $2 *= slow; print }' \
	>"$tests/tests.list"
[ -z "${LAST_TEST:-}" ] || echo "$LAST_TEST" >>"$tests/tests.list"
for name in $only; do
	grep -q "^$name " "$tests/tests.list" || die "no test is called '$name'" \
		"the names are:$(lines_of "$list" | awk '{ printf " %s", $1 }')"
done

mapfile -t programs < <(awk '{ for (i = 4; i <= NF; i++) if (sub(/^\/tests\//, "", $i)) print $i }' \
	"$tests/tests.list" | sort -u)
for i in "${!programs[@]}"; do
	# The programs of the base lie in two folders.
	path=$tests/x86/${programs[i]}
	[ -f "$path" ] || path=$tests/${programs[i]}
	programs[i]=$path
done
"$TOP/vmtest/initramfs.sh" "$tests/initramfs.cpio" "$obj" "$tests/init" "$tests/tests.list" \
	"${programs[@]}"

say "booting the machine: ${#programs[@]} test programs"
"$TOP/vmtest/boots.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/initramfs.cpio" "$tests/tests.list" \
	"${options[@]}" sysctl.vm.mem_profiling=1
"$TOP/vmtest/judge.sh" "$run"
