#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run what "make check" built and count: check.sh OUTPUT TRACES PROFILES TEST...
# The last line is "N passed, N failed".
set -u

out=$1
traces=$2
profiles=$3
shift 3
here=$(dirname "$0")
passed=0
failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log" "$log.want"' EXIT

# tap NAME COMMAND...: count its TAP lines; a program that breaks off fails.
tap()
{
	name=$1
	shift
	"$@" > "$log" 2>&1
	status=$?
	ok=$(grep -c '^ok ' "$log")
	bad=$(grep -c '^not ok ' "$log")
	if ! grep -q "^1\.\.$((ok + bad))\$" "$log" ||
	   { [ $status -ne 0 ] && [ "$bad" -eq 0 ]; }; then
		bad=$((bad + 1))
		echo "not ok - $name runs to its end (exit status $status)"
		tail -n 20 "$log"
	fi
	grep -A 3 '^not ok ' "$log"
	echo "$name: $ok passed, $bad failed"
	passed=$((passed + ok))
	failed=$((failed + bad))
}

# replay NAME COMMAND...
replay()
{
	name=$1
	shift
	"$@" > "$log" 2>&1
	status=$?
	totals=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	if [ -z "$totals" ]; then
		echo "not ok - $name runs to its end (exit status $status)"
		tail -n 20 "$log"
		totals="0 1"
	fi
	grep '^FAIL' "$log"
	echo "$name: ${totals% *} passed, ${totals#* } failed"
	passed=$((passed + ${totals% *}))
	failed=$((failed + ${totals#* }))
}

for t in "$@"; do
	tap "$t" "$out/asan/$t"
done
tap test_replay "$here/test_replay.sh" "$out/plain/tdx_replay" "$traces"
for profile in $profiles; do
	replay "all traces of module $profile, with sanitizers and poisoned pages" \
		"$out/asan/tdx_replay" -p --profile "$profile" "$traces"
done

# Where the Linux host needs another answer, and nowhere else.
grep -o '^| [a-z]*-[0-9]* |' "$here/DEVIATIONS.md" | tr -d '| ' | sort > "$log.want"
for profile in $profiles; do
	"$out/plain/tdx_replay" --linux --profile "$profile" "$traces" |
		sed -n 's/^FAIL \([^ ]*\) .*/\1/p' | sort > "$log"
	if diff "$log.want" "$log"; then
		echo "deviations on the Linux platform, module $profile: as listed"
		passed=$((passed + 1))
	else
		echo "not ok - deviations on the Linux platform are as listed, module $profile"
		failed=$((failed + 1))
	fi
done

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
