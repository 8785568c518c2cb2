#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The series as a git branch, one commit for each patch with its new files, for all
# that git does better than an editor: reorder, split, squash, blame, rebase.
#
# Usage: stack.sh out TREE    make build/stack from patches/
#        stack.sh in TREE     write build/stack back to patches/ and the new files
#        stack.sh rebase TREE NEW-TREE
#
# TREE is the base; SERIES_PATHS, see patches.sh.  STACK=/path is another place for it.
#
# A commit says in its last line, "Series: NAME", to which series it belongs, if there
# are several.  A new file lands whole with the first commit that has it, whatever later
# commits change.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/patches.sh"

what=$1
base=$2

shown=${stack#"$TOP/"}

git_stack() { git -C "$stack" "$@"; }

# Several series have to be told apart.
one_series=
[ ${#series_names[@]} -gt 1 ] || one_series=${series_names[0]}

copy_base() { stack_files "$1" | (cd "$1" && cpio -pdmu --quiet "$2"); }

stack_out() {
	local patch trailer

	[ ! -e "$stack" ] || die "$shown is there already" \
		"write it back with 'make ${verb}unstack', or remove it"
	check_landings
	mkdir -p "$stack"
	init_repository "$stack"
	copy_base "$base" "$stack"
	git_stack add -A -f
	git_stack commit -q -m base
	git_stack tag base
	while read -r patch; do
		apply_patch "$base" "$stack" "$patch"
		trailer=
		[ -n "$one_series" ] || trailer="Series: ${patch%%/*}"
		commit_patch "$stack" "$patch" "$trailer"
	done < <(patch_names)
	say "$shown: $(git_stack rev-list --count base..) commits on top of tag base"
}

# write_patch COMMIT FILE EDITED...: the mail of a commit, without its new files.
write_patch() {
	local commit=$1 out=$2
	shift 2
	{
		echo "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001"
		git_stack show -s --format='From: %an <%ae>%nDate: %aD%nSubject: [PATCH] %s%n%n%b' "$commit" |
			sed '/^Series: /d' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
		echo "---"
		[ $# -eq 0 ] || git_stack diff --no-color --no-ext-diff -p "$commit^" "$commit" -- "$@" |
			sed '/^index [0-9a-f]*\.\.[0-9a-f]*/d'
	} >"$out"
}

# Where all that is in a folder lands with one patch, name the folder.
name_folders() {
	perl "$TOP/vmtest/name-folders.pl" "$1" >"$1.tmp"
	mv "$1.tmp" "$1"
}

stack_in() {
	local commit series name file edits news n=0 last=
	declare -A landed count

	[ -d "$stack/.git" ] || die "there is no $shown" "make it with 'make ${verb}stack'"
	[ -z "$(git_stack status --porcelain)" ] || die "$shown has changes that are not committed"

	local new=$BUILD/patches.new
	rm -rf "$new"
	mkdir -p "$new/files"
	sed -n '/^#/p' "$patches/series" >"$new/series"
	while read -r commit; do
		series=$(git_stack show -s --format=%b "$commit" | sed -n 's/^Series: //p')
		series=${series:-$one_series}
		[ -d "$patches/$series" ] && [ -n "$series" ] ||
			die "$(git_stack log -1 --format='%h %s' "$commit") names no series" \
				"add a last line 'Series: NAME', one of ${series_names[*]}"
		edits=()
		news=()
		while read -r file; do
			if git_stack cat-file -e "base:$file" 2>/dev/null || [ -e "$base/$file" ]; then
				edits+=("$file")
			elif [ -z "${landed[$file]:-}" ] && git_stack cat-file -e "HEAD:$file" 2>/dev/null; then
				landed[$file]=1
				news+=("$(repository_path "$base" "$file")")
				mkdir -p "$(dirname "$new/files/${news[-1]}")"
				git_stack show "HEAD:$file" >"$new/files/${news[-1]}"
				case $(git_stack ls-tree HEAD -- "$file") in
				100755*) chmod +x "$new/files/${news[-1]}" ;;
				esac
			fi
		done < <(git_stack diff --name-only --no-renames "$commit^" "$commit")
		count[$series]=$((${count[$series]:-0} + 1))
		name=$series/$(printf '%04d-%s.patch' "${count[$series]}" \
			"$(git_stack log -1 --format=%f "$commit" | cut -c 1-60)")
		mkdir -p "$new/$series"
		write_patch "$commit" "$new/$name" "${edits[@]}"
		if [ "$series" != "$last" ] && [ -n "$last" ]; then
			echo
		fi >>"$new/series"
		last=$series
		echo "$name${news:+ # + ${news[*]}}" >>"$new/series"
		n=$((n + 1))
	done < <(git_stack rev-list --reverse base..HEAD)

	name_folders "$new/series"

	# Files that no commit has any more go away.
	new_files | while read -r file; do
		[ -e "$new/files/$file" ] || rm -f "$new_root/$file"
	done
	(cd "$new/files" && find . -type f -printf '%P\n') | while read -r file; do
		cmp -s "$new/files/$file" "$new_root/$file" || {
			mkdir -p "$(dirname "$new_root/$file")"
			cp -p "$new/files/$file" "$new_root/$file"
		}
	done
	for series in "${series_names[@]}"; do
		rm -f "$patches/$series"/[0-9]*.patch
		[ ! -d "$new/$series" ] || mv "$new/$series"/*.patch "$patches/$series/"
	done
	mv "$new/series" "$patches/series"
	rm -rf "$new"
	say "${patches#"$TOP/"}: $n patches and their new files; look at 'git diff', then remove $shown"
}

stack_rebase() {
	local to=$1

	is_base "$to" || die "$to is no such tree as $variable= names"
	[ -d "$stack/.git" ] || stack_out
	git_stack checkout -q -f base
	git_stack rm -q -r .
	copy_base "$to" "$stack"
	git_stack add -A -f
	git_stack commit -q --allow-empty -m "base: $(base_version "$to")"
	git_stack tag -f new-base >/dev/null
	say "rebasing onto $(base_version "$to")"
	git_stack rebase -q --onto new-base base series || die "the series does not apply as it is" \
		"resolve the conflict in $shown, then 'git rebase --continue' there" \
		"after the last one: git -C $shown tag -f base new-base; make ${verb}unstack $variable=$to"
	git_stack tag -f base new-base >/dev/null
	say "rebased; write it back with: make ${verb}unstack $variable=$to"
}

case $what in
out) stack_out ;;
in) stack_in ;;
rebase) stack_rebase "$3" ;;
*) die "stack.sh: what is '$what'?" ;;
esac
