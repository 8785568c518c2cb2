# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The machine that QEMU emulates, after lib.sh: what all have in common that boot the
# kernel under test.
#
# Environment: ACCEL=tcg|icount|kvm, VENDOR=GenuineIntel|AuthenticAMD, CPUS=n,
#	PREALLOC=on for a machine whose memory is there from the start
# CPUS are those that run. QEMU's TCG can break VMs on the first one, so that is left
# to the kernel: by the software TDX platform, or with one CPU for all. A TD can
# have as many vCPUs as the machine has CPUs, so there are more of them, which stay
# offline and cost nothing.

# machine_begin MEM: set machine_options, for QEMU, and kernel_options, which fit them.
machine_begin() {
	local mem=$1 accel=${ACCEL:-tcg} cpu count=() cpus=${CPUS:-3}

	# There is one bus; the kernel would look for 255 more.
	kernel_options="no_timer_check pci=lastbus=0"
	case $accel in
	tcg)
		cpu=max,vendor=${VENDOR:-GenuineIntel},+svm,phys-bits=48
		# On a loaded machine the kernel would measure anything.
		if [ ! "$BUILD/tsc" -nt "$TOP/vmtest/tsc.c" ]; then
			gcc -O2 -Wall -Wextra -Werror -o "$BUILD/tsc.$$" "$TOP/vmtest/tsc.c"
			mv "$BUILD/tsc.$$" "$BUILD/tsc"
		fi
		kernel_options+=" tsc_early_khz=$("$BUILD/tsc")"
		;;
	icount)
		accel=tcg,thread=single
		cpu=max,vendor=${VENDOR:-GenuineIntel},+svm,phys-bits=48,-erms,-fsrm
		cpus=1
		count=(-icount "shift=0,sleep=off" -rtc "base=2026-01-01,clock=vm" -seed 1)
		kernel_options+=" tsc_early_khz=1000000"
		;;
	# Not as a guest of KVM, whose clock would be another one.
	kvm) cpu=host,kvm=off ;;
	*) die "ACCEL=$accel is none of tcg, icount and kvm" ;;
	esac
	kernel_options+=" maxcpus=$cpus"
	# shellcheck disable=SC2034 # for whoever boots the machine
	machine_options=(
		-machine "q35,memory-backend=ram" -accel "$accel" -cpu "$cpu" -smp 8 -m "$mem"
		-object "memory-backend-ram,id=ram,size=${mem}M,prealloc=${PREALLOC:-off}"
		"${count[@]}" -nodefaults -no-user-config -display none -no-reboot
	)
}
