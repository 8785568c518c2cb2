#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the tests of QEMU's migration in a host.
#
# Usage: run.sh OBJDIR all|smoke|WORD...    as in main.py
# Environment: MOVES=, ACCIDENTS= and SEED= of TEST=soak; QEMU_BIN=/path/of/qemu-system-x86_64; that of host/run.sh
# What QEMU and the guests of failed tests have said is in build/qemu-tests/share/logs.
. "$(dirname "$0")/../../../vmtest/lib.sh"

obj=$1
shift
tests=$TOP/vmm/qemu/tests
out=$BUILD/qemu-tests
share=$out/share
qemu=${QEMU_BIN:-$BUILD/qemu/install/bin/qemu-system-x86_64}

[ -x "$qemu" ] || die "there is no QEMU in $qemu" "make qemu builds it"
mkdir -p "$share"
"$TOP/vmtest/selftests.sh" "$obj" "$BUILD/tests" x86/tdx_migtd
logged "$out/guest.log" "the guest of the tests does not build" make -s -C "$tests/guest" O="$out/guest"
cat >"$out/guest.list" <<END
dir /dev 0755 0 0
nod /dev/console 0600 0 0 c 5 1
dir /proc 0755 0 0
dir /sys 0755 0 0
file /init $out/guest/init 0755 0 0
END
"$obj/usr/gen_init_cpio" "$out/guest.list" >"$share/guest.cpio"

rm -rf "$share"/*.py "$share/logs"
cp "$tests"/*.py "$share/"
cp -u "$qemu" "$share/qemu-system-x86_64"
cp -u "$BUILD/tests/x86/tdx_migtd" "$share/"
SHARE=$share LIMIT=${LIMIT:-900} exec "$TOP/host/run.sh" "$obj" env "SLOW=${SLOW:-1}" "MOVES=${MOVES:-}" \
	"ACCIDENTS=${ACCIDENTS:-}" "SEED=${SEED:-}" python3 main.py "$@"
