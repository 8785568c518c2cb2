#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The faults of mutants/ fit the tree and name tests that are there, and lists that pretend
# tell what is wrong with them.  TAP.
#
# Usage: mutants.sh TREE
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

tree=$1
programs=$TOP/tools/testing/selftests/kvm/x86_64

echo "TAP version 13"

out=$("$TOP/vmtest/mutant.pl" "$TOP/vmtest/mutants" check "$tree" "$TOP/vmtest/tests.list" "$programs" 2>&1)
verdict "each fault fits in one place, and its tests are there" "${#out}" "$out"

# A tree with a file of four lines, and a test with a case.
mkdir -p "$work"/{tree,lists,programs}
printf 'one\n\ttwo\nthree\n\ttwo\n' >"$work/tree/file.c"
echo 'tdx_test 1 tdx=1 /tests/tdx_test' >"$work/tests.list"
echo 'TD_TEST_F(td, a_case)' >"$work/programs/tdx_test.c"

# fault NAME OUTPUT ENTRY: what the check says of a list with ENTRY; nothing if OUTPUT is empty.
fault() {
	local out spoilt=0
	printf '# A comment\n\n%b\n' "$3" >"$work/lists/a.list"
	out=$("$TOP/vmtest/mutant.pl" "$work/lists" check "$work/tree" "$work/tests.list" "$work/programs" 2>&1) || true
	if [ -n "$2" ]; then
		grep -q -- "$2" <<<"$out" || spoilt=1
	else
		spoilt=${#out}
	fi
	verdict "$1" "$spoilt" "$out"
}

good='a name\n\tin file.c\n\ttest tdx_test a_case\n'
fault "a fault may have lines around it" "" "$good one\n-\ttwo\n+\tzwei\n three"
fault "a fault may take a line away" "" "$good-three"
fault "a fault has to fit" "^a name: it fits in 0 places" "$good-four"
fault "a fault has to fit in one place" "^a name: it fits in 2 places" "$good-\ttwo"
fault "a part of a line does not fit" "^a name: it fits in 0 places" "$good-two"
fault "a fault changes something" "^a name: it changes nothing" "$good-three\n+three"
fault "a fault has a file" "^a name: it names no file" "a name\n\ttest tdx_test\n-three"
fault "a file has to be there" "^a name: it names gone.c, which is not there" "a name\n\tin gone.c\n\ttest tdx_test\n-three"
fault "a fault has a test" "^a name: it names no test" "a name\n\tin file.c\n-three"
fault "a test has to be there" "it names no_test, which is no test" "a name\n\tin file.c\n\ttest no_test\n-three"
fault "a case has to be there" "it names b_case, which is no case of tdx_test" "a name\n\tin file.c\n\ttest tdx_test b_case\n-three"
fault "two faults have two names" "a second 'a name'" "$good-three\n\n$good-one"

applied=$(printf '%b\n' "$good one\n-\ttwo\n+\tzwei\n three" >"$work/lists/a.list"
	"$TOP/vmtest/mutant.pl" "$work/lists" apply "a name" <"$work/tree/file.c")
[ "$applied" = "$(printf 'one\n\tzwei\nthree\n\ttwo')" ] && ret=0 || ret=1
verdict "a fault is put where it fits" "$ret" "$applied"

echo "1..$n"
[ $bad -eq 0 ]
