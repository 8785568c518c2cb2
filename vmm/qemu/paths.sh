# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the scripts in vmtest/ that turn patches and new files into a tree, a stack or
# mails have to know about the series of QEMU, see vmtest/paths.sh.

patches=$TOP/vmm/qemu
series_names=(patches)
new_root=$TOP/vmm/qemu/new
new_places=(.)

tree=$BUILD/qemu-tree
stack=${STACK:-$BUILD/qemu-stack}
mail_dir=$BUILD/qemu-series
verb=qemu-
variable=QEMU

is_base() { [ -f "$1/VERSION" ] && [ -f "$1/qemu-options.hx" ]; }

base_version() { cat "$1/VERSION"; }

base_id() { echo "$1 $(cat "$1/VERSION" "$1/.complete" 2>/dev/null | tr '\n' ' ')"; }

# All of it, so that the stack can be built.
stack_files() {
	(cd "$1" && find . -path ./.git -prune -o ! -type d ! -path ./.complete -printf '%P\n')
}

landing_path() { echo "$2"; }

repository_path() { echo "$2"; }
