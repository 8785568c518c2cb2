# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the scripts that turn patches and new files into a tree, a stack or mails have to
# know about the series of the kernel.  vmm/qemu/paths.sh is the same for QEMU.

patches=$TOP/patches		# the list, series, and a folder of patches for each series
series_names=(product selftests sim)
new_root=$TOP			# where new files lie as they do in the tree, and below what
new_places=(Kconfig arch tools Documentation)

tree=$BUILD/tree
stack=${STACK:-$BUILD/stack}
mail_dir=$BUILD/series
verb=''				# what precedes tree, stack, unstack and series as verbs of make
variable=LINUX			# of make, that names another base

is_base() { [ -f "$1/Kbuild" ]; }

base_version() { make -s -C "$1" kernelversion; }

# Changes if the base does, without a look at all its files.
base_id() { echo "$1 $(sed -n '1,5p' "$1/Makefile" | tr -d '\n')"; }

# stack_files BASE: what the stack has of a base: the folders in which the series edit
# something, without their subfolders, so that a commit may edit other files there.
stack_files() {
	edited_files | xargs -n 1 dirname | sort -u | while read -r dir; do
		[ ! -d "$1/$dir" ] || (cd "$1" &&
			find "$dir" -maxdepth 1 -type f ! -name .complete ! -path ./.gitignore)
	done
}

# landing_path BASE FILE: where a file of this repository goes. Where the base has
# renamed a folder, its name counts.
landing_path() {
	case $2 in
	Kconfig)
		echo arch/x86/kvm/vmx/Kconfig
		;;
	tools/testing/selftests/kvm/*x86_64/*)
		if [ -d "$1/tools/testing/selftests/kvm/x86_64" ]; then
			echo "$2"
		else
			echo "${2/x86_64\//x86/}"
		fi
		;;
	*)
		echo "$2"
		;;
	esac
}

# repository_path BASE FILE: the way back.
repository_path() {
	case $2 in
	"$(landing_path "$1" Kconfig)") echo Kconfig ;;
	tools/testing/selftests/kvm/*x86/*) echo "${2/x86\//x86_64/}" ;;
	*) echo "$2" ;;
	esac
}
