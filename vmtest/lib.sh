# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the scripts here: messages, failure, and steps that are either done
# completely or not at all.

set -euo pipefail
export LC_ALL=C
# The tools of ext4, for those who are not root.
export PATH=$PATH:/usr/sbin:/sbin

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

# logged LOG MESSAGE COMMAND...: run a command into a log, which is shown if it fails.
logged() {
	local log=$1 message=$2
	shift 2
	"$@" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "$message"
	}
}

# The lines of a list that are no comments.
lines_of() { grep -vE '^[[:space:]]*(#|$)' "$1" || true; }

# progress LABEL TOTAL: turn build output on stdin into one living line on a
# terminal, or a line every so often in a log.
progress() {
	awk -v label="$1" -v total="${2:-0}" -v tty="$([ -t 1 ] && echo 1 || echo 0)" \
		-f "$TOP/vmtest/progress.awk"
}

# The compiler: ccache where it is there, with the same results in any folder.
cc=gcc
if command -v ccache >/dev/null; then
	cc="ccache gcc"
	export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1
	export KBUILD_BUILD_TIMESTAMP='' KBUILD_BUILD_USER=tdx-mig KBUILD_BUILD_HOST=vmtest
fi

# kbuild TREE OBJDIR ARGUMENT...: make in a kernel tree.  What a file includes is in the
# dependencies that kbuild asks for, so ccache need not preprocess it first.
kbuild() {
	local tree=$1 obj=$2
	shift 2
	CCACHE_DEPEND=1 make -C "$tree" O="$obj" CC="$cc" -j"${JOBS:-$(nproc)}" "$@"
}

# merge_config TREE OBJDIR FRAGMENT...: configure tinyconfig with the fragments on top.
# Symbols that are not there are dropped.
merge_config() {
	local tree=$1 obj=$2
	shift 2
	rm -rf "$obj"
	mkdir -p "$obj"
	{
		make -s -C "$tree" O="$obj" tinyconfig &&
			(cd "$tree" && ./scripts/kconfig/merge_config.sh -m -O "$obj" "$obj/.config" "$@") &&
			make -s -C "$tree" O="$obj" olddefconfig
	} || die "the kernel in $tree cannot be configured"
}

# build_init OUT: PID 1 of the machine.
build_init() {
	gcc -static -O2 -Wall -Wextra -Werror -o "$1" "$TOP/vmtest/init.c" "$TOP/vmtest/leaks.c"
}

# What depends on the version of the TDX module, and a migration from end to end.
# shellcheck disable=SC2034 # for those who boot the machine with one
core_tests=(tdx_mig_dst_params_test tdx_mig_vcpu_test tdx_mig_bundle_interrupt_test tdx_mig_example_test
	tdx_servtd_phase_test tdx_cpuid_test)

# boot_and_judge RUN OBJDIR INITRAMFS TESTS-LIST: boot the machine for a program that one
# watches, and judge it.  RUN/judgement says why it has not passed.
boot_and_judge() {
	SHOW=demo "$TOP/vmtest/run.sh" "$1" "$2/arch/x86/boot/bzImage" "$3" "$4" tdxsim=on ||
		die "the machine cannot be booted"
	"$TOP/vmtest/judge.sh" "$1" >"$1/judgement"
}

# The counts of a script that checks one thing after another.
passed=0
failed=0

# result NAME STATUS: count a check, and name it if it has failed.
result() {
	if [ "$2" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'FAIL %s\n' "$1"
	fi
}

# findings NAME TEXT: a check whose findings are its output.
findings() {
	if [ -z "$2" ]; then
		result "$1" 0
	else
		sed -n 1,5p <<<"$2"
		result "$1" 1
	fi
}

# The last line of such a script; it fails if a check has.
totals() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
