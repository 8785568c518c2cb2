#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Export the whole as a mailable series in build/series: patches and new files,
# in the order of patches/series.  A comment "# + PATH" after a patch's name in
# patches/series says which new files land with that patch.
#
# Usage: series.sh LINUX-TREE
. "$(dirname "$0")/lib.sh"

base=$1
out=$BUILD/series
work=$BUILD/series.tmp
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"' EXIT

target() {
	local path=$1
	case $path in
	Kconfig) path=arch/x86/virt/vmx/tdx/Kconfig ;;
	tools/testing/selftests/kvm/*x86_64/*)
		[ -d "$base/tools/testing/selftests/kvm/x86_64" ] || path=${path/x86_64\//x86/} ;;
	esac
	echo "$path"
}

# A repository of just the files that the series edits.
git -C "$work" init -q
git -C "$work" config user.name "${GIT_AUTHOR_NAME:-$(git -C "$TOP" config user.name || echo tdx-mig)}"
git -C "$work" config user.email "${GIT_AUTHOR_EMAIL:-$(git -C "$TOP" config user.email || echo tdx-mig@localhost)}"
git -C "$work" config core.hooksPath /dev/null
grep -h '^--- a/' "$TOP"/patches/*.patch | sed 's,^--- a/,,; s,\t.*,,' | sort -u | while read -r f; do
	mkdir -p "$work/$(dirname "$f")"
	cp "$base/$f" "$work/$f"
done
git -C "$work" add -A
git -C "$work" commit -q -m base
git -C "$work" tag base

while read -r line; do
	case $line in '' | '#'*) continue ;; esac
	patch=${line%% *}
	news=()
	[[ $line != *'# +'* ]] || read -ra news <<<"${line#*\# +}"
	for new in "${news[@]}"; do
		(cd "$TOP" && find $new -type f) | while read -r f; do
			to=$work/$(target "$f")
			mkdir -p "$(dirname "$to")"
			cp "$TOP/$f" "$to"
		done
	done
	git -C "$work" mailinfo .git/mail.msg .git/mail.diff <"$TOP/patches/$patch" >"$work/.git/mail.info"
	patch -d "$work" -p1 -F0 -s --no-backup-if-mismatch <"$TOP/patches/$patch" ||
		die "$patch does not apply in the series"
	git -C "$work" add -A
	{
		sed -n 's/^Subject: //p' "$work/.git/mail.info"
		echo
		cat "$work/.git/mail.msg"
	} | git -C "$work" commit -q -F -
done <"$TOP/patches/series"

git -C "$work" format-patch -q --cover-letter -o "$out" base
say "$(find "$out" -name '*.patch' | wc -l) mails in $out"
