#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot a kernel with an initramfs in QEMU; everything it leaves goes to DIR.
#
# Usage: run.sh DIR KERNEL INITRAMFS TESTS-LIST [KERNEL-OPTION...]
# Environment: KERNEL_OPTIONS=more kernel options, ACCEL=tcg|kvm, VENDOR=GenuineIntel|AuthenticAMD, MEM=MiB, CPUS=n,
#	PREALLOC=on for a machine whose memory is there from the start, SHOW=results|console|demo|none,
#	QUIET=SECONDS that it may say nothing besides those of a test
# A machine is ended that says nothing for longer than any test may, and one that talks
# for ever. DIR/status tells: hang, timeout, or the exit status of the emulator.
# CPUS are those that run. QEMU's TCG can break VMs on the first one, so that is left
# to the kernel: by the software TDX platform, or with one CPU for all. A TD can
# have as many vCPUs as the machine has CPUs, so there are more of them, which stay
# offline and cost nothing.
. "$(dirname "$0")/lib.sh"

dir=$1
kernel=$2
initramfs=$3
list=$4
shift 4
accel=${ACCEL:-tcg}
mem=${MEM:-2048}
cpus=${CPUS:-3}
present=8
max_quiet=$(awk -v quiet="${QUIET:-300}" '$2 > max { max = $2 } END { printf "%d", max + quiet }' "$list")
max_total=$(awk -v quiet="${QUIET:-300}" '{ s += 10 * $2 } END { printf "%d", s + quiet }' "$list")

# What an earlier run left may not be taken for this one's.
rm -rf "$dir"
mkdir -p "$dir"
nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
echo "$nonce" >"$dir/nonce"
cp "$list" "$dir/tests.list"
: >"$dir/results.log"
: >"$dir/console.log"

case $accel in
tcg)
	cpu=max,vendor=${VENDOR:-GenuineIntel},+svm,phys-bits=48
	# On a loaded machine the kernel would measure anything.
	if [ ! "$BUILD/tsc" -nt "$TOP/vmtest/tsc.c" ]; then
		gcc -O2 -Wall -Wextra -Werror -o "$BUILD/tsc.$$" "$TOP/vmtest/tsc.c"
		mv "$BUILD/tsc.$$" "$BUILD/tsc"
	fi
	set -- "$@" "tsc_early_khz=$("$BUILD/tsc")"
	;;
# Not as a guest of KVM, whose clock would be another one.
kvm) cpu=host,kvm=off ;;
*) die "ACCEL=$accel is neither tcg nor kvm" ;;
esac

case ${SHOW:-results} in
results) tail -n +1 -F "$dir/results.log" 2>/dev/null | perl "$TOP/vmtest/watch.pl" & ;;
console) tail -n +1 -F "$dir/console.log" 2>/dev/null & ;;
demo) tail -n +1 -F "$dir/results.log" 2>/dev/null | perl "$TOP/vmtest/show.pl" & ;;
*) sleep infinity & ;;
esac
watcher=$!
vm=
guard=
trap 'pkill -P $watcher 2>/dev/null || true; kill $watcher $guard $vm 2>/dev/null || true' EXIT

# End a machine that makes no progress.  The seconds are those that this process gets,
# of which a busy host takes from both.
guard() {
	local quiet=0 total=0 size last=

	while sleep 1; do
		size=$(stat -c %s "$dir/results.log" "$dir/console.log")
		if [ "$size" != "$last" ]; then
			last=$size
			quiet=0
		fi
		quiet=$((quiet + 1))
		total=$((total + 1))
		[ $quiet -le "$max_quiet" ] || break
		[ $total -le "$max_total" ] || break
	done
	[ $quiet -gt "$max_quiet" ] && echo hang >"$dir/ended" || echo timeout >"$dir/ended"
	kill "$vm" 2>/dev/null || return 0
	sleep 5
	kill -KILL "$vm" 2>/dev/null || true
}

ret=0
qemu-system-x86_64 -machine q35 \
	-accel "$accel" -cpu "$cpu" -smp "$present" -m "$mem" \
	-object "memory-backend-ram,id=ram,size=${mem}M,prealloc=${PREALLOC:-off}" \
	-machine memory-backend=ram \
	-nodefaults -no-user-config -display none -no-reboot \
	-kernel "$kernel" -initrd "$initramfs" \
	-serial "file:$dir/console.log" -serial "file:$dir/results.log" \
	-append "console=ttyS0 loglevel=5 panic=-1 panic_on_warn=1 oops=panic no_timer_check watchdog_thresh=60 maxcpus=$cpus vmtest.nonce=$nonce ${KERNEL_OPTIONS:-} $*" \
	</dev/null >"$dir/qemu.log" 2>&1 &
vm=$!
guard &
guard=$!
wait $vm || ret=$?
vm=
[ ! -e "$dir/ended" ] || ret=$(cat "$dir/ended")
echo "$ret" >"$dir/status"
# Let the watcher print what came last.
[ "${SHOW:-results}" = none ] || sleep 1
