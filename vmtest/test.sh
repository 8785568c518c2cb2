#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the tests, boot the machine with them, judge it.
#
# Usage: test.sh OBJDIR [TEST]   TEST: one name of vmtest/tests.list
# Environment: SLOW=n multiplies time limits.
. "$(dirname "$0")/lib.sh"

obj=$1
only=${2:-}
slow=${SLOW:-1}
tests=$BUILD/tests
tree=$BUILD/tree
run=$BUILD/run${only:+-$only}
mkdir -p "$tests"

"$TOP/vmtest/selftests.sh" "$obj" "$tests"

gcc -static -O2 -Wall -Wextra -Werror -o "$tests/init" "$TOP/vmtest/init.c"

# NAME SECONDS PARAMETERS COMMAND: what runs, with its limit on this kernel.
awk -v slow="$slow" -v only="$only" '
	/^ *(#|$)/ { next }
	only == "" || $1 == only { $2 *= slow; print }' "$TOP/vmtest/tests.list" >"$tests/tests.list"
[ -s "$tests/tests.list" ] || die "no test is called '$only'" \
	"the names are:$(awk '!/^ *(#|$)/ { printf " %s", $1 }' "$TOP/vmtest/tests.list")"

mapfile -t programs < <(awk '{ print $4 }' "$tests/tests.list" | sort -u | sed 's,.*/,,')
"$TOP/vmtest/initramfs.sh" "$tests/initramfs.cpio" "$obj" "$tests/init" "$tests/tests.list" \
	"${programs[@]/#/$tests/x86/}"

seconds=$(awk '{ s += $2 } END { print s + 60 }' "$tests/tests.list")
say "booting the machine: ${#programs[@]} test programs"
"$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/initramfs.cpio" "$seconds" tdxsim=on
if [ -n "$only" ]; then
	echo "$only" >"$run/must-run.list"
else
	cp "$TOP/vmtest/must-run.list" "$run/must-run.list"
fi
"$TOP/vmtest/judge.sh" "$run"
