# SPDX-License-Identifier: GPL-2.0
# Judge the results of all boots of a run, as judge.sh puts them in a row: a line for
# each failure, and the totals to stderr.
#
# Variables: list, what had to run; splats, the file of what no kernel may say.

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

function read_patterns(    line)
{
	while ((getline line < splats) > 0) {
		if (line ~ /^- /)
			harmless[substr(line, 3)]
		else if (line !~ /^(#|$)/)
			bad_words[line]
	}
	close(splats)
}

function is_splat(line,    word)
{
	for (word in harmless)
		if (index(line, word))
			return 0
	for (word in bad_words)
		if (index(line, word))
			return 1
	return 0
}

# Read the console of this boot for what no kernel may say.
function find_splats(    line, console)
{
	console = boot "/console.log"
	nr_splats = 0
	while ((getline line < console) > 0) {
		if (is_splat(line)) {
			sub(/\r$/, "", line)
			splat[++nr_splats] = substr(line, 1, 160)
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
			printf "     console: %s\n", splat[i]
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
			failure("console: " splat[i])
	}
}

function begin_test(test)
{
	name = test
	cases = bad = planned = 0
	why = ""
	split("", plan); split("", seen); split("", child)
	forget_said()
}

# Programs of the base may say nothing but their exit status.
function needs_plan(test) { return test ~ /^tdx_/ }

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
	} else if (code == 0 && needs_plan(name) && !(planned && cases)) {
		failure(name ": " (planned ? "no case" : "no plan") ", and exit status 0")
		print_said()
	} else if (code == 0 && !cases) {
		passed++
	}
	ran[name] = 1
	last = name
	begin_test("")
}

BEGIN { MAX_SAID = 12; read_patterns() }

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
	# Each suite of a KUnit module has a plan of its own.
	plan[d] += $1
	planned = 1
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
	while ((getline line < list) > 0) {
		if (line ~ /^ *(#|$)/)
			continue
		split(line, word, /[ \t]+/)
		must = word[1]
		listed++
		if (!ran[must])
			failure(must ": did not run")
		else if (skips[must])
			failure(must ": skipped: " reason[must])
	}
	if (!listed)
		failure("the list of tests is empty")

	printf "%d %d %d\n", passed, failures, skipped > "/dev/stderr"
}
