#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Check the series of QEMU as those who get the mails would.  Ends with a line of totals.
#
# Usage: check.sh QEMU-TREE LINUX-TREE   the bases of build/qemu-tree and build/tree
#
# The mails end at the tree that is built; QEMU's checkpatch finds nothing in a mail but what
# vmm/qemu/mails.allow justifies; each is signed off; each new file has a maintainer;
# QEMU's copies of the kernel's headers have what the series of the kernel adds to them;
# and the series passes its own test, which needs no TDX.
. "$(dirname "$0")/../../vmtest/lib.sh"
export SERIES_PATHS=vmm/qemu/paths.sh
. "$TOP/vmtest/patches.sh"

base=$1
linux=$2
log=$BUILD/qemu-check
"$TOP/vmtest/deps.sh" static

ret=0
"$TOP/vmtest/series.sh" "$base" >"$log" 2>&1 || ret=1
[ "$ret" -eq 0 ] || tail -n 20 "$log"
result "the mails end at the tree that is built" "$ret"

# allowed MAIL: without what vmm/qemu/mails.allow justifies for it: PATTERN TEXT -- REASON.
allowed() {
	awk -v mail="$1" 'FNR == NR {
		if (!/^#/ && NF && (index(mail, $1) || $1 == "*")) { sub(/^[^ ]+ +/, ""); sub(/ +-- .*/, ""); allow[n++] = $0 }
		next
	}
	{ for (i = 0; i < n; i++) if (index($0, allow[i])) next; print }' "$TOP/vmm/qemu/mails.allow" -
}

# checkpatch asks the Python in the PATH, which need not be that of Debian.
dictionary=$(dpkg-query -L codespell 2>/dev/null | grep '/dictionary\.txt$' || true)
mapfile -t mails < <(cd "$mail_dir" && printf '%s\n' ./*.patch | sed 's,^\./,,' | grep -v ^0000-)
for mail in "${mails[@]}"; do
	findings "$mail: checkpatch" "$(cd "$tree" && ./scripts/checkpatch.pl --terse --no-summary \
		--codespell --codespellfile="$dictionary" "$mail_dir/$mail" 2>&1 | allowed "$mail" || true)"
	findings "$mail: sign-off" "$(grep -q '^Signed-off-by: ' "$mail_dir/$mail" ||
		echo "$mail has no Signed-off-by")"
done

while read -r file; do
	roles=$(cd "$tree" && ./scripts/get_maintainer.pl --nogit --nogit-fallback --roles -f "$file" 2>/dev/null || true)
	case $roles in
	*maintainer:* | *supporter:*) roles= ;;
	*) roles="$file has no entry in MAINTAINERS" ;;
	esac
	findings "$file: maintainer" "$roles"
done < <(new_files)

# added OLD NEW: the lines that NEW has in addition.
added() { { diff "$1" "$2" || true; } | sed -n 's/^> //p'; }

# up_to_stream HEADER: the types of KVM devices, whose order is their number.
up_to_stream() { sed -n '/^enum kvm_device_type/,/KVM_DEV_TYPE_TDX_MIG_STREAM,/p' "$1"; }

while read -r from to; do
	# All of the kernel's lines, in their order.
	wanted=$(added "$linux/$from" "$BUILD/tree/$from")
	[ -n "$wanted" ] || wanted="$from adds nothing"
	findings "$to: what the kernel adds" "$(diff <(echo "$wanted") <(added "$base/$to" "$tree/$to") |
		sed -n 's/^< /missing: /p')"
done <<'END'
arch/x86/include/uapi/asm/kvm.h linux-headers/asm-x86/kvm.h
include/uapi/linux/kvm.h linux-headers/linux/kvm.h
END
findings "linux-headers/linux/kvm.h: the numbers of devices" "$(diff \
	<(up_to_stream "$BUILD/tree/include/uapi/linux/kvm.h") <(up_to_stream "$tree/linux-headers/linux/kvm.h"))"

# Postcopy is skipped if userfaultfd is not for everybody, and who calls is not root.
qtest=tests/qtest/confidential-guest-test
qtest_log=$BUILD/qemu-check.qtest
logged "$qtest_log" "$qtest does not build" ninja -C "$BUILD/qemu" "$qtest"
ret=0
(cd "$BUILD/qemu" && QTEST_QEMU_BINARY=./qemu-system-x86_64 "$qtest") >"$qtest_log" 2>&1 || ret=1
grep '# SKIP' "$qtest_log" || true
[ "$ret" -eq 0 ] || tail -n 20 "$qtest_log"
result "$qtest" "$ret"

totals
