#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot a kernel with an initramfs in QEMU; everything it leaves goes to DIR.
#
# Usage: run.sh DIR KERNEL INITRAMFS TESTS-LIST [KERNEL-OPTION...]
# Environment: that of machine.sh; KERNEL_OPTIONS=more kernel options, MEM=MiB,
#	DEVICES=more options of QEMU, one a line, SHOW=results|console|demo|none,
#	QUIET=SECONDS that it may say nothing besides those of a test
# A machine is ended that says nothing for longer than any test may, and one that talks
# for ever. DIR/status tells: hang, timeout, or the exit status of the emulator.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machine.sh"

dir=$1
kernel=$2
initramfs=$3
list=$4
shift 4
machine_begin "${MEM:-2048}"
devices=()
[ -z "${DEVICES:-}" ] || mapfile -t devices <<<"$DEVICES"
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
qemu-system-x86_64 "${machine_options[@]}" "${devices[@]}" \
	-kernel "$kernel" -initrd "$initramfs" \
	-serial "file:$dir/console.log" -serial "file:$dir/results.log" \
	-append "console=ttyS0 loglevel=5 panic=-1 panic_on_warn=1 oops=panic watchdog_thresh=60 $kernel_options vmtest.nonce=$nonce ${KERNEL_OPTIONS:-} $*" \
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
