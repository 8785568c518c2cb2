#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Check the series as those who get the mails would.  Ends with a line of totals.
#
# Usage: series-check.sh LINUX-TREE OBJDIR quick|full   OBJDIR has the installed headers
#
# quick: the mails end at the tree that is tested; checkpatch finds nothing in a mail but
#	what vmtest/mails.allow justifies; no mail is too large; each is signed off; each
#	new file has a maintainer; kernel-doc and the uapi header are sound.
# full:	the same, and the documents build without a warning, and the kernel builds after
#	each patch, and in the configurations below after the last one.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

base=$1
obj=$2
what=$3
tree=$BUILD/tree
dir=$BUILD/series-check
"$TOP/vmtest/deps.sh" static
mkdir -p "$dir"

# allowed MAIL: without what vmtest/mails.allow justifies for it: PATTERN TYPE -- REASON.
allowed() {
	awk -v mail="$1" 'FNR == NR {
		if (!/^#/ && NF && index(mail, $1) || $1 == "*") allow[$2]
		next
	}
	{ for (type in allow) if (index($0, ":" type ":")) next; print }' "$TOP/vmtest/mails.allow" -
}

# misspelled MAIL: what codespell finds in the text of a mail and in the lines that it adds, as
# checkpatch --codespell would say it, which takes minutes for a mail of many lines.
misspelled() {
	awk '/^---$/ { is_diff = 1 }
	{ print !is_diff || /^\+/ && !/^\+\+\+ / ? $0 : "" }' "$1" >"$dir/text"
	# Debian's codespell belongs to Debian's Python.
	PATH=/usr/bin:$PATH codespell "$dir/text" >"$dir/misspelled" || [ $? -eq 65 ] || return 1
	awk -v mail="$1" '{ sub(/^[^:]*:/, ""); sub(/:/, ": WARNING:TYPO_SPELLING:"); print mail ":" $0 }' \
		"$dir/misspelled"
}

# checked NAME LOG COMMAND...: a check whose result is the exit status of a command.
checked() {
	local name=$1 log=$2 ret=0
	shift 2
	"$@" >"$log" 2>&1 || ret=1
	[ "$ret" -eq 0 ] || tail -n 20 "$log"
	result "$name" "$ret"
}

checked "the mails end at the tree that is tested" "$dir/series.log" "$TOP/vmtest/series.sh" "$base"

