#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot a kernel with an initramfs in QEMU; everything it leaves goes to DIR.
#
# Usage: run.sh DIR KERNEL INITRAMFS SECONDS [KERNEL-OPTION...]
# Environment: KERNEL_OPTIONS=more kernel options, ACCEL=tcg|kvm, VENDOR=GenuineIntel|AuthenticAMD, MEM=MiB, CPUS=n,
#	PREALLOC=on for a machine whose memory is there from the start, SHOW=results|console|demo|none
# CPUS are those that run. QEMU's TCG can break VMs on the first one, so that is left
# to the kernel: by the software TDX platform, or with one CPU for all. A TD can
# have as many vCPUs as the machine has CPUs, so there are more of them, which stay
# offline and cost nothing.
. "$(dirname "$0")/lib.sh"

dir=$1
kernel=$2
initramfs=$3
seconds=$4
shift 4
accel=${ACCEL:-tcg}
mem=${MEM:-2048}
cpus=${CPUS:-3}
present=8

# What an earlier run left may not be taken for this one's.
rm -rf "$dir"
mkdir -p "$dir"
nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
echo "$nonce" >"$dir/nonce"
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
kvm) cpu=host ;;
*) die "ACCEL=$accel is neither tcg nor kvm" ;;
esac

case ${SHOW:-results} in
results) tail -n +1 -F "$dir/results.log" 2>/dev/null | "$TOP/vmtest/watch.sh" & ;;
console) tail -n +1 -F "$dir/console.log" 2>/dev/null & ;;
demo)
	# Lines end with a carriage return when the next one is to replace them.
	tail -n +1 -F "$dir/results.log" 2>/dev/null | perl -e '
		$| = 1;
		while (sysread STDIN, $buf, 4096, length $buf) {
			while ($buf =~ s/^([^\r\n]*[\r\n])//) {
				my $line = $1;
				print $line unless $line =~ /^# /;
			}
		}' &
	;;
*) sleep infinity & ;;
esac
watcher=$!
trap 'pkill -P $watcher 2>/dev/null || true; kill $watcher 2>/dev/null || true' EXIT

ret=0
timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -machine q35 \
	-accel "$accel" -cpu "$cpu" -smp "$present" -m "$mem" \
	-object "memory-backend-ram,id=ram,size=${mem}M,prealloc=${PREALLOC:-off}" \
	-machine memory-backend=ram \
	-nodefaults -no-user-config -display none -no-reboot \
	-kernel "$kernel" -initrd "$initramfs" \
	-serial "file:$dir/console.log" -serial "file:$dir/results.log" \
	-append "console=ttyS0 loglevel=5 panic=-1 panic_on_warn=1 oops=panic no_timer_check maxcpus=$cpus vmtest.nonce=$nonce ${KERNEL_OPTIONS:-} $*" \
	</dev/null >"$dir/qemu.log" 2>&1 || ret=$?
[ "$ret" -ne 124 ] && [ "$ret" -ne 137 ] || ret=timeout
echo "$ret" >"$dir/status"
# Let the watcher print what came last.
sleep 1
