#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot the machine and start a migration TD in it, from a TDVF image: IMAGE, e.g. that of
# Intel's MigTD, or one of the migration TD of the selftests.  It passes if the migration
# TD waits for requests and answers one.
#
# Usage: migtd.sh OBJDIR [IMAGE]
. "$(dirname "$0")/lib.sh"

obj=$1
image=${2:-}
parts=$BUILD/migtd
run=$BUILD/run-migtd
mkdir -p "$parts"
[ -z "$image" ] || [ -f "$image" ] || die "IMAGE=$image is no file"

"$TOP/vmtest/selftests.sh" "$obj" "$BUILD/tests" x86/tdx_migtd
logged "$parts/demo.log" "demo does not build" \
	make -s -C "$TOP/demo" O="$parts/demo" KHDR="$obj/usr/include" all
build_init "$parts/init"

files=("$parts/demo/start_migtd")
: >"$parts/tests.list"
if [ -n "$image" ]; then
	files+=("image=$image")
	path=/tests/image
else
	files+=("$BUILD/tests/x86/tdx_migtd")
	path=/tmp/image
	echo "image 120 tdx=1,tdx_mig=1 /tests/tdx_migtd --image $path" >>"$parts/tests.list"
fi
echo "migtd 300 tdx=1,tdx_mig=1 /tests/start_migtd $path" >>"$parts/tests.list"
"$TOP/vmtest/initramfs.sh" "$parts/machine.cpio" "$obj" "$parts/init" "$parts/tests.list" "${files[@]}"

say "booting the machine; everything below runs in it"
boot_and_judge "$run" "$obj" "$parts/machine.cpio" "$parts/tests.list" || {
	cat "$run/judgement"
	die "the migration TD does not start" "all that the machine said is in $run"
}
tail -n 1 "$run/judgement"
