#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of how the source of QEMU gets here and becomes a tree, without a network: where its
# files may come from, on a package made here and an apt that only pretends; and the series
# on that, as a tree and as a stack.  TAP.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

# A repository of its own.
top=$work/top
mkdir -p "$top/vmm/qemu" "$work/bin"
ln -s "$TOP"/{Makefile,base.mk,vmtest} "$top"
cp "$TOP"/vmm/qemu/*.sh "$top/vmm/qemu"
export BUILD=$work/build
mkdir "$BUILD"
unset DISTFILES

echo "TAP version 13"

# --------------------------------------------------------------------- the source

# A package: a source with the firmware of another machine, and a patch of Debian.
files=(qemu_1.2+ds-3.dsc qemu_1.2+ds.orig.tar.xz qemu_1.2+ds-3.debian.tar.xz)
src=$work/qemu-1.2
mkdir -p "$work/dist" "$src"/{roms/other,target} "$work/debian/patches"
echo 1.2 >"$src/VERSION"
echo first >"$src/qemu-options.hx"
echo F: target >"$src/MAINTAINERS"
echo code >"$src/roms/other/file"
seq 1 9 >"$src/target/file"
echo "# comment" >"$work/debian/patches/series"
echo options.patch >>"$work/debian/patches/series"
printf '%s\n' '--- a/qemu-options.hx' '+++ b/qemu-options.hx' '@@ -1 +1 @@' '-first' '+second' \
	>"$work/debian/patches/options.patch"

# pack: make the files and their sums.
pack() {
	echo "Source: qemu" >"$work/dist/${files[0]}"
	tar -cJf "$work/dist/${files[1]}" -C "$work" qemu-1.2
	tar -cJf "$work/dist/${files[2]}" -C "$work" debian
	mapfile -t sums < <(cd "$work/dist" && sha256sum "${files[@]}" | tr -s ' ' '\n')
}
pack

# fetch NAME PATTERN [VARIABLE=VALUE]...: fetch.sh, which succeeds and leaves the source if
# PATTERN is empty, else fails and says PATTERN, then what can be done.
fetch() {
	local name=$1 pattern=$2 ret=0 spoilt=0
	shift 2
	env PATH="$work/bin:$PATH" "$@" "$top/vmm/qemu/fetch.sh" 1.2+ds-3 "one two" "${sums[@]}" \
		>"$work/out" 2>&1 || ret=$?
	if [ -z "$pattern" ]; then
		[ $ret -eq 0 ] && [ "$(cat "$BUILD/qemu-base/qemu-options.hx")" = second ] &&
			[ ! -e "$BUILD/qemu-base/roms/other" ] || spoilt=1
	else
		[ $ret -ne 0 ] && grep -q "^error: .*$pattern" "$work/out" || spoilt=1
		[ ! -e "$BUILD/qemu-base" ] || spoilt=1
	fi
	verdict "$name" $spoilt "$(cat "$work/out")"
}

# tells NAME PATTERN [VARIABLE=VALUE]...: the same, and the next line is of use.
tells() {
	local ret=0
	fetch "$@"
	tail -n 1 "$work/out" | grep -q '^ *say DISTFILES=/path.*QEMU=/path' || ret=1
	verdict "and what to do about it" $ret "$(cat "$work/out")"
}

# An apt with a mirror, that has in each suite what $work/suites/SUITE names.
cat >"$work/bin/apt-get" <<'END'
#!/bin/bash
case "$*" in
*indextargets*) [ -e "$0.none" ] || echo "http://mirror/debian Debian" ;;
*"source --download-only qemu=1:1.2+ds-3") cp "$(dirname "$0")"/../dist/* . ;;
*update) ;;
*) exit 1 ;;
esac
END
cat >"$work/bin/apt-cache" <<'END'
#!/bin/bash
sources=$(sed -n 's/^Dir::Etc::sourcelist=//p' < <(printf '%s\n' "$@"))
cat "$(dirname "$0")/../suites/$(sed -n 's/^deb-src .* \(.*\) main$/\1/p' "$sources")" 2>/dev/null
END
chmod +x "$work"/bin/*
mkdir "$work/suites"

touch "$work/bin/apt-get.none"
tells "without a mirror, it is said" "no Debian mirror"
rm "$work/bin/apt-get.none"
tells "so it is if no suite has the version" "cannot be fetched from one two"
echo '  qemu | 1:1.3+ds-1 | http://mirror/debian two/main Sources' >"$work/suites/two"
tells "another version is none" "cannot be fetched from one two"

tells "a folder without the files is refused" "${files[0]} is not there" DISTFILES=/nonexistent

fetch "the files may be in a folder" "" DISTFILES="$work/dist"
fetch "what is there already is not fetched again" "" DISTFILES=/nonexistent
rm "$BUILD/qemu-base/.complete"
tells "unless it is not complete" "is not there" DISTFILES=/nonexistent

sed -i 's/1.3+ds-1/1.2+ds-3/' "$work/suites/two"
fetch "or in the second suite" ""
echo 1.1+ds-1 >"$BUILD/qemu-base/.complete"
fetch "which also replaces another version" ""

for file in "${files[@]}"; do
	rm -rf "$BUILD"
	mkdir "$BUILD"
	cp -p "$work/dist/$file" "$work/good"
	echo >>"$work/dist/$file"
	tells "$file from a folder with another sum is refused" "by its SHA-256: $file" DISTFILES="$work/dist"
	fetch "and so it is from a mirror" "by its SHA-256: $file"
	cp -p "$work/good" "$work/dist/$file"
done

sed -i 's/^-first/-third/' "$work/debian/patches/options.patch"
pack
fetch "a patch of Debian that does not apply is found" "options.patch does not apply" DISTFILES="$work/dist"
sed -i 's/^-third/-first/' "$work/debian/patches/options.patch"
pack

# --------------------------------------------------------------------- the series

# A series of one patch, which adds a line and a file.
mkdir -p "$top"/vmm/qemu/{patches,new/target}
patch=patches/0001-target-Add-a-line.patch
printf '%s\n' '# A comment' "$patch # + target/new.c" >"$top/vmm/qemu/series"
echo 'int new;' >"$top/vmm/qemu/new/target/new.c"
printf '%s\n' 'From: A <a@b.c>' 'Date: Thu, 1 Jan 2026 00:00:00 +0000' 'Subject: [PATCH] target: Add a line' \
	'' 'Why.' '---' '--- a/target/file' '+++ b/target/file' '@@ -2,6 +2,7 @@' \
	' 2' ' 3' ' 4' '+line' ' 5' ' 6' ' 7' >"$top/vmm/qemu/$patch"

# script NAME PATTERN SCRIPT ARGUMENT...: one of vmtest/, which succeeds if PATTERN is empty,
# else fails and says PATTERN.
script() {
	local name=$1 pattern=$2 script=$top/vmtest/$3 out ret=0
	shift 3
	out=$(SERIES_PATHS=vmm/qemu/paths.sh "$script" "$@" 2>&1) || ret=$?
	if [ -n "$pattern" ]; then
		[ $ret -ne 0 ] && grep -q "$pattern" <<<"$out" && ret=0 || ret=1
	fi
	verdict "$name" $ret "$out"
}

fetch "the source is there" "" DISTFILES="$work/dist"
base=$BUILD/qemu-base
script "a tree that is none is refused" "no such tree as QEMU= names" tree.sh "$work"
script "a tree is made" "" tree.sh "$base"
diff <(sed '/^4$/a line' "$base/target/file") "$BUILD/qemu-tree/target/file" >"$work/diff" &&
	cmp "$top/vmm/qemu/new/target/new.c" "$BUILD/qemu-tree/target/new.c" && ret=0 || ret=1
verdict "it has the line and the file" "$ret" "$(cat "$work/diff")"
echo stray >"$top/vmm/qemu/new/stray.c"
rm "$BUILD/qemu-tree/.state"
script "a file that lands with no patch is refused" "stray.c lands with no patch" tree.sh "$base"
rm "$top/vmm/qemu/new/stray.c"

script "a stack is made" "" stack.sh out "$base"
stack=$BUILD/qemu-stack
mkdir "$stack/hw"
echo 'int more;' >"$stack/hw/more.c"
echo third >"$stack/qemu-options.hx"
git -C "$stack" add -A
git -C "$stack" -c user.name=A -c user.email=a@b.c commit -q -m 'hw: Add more' -m 'Why.'
cp "$top/vmm/qemu/$patch" "$work/patch"
script "it is written back with another commit" "" stack.sh in "$base"
diff - "$top/vmm/qemu/series" >"$work/diff" <<END && ret=0 || ret=1
# A comment
$patch # + target
patches/0002-hw-Add-more.patch # + hw
END
verdict "which brings its file, and nothing else than the edit" "$ret" "$(cat "$work/diff")"
cmp "$stack/hw/more.c" "$top/vmm/qemu/new/hw/more.c" &&
	diff <(grep '^--- a/' "$top/vmm/qemu/patches/0002-hw-Add-more.patch") - <<<"--- a/qemu-options.hx" >"$work/diff" &&
	diff <(sed -n '/^--- a/,$p' "$work/patch") <(sed -n '/^--- a/,$p' "$top/vmm/qemu/$patch") >>"$work/diff" &&
	ret=0 || ret=1
verdict "and leaves the patch before it as it was" "$ret" "$(cat "$work/diff")"
script "the tree follows" "" tree.sh "$base"
git -C "$stack" ls-files | while read -r file; do
	cmp "$stack/$file" "$BUILD/qemu-tree/$file"
done >"$work/diff" 2>&1 && ret=0 || ret=1
verdict "and is what the stack is" "$ret" "$(cat "$work/diff")"

mkdir -p "$top/vmm/qemu/patches"
printf '%s\n' 'A subject' '' 'For @VERSION@.' >"$top/vmm/qemu/patches/cover-letter"
script "the mails end at the tree" "" series.sh "$base"
grep -q 'PATCH 0/2. A subject' "$BUILD/qemu-series/0000-cover-letter.patch" &&
	grep -q '^For 1.2.$' "$BUILD/qemu-series/0000-cover-letter.patch" && ret=0 || ret=1
verdict "and have a cover letter" "$ret" "$(cat "$BUILD/qemu-series/0000-cover-letter.patch")"
echo changed >>"$BUILD/qemu-tree/target/new.c"
script "another tree is found" "target/new.c differs between the mails" series.sh "$base"

echo "1..$n"
[ "$bad" -eq 0 ]
