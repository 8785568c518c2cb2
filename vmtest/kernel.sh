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
jobs=${JOBS:-$(nproc)}

cc=gcc
if command -v ccache >/dev/null; then
	cc="ccache gcc"
	export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1
	export KBUILD_BUILD_TIMESTAMP='' KBUILD_BUILD_USER=tdx-mig KBUILD_BUILD_HOST=vmtest
fi
kmake() { make -C "$tree" O="$obj" CC="$cc" "$@"; }

mkdir -p "$obj"
state=$(cat "${fragments[@]}" "$tree/.state" | sha256sum)
if [ "$(cat "$obj/.config-state" 2>/dev/null)" != "$state" ] || [ ! -f "$obj/.config" ]; then
	rm -f "$obj/.config-state"
	# A configuration that comes out the same must not touch the old one.
	new=$obj/config.new
	rm -rf "$new"
	mkdir -p "$new"
	make -s -C "$tree" O="$new" tinyconfig >/dev/null
	(cd "$tree" && ./scripts/kconfig/merge_config.sh -m -O "$new" "$new/.config" \
		"${fragments[@]}") >/dev/null
	make -s -C "$tree" O="$new" olddefconfig >/dev/null
	cmp -s "$new/.config" "$obj/.config" || cp "$new/.config" "$obj/.config"
	rm -rf "$new"

	# Each line that was asked for must have survived.
	lost=$(cat "${fragments[@]}" | grep -E '^(CONFIG_|# CONFIG_.* is not set)' |
		while read -r line; do
			case $line in
			'# '*)
				symbol=${line#\# }
				symbol=${symbol% is not set}
				! grep -q "^$symbol=" "$obj/.config" || echo "$line"
				;;
			*)
				symbol=${line%%=*}
				# A later fragment may say otherwise.
				[ "$(cat "${fragments[@]}" | grep -E "^(# )?$symbol[ =]" |
					tail -n 1)" = "$line" ] || continue
				grep -qxF -- "$line" "$obj/.config" || echo "$line"
				;;
			esac
		done)
	[ -z "$lost" ] || die "the configuration of $label lost:" "$lost"
	echo "$state" >"$obj/.config-state"
fi

say "building $label"
total=$(cat "$obj/.objects" 2>/dev/null || echo 0)
if ! kmake -j"$jobs" "${targets[@]}" 2>&1 | tee "$obj/build.log" | progress "$label" "$total"; then
	grep -E -A6 'error|Error|undefined|warning' "$obj/build.log" | head -n 40 >&2
	die "$label does not build" "the whole log is $obj/build.log"
fi
count=$(grep -cE '^  (CC|AS|LD|AR|HOSTCC)' "$obj/build.log" || true)
[ "$count" -lt 200 ] || echo "$count" >"$obj/.objects"
