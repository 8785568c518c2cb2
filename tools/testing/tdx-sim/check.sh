#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run what "make check" built and count:
#	check.sh OUTPUT TRACES ATTACKS PROFILES MENDED TEST...
# The last line is "N passed, N failed".
set -u

out=$1
traces=$2
attacks=$3
profiles=$4
mended=$5
shift 5
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

for profile in $profiles $mended; do
	replay "known attacks on module $profile, with sanitizers and poisoned pages" \
		"$out/asan/tdx_replay" -p --profile "$profile" "$attacks"
done

# deviations SECTION NAME ARGUMENT...: the traces that fail are those of the table there.
deviations()
{
	section=$1
	name=$2
	shift 2
	sed -n "/^## $section/,/^## /s/^| \([a-z0-9]*-[a-z0-9]*\) |.*/\1/p" "$here/DEVIATIONS.md" |
		sort > "$log.want"
	"$out/plain/tdx_replay" "$@" "$traces" | sed -n 's/^FAIL \([^ ]*\) .*/\1/p' | sort > "$log"
	if [ -s "$log.want" ] && diff "$log.want" "$log"; then
		echo "deviations $name: as listed"
		passed=$((passed + 1))
	else
		echo "not ok - deviations $name are as listed"
		failed=$((failed + 1))
	fi
}

# Where the Linux host needs another answer, and nowhere else.
for profile in $profiles; do
	deviations "Platform of the Linux host" "on the Linux platform, module $profile" \
		--linux --profile "$profile"
done
deviations "Module $mended" "of module $mended from the one that it is like" --profile "$mended"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
