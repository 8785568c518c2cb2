#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Show a run while it goes on: a line for each test with its count of cases, on
# a terminal a living one.
exec awk -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
/^# vmtest: / { sub(/^# vmtest: /, ""); print "   " $0; fflush() }
/^# start /   { name = $3; ok = bad = skip = 0; if (tty) { printf "   %-32s", name; fflush() } }
/^ *not ok /  { bad++ }
/^ *ok .*# *SKIP/ { skip++; next }
/^ *ok /      { ok++; if (tty) { printf "\r   %-32s %4d", name, ok; fflush() } }
/^# end /     {
	printf "%s   %-32s %4d ok%s%s%s  %s s\n", tty ? "\r" : "", name, ok, \
		bad ? sprintf(", %d FAILED", bad) : "", skip ? sprintf(", %d skipped", skip) : "", \
		$4 == "status" && $5 != 0 && $5 != 4 && !bad ? ", exit status " $5 : \
		$4 == "signal" ? ", killed by signal " $5 : "", $6
	fflush()
}
/^# failure: / { print "   " $0; fflush() }'
