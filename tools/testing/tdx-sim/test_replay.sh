#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests of the replayer itself, TAP output: malformed traces are errors with
# file and line, and traces that say something else than the model does fail.
#	test_replay.sh REPLAY TRACES
set -u

replay=$1
traces=$2
here=$(dirname "$0")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
bad=0

report()
{
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		bad=$((bad + 1))
	fi
}

# malformed LINE NAME: standard input is an error in line LINE, whatever else.
malformed()
{
	cat > "$dir/malformed.trace"
	cp "$traces/00-setup.trace" "$dir"
	"$replay" "$dir/malformed.trace" > "$dir/out" 2> "$dir/err"
	status=$?
	[ $status -eq 2 ] && grep -q "^$dir/malformed.trace:$1: " "$dir/err" &&
		! grep -q '[1-9][0-9]* passed, 0 failed' "$dir/out"
	report $? "$2 is an error"
}

malformed 2 "an unknown operation" << END
test a b c
  frobnicate 1
end
END
malformed 1 "a test without end" << END
test a b c
  call SYS.INIT => 0
END
malformed 1 "a block without end" << END
def a
  page b
END
malformed 3 "a test inside of a test" << END
test a b c
  call SYS.INIT => 0
test d e f
end
end
END
malformed 1 "an operation outside of a test" << END
page a
END
malformed 4 "two tests of one id" << END
test a b c
  call SYS.INIT => 0
end
test a b c
  call SYS.INIT => 0
end
END
malformed 4 "two blocks of one name" << END
def a
  page b
end
def a
  page b
end
END
malformed 2 "an unknown block" << END
test a b c
  use nothing
end
END
malformed 2 "an argument that is missing" << END
def a
  page \$1 \$2
end
test b c d
  use a x
  call SYS.INIT => 0
end
END
malformed 2 "endless recursion" << END
def a
  use a
end
test b c d
  use a
  call SYS.INIT => 0
end
END
malformed 1 "a test that compares nothing" << END
test a b c
  page d
end
END
malformed 2 "an empty test" << END
test a b c
end
END
malformed 1 "an include by an absolute path" << END
include /dev/null
END
malformed 1 "an include that does not exist" << END
include nothing.trace
END
malformed 1 "a test without tags" << END
test a
  call SYS.INIT => 0
end
END
malformed 2 "a call without a status" << END
test a b c
  call SYS.INIT =>
end
END
malformed 2 "an unknown leaf" << END
test a b c
  call SYS.NOTHING => 0
end
END
malformed 2 "an unknown register" << END
test a b c
  call SYS.INIT rbp=0 => 0
end
END
malformed 2 "a register given twice" << END
test a b c
  call SYS.INIT rcx=0 rcx=0 => 0
end
END
malformed 2 "an unknown result" << END
test a b c
  call SYS.INIT => 0 r14=0
end
END
malformed 2 "an expression that ends early" << END
test a b c
  call SYS.INIT rcx=1+ => 0
