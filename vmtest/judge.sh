#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Judge a run from what it left behind: the results of the second serial port,
# the console, and how the machine ended.
#
# Usage: judge.sh DIR   with DIR/results.log, console.log, status, nonce, tests.list
#	and likewise DIR/boot2, DIR/boot3, ... if the machine died, see boots.sh
#
# Prints a line for each failure, below it the last that the case said, and a last
# line of totals, which it also writes to DIR/totals.  Exit status 0 only when
# nothing failed.  Whatever is missing counts as a failure: no verdict, a test of the
# list that did not run or that skipped, one of this series (tdx_*) that gave no plan,
# or fewer results than planned.  The death of a machine is one failure, of the test in
# which it died, and what its kernel said is the reason.
. "$(dirname "$0")/lib.sh"

dir=$1
boots=("$dir")
while [ -d "$dir/boot$((${#boots[@]} + 1))" ]; do
	boots+=("$dir/boot$((${#boots[@]} + 1))")
done

# All results in a row, those of each boot after a line that tells of the boot.
results() {
	local boot f
	for boot in "${boots[@]}"; do
		for f in results.log console.log status nonce; do
			[ -e "$boot/$f" ] || : >"$boot/$f"
		done
		printf '\n\001boot,%s,%s,%s\n' "$(cat "$boot/nonce")" "$(cat "$boot/status")" "$boot"
		tr '\r\001' '\n?' <"$boot/results.log"
		echo
	done
}

[ -s "$TOP/vmtest/splats.list" ] || die "vmtest/splats.list is missing"
results | awk -v list="$dir/tests.list" -v splats="$TOP/vmtest/splats.list" \
	-f "$TOP/vmtest/judge.awk" 2>"$dir/totals" || die "the results cannot be read"

read -r passed failed skipped <"$dir/totals"
if [ "$failed" -gt 0 ]; then
	for boot in "${boots[@]}"; do
		# Those who died have something to say, or else the last one.
		if [ "$boot" != "${boots[-1]}" ] && grep -q '^# verdict ' "$boot/results.log"; then
			continue
		fi
		printf -- '---- the end of the console (%s)\n' "$boot/console.log"
		tail -n 40 "$boot/console.log" | sed 's/\r$//; s/^/     /'
		printf -- '----\n'
	done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
