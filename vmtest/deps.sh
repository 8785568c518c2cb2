#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install what the build and the tests need, or say what to install.
#
# Usage: deps.sh GROUP...   groups: build, vm, host, sim, static, docs, qemu
. "$(dirname "$0")/lib.sh"

packages() {
	case $1 in
	build) echo gcc make flex bison bc libc6-dev libelf-dev libssl-dev xz-utils lz4 patch \
		rsync perl ccache cpio kmod ;;
	vm) echo qemu-system-x86 ;;
	host) echo e2fsprogs ;;
	sim) echo gcc make libc6-dev libssl-dev clang llvm 'libclang-rt-*-dev' ;;
	static) echo sparse codespell git g++ ;;
	docs) echo python3-sphinx ;;
	qemu)
		echo gcc make libc6-dev xz-utils patch cpio ccache libglib2.0-dev ninja-build python3-venv pkg-config
		# That of Debian 12 is too old; vmm/qemu/build.sh gets a newer one there.
		[ "$(sed -n 's/^VERSION_ID="\(.*\)"/\1/p' /etc/os-release)" = 12 ] || echo meson
		;;
	*) die "unknown group of packages '$1'" ;;
	esac
}

installed() {
	dpkg-query -W -f '${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -q '^ii'
}

if ! command -v dpkg-query >/dev/null; then
	say "not a Debian machine: the packages '$*' of README.md are taken as installed"
	exit 0
fi

missing=()
for group; do
	set -f
	for package in $(packages "$group"); do
		set +f
		if installed "$package"; then
			continue
		fi
		# The sanitizer runtime follows the version of clang.
		if [ "$package" = 'libclang-rt-*-dev' ]; then
			package=libclang-rt-dev
			apt-cache show "$package" >/dev/null 2>&1 ||
				package=libclang-rt-14-dev
			installed "$package" && continue
		fi
		missing+=("$package")
	done
done

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	die "these packages are missing: ${missing[*]}" \
		"install them and run again:  apt-get install ${missing[*]}"
fi

say "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	die "the packages could not be installed"
}
