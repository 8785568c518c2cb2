# SPDX-License-Identifier: GPL-2.0
# Count the objects in the output of kbuild, or the steps in that of ninja.
#
# Variables: label; total, how many there may be, or 0; tty, whether a line may be
# written over.

# show STEP: say how far it is.
function show(step, of, unit) {
	if (tty)
		printf "\r   %s: %d%s %s", label, step, of, unit
	else if (step % 400 == 0)
		printf "   %s: %d%s %s\n", label, step, of, unit
	fflush()
}

/^  (CC|AS|LD|AR|HOSTCC|CC \[M\]|LD \[M\])/ {
	show(++n, total ? " of about " total : "", "objects")
}
/^\[[0-9]+\/[0-9]+\] / {
	split(substr($1, 2), step, /[\/\]]/)
	show(n = step[1], " of " step[2], "steps")
}
END { if (tty && n) printf "\n" }
