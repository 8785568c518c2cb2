#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Export the three series as mails: build/series/product, selftests and sim, each with
# its cover letter; or that of QEMU, build/qemu-series.  What is mailed is applied in the
# same way as for build/tree.
#
# Usage: series.sh TREE   the base; SERIES_PATHS, see patches.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

base=$1
out=$mail_dir
work=$out.tmp
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"' EXIT

version=$(base_version "$base")

# A repository of just the files that the series edit.
init_repository "$work"
edited_files | while read -r f; do
	[ ! -f "$base/$f" ] || echo "$f"
done | (cd "$base" && cpio -pdm --quiet "$work")
git -C "$work" add -A -f
git -C "$work" commit -q -m base
git -C "$work" tag base

# cover_letter FILE TEXT: put the subject and the body of TEXT into the cover letter.
cover_letter() {
	awk -v text="$2" -v version="$version" -f "$TOP/vmtest/cover-letter.awk" "$1" >"$1.tmp"
	mv "$1.tmp" "$1"
}

from=base
for series in "${series_names[@]}"; do
	dir=$out
	[ ${#series_names[@]} -eq 1 ] || dir=$out/$series
	while read -r patch; do
		apply_patch "$base" "$work" "$patch"
		commit_patch "$work" "$patch"
		# Recorded traces are no reading matter; they come last, and stay here.
		patch_new_files "$patch" | grep -q '\.trace$' || git -C "$work" tag -f "$series" >/dev/null
	done < <(patch_names | grep "^$series/")
	git -C "$work" format-patch -q --cover-letter -o "$dir" "$from..$series"
	cover_letter "$dir/0000-cover-letter.patch" "$patches/$series/cover-letter"
	say "$series: $(find "$dir" -name '*.patch' | wc -l) mails in $dir"
	from=$(git -C "$work" rev-parse HEAD)
done

# What is mailed is what is tested.
if [ -e "$tree/.state" ]; then
	(cd "$work" && find . -path ./.git -prune -o -type f -printf '%P\n') | while read -r f; do
		cmp -s "$work/$f" "$tree/$f" ||
			die "$f differs between the mails and $tree" "make it anew: make ${verb}tree"
	done
fi