end
END
malformed 2 "an open parenthesis" << END
test a b c
  call SYS.INIT rcx=(1+2 => 0
end
END
malformed 2 "a number beyond 64 bits" << END
test a b c
  call SYS.INIT rcx=0x10000000000000000 => 0
end
END
malformed 2 "a number with letters in it" << END
test a b c
  call SYS.INIT rcx=12ab => 0
end
END
malformed 2 "an undefined symbol" << END
test a b c
  call SYS.INIT rcx=nothing => 0
end
END
malformed 2 "an odd number of hex digits" << END
test a b c
  expect_bytes TDMR 123
end
END
malformed 2 "a byte string that is not hexadecimal" << END
test a b c
  expect_bytes TDMR 12xy
end
END
malformed 2 "a store outside of memory" << END
test a b c
  w64 NOTCONV 1
  call SYS.INIT => 0
end
END
malformed 2 "a store across the end of memory" << END
test a b c
  w64 TDMR+0x3fffffff 1
  call SYS.INIT => 0
end
END
malformed 2 "a short random value" << END
test a b c
  rng 0011
  call SYS.INIT => 0
end
END
malformed 2 "an unknown lock" << END
test a b c
  hold everything TDMR excl
  call SYS.INIT => 0
end
END
malformed 2 "an unknown lock mode" << END
test a b c
  hold page TDMR often
  call SYS.INIT => 0
end
END
malformed 2 "an unknown field" << END
test a b c
  force TDMR everything 1
  call SYS.INIT => 0
end
END
malformed 2 "a seal without AAD" << END
test a b c
  gcm_seal K iv=1 stream=0 mac=TDMR
  call SYS.INIT => 0
end
END
malformed 2 "text without length" << END
test a b c
  gcm_seal K iv=1 stream=0 aad_gpa=TDMR pt=TDMR ct=TDMR mac=TDMR
  call SYS.INIT => 0
end
END
malformed 2 "a key that is not defined" << END
test a b c
  gcm_seal K iv=1 stream=0 aad_gpa=TDMR mac=TDMR
  call SYS.INIT => 0
end
END
malformed 2 "a guest store without outcome" << END
test a b c
  guest_store TDMR 0 1 => maybe
  call SYS.INIT => 0
end
END
malformed 2 "17 tokens" << END
test a b c
  page 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
end
END
{
	echo "test a b c"
	printf '  call SYS.INIT rcx=%0600d => 0\nend\n' 0
} > "$dir/input"
malformed 2 "a line of 600 characters" < "$dir/input"
printf 'test a b c\n  call SYS.INIT \303\244 => 0\nend\n' > "$dir/input"
malformed 2 "text beyond ASCII" < "$dir/input"
printf 'test a b c\n  call SYS.\000INIT => 0\nend\n' > "$dir/input"
malformed 2 "a NUL in a line" < "$dir/input"
malformed 3 "an unknown operation in a block that nothing uses" << END
include 00-setup.trace
def a
  frobnicate
end
test b c d
  call SYS.INIT => 0
end
END

# overlay LINE NAME: standard input is an overlay with an error in that line.
overlay()
{
	mkdir -p "$dir/overlay"
	cp "$traces/00-setup.trace" "$dir/overlay"
	cat > "$dir/overlay/1.5.05.overlay"
	printf 'test a b c\n  call SYS.INIT => 0\nend\n' > "$dir/overlay/one.trace"
	"$replay" --profile 1.5.05 "$dir/overlay" > "$dir/out" 2> "$dir/err"
	[ $? -eq 2 ] && grep -q "^$dir/overlay/1.5.05.overlay:$1: " "$dir/err"
	report $? "$2 is an error of an overlay"
}

overlay 1 "an unknown word" << END
frobnicate a
END
overlay 1 "a rule without a text" << END
rule SYS.INIT rdx=2
END
overlay 1 "a line of no test" << END
- call SYS.INIT => 0
END
overlay 2 "a line that no line is replaced by" << END
test a
+ call SYS.INIT => 0
END
overlay 2 "a line that the test has not" << END
test a
- call SYS.LP.INIT => 0
+ call SYS.INIT => 0
END
overlay 1 "a test that there is not" << END
test z
- call SYS.INIT => 0
+ call SYS.INIT => 0
END
overlay 1 "a block that there is not" << END
def z
- call SYS.INIT => 0
END
cat > "$dir/overlay/1.5.05.overlay" << END
# A comment
rule SYS.INIT rcx=1 rcx=0
test a
- call SYS.INIT => 0
+ call SYS.INIT rcx=2 => 0xc000010000000001 rcx=0
+ call SYS.INIT => 0
drop c
END
printf 'test a b c\n  call SYS.INIT => 0\nend\ntest b b c\n  call SYS.INIT rcx=1 => 0\nend\n' \
	> "$dir/overlay/one.trace"
printf 'test c b c\n  call SYS.INIT => 1\nend\n' >> "$dir/overlay/one.trace"
printf 'test d b c\n  call SYS.INIT => 1\nend\n' > "$dir/overlay/two.1.5.01.trace"
printf 'test e b c\n  call SYS.INIT => 0\nend\n' > "$dir/overlay/two.1.5.05.trace"
"$replay" --profile 1.5.05 "$dir/overlay" > "$dir/out" 2>&1
[ $? -eq 0 ] && tail -n 1 "$dir/out" | grep -q '^3 passed, 0 failed$'
report $? "an overlay replaces, drops and adds: $(grep FAIL "$dir/out")"
"$replay" "$dir/overlay" > "$dir/out" 2>&1
[ $? -eq 1 ] && tail -n 1 "$dir/out" | grep -q '^1 passed, 3 failed$'
report $? "in its own profile only: $(tail -n 1 "$dir/out")"
"$replay" --profile 1.5.24 "$dir/overlay" > "$dir/out" 2>&1
[ $? -eq 0 ] && tail -n 1 "$dir/out" | grep -q '^3 passed, 0 failed$'
report $? "and in those that are like it: $(tail -n 1 "$dir/out")"
printf 'test a\n- call SYS.INIT => 0\n+ call SYS.INIT => 1\n' > "$dir/overlay/1.5.24.overlay"
"$replay" --profile 1.5.24 "$dir/overlay" > "$dir/out" 2>&1
[ $? -eq 1 ] && tail -n 1 "$dir/out" | grep -q '^1 passed, 3 failed$'
report $? "unless these have an overlay of their own: $(tail -n 1 "$dir/out")"
mkdir "$dir/next"
printf 'include ../overlay/one.trace\ntest f b c\n  call SYS.INIT => 0\nend\n' \
	> "$dir/next/three.trace"
"$replay" --profile 1.5.05 "$dir/next" > "$dir/out" 2>&1
[ $? -eq 0 ] && tail -n 1 "$dir/out" | grep -q '^1 passed, 0 failed$'
report $? "an include of another folder has the overlay of that: $(tail -n 1 "$dir/out")"
"$replay" --profile 1.5.99 "$traces/happy.trace" > "$dir/out" 2>&1
[ $? -eq 2 ]
report $? "an unknown profile is an error"

mkdir "$dir/empty"
"$replay" "$dir/empty" > "$dir/out" 2>&1
[ $? -eq 2 ]
report $? "a folder without traces is an error"
"$replay" "$dir/nothing.trace" > "$dir/out" 2>&1
[ $? -eq 2 ]
report $? "a missing file is an error"
"$replay" -t nothing "$traces/happy.trace" > "$dir/out" 2>&1
[ $? -eq 2 ]
report $? "an unknown test is an error"

# What no other trace uses, and how expressions are read.
mkdir "$dir/features"
cat > "$dir/features/features.trace" << END
def store
  w64 \$1+\$2 \$3
end
test f-1 a expressions go from left to right
  hpage m
  let v 1+2*3<<4|5^6-7&0xff
  w64 m v
  expect64 m (((((1+2)*3)<<4|5)^6)-7)&0xff
  w64 m 1<<63|1
  expect64 m 0x8000000000000001
  w64 m -1
  expect64 m 0xffffffffffffffff
  w64 m ~(1+1)
  expect64 m -3
  w64 m 0x8000000000000000>>63
  expect64 m 1
  w64 m 1<<64
  expect64 m 0
  use store m 8 v
  expect64 m+8 v
end
test f-2 a stores have their width
  hpage m 2
  fill m 0x1000 0xff
  w8 m 0x1122
  expect_bytes m 22ffffff
  w16 m+8 0x112233
  expect_bytes m+8 3322ffff
  w32 m+16 0x1122334455
  expect_bytes m+16 55443322ffff
  xor8 m+8 0x133
  expect_bytes m+8 0022
  xor64 m+16 0xffffffffffffffff
  expect64 m+16 0x1ddccbbaa mask 0xffffffff
  fill_list m+0x100 7 3 2
  expect_bytes m+0x100 070000000000000009000000000000000b00000000000000
  move m+0x108 m+0x100 0x10
  expect_eq m+0x108 m+0x1f0-0xf0 8
  expect_fill m+0x1000 0x1000 0
end
test f-3 a results may be masked, stored or left out
  call SYS.INIT => 0 rcx=* rdx=* r8=* r9=* r10=* r11=* r12=* r13=*
  call @12 r8=0x1234 => 0xc000050500000000 r8=0x34/0xff r9=>was
  let again was+1
  call SYS.INIT rax=33|1<<24 => 0xc000010000000000
end
test f-4 a sealed text opens
  hpage m 4
  key K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
  fill m+0x1000 0x1000 0x5a
  gcm_seal K iv=1 stream=2 aad_mbmd=m pt=m+0x1000 ct=m+0x2000 len=0x1000 mac=m+0x3000
  gcm_open K iv=1 stream=2 aad_mbmd=m ct=m+0x2000 pt=m+0x2000 len=0x1000 mac=m+0x3000 => ok
  expect_eq m+0x2000 m+0x1000 0x1000
  w16 m+4 1
  gcm_open K iv=1 stream=2 aad_mbmd=m ct=m+0x1000 pt=m+0x2000 len=0x1000 mac=m+0x3000 => bad
  gcm_seal K iv=3 stream=0 aad_gpa=m mac=m+0x3000
  gcm_open K iv=3 stream=0 aad_gpa=m mac=m+0x3000 => ok
  xor8 m 1
  gcm_open K iv=3 stream=0 aad_gpa=m mac=m+0x3000 => bad
end
END
"$replay" "$dir/features" > "$dir/out" 2>&1
[ $? -eq 0 ] && tail -n 1 "$dir/out" | grep -q '^4 passed, 0 failed$'
report $? "every feature of the format works: $(grep FAIL "$dir/out")"
for seed in 4 5 6 7 8 9; do
	awk -v seed=$seed -f "$here/alter.awk" "$dir/features/features.trace" > "$dir/altered.trace"
	"$replay" "$dir/altered.trace" > "$dir/out" 2> "$dir/err"
	tail -n 1 "$dir/out" | grep -q '^0 passed, 4 failed$'
	report $? "altered copy $seed of these features fails"
done

# Every test with one expectation changed has to fail.
for seed in 1 2 3; do
	mkdir "$dir/$seed"
	cp "$traces/00-setup.trace" "$dir/$seed"
	for f in "$traces"/*.trace; do
		case ${f##*/} in
		# What every other file includes, and what is for one profile alone.
		00-setup.trace|*.*.trace) continue;;
		esac
		awk -v seed=$seed -f "$here/alter.awk" "$f" > "$dir/$seed/$(basename "$f")"
	done
	"$replay" "$dir/$seed" > "$dir/out" 2> "$dir/err"
	status=$?
	[ $status -eq 1 ] && tail -n 1 "$dir/out" | grep -q '^0 passed, [1-9][0-9]* failed$'
	report $? "altered copy $seed of all traces fails: $(tail -n 1 "$dir/out")"
done

# So does every known attack.
mkdir "$dir/traces" "$dir/attacks"
cp "$traces/00-setup.trace" "$dir/traces"
for f in "$here"/attacks/*.1.5.01.trace; do
	awk -v seed=1 -f "$here/alter.awk" "$f" > "$dir/attacks/$(basename "$f")"
done
"$replay" --profile 1.5.01 "$dir/attacks" > "$dir/out" 2> "$dir/err"
status=$?
[ $status -eq 1 ] && tail -n 1 "$dir/out" | grep -q '^0 passed, [1-9][0-9]* failed$'
report $? "an altered copy of the known attacks fails: $(tail -n 1 "$dir/out")"

echo "1..$count"
[ $bad -eq 0 ]
