#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the report of make coverage, on a program that stands for the kernel.  TAP.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

new=arch/x86/kvm/vmx/new.c
edited=arch/x86/kvm/mmu/edited.c
mkdir -p "$work"/{tree,base}/arch/x86/kvm/mmu "$work"/tree/arch/x86/kvm/vmx
cat >"$work/base/$edited" <<'END'
int edited(int x)
{
	if (x == 4)
		return 7;
	return 1;
}
END
sed 's/return 1/x++;\n\treturn 1/' "$work/base/$edited" >"$work/tree/$edited"
{
	cat <<'END'
int edited(int x);

static int never(int x)
{
	if (x)
		return 5;
	return 6;
}

int main(int argc, char **argv)
{
	int sum = 0;

END
	for ((i = 0; i < 40; i++)); do
		echo "	sum += edited($i + argc + 10);"
	done
	cat <<'END'
	if (argc == 2)
		return 1;
	if (argc == 3)
		return never(argc);
	return 0;
}
END
} >"$work/tree/$new"

# Build the program, run it, count.
count() {
	(cd "$work/tree" && rm -f ./*.gc* && gcc --coverage -O0 -o program $new $edited && ./program &&
		gcov --json-format --stdout --branch-probabilities ./*.gcda) >"$work/counts"
}
count

# check NAME STATUS PATTERN...: report with what is allowed, on stdin; for each PATTERN there
# must be a line, for each "! PATTERN" there may be none.
check() {
	local name=$1 want=$2 out ret=0 spoilt=0 pattern
	shift 2
	cat >"$work/allow"
	out=$("$TOP/vmtest/coverage.pl" "$work/tree" "$work/base" "$work/allow" "$work/branches" $new $edited \
		<"$work/counts" 2>&1) || ret=$?
	[ $ret -eq "$want" ] || spoilt=1
	for pattern; do
		case $pattern in
		'! '*) ! grep -q -- "${pattern#! }" <<<"$out" || spoilt=1 ;;
		*) grep -q -- "$pattern" <<<"$out" || spoilt=1 ;;
		esac
	done
	verdict "$name" $spoilt "$out"
}

echo "TAP version 13"

never="$new never * -- called by nobody"
main="$new main return never -- no third argument"
one="$new main return 1 -- no argument"

check "what is not reached and has no reason fails" 1 \
	"^FAIL $new:3: not reached" "^FAIL $new:.*" "^2 passed, [0-9]* failed" </dev/null
check "a place is shown with its function and its text" 1 \
	"^$new:3: never()" "^ *6  return 5;" </dev/null
check "of a file of the base only what is new counts" 1 "^$edited + *1 *1  100.0" "! return 7" </dev/null
verdict "what is left one way only is listed" \
	"$(grep -q "^$new:[0-9]*: 1 of 2  if (argc == 2)" "$work/branches"; echo $?)" "$(cat "$work/branches")"
check "too little fails, whatever the reason" 1 "FAIL the driver: less than 95 %" "^5 passed, 1 failed" \
	<<<"$never"$'\n'"$main"$'\n'"$one"
check "a reason for what is reached fails" 1 "FAIL coverage.allow: $new main int sum: reached" \
	<<<"$new main int sum -- for no reason"
check "and so does one for what is not there" 1 "FAIL coverage.allow: $new main no line: no such line" \
	<<<"$new main no line -- for no reason"
check "what is reached by chance may be reached" 1 "! FAIL coverage.allow" \
	<<<"$new main int sum -- by chance: a race"
check "a line without a reason is no entry" 2 "allow:1: not FILE" <<<"$new main int sum"

# With fewer lines that nobody calls.
sed -i '/^static int never/,/^}/d; /return never/s/never(argc)/2/' "$work/tree/$new"
count
check "with a reason for each place all is well" 0 "^not reached, for a reason" "-- no argument" \
	"^5 passed, 0 failed" <<<"$one"$'\n'"$new main return 2 -- no third argument"
cat "$work/counts" "$work/counts" >"$work/twice"
mv "$work/twice" "$work/counts"
check "the counts of two boots are added" 0 "^5 passed, 0 failed" \
	<<<"$one"$'\n'"$new main return 2 -- no third argument"
: >"$work/counts"
check "counts of nothing fail" 1 "FAIL $new: no counts" "FAIL the driver" "FAIL the MMU" </dev/null

echo "1..$n"
[ $bad -eq 0 ]
