#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build a kernel from build/tree.
#
# Usage: kernel.sh OBJDIR LABEL TARGETS -- CONFIG-FRAGMENT...
. "$(dirname "$0")/lib.sh"

obj=$1
label=$2
read -ra targets <<<"$3"
shift 4
fragments=("$@")
tree=$BUILD/tree

mkdir -p "$obj"
state=$(cat "${fragments[@]}" "$tree/.state" | sha256sum)
if [ "$(cat "$obj/.config-state" 2>/dev/null)" != "$state" ] || [ ! -f "$obj/.config" ]; then
	rm -f "$obj/.config-state"
	# A configuration that comes out the same must not touch the old one.
	new=$obj/config.new
	merge_config "$tree" "$new" "${fragments[@]}" >/dev/null
	cmp -s "$new/.config" "$obj/.config" || cp "$new/.config" "$obj/.config"
	rm -rf "$new"

	# Each line that was asked for must have survived; of two, the last one counts.
	lost=$(awk -f "$TOP/vmtest/lost.awk" "$obj/.config" "${fragments[@]}")
	[ -z "$lost" ] || die "the configuration of $label lost:" "$lost"
	echo "$state" >"$obj/.config-state"
fi

say "building $label"
total=$(cat "$obj/.objects" 2>/dev/null || echo 0)
if ! kbuild "$tree" "$obj" "${targets[@]}" 2>&1 | tee "$obj/build.log" | progress "$label" "$total"; then
	grep -E -A6 'error|Error|undefined|warning' "$obj/build.log" | head -n 40 >&2
	die "$label does not build" "the whole log is $obj/build.log"
fi
count=$(grep -cE '^  (CC|AS|LD|AR|HOSTCC)' "$obj/build.log" || true)
[ "$count" -lt 200 ] || echo "$count" >"$obj/.objects"
