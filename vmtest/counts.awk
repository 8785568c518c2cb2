# SPDX-License-Identifier: GPL-2.0
# Compare the figures of the programs that count with those of counts.list, a file each:
# print them, what has changed, and the goals.  The last line is the totals.
# Variables: made_by, the versions of compiler and emulator.

BEGIN {
	FS = "\t"
	# Of what should not differ at all, so that a change of the base kernel passes.
	limit = 3
	# How much the allocation of pages takes depends on what has been freed before, down to
	# the layout of unrelated code.
	limit_of_allocations = 10
}

FNR == NR {
	if (/^#/)
		next
	if ($1 == "made by gcc and QEMU") {
		# Other compilers generate other code, but not that much worse.
		if ($2 != made_by) {
			limit = limit_of_allocations = 25
			printf "counts.list was made by gcc and QEMU %s, these figures by %s\n\n", $2, made_by
		}
		next
	}
	last[$1, $2] = $3
	goal_of[$1, $2] = $4
	next
}

FNR == 1 {
	printf "%-52s %5s %10s %10s %8s %6s\n", "instructions in KVM, per page or call",
		"batch", "now", "last", "change", "goal"
}

{
	key = $2 SUBSEP $3
	verdict = ""
	most = limit
	if ($2 ~ /^IMPORT_MEM, new page$|^IMPORT_MEM in post-copy|^IMPORT_STATE_VP$|^blackout.* destination|^memory /)
		most = limit_of_allocations
	if (!(key in last)) {
		change = "new"
		verdict = "FAIL not in counts.list"
	} else {
		percent = last[key] ? ($4 - last[key]) * 100 / last[key] : $4 ? 100 : 0
		change = sprintf("%+.1f %%", percent)
		if (percent > most)
			verdict = sprintf("FAIL more than %d %%", most)
	}
	# By the size of the TD, from the smallest on, which has the fewest batches, and so the
	# least chance of one that takes long.
	if ($2 ~ /^mmu_lock held for write/) {
		if (!($2 in of_smallest))
			of_smallest[$2] = $4
		else if ($4 > of_smallest[$2] * 1.1)
			verdict = "FAIL grows with the TD"
	}
	goal = $5 ? $5 : ""
	# The goal is the program's.  What stands beside the figures must not differ from it.
	if (verdict == "" && goal != goal_of[key])
		verdict = "FAIL not the goal of counts.list"
	if (goal != "" && verdict == "")
		verdict = $4 <= goal ? "reached" : "missed"
	if (verdict ~ /^FAIL/)
		failed++
	else
		passed++
	printf "%-52s %5d %10.1f %10s %8s %6s  %s\n", $2 == what ? "" : $2, $3, $4, last[key],
		change, goal, verdict
	what = $2
	delete last[key]
}

END {
	for (key in last) {
		split(key, part, SUBSEP)
		printf "FAIL %s, batch of %d: no figure any more\n", part[1], part[2]
		failed++
	}
	printf "%d passed, %d failed\n", passed, failed
	exit failed ? 1 : 0
}
