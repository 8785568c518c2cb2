#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Export the three series as mails: build/series/product, selftests and sim, each
# with its cover letter.  What is mailed is applied in the same way as for build/tree.
#
# Usage: series.sh LINUX-TREE
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

base=$1
out=$BUILD/series
work=$BUILD/series.tmp
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"' EXIT

version=$(make -s -C "$base" kernelversion)

# A repository of just the files that the series edit.
git -C "$work" init -q
git -C "$work" config user.name "$(git -C "$TOP" config user.name || echo tdx-mig)"
git -C "$work" config user.email "$(git -C "$TOP" config user.email || echo tdx-mig@localhost)"
git -C "$work" config core.hooksPath /dev/null
edited_files | while read -r f; do
	[ ! -f "$base/$f" ] || echo "$f"
done | (cd "$base" && cpio -pdm --quiet "$work")
git -C "$work" add -A -f
git -C "$work" commit -q -m base
git -C "$work" tag base

# commit_patch PATCH: commit what it has brought, as its author.
commit_patch() {
	local info=$work/.git/mail.info

	git -C "$work" mailinfo .git/mail.msg .git/mail.diff <"$TOP/patches/$1" >"$info"
	git -C "$work" add -A -f
	{
		sed -n 's/^Subject: //p' "$info"
		echo
		cat "$work/.git/mail.msg"
	} | GIT_AUTHOR_NAME=$(sed -n 's/^Author: //p' "$info") \
		GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$info") \
		GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$info") \
		git -C "$work" commit -q -F -
}

# cover_letter FILE TEXT: put the subject and the body of TEXT into the cover letter.
cover_letter() {
	awk -v text="$2" -v version="$version" '
		/\*\*\* SUBJECT HERE \*\*\*/ {
			getline subject < text
			sub(/\*\*\* SUBJECT HERE \*\*\*/, subject)
		}
		/\*\*\* BLURB HERE \*\*\*/ {
			getline line < text
			while ((getline line < text) > 0) {
				gsub(/@VERSION@/, version, line)
				print line
			}
			next
		}
		{ print }' "$1" >"$1.tmp"
	mv "$1.tmp" "$1"
}

from=base
for series in product selftests sim; do
	while read -r patch; do
		apply_patch "$base" "$work" "$patch"
		commit_patch "$patch"
		# Recorded traces are no reading matter; they come last, and stay here.
		patch_new_files "$patch" | grep -q /traces/ || git -C "$work" tag -f "$series" >/dev/null
	done < <(patch_names "$series/")
	git -C "$work" format-patch -q --cover-letter -o "$out/$series" "$from..$series"
	cover_letter "$out/$series/0000-cover-letter.patch" "$TOP/patches/$series/cover-letter"
	say "$series: $(find "$out/$series" -name '*.patch' | wc -l) mails in $out/$series"
	from=$(git -C "$work" rev-parse HEAD)
done

# What is mailed is what is tested.
if [ -e "$BUILD/tree/.state" ]; then
	(cd "$work" && find . -path ./.git -prune -o -type f -printf '%P\n') | while read -r f; do
		cmp -s "$work/$f" "$BUILD/tree/$f" ||
			die "$f differs between the mails and build/tree" "make build/tree anew: make tree"
	done
fi
