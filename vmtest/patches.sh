# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the scripts that turn a series into a tree or into mails: what its list
# says, and how a patch is applied.  SERIES_PATHS names the file that says where all is;
# without it, the series are those of the kernel.
# shellcheck source=paths.sh
. "$TOP/${SERIES_PATHS:-vmtest/paths.sh}"

# The patches, in order.
patch_names() { sed -n 's/^\([^# ][^ ]*\).*/\1/p' "$patches/series"; }

# patch_new_files PATCH: the files of this repository that land with it.
patch_new_files() {
	local line paths

	line=$(grep -F -- "$1 " "$patches/series" || true)
	[[ $line == *'# + '* ]] || return 0
	read -ra paths <<<"${line#*\# + }"
	(cd "$new_root" && find "${paths[@]}" -type f | LC_ALL=C sort)
}

# Files of this repository that lie as they do in the tree.
new_files() {
	[ ! -d "$new_root" ] ||
		(cd "$new_root" && find "${new_places[@]}" -type f | sed 's,^\./,,' | LC_ALL=C sort)
}

# Existing files that the series edits.
edited_files() {
	patch_names | (cd "$patches" && xargs sed -n 's,^--- a/\([^\t]*\).*,\1,p') | LC_ALL=C sort -u
}

# apply_patch BASE DIR PATCH: put the new files of a patch into DIR, and its edits.
apply_patch() {
	local base=$1 dir=$2 patch=$3 file to log

	[ -f "$patches/$patch" ] || die "${patches#"$TOP/"}/series names $patch, which is not there"
	while read -r file; do
		to=$(landing_path "$base" "$file")
		[ ! -e "$dir/$to" ] && [ ! -e "$base/$to" ] ||
			die "$file, which lands with $patch, is there already" \
				"a file lands with one patch; what the base has is edited by a patch"
		mkdir -p "$dir/$(dirname "$to")"
		cp -p "$new_root/$file" "$dir/$to"
	done < <(patch_new_files "$patch")

	# A patch may bring new files and no edits.
	grep -q '^--- a/' "$patches/$patch" || return 0
	log=$(patch -d "$dir" -p1 -F0 --no-backup-if-mismatch --reject-file=- -f \
		<"$patches/$patch" 2>&1) || {
		printf '%s\n' "$log" >&2
		die "$patch does not apply to $base" \
			"the hunks named above have to be adapted to this base"
	}
}

# init_repository DIR: a git repository that takes patches as commits.
init_repository() {
	git -C "$1" init -q -b series
	git -C "$1" config user.name "$(git -C "$TOP" config user.name || echo tdx-mig)"
	git -C "$1" config user.email "$(git -C "$TOP" config user.email || echo tdx-mig@localhost)"
	git -C "$1" config core.hooksPath /dev/null
}

# commit_patch DIR PATCH [TRAILER]: commit what a patch has brought, as its author.
commit_patch() {
	local dir=$1 info=$1/.git/mail.info

	git -C "$dir" mailinfo .git/mail.msg .git/mail.diff <"$patches/$2" >"$info"
	git -C "$dir" add -A -f
	{
		sed -n 's/^Subject: //p' "$info"
		echo
		cat "$dir/.git/mail.msg"
		[ -z "${3:-}" ] || echo "$3"
	} | GIT_AUTHOR_NAME=$(sed -n 's/^Author: //p' "$info") \
		GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$info") \
		GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$info") \
		git -C "$dir" commit -q -F -
}

# Every new file lands with a patch, and only with one.
check_landings() {
	local patch missing

	missing=$(comm -3 <(new_files) <(patch_names | while read -r patch; do
		patch_new_files "$patch"
	done | LC_ALL=C sort) | tr -d '\t')
	[ -z "$missing" ] || die "$(head -n 1 <<<"$missing") lands with no patch, or with two" \
		"name it in ${patches#"$TOP/"}/series, behind the patch that brings it: PATCH # + FILE..."
}
