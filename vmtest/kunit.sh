#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the KUnit tests of the driver in the machine, and nothing else.  Ends with a line
# for each suite, and one of totals.
#
# Usage: kunit.sh OBJDIR
. "$(dirname "$0")/lib.sh"

run=$BUILD/run-tdx_mig_kunit
rm -rf "$run"
ret=0
"$TOP/vmtest/test.sh" "$1" tdx_mig_kunit || ret=$?
[ -e "$run/totals" ] || exit 1

say "the suites, and what their cases have found"
awk '/^# Totals: / { printf "   %-32s %s %s\n", suite, $3, $4; next }
	/^# [^ ]*: pass:/ { suite = substr($2, 1, length($2) - 1) }' "$run/results.log"
read -r passed failed skipped <"$run/totals"
echo "$passed passed, $failed failed, $skipped skipped"
exit $ret
