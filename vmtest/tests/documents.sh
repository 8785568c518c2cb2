#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the check of the documents: a tree as it is, and what can go wrong with
# documents, header and driver, each of which must be found.  TAP.
#
# Usage: documents.sh LINUX-TREE   a tree with the series, e.g. build/tree
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

tree=$1

reference=Documentation/virt/kvm/devices/tdx-mig-stream.rst
concepts=Documentation/virt/kvm/tdx-migration.rst
cost=Documentation/virt/kvm/tdx-migration-cost.rst
abi=Documentation/virt/kvm/x86/intel-tdx.rst
api=Documentation/virt/kvm/api.rst
uapi=arch/x86/include/uapi/asm/kvm.h
driver=$(cd "$tree" && grep -l 'tdx_mig_commands\[KVM_' arch/x86/kvm/vmx/*.c)

(cd "$tree" && find Documentation/virt/kvm arch/x86/kvm/vmx "$uapi" include/uapi/linux/kvm.h \
	arch/x86/include/asm/shared arch/x86/virt/vmx/tdx/sim -type f |
	cpio -pdm --quiet "$work/good")

# finds NAME PATTERN FILE SED-SCRIPT: an edit that has to change the file, and to be
# found as PATTERN.
finds() {
	local ret=0 good=0
	rm -rf "$work/tree"
	cp -r "$work/good" "$work/tree"
	sed -i "$4" "$work/tree/$3"
	! cmp -s "$work/good/$3" "$work/tree/$3" || good=1
	"$TOP/vmtest/doc-check.pl" "$work/tree" >"$work/out" 2>&1 || ret=$?
	[ $ret -ne 0 ] || good=1
	grep -q -- "^FAIL .*$2" "$work/out" || good=1
	grep -q '[1-9][0-9]* failed$' "$work/out" || good=1
	verdict "$1" $good "$(cat "$work/out")"
}

echo "TAP version 13"

"$TOP/vmtest/doc-check.pl" "$work/good" >"$work/out" 2>&1 && ret=0 || ret=1
verdict "documents, header and driver agree" "$ret" "$(cat "$work/out")"

finds "a command without a row in the reference" "IMPORT_COMMIT: no row in $reference" \
	$reference '/^  IMPORT_COMMIT /d'
finds "a row for a command that does not exist" "IMPORT_RESUME is no command" \
	$reference 's/^  IMPORT_END   /  IMPORT_RESUME/'
finds "a command without a row in the driver" "IMPORT_END: no row in tdx_mig_commands" \
	"$driver" 's/TDX_MIG_COMMAND(IMPORT_END,/TDX_MIG_COMMAND(IMPORT_LAST,/'
finds "a command without kernel-doc" "EXPORT_PAUSE: no kernel-doc" \
	$uapi 's/ \* @KVM_TDX_MIG_EXPORT_PAUSE:/ * EXPORT_PAUSE:/'
finds "a new command that nobody describes" "EXPORT_RESUME: no row in tdx_mig_commands" \
	$uapi 's/^\tKVM_TDX_MIG_IMPORT_ABORT,/&\n\tKVM_TDX_MIG_EXPORT_RESUME,/'
finds "a phase that the driver allows and the reference does not" "IMPORT_MEM: legal in" \
	$reference 's/memory, state, post or live import/memory, state or post import/'
finds "a phase that the reference allows and the driver does not" "EXPORT_TRACK: legal in" \
	"$driver" '/TDX_MIG_COMMAND(EXPORT_TRACK/{n;s/ | PHASE(PAUSED_EXPORT)//}'
finds "a phase that does not exist" "there is no phase PAUSE_EXPORT" \
	$reference 's/-> paused export/-> pause export/'
finds "a row that cannot be read" "odd row" $reference 's/^  EXPORT_MEM  .*/  EXPORT_MEM/'
finds "a command that is bound to stream 0 in the driver alone" "IMPORT_COMMIT: stream 'any'" \
	"$driver" '/TDX_MIG_COMMAND(IMPORT_COMMIT/{n;n;s/TDX_MIG_CMD_STOP/& | TDX_MIG_CMD_STREAM0/}'
finds "a command that does not stop vCPUs any more" "IMPORT_TRACK: vCPUs 'stop'" \
	"$driver" '/TDX_MIG_COMMAND(IMPORT_TRACK/{n;n;s/ | TDX_MIG_CMD_STOP//}'
finds "vCPUs that run in the reference alone" "EXPORT_STATE_TD: vCPUs 'run'" \
	$reference 's/^\(  EXPORT_STATE_TD         0       \)   /\1run/'
finds "kernel-doc that turns the direction of data" "EXPORT_STATE_TD: kernel-doc" \
	$uapi '/@KVM_TDX_MIG_EXPORT_STATE_TD:/{n;s/(out)/(in)/}'
finds "a command that takes data which kernel-doc ignores" "IMPORT_COMMIT: kernel-doc" \
	"$driver" '/TDX_MIG_COMMAND(IMPORT_COMMIT/{n;n;s/TDX_MIG_CMD_STOP/& | TDX_MIG_CMD_IN/}'
finds "a name that has changed in the header" "KVM_TDX_SERVTD_BIND is not in" \
	$uapi 's/\(\t\)KVM_TDX_SERVTD_BIND,/\1KVM_TDX_SERVTD_ATTACH,/'
finds "a flag that has changed in the header" "KVM_TDX_INIT_VM_F_MIG_DEST is not in" \
	$uapi 's/#define KVM_TDX_INIT_VM_F_MIG_DEST/#define KVM_TDX_INIT_VM_F_DEST/'
finds "a misspelt command" "IMPORT_STATE_TDS is no command" \
	$concepts 's/IMPORT_STATE_TD,/IMPORT_STATE_TDS,/'
finds "a status that does not exist" "there is no status SEPT_WALKS_FAILED" \
	$concepts 's/SEPT_WALK_FAILED/SEPT_WALKS_FAILED/'
finds "a status of the module that does not exist" "no status TDX_EXPORTED_PAGES_REMAIN" \
	$concepts 's/TDX_EXPORTED_DIRTY_PAGES_REMAIN/TDX_EXPORTED_PAGES_REMAIN/'
finds "a structure that grows" "struct kvm_tdx_capabilities is not what" \
	$abi 's/__u64 reserved\[242\]/__u64 reserved[250]/'
finds "a structure that loses a member" "struct kvm_tdx_servtd_bind is not what" \
	$uapi '/^struct kvm_tdx_servtd_bind {/,/^}/{/__u64 handle;/d}'
finds "an enumerator that moves" "enum kvm_tdx_mig_vm_cmd_id is not what" \
	$uapi 's/KVM_TDX_SERVTD_PREBIND = 64/KVM_TDX_SERVTD_PREBIND = 65/'
finds "a flag with another value" "KVM_MEMORY_EXIT_FLAG_MISSING is not" \
	$api 's/\(FLAG_MISSING\t\)(1ULL << 4)/\1(1ULL << 5)/'
finds "another size of the MBMD" "size of the MBMD: says 48, is 64" \
	$uapi 's/\(TDX_MIG_MBMD_SIZE\t*\)48/\164/'
finds "an MBMD that has not its size" "TDX_MIG_MBMD_SIZE: is not 40" \
	$uapi '/^struct tdx_mig_mbmd {/,/^}/{/type_info;/d}'
finds "a map that the header does not have" "TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET: starts at" \
	$uapi 's/\(TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET\t*\)4/\15/'
finds "longer bundles" "pages of a bundle: says 512, is 1024" \
	$uapi 's/\(TDX_MIG_BUF_LIST_PAGES_MAX\t*\)512/\11024/'
finds "commands with other numbers" "first command of a VM: says 60" \
	$reference 's/where they start at 64/where they start at 60/'
finds "a cost that has changed" "cost: EXPORT_TRACK, an epoch token: says" \
	$cost 's/^\(  EXPORT_TRACK, .*\) [0-9,]*$/\1 12/'
finds "a cost that nobody counts" "cost: EXPORT_MEM: is in one of them alone" \
	$cost 's/^  EXPORT_MEM   /  EXPORT_PAGE  /'
row='IMPORT_MEM, 512 pages that are not there'
finds "another goal" "goal: $row: says 400, is 300" $cost "s/^\(  $row  *\)300 /\1400 /"
finds "a count beside a goal that has changed" "goal: $row: says 290, is 1025.2" \
	$cost "s/^\(  $row  *300 *\) [0-9,.]* /\1 290 /"
finds "a goal that is said to be reached" "goal: $row: says reached, is missed" \
	$cost "s/^\(  $row .*\)missed/\1reached/"
finds "a goal that is not told any more" "goal: $row: is in one of them alone" \
	$cost "/^  $row /d"

cp "$TOP/vmtest/doc-check.pl" "$work"
sed 's/^EXPORT_PAUSE\t.*/&\t2000/' "$TOP/vmtest/counts.list" >"$work/counts.list"
"$work/doc-check.pl" "$work/good" >"$work/out" 2>&1 && ret=1 || ret=0
grep -q '^FAIL goals that nobody is told: EXPORT_PAUSE, batch of 1$' "$work/out" || ret=1
verdict "a new goal that the document has not" "$ret" "$(cat "$work/out")"

finds "a number that is not said any more" "is not said any more" \
	$reference 's/MBMD, 48 bytes/MBMD/'

echo "1..$n"
[ "$bad" -eq 0 ]
