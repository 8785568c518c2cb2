#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demo: boot the machine and in it a Linux TD guest, and migrate that while
# one watches.  The exit status tells whether the guest arrived whole.
#
# Usage: demo.sh OBJDIR
# Environment: DEMO_ARGS, more arguments for the demo program (DEMO_ARGS=--help)
# Leaves build/demo/report.txt and build/demo/migration.svg.
. "$(dirname "$0")/lib.sh"

obj=$1
out=$BUILD/demo
parts=$out/parts
run=$BUILD/run-demo
# The program gives up earlier; this is no measure of a machine that is slow.
limit=1500
mkdir -p "$parts"
rm -f "$out/report.txt" "$out/migration.svg"

# The migration TD, and the headers of the kernel that all parts need.
"$TOP/vmtest/selftests.sh" "$obj" "$BUILD/tests" x86/tdx_migtd
for part in demo demo/guest; do
	logged "$parts/${part##*/}.log" "$part does not build" \
		make -s -C "$TOP/$part" O="$parts/${part##*/}" KHDR="$obj/usr/include" all
done
build_init "$parts/init"

case " ${DEMO_ARGS:-} " in
*' --help '*) exec "$parts/demo/demo" --help ;;
esac

live=
[ ! -t 1 ] || live=--live
cat >"$parts/tests.list" <<END
demo $limit tdx=1,tdx_mig=1 /tests/demo --kernel /tests/bzImage --initrd /tests/initramfs.cpio --trace ${DEMO_ARGS:-} $live
END
"$TOP/vmtest/initramfs.sh" "$parts/machine.cpio" "$obj" "$parts/init" "$parts/tests.list" \
	"$parts/demo/demo" "$BUILD/tests/x86/tdx_migtd" \
	"$obj/arch/x86/boot/bzImage" "$parts/guest/initramfs.cpio"

say "booting the machine; everything below runs in it"
verdict=0
boot_and_judge "$run" "$obj" "$parts/machine.cpio" "$parts/tests.list" || verdict=1

# What was shown, without the status lines that others have replaced.
perl -ne 'next if /^# /; pop @line if s/^\e\[A\e\[K//; push @line, $_; END { print @line }' \
	"$run/results.log" >"$out/report.txt"
picture=$out/migration.svg
if "$parts/demo/picture" <"$run/results.log" >"$picture.tmp" 2>"$parts/picture.log"; then
	mv "$picture.tmp" "$picture"
else
	rm -f "$picture.tmp"
	picture="none: $(cat "$parts/picture.log")"
fi

if [ $verdict -ne 0 ]; then
	cat "$run/judgement"
	die "the migration failed" "all that the machine said is in $run" "picture: $picture"
fi
say "report:  $out/report.txt"
say "picture: $picture"
[ -e "$picture" ] || die "the migration cannot be drawn"
