#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demo: boot the machine and in it a Linux TD guest, and migrate that while
# one watches.  The exit status tells whether the guest arrived whole.
#
# Usage: demo.sh OBJDIR
# Environment: DEMO_ARGS, more arguments for the demo program (vmtest/demo/demo.c)
. "$(dirname "$0")/lib.sh"

obj=$1
out=$BUILD/demo
run=$BUILD/run-demo
mkdir -p "$out"

make -s -C "$BUILD/tree" O="$obj" headers >"$out/headers.log" 2>&1 || {
	tail -n 20 "$out/headers.log" >&2
	die "the kernel headers cannot be installed"
}
for part in demo guest; do
	make -s -C "$TOP/vmtest/$part" O="$out/$part" KHDR="$obj/usr/include" all \
		>"$out/$part.log" 2>&1 || {
		tail -n 20 "$out/$part.log" >&2
		die "vmtest/$part does not build"
	}
done
gcc -static -O2 -Wall -Wextra -Werror -o "$out/init" "$TOP/vmtest/init.c"

live=
[ ! -t 1 ] || live=--live
cat >"$out/tests.list" <<END
demo 120 tdx=1,tdx_mig=1 /tests/demo --kernel /tests/bzImage --initrd /tests/initramfs.cpio ${DEMO_ARGS:-} $live
END
"$TOP/vmtest/initramfs.sh" "$out/machine.cpio" "$obj" "$out/init" "$out/tests.list" \
	"$out/demo/demo" "$BUILD/guest/arch/x86/boot/bzImage" "$out/guest/initramfs.cpio"

say "booting the machine; everything below runs in it"
SHOW=demo "$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$out/machine.cpio" 180 tdxsim=on
echo demo >"$run/must-run.list"
if ! "$TOP/vmtest/judge.sh" "$run" >"$run/judgement"; then
	cat "$run/judgement"
	die "the migration failed" "all that the machine said is in $run"
fi
