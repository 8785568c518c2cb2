#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Judge a run from what it left behind: the results of the second serial port,
# the console, and how the machine ended.
#
# Usage: judge.sh DIR   with DIR/results.log, console.log, status, nonce, must-run.list
#	and likewise DIR/boot2, DIR/boot3, ... if the machine died, see boots.sh
#
# Prints a line for each failure, below it the last that the case said, and a last
# line of totals, which it also writes to DIR/totals.  Exit status 0 only when
# nothing failed.  Whatever is missing counts as a failure: no verdict, no plan, a
# must-run test that did not run or that skipped.  The death of a machine is one
# failure, of the test in which it died, and what its kernel said is the reason.
. "$(dirname "$0")/lib.sh"

dir=$1
boots=("$dir")
while [ -d "$dir/boot$((${#boots[@]} + 1))" ]; do
	boots+=("$dir/boot$((${#boots[@]} + 1))")
done
[ -e "$dir/must-run.list" ] || : >"$dir/must-run.list"

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

results | awk -v mustrun="$dir/must-run.list" '
function failure(text, hint)
{
	failures++
	printf "FAIL %s%s\n", text, hint ? " -- " hint : ""
}

# The number of leading blanks, in units of four.
function depth(line)
{
	match(line, /^ */)
	return int(RLENGTH / 4)
}

# What a case says is kept until its result.
function keep_said(line)
{
	sub(/^[ #]*/, "", line)
	if (line ~ /^RUN  /) {
		running = line
		sub(/^RUN  */, "", running)
		sub(/ *[.][.][.]$/, "", running)
	} else if (line != "") {
		said[++nr_said] = substr(line, 1, 160)
	}
}

function forget_said() { split("", said); nr_said = 0; running = "" }

function print_said(    i)
{
	for (i = nr_said > MAX_SAID ? nr_said - MAX_SAID + 1 : 1; i <= nr_said; i++)
		printf "     %s\n", said[i]
}

function begin_boot()
{
	split($0, word, ",")
	nonce = word[2]
	vmstatus = word[3]
	boot = $0
	sub(/^[^,]*,[^,]*,[^,]*,/, "", boot)
	nr_boots++
	verdict = name = last = ""
	old_failures = failures
	begin_test("")
}

# Read the console of this boot for what no kernel may say.
function find_splats(    line, console)
{
	console = boot "/console.log"
	nr_splats = 0
	while ((getline line < console) > 0) {
		if (line ~ /WARNING:|BUG:|Oops|general protection fault|Kernel panic|INFO: (possible|task|rcu|suspicious)|(UBSAN|KASAN|KCSAN|KFENCE):|SEAMCALL TDH_|SEAMCALL \(0x|invalid opcode:|Bad page state|refcount_t:/ && line !~ /kmemleak: (Kernel memory leak detector initialized|Automatic)|SEAMCALL \(0x0000000000000034\) failed: 0x8000020000000001/) {
			sub(/\r$/, "", line)
			splats[++nr_splats] = substr(line, 1, 160)
		}
	}
	close(console)
}

function end_boot(    i, how)
{
	find_splats()
	if (verdict == "") {
		how = vmstatus == "hang" ? "the machine hung" : \
			vmstatus == "timeout" ? "the machine did not stop in time" : \
			vmstatus != "0" ? "the emulator ended with status " \
				(vmstatus == "" ? "unknown" : vmstatus) : "the machine died"
		if (name != "")
			failure(name ": did not end", how " in " (running == "" ? "it" : running))
		else if (last != "")
			failure("no verdict", how " after " last)
		else
			failure("no verdict", how " before its first test")
		for (i = 1; i <= nr_splats && i <= 5; i++)
			printf "     console: %s\n", splats[i]
		if (name != "") {
			print_said()
			ran[name] = 1
		}
	} else {
		if (vmstatus == "hang" || vmstatus == "timeout")
			failure("the machine did not stop in time")
		else if (vmstatus != "0")
			failure("the emulator ended with status " (vmstatus == "" ? "unknown" : vmstatus))
		if (verdict == "fail" && failures == old_failures)
			failure("the machine reports a failure and no reason")
		for (i = 1; i <= nr_splats && i <= 5; i++)
			failure("console: " splats[i])
	}
}

function begin_test(test)
{
	name = test
	cases = bad = 0
	why = ""
	split("", plan); split("", seen); split("", child)
	forget_said()
}

function end_of_test(how, code,    d)
{
	for (d in plan) {
		if (seen[d] != plan[d])
			failure(name ": " seen[d] + 0 " of " plan[d] " planned results", \
				"the test ended early")
	}
	if (how == "signal") {
		failure(name ": killed by signal " code)
		print_said()
	} else if (code == 4 && !cases) {
		skipped++
		skips[name]++
		reason[name] = why
	} else if (code != 0 && !bad) {
		failure(name ": exit status " code " without a failed case")
		print_said()
	} else if (code == 0 && !cases) {
		passed++
	}
	ran[name] = 1
	last = name
	begin_test("")
}

BEGIN { MAX_SAID = 12 }

/^\001boot,/ { if (nr_boots) end_boot(); begin_boot(); next }
/^# start / { begin_test($3); next }
/^# end /   { if ($3 == name) end_of_test($4, $5); else failure("end of " $3 " without its start"); next }
/^# failure: / { sub(/^# failure: /, ""); failure($0); next }
/^# verdict / {
	if ($3 != nonce)
		failure("a verdict of another run: " $3)
	else
		verdict = $4
	next
}
verdict != "" && NF { failure("output after the verdict: " $0) }

name != "" && /^ *1\.\.[0-9]+/ {
	d = depth($0)
	# A case that skips in a process of its own says it that way.
	if (d in plan && $0 ~ /# *SKIP/)
		next
	sub(/^ *1\.\./, "")
	plan[d] = $1 + 0
	if ($0 ~ /# *SKIP/) { why = $0 }
	next
}
name != "" && /^ *(not )?ok [0-9]+/ {
	d = depth($0)
	seen[d]++
	if (child[d + 1]) {
		# The sum of the results below it, which are counted already.
		if (plan[d + 1] != "" && seen[d + 1] != plan[d + 1])
			failure(name ": " seen[d + 1] + 0 " of " plan[d + 1] " planned results")
		delete plan[d + 1]; delete seen[d + 1]; delete child[d + 1]
		child[d] = 1
		next
	}
	child[d] = 1
	cases++
	title = $0
	sub(/^ *(not )?ok [0-9]+ *(- *)?/, "", title)
	if ($0 ~ /# *SKIP/) {
		skipped++
		skips[name]++
		reason[name] = title
	} else if ($0 ~ /^ *not ok/) {
		bad++
		failure(name ": " title)
		print_said()
	} else {
		passed++
	}
	forget_said()
	next
}
name != "" && /^ *#/ { why = $0; sub(/^ *# */, "", why) }
name != "" { keep_said($0) }

END {
	end_boot()
	while ((getline line < mustrun) > 0) {
		if (line ~ /^ *(#|$)/)
			continue
		split(line, word, /[ \t]+/)
		must = word[1]
		listed++
		if (!ran[must])
			failure(must ": is on the must-run list and did not run")
		else if (skips[must])
			failure(must ": is on the must-run list and skipped: " reason[must])
	}
	if (!listed)
		failure("the must-run list is empty")

	printf "%d %d %d\n", passed, failures, skipped > "/dev/stderr"
}' 2>"$dir/totals" || die "the results cannot be read"

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
