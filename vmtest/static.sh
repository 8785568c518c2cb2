#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Static checks of the new files: sparse, W=1, checkpatch --strict and, for the selftests,
# the warnings of the compiler; and the documents beside the interface that they describe.
# Ends with a line of totals.
#
# Usage: static.sh OBJDIR
. "$(dirname "$0")/lib.sh"

obj=$1
tree=$BUILD/tree
"$TOP/vmtest/deps.sh" static

# What has not changed since it was found clean need not be looked at again.
state=$({
	cat "$tree/.state" "$obj/.config" "$TOP"/vmtest/static.* "$TOP"/vmtest/{lib,selftests}.sh "$TOP"/vmtest/{doc,syzlang}-check.pl "$TOP"/vmm/syzkaller/*.txt
	find "$TOP/demo" "$TOP/vmtest" -name '*.[chS]' -exec cat {} +
	sparse --version
	gcc --version
} 2>&1 | sha256sum)
if [ "$(head -n 1 "$BUILD/static.clean" 2>/dev/null)" = "$state" ]; then
	echo "unchanged since the last run that was clean"
	tail -n 1 "$BUILD/static.clean"
	exit 0
fi

cd "$TOP"
mapfile -t sources < <(find arch -name '*.c' | sort)

# Objects that the configuration builds; a file nobody builds is a finding.
objects=()
for source in "${sources[@]}"; do
	object=${source%.c}.o
	if [ -e "$obj/$object" ]; then
		objects+=("$object")
	else
		result "$source: not built by vmtest/kernel.config" 1
	fi
done

log=$obj/static.log
# W=1 changes the command lines; a copy of the configuration keeps the build's
# own objects.
static=$BUILD/static
mkdir -p "$static"
if ! cmp -s "$obj/.config" "$static/.config"; then
	cp "$obj/.config" "$static/.config"
	make -s -C "$tree" O="$static" olddefconfig >/dev/null
fi
# The kernel requires a sparse that knows this keyword; nothing else of what is
# newer than the release matters here.
sparse="sparse -D__typeof_unqual__=__typeof__"
ret=0
kbuild "$tree" "$static" -s prepare modules_prepare >"$log" 2>&1 || ret=$?
if [ $ret -eq 0 ]; then
	kbuild "$tree" "$static" -k W=1 C=2 CHECK="$sparse" \
		"${objects[@]}" >"$log" 2>&1 || ret=$?
fi
# A checker that kbuild refuses is left out with no more than a warning.
if grep -q 'not available or not up to date' "$log"; then
	result "sparse: refused by this kernel's build" 1
fi
if [ $ret -ne 0 ]; then
	grep -E 'error|Error' "$log" | head -n 10
	result "W=1 C=2 build of the new files" 1
fi
# What is justified, with the reason, is in vmtest/static.allow.
allowed() {
	awk -v file="$1" 'FNR == NR {
		if ($1 == file || $1 == "*") { sub(/^[^ ]+ +/, ""); sub(/ +-- .*/, ""); allow[n++] = $0 }
		next
	}
	{ for (i = 0; i < n; i++) if (index($0, allow[i])) next; print }' vmtest/static.allow -
}

for source in "${sources[@]}"; do
	findings "$source: W=1 or sparse" "$(grep -F "/$(basename "$source"):" "$log" |
		grep -E 'warning|error' | allowed "$source" || true)"
done

mapfile -t files < <(find arch demo tools/testing/selftests vmtest -name '*.[chS]' | sort)
for file in "${files[@]}"; do
	findings "$file: checkpatch" "$("$tree/scripts/checkpatch.pl" --no-tree --strict --terse \
		--no-summary --show-types --max-line-length=100 -f "$file" 2>/dev/null |
		allowed "$file" || true)"
done

# From scratch, as what is built already gives no warnings; it also installs the headers.
# A warning is that of a line, or of a macro that a line uses, of the series.
rm -rf "$static/tests"
if "$TOP/vmtest/selftests.sh" "$obj" "$static/tests"; then
	findings "tools/testing/selftests: warnings of the compiler" \
		"$(grep -E '(^|/)tdx_[a-z_]+\.[ch]:[0-9]+:[0-9]+: (warning|note):' \
			"$static/tests/build.log" | allowed tools/testing/selftests || true)"
else
	result "tools/testing/selftests: do not build" 1
fi

for description in vmm/syzkaller/*.txt; do
	findings "$description: the interface" "$("$TOP/vmtest/syzlang-check.pl" "$TOP/$description" \
		"$obj/usr/include" || echo "$description is not what the header says")"
done

# A program of its own, with totals of its own.
documents=$("$TOP/vmtest/doc-check.pl" "$tree" || true)
sed '$d' <<<"$documents"
if [[ $documents =~ (^|$'\n')([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
	passed=$((passed + BASH_REMATCH[2]))
	failed=$((failed + BASH_REMATCH[3]))
else
	result "the documents: the check has died" 1
fi

if [ "$failed" -eq 0 ]; then
	printf '%s\n%s\n' "$state" "$passed passed, 0 failed" >"$BUILD/static.clean"
fi
totals
