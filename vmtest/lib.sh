# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts here: messages, failure, and steps that are either done
# completely or not at all.

set -euo pipefail
export LC_ALL=C

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}

say() { printf '%s\n' "== $*"; }

die() {
	printf 'error: %s\n' "$1" >&2
	shift
	local hint
	for hint; do
		printf '       %s\n' "$hint" >&2
	done
	exit 1
}

# progress LABEL TOTAL: turn build output on stdin into one living line on a
# terminal, or a line every so often in a log.
progress() {
	awk -v label="$1" -v total="${2:-0}" -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
		/^  (CC|AS|LD|AR|HOSTCC|CC \[M\]|LD \[M\])/ {
			n++
			if (tty)
				printf "\r   %s: %d%s objects", label, n, total ? " of about " total : ""
			else if (n % 400 == 0)
				printf "   %s: %d%s objects\n", label, n, total ? " of about " total : ""
			fflush()
		}
		END { if (tty && n) printf "\n" }'
}
