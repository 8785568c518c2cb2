/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layout of the boot page of a TD, shared by C and assembly.
 *
 * A TD vCPU starts in 32-bit protected mode, paging off, at 0xfffffff0.  The
 * page that ends there holds the parameters of each vCPU and the code that
 * takes the vCPU to 64-bit mode and to its C entry point.
 */
#ifndef SELFTEST_KVM_TDX_BOOT_H
#define SELFTEST_KVM_TDX_BOOT_H

#define TD_BOOT_GPA		0xfffff000
#define TD_BOOT_SIZE		0x1000
#define TD_BOOT_CODE		0x800
#define TD_BOOT_RESET_VECTOR	0xff0

/* Offsets in struct td_boot_vcpu. */
#define TD_BOOT_VCPU_CR3	0
#define TD_BOOT_VCPU_GDTR	6
#define TD_BOOT_VCPU_IDTR	14
#define TD_BOOT_VCPU_RSP	24
#define TD_BOOT_VCPU_ENTRY	32
#define TD_BOOT_VCPU_ARG	40
#define TD_BOOT_VCPU_SIZE	64

#define TD_BOOT_MAX_VCPUS	(TD_BOOT_CODE / TD_BOOT_VCPU_SIZE)

#endif /* SELFTEST_KVM_TDX_BOOT_H */
