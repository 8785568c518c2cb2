#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Pack an initramfs for the test machine.
#
# Usage: initramfs.sh OUT OBJDIR INIT TESTS-LIST [PROGRAM|FILE=PATH]...
# OBJDIR gives gen_init_cpio and the modules; programs land in /tests.
. "$(dirname "$0")/lib.sh"

out=$1
obj=$2
init=$3
list=$4
shift 4

spec=$(mktemp)
trap 'rm -f "$spec" "$out.tmp"' EXIT
{
	echo "dir /dev 0755 0 0"
	echo "nod /dev/console 0600 0 0 c 5 1"
	echo "dir /modules 0755 0 0"
	echo "dir /tests 0755 0 0"
	echo "dir /tmp 0755 0 0"
	echo "file /init $init 0755 0 0"
	echo "file /tests.list $list 0644 0 0"
	echo "file /splats.list $TOP/vmtest/splats.list 0644 0 0"
	find "$obj/virt" "$obj/arch/x86/kvm" "$obj/drivers/virt" -name '*.ko' | while read -r ko; do
		echo "file /modules/$(basename "$ko") $ko 0644 0 0"
	done
	for f; do
		case $f in
		*=*) echo "file /tests/${f%%=*} ${f#*=} 0755 0 0" ;;
		*) echo "file /tests/$(basename "$f") $f 0755 0 0" ;;
		esac
	done
} >"$spec"
"$obj/usr/gen_init_cpio" "$spec" >"$out.tmp"
mv "$out.tmp" "$out"
