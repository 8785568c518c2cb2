#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot the machine until it has run all tests: when it dies in one, by a panic, a
# warning or a hang, it is booted again for those that follow.  Each boot leaves what
# run.sh leaves, the first one in DIR, the others in DIR/boot2, DIR/boot3, ...
#
# Usage: boots.sh DIR KERNEL INITRAMFS TESTS-LIST [KERNEL-OPTION...]
# A boot that starts no test is the last one, and so is the third in a row in which no
# test ends: then it is not the tests that are broken.
. "$(dirname "$0")/lib.sh"

dir=$1
list=$4
args=("$@")

# The last test of the list that a boot has started, and how many have ended.
progress_of() {
	awk 'NR == FNR { listed[$1] = 1; next }
		/^# start / && listed[$3] { last = $3 }
		/^# end / && listed[$3] { ended++ }
		END { print ended + 0, last }' "$list" "$1/results.log"
}

test_after() { awk -v name="$1" 'found { print $1; exit } $1 == name { found = 1 }' "$list"; }

boot=1
in=$dir
barren=0
options=()
while :; do
	"$TOP/vmtest/run.sh" "$in" "${args[@]:1}" "${options[@]}"
	! grep -q '^# verdict ' "$in/results.log" || break
	read -r ended last < <(progress_of "$in")
	[ -n "$last" ] || break
	[ "$ended" -eq 0 ] && barren=$((barren + 1)) || barren=0
	[ $barren -lt 3 ] || break
	next=$(test_after "$last")
	[ -n "$next" ] || break
	options=("vmtest.first=$next")
	boot=$((boot + 1))
	in=$dir/boot$boot
	say "the machine died in $last; boot $boot, for the tests after it"
done
