/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot page of a TD: from the reset vector to C code in 64-bit mode.
 *
 * The library copies the page to TD_BOOT_GPA and fills in the parameters.  ECX
 * is the value that the host passed to KVM_TDX_INIT_VCPU: the address of the
 * vCPU's parameters.  There is no stack before the parameters provide one.
 */
#include "tdx_boot.h"

#define X86_CR0_PG	0x80000000
#define X86_CR4_PAE	0x20
#define X86_CR4_OSFXSR	0x200
#define X86_CR4_OSXMMEXCPT	0x400

#define KERNEL_CS	0x8
#define KERNEL_DS	0x10

	.section .rodata
	.balign TD_BOOT_SIZE
	.globl td_boot_page
td_boot_page:
	.org td_boot_page + TD_BOOT_CODE

	.code32
boot32:
	/* The TDX module sets EFER.LME, and CR4.MCE which has to stay. */
	mov %cr4, %eax
	or $(X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT), %eax
	mov %eax, %cr4
	mov TD_BOOT_VCPU_CR3(%ecx), %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $X86_CR0_PG, %eax
	mov %eax, %cr0

	/* This page is mapped one to one. */
	lgdtl TD_BOOT_VCPU_GDTR(%ecx)
	ljmp $KERNEL_CS, $(TD_BOOT_GPA + (boot64 - td_boot_page))

	.code64
boot64:
	mov $KERNEL_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	lidt TD_BOOT_VCPU_IDTR(%rcx)
	mov TD_BOOT_VCPU_RSP(%rcx), %rsp
	mov TD_BOOT_VCPU_ARG(%rcx), %rdi
	xor %ebp, %ebp
	jmp *TD_BOOT_VCPU_ENTRY(%rcx)

	.org td_boot_page + TD_BOOT_RESET_VECTOR
	.code32
	jmp boot32
	.org td_boot_page + TD_BOOT_SIZE

	.section .note.GNU-stack, "", %progbits
