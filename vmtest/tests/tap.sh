# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the tests of the harness, after lib.sh: a folder to work in, and cases in TAP.
# The caller prints the plan, with n, and fails if there are bad ones.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

# verdict NAME STATUS OUTPUT: the result of a case.
verdict() {
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		printf '# %s\n' "${3//$'\n'/$'\n# '}"
		bad=$((bad + 1))
	fi
}
