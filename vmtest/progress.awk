# SPDX-License-Identifier: GPL-2.0
# Count the objects in the output of kbuild.
#
# Variables: label; total, how many there may be, or 0; tty, whether a line may be
# written over.

/^  (CC|AS|LD|AR|HOSTCC|CC \[M\]|LD \[M\])/ {
	n++
	if (tty)
		printf "\r   %s: %d%s objects", label, n, total ? " of about " total : ""
	else if (n % 400 == 0)
		printf "   %s: %d%s objects\n", label, n, total ? " of about " total : ""
	fflush()
}
END { if (tty && n) printf "\n" }