mapfile -t mails < <(cd "$BUILD/series" && printf '%s\n' product/*.patch selftests/*.patch sim/*.patch |
	grep -v /0000-)
for mail in "${mails[@]}"; do
	file=$BUILD/series/$mail
	findings "$mail: checkpatch" "$({
		cd "$tree" && ./scripts/checkpatch.pl --strict --terse --no-summary --show-types \
			--max-line-length=100 "$file" 2>&1 || true
		misspelled "$file" || echo "codespell has failed"
	} | allowed "$mail")"
	findings "$mail: sign-off" "$(grep -q '^Signed-off-by: ' "$file" || echo "$mail has no Signed-off-by")"
	case $mail in
	product/*)
		# Documentation and the interface are read, not reviewed line by line.
		added=$(git apply --numstat "$file" | awk '
			$3 !~ /^Documentation\/|\/uapi\// { n += $1 } END { print n + 0 }')
		findings "$mail: size" "$([ "$added" -le 600 ] || echo "$added lines added, of 600 at most")"
		;;
	esac
done

while read -r file; do
	to=$(landing_path "$base" "$file")
	case $to in
	tools/testing/tdx-sim/traces/*) continue ;;
	esac
	roles=$(cd "$tree" && ./scripts/get_maintainer.pl --no-git --no-git-fallback \
		--no-tree --roles -f "$to" 2>/dev/null || true)
	case $roles in
	*maintainer:* | *supporter:*) roles= ;;
	*) roles="$to has no entry in MAINTAINERS" ;;
	esac
	findings "$file: maintainer" "$roles"
done < <(new_files)

mapfile -t documented < <(cd "$tree" && grep -lE '^/\*\*$' arch/x86/include/uapi/asm/kvm.h \
	arch/x86/kvm/vmx/tdx_{mig,servtd}*.[ch] arch/x86/virt/vmx/tdx/tdh_mig.c)
findings "kernel-doc" "$(cd "$tree" && ./scripts/kernel-doc -none -Wall -Werror "${documented[@]}" 2>&1 ||
	echo "kernel-doc has failed")"

checked "the uapi header as C, C++ and for 32 bits" "$dir/uapi.log" \
	"$TOP/vmtest/uapi-check.sh" "$obj/usr/include"

if [ "$what" = full ]; then
	# Only folders that have documents of the series; their neighbours may warn.
	"$TOP/vmtest/deps.sh" docs
	rm -rf "$dir/docs"
	make -s -C "$tree" O="$dir/docs" SPHINXDIRS="virt/kvm arch/x86" htmldocs \
		>"$dir/docs.log" 2>&1 && ret=0 || ret=1
	[ "$ret" -eq 0 ] || tail -n 20 "$dir/docs.log"
	for page in virt/kvm/tdx-migration virt/kvm/tdx-migration-cost virt/kvm/tdx-migration-qemu virt/kvm/tdx-migtd \
		virt/kvm/devices/tdx-mig-stream arch/x86/tdx-sim; do
		[ -n "$(find "$dir/docs" -path "*/$page.html")" ] || ret=1
	done
	result "the documents build" "$ret"
	findings "the documents: warnings" "$(grep -E 'WARNING|ERROR|warning:|error:' "$dir/docs.log" |
		grep -E 'tdx|virt/kvm/(api|locking|index|devices/index)\.rst' || true)"

	checked "the kernel builds after each patch" "$dir/bisect.log" "$TOP/vmtest/bisect.sh" "$base"

	# configuration LABEL SYMBOL...: build the last tree with them instead.  One after the other in
	# a folder, so that only what depends on what has changed is compiled, and may warn.  ccache
	# knows the first one, if that folder lies where the one of the kernel does.
	variant=$BUILD/series-kernel
	rm -rf "$variant"
	configuration() {
		local label=$1 ret=0
		shift
		printf '%s\n' "$@" >"$dir/config"
		"$TOP/vmtest/kernel.sh" "$variant" "$label" "bzImage modules" -- \
			"$TOP/vmtest/kernel.config" "$dir/config" >"$dir/$label.log" 2>&1 || ret=$?
		! grep -E 'warning: |WARNING: ' "$variant/build.log" >>"$dir/$label.log" || ret=1
		[ "$ret" -eq 0 ] || tail -n 20 "$dir/$label.log"
		result "the kernel builds: $label" "$ret"
	}
	configuration default
	configuration without-mig '# CONFIG_KVM_INTEL_TDX_MIG is not set' '# CONFIG_TDX_MIG_KUNIT_TEST is not set'
	configuration without-sim '# CONFIG_INTEL_TDX_SIM is not set'
	configuration without-tdx '# CONFIG_KVM_INTEL_TDX is not set' '# CONFIG_KVM_INTEL_TDX_MIG is not set' \
		'# CONFIG_TDX_MIG_KUNIT_TEST is not set'
	configuration built-in CONFIG_KVM=y CONFIG_KVM_INTEL=y CONFIG_KVM_AMD=y CONFIG_TDX_MIG_KUNIT_TEST=y
	# These two change all files, so they come last; the second one lacks what needs 64 bits.
	configuration without-kunit '# CONFIG_TDX_MIG_KUNIT_TEST is not set' '# CONFIG_KUNIT is not set'
	configuration 32-bit "$(printf '# CONFIG_%s is not set\n' 64BIT CONTIG_ALLOC INTEL_TDX_GUEST \
		INTEL_TDX_HOST INTEL_TDX_SIM KVM_INTEL_TDX KVM_INTEL_TDX_MIG KVM_SW_PROTECTED_VM \
		MEMORY_HOTPLUG MEMORY_HOTREMOVE MEMORY_ISOLATION SPARSEMEM_VMEMMAP TDX_HOST_SERVICES \
		TDX_MIG_KUNIT_TEST X86_X2APIC XEN XEN_PV)"
fi

totals
