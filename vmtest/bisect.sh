#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the host kernel after each patch of the series, the way git bisect would
# come across it.  None may fail to build, or bring a warning that the base does not
# have, with W=1.  What was found good is not built once more before something changes in
# or before it, so this can be stopped, and goes on where it was.
#
# Usage: bisect.sh LINUX-TREE [COUNT]   after series.sh; COUNT: as many of the patches as
#	that, by lot
# Environment: SEED=n repeats a lot.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

base=$1
count=${2:-}
seed=${SEED:-$RANDOM}
dir=$BUILD/bisect
tree=$dir/tree
obj=$dir/obj
# The files of the base are older than what an earlier run has built from patched ones.
rm -rf "$tree" "$obj"
mkdir -p "$tree" "$obj"
find "$base" -mindepth 1 -maxdepth 1 ! -name .git ! -name .complete -exec cp -al -t "$tree" {} +

configure() {
	# The base itself has warnings with W=1, so they must not be errors.
	printf '# CONFIG_%s is not set\n' WERROR KVM_WERROR >"$dir/bisect.config"
	merge_config "$tree" "$dir/config" "$TOP/vmtest/kernel.config" "$dir/bisect.config"
	cmp -s "$dir/config/.config" "$obj/.config" || cp "$dir/config/.config" "$obj/.config"
}

# build NAME: the tree as it is.
configured=
build() {
	[ -n "$configured" ] || configure >/dev/null 2>&1 || die "the kernel cannot be configured: $1"
	configured=1
	kbuild "$tree" "$obj" W=1 bzImage modules >"$dir/$1.log" 2>&1
}

# warnings NAME: those of a build, whoever warns: the compiler, kernel-doc, objtool, modpost
# or the linker; without line numbers and offsets.
warnings() {
	sed -n -e '/[Ww]arning: \|WARNING: /!d' -e 's/:[0-9][0-9:]*/:/' -e 's/+0x[0-9a-f]*//' -e p \
		"$dir/$1.log" | sort -u
}

mails=()
for series in product selftests sim; do
	mapfile -t -O "${#mails[@]}" mails < <(find "$BUILD/series/$series" -name '0*.patch' ! -name '0000-*' | sort)
done

declare -A drawn
while read -r mail; do
	drawn[$mail]=1
done < <(printf '%s\n' "${mails[@]}" |
	shuf -n "${count:-${#mails[@]}}" --random-source=<(yes "$seed"))
[ -z "$count" ] || say "building after ${#drawn[@]} of ${#mails[@]} patches, SEED=$seed"

built=0
# What a result depends on: the base, the configuration, the compiler, and all mails so far;
# of those not the header, as author and date are not built.
state=$({
	base_id "$base"
	# A tree of somebody's own may change while its version stays.
	[ ! -e "$base/.git" ] || { git -C "$base" rev-parse HEAD && git -C "$base" diff; }
	cat "$TOP/vmtest/kernel.config" "$TOP"/vmtest/{bisect,lib}.sh
	gcc --version
	ld --version
} | sha256sum)
good=$dir/good
touch "$good"
declare -A states
for mail in "${mails[@]}"; do
	state=$({ echo "$state"; sed '1,/^---$/d' "$mail"; } | sha256sum)
	states[$mail]=$state
done
before=0
for mail in "${!drawn[@]}"; do
	if grep -qF "${states[$mail]}" "$good"; then
		unset "drawn[$mail]"
		before=$((before + 1))
	fi
done
[ "$before" -eq 0 ] || say "$before patches were found good before"

[ "${#drawn[@]}" -eq 0 ] || build base || die "the base does not build" "see $dir/base.log"
for mail in "${mails[@]}"; do
	[ "${#drawn[@]}" -gt 0 ] || break
	name=$(basename "$(dirname "$mail")")-$(basename "$mail" .patch)
	patch -d "$tree" -p1 -F0 -s --no-backup-if-mismatch <"$mail" || die "$name does not apply"
	! grep -q '^+++ .*Kconfig' "$mail" || configured=
	[ -n "${drawn[$mail]:-}" ] || continue
	unset "drawn[$mail]"
	built=$((built + 1))

	if ! build "$name"; then
		grep -E -m1 'error|undefined' "$dir/$name.log" >&2 || true
		verdict="does not build"
	elif new=$(comm -13 <(warnings base) <(warnings "$name")) && [ -n "$new" ]; then
		printf '%s\n' "$new" >&2
		verdict="brings a warning"
	else
		echo "${states[$mail]}" >>"$good"
		printf '   %-64s ok\n' "$name"
		continue
	fi
	printf '   %-64s %s, see %s\n' "$name" "$verdict" "$dir/$name.log"
	failed=$((failed + 1))
done
[ "$failed" -eq 0 ] || die "$failed of $built patches leave a kernel that does not build"
say "the kernel builds after each of $((before + built)) patches"
