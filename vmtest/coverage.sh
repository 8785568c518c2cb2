#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Which lines and branches of the series all tests of the machines reach: boot them with
# a kernel that counts, and report.  Ends with a line of totals.
#
# Usage: coverage.sh OBJDIR LINUX-TREE [BOOTS [TESTS]]
#	BOOTS: names of boots, a word each, or "none"; TESTS: names of vmtest/tests.list.
#	With either of them, what was counted before remains, and counts.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

obj=$1
base=$2
boots=${3:-}
only=${4:-}
# A folder for each boot, in it the files of gcov below the path of the kernel's objects.
counts=$BUILD/coverage

mkdir -p "$counts" "$BUILD/tests"
[ -n "$boots$only" ] || find "$counts" -mindepth 1 -delete
gcc -static -O2 -Wall -Wextra -Werror -o "$BUILD/tests/coverage" "$TOP/vmtest/coverage.c"

# boot NAME TESTS [VARIABLE=VALUE]...: of the environment of test.sh.
boot() {
	local name=$1 tests=$2
	shift 2
	rm -rf "${counts:?}/$name"
	mkdir "$counts/$name"
	say "coverage: $name"
	result "the tests of $name" "$(env DEVICES="-virtfs"$'\n'"local,path=${counts//,/,,}/$name,mount_tag=coverage,security_model=none" \
		RUN_NAME=coverage LAST_TEST="coverage 120 - /tests/coverage" SLOW=2 "$@" \
		"$TOP/vmtest/test.sh" "$obj" "$tests" >&2 && echo 0 || echo 1)"
}

[ -z "$only" ] || boot "$(basename "$(mktemp -d "$counts/some-XXXX")")" "$only"
[ -n "$boots" ] || [ -n "$only" ] || boots="intel 1.5.01 1.5.24 amd"
for name in $boots; do
	case $name in
	intel) boot intel "" ;;
	amd) boot amd "" MACHINE=amd ;;
	1.5.*) boot "$name" "${core_tests[*]}" PROFILE="$name" ;;
	none) ;;
	*) die "no boot is called '$name'" "the names are: intel 1.5.01 1.5.24 amd" ;;
	esac
done

# Objects of which a boot has no counts were not in use, but their lines count.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$obj" && find arch virt drivers -name '*.gcno') >"$work/notes"
[ -s "$work/notes" ] || die "$obj counts no lines"
for dir in "$counts"/*/; do
	[ -n "$(find "$dir" -name '*.gcda' -print -quit)" ] || continue
	mkdir "$work/objects"
	[ ! -d "$dir$obj" ] || cp -r "$dir$obj/." "$work/objects"
	while read -r note; do
		mkdir -p "$work/objects/$(dirname "$note")"
		ln -s "$obj/$note" "$work/objects/$note"
	done <"$work/notes"
	(cd "$work/objects" && xargs -a "$work/notes" gcov --json-format --stdout --branch-probabilities) \
		>>"$work/counts" 2>"$work/gcov.log" || {
		tail -n 5 "$work/gcov.log" >&2
		die "gcov cannot read what $(basename "$dir") has counted"
	}
	# Of objects that were built anew nothing is left; not so after all boots in a row.
	grep -o '[^ ]*: *stamp mismatch.*' "$work/gcov.log" | sed 's/^/   /' || true
	rm -rf "$work/objects"
done
[ -s "$work/counts" ] || die "nothing was counted"

# What the series brings or edits, but for the tests.
mapfile -t sources < <(patch_names | grep '^product/' | while read -r patch; do
	patch_new_files "$patch"
	sed -n 's,^+++ b/\([^\t]*\).*,\1,p' "$patches/$patch"
done | grep '\.[ch]$' | grep -v _kunit | sort -u)
ret=0
"$TOP/vmtest/coverage.pl" "$BUILD/tree" "$base" "$TOP/vmtest/coverage.allow" "$counts/branches" "${sources[@]}" \
	<"$work/counts" >"$counts/report" || ret=$?
cat "$counts/report"
say "lines that were reached, but not left in each way: build/coverage/branches"
[ "$ret" -lt 2 ] || die "the counts cannot be read"
# The last line of the report is that of its checks.
read -r p _ f _ < <(tail -n 1 "$counts/report")
passed=$((passed + p))
failed=$((failed + f))
totals
