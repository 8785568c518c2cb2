#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build QEMU from build/qemu-tree in build/qemu, as the VMM of TDs: KVM only, the default
# devices of a PC, and no feature that needs a library beside glib.  build/qemu/install is
# what can be copied to wherever it shall run: QEMU stripped, and the files it loads.
#
# Usage: build.sh
. "$(dirname "$0")/../../vmtest/lib.sh"
SERIES_PATHS=vmm/qemu/paths.sh
. "$TOP/vmtest/patches.sh"
. "$TOP/vmtest/apt.sh"

obj=$BUILD/qemu
log=$BUILD/qemu.log
options=(
	--target-list=x86_64-softmmu --disable-download --disable-docs
	--without-default-features --enable-kvm --disable-tcg --enable-vhost-kernel --enable-vhost-net
	--disable-fdt --disable-install-blobs --enable-trace-backends=log
	--disable-werror --extra-cflags=-g1
)

# The one of Debian, where there are several.
python=/usr/bin/python3
[ -x $python ] || python=python3

# QEMU asks for this one.
has_meson() {
	"$1" -c 'from importlib.metadata import version
import sys
sys.exit(tuple(map(int, version("meson").split(".")[:2])) < (1, 5))' 2>/dev/null
}

# Debian 12 has an older one; that of Debian 13 in a virtual environment, then.
newer_meson() {
	local venv=$BUILD/qemu-meson tmp=$BUILD/qemu-meson.tmp

	if ! has_meson "$venv/bin/python3"; then
		say "fetching meson"
		rm -rf "$venv"
		apt_begin "$tmp" "install meson 1.5 or later" trixie
		(cd "$tmp" && apt-get "${private_apt[@]}" download meson) >"$tmp/log" 2>&1 || {
			tail -n 5 "$tmp/log" >&2
			die "meson cannot be fetched" "install meson 1.5 or later"
		}
		dpkg-deb -x "$tmp"/meson_*.deb "$tmp/root"
		logged "$tmp/log" "there is no virtual environment of Python" \
			"$python" -m venv --system-site-packages --without-pip "$venv"
		cp -r "$tmp"/root/usr/lib/python3/dist-packages/meson* "$venv"/lib/python3*/site-packages/
		has_meson "$venv/bin/python3" || die "the meson of trixie does not work here"
		rm -rf "$tmp"
	fi
	python=$venv/bin/python3
}

has_meson "$python" || newer_meson

# Meson itself sees to what has changed in the tree.
state=$({
	echo "$python ${options[*]} $cc"
	cat "$tree/.base" "$tree/configure"
	gcc --version
} | sha256sum)
if [ "$(cat "$obj/.configured" 2>/dev/null)" != "$state" ] || [ ! -f "$obj/build.ninja" ]; then
	say "configuring QEMU"
	rm -rf "$obj"
	mkdir -p "$obj"
	cd "$obj"
	logged "$log" "QEMU cannot be configured" \
		"../${tree##*/}/configure" --python="$python" --cc="$cc" "${options[@]}"
	echo "$state" >"$obj/.configured"
fi

say "building QEMU"
if ! nice -n "${NICE:-0}" ninja -C "$obj" -j"${JOBS:-$(nproc)}" qemu-system-x86_64 2>&1 | tee "$log" | progress QEMU; then
	grep -A12 '^FAILED' "$log" | head -n 40 >&2
	die "QEMU does not build" "the whole log is $log"
fi

# The series adds no warning.  What has one is compiled again the next time.
warned=$({
	edited_files
	new_files
} | grep -Ff - <(grep -E 'warning: ' "$log") || true)
if [ -n "$warned" ]; then
	printf '%s\n' "$warned" >&2
	sed -n 's,^\.\./[^/]*/\([^:]*\):.*,\1,p' <<<"$warned" | sort -u | while read -r file; do
		touch -c "$tree/$file"
	done
	die "the series has warnings"
fi

# What QEMU looks for in ../share/qemu: code for the BIOS of other VMs, written to their ROMs.
roms=$obj/optionrom
mkdir -p "$roms"
printf '%s\n' "TOPSRC_DIR = $tree" "CC = gcc" "OBJCOPY = objcopy" "PYTHON = $python" >"$roms/config.mak"
logged "$log.roms" "the option ROMs of QEMU cannot be built" \
	make -C "$roms" -f "$tree/pc-bios/optionrom/Makefile"

install=$obj/install
mkdir -p "$install/bin" "$install/share/qemu"
if [ "$obj/qemu-system-x86_64" -nt "$install/bin/qemu-system-x86_64" ]; then
	strip -o "$install/bin/qemu-system-x86_64" "$obj/qemu-system-x86_64"
fi
cp -u "$roms"/*.bin "$install/share/qemu/"
say "QEMU $(cat "$tree/VERSION") with the series: ${obj#"$TOP/"}/qemu-system-x86_64, to be copied: ${install#"$TOP/"}"
