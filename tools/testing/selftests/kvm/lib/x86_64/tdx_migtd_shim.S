/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shim of a migration TD that is an image: from the reset vector to the boot page of
 * the library.
 *
 * It accepts the memory of the TD, and copies the payload and the configuration there.
 * The boot page then finds everything as the library would have left it, and the vCPU
 * in the mode in which it starts.  Runs at its address in the flash device.
 */
#include "tdx_migtd_image.h"

#define X86_CR0_PG		0x80000000
#define X86_CR4_PAE		0x20

#define KERNEL_CS		0x8
#define KERNEL_DS		0x10
#define KERNEL32_CS		0x18

#define PAGE_BYTES		0x1000
#define PAGE_WORDS		0x200
#define NR_PTES			512

/* Page table entries: present, writable, 2 MiB page. */
#define PTE_TABLE		0x3
#define PTE_2M			0x83
#define BYTES_2M		0x200000
#define TOP_1G			0xc0000000

/* Temporary memory, which is zero: page tables and a stack. */
#define TEMP			(MIGTD_IMAGE_GPA + MIGTD_TEMP_OFFSET)
#define PML4			TEMP
#define PDPT			(TEMP + 0x1000)
/* For the first and the last GiB below 4 GiB, one after the other. */
#define PD_LOW			(TEMP + 0x2000)
#define PD_TOP			(TEMP + 0x3000)
#define STACK_TOP		(TEMP + MIGTD_TEMP_SIZE)

#define CONFIG			(MIGTD_IMAGE_GPA + MIGTD_CONFIG_OFFSET)
#define PAYLOAD			(MIGTD_IMAGE_GPA + MIGTD_PAYLOAD_OFFSET)

#define TDG_VP_VMCALL		0
#define TDG_MEM_PAGE_ACCEPT	6
#define TDVMCALL_REPORT_FATAL_ERROR	0x10003
/* R10, R11, R12. */
#define TDVMCALL_REGS		0x1c00
#define ERROR_ACCEPT		1

#define HERE(label)		(MIGTD_IMAGE_GPA + MIGTD_SHIM_OFFSET + (label - td_migtd_shim))

	.macro tdcall_insn
	.byte 0x66, 0x0f, 0x01, 0xcc
	.endm

	.section .rodata
	.balign MIGTD_SHIM_SIZE
	.globl td_migtd_shim
td_migtd_shim:
	.code32
	movl $(PDPT + PTE_TABLE), PML4
	movl $(PD_LOW + PTE_TABLE), PDPT
	movl $(PD_TOP + PTE_TABLE), PDPT + 3 * 8
	mov $STACK_TOP, %esp
	mov $PD_LOW, %edi
	mov $PTE_2M, %eax
	call fill_table
	mov $(TOP_1G + PTE_2M), %eax
	call fill_table

	lgdtl HERE(gdt_desc)
	mov %cr4, %eax
	or $X86_CR4_PAE, %eax
	mov %eax, %cr4
	mov $PML4, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $X86_CR0_PG, %eax
	mov %eax, %cr0
	ljmp $KERNEL_CS, $HERE(shim64)

	.code64
shim64:
	mov $KERNEL_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss

	xor %ebx, %ebx
1:	mov %rbx, %rcx
	mov $TDG_MEM_PAGE_ACCEPT, %eax
	tdcall_insn
	test %rax, %rax
	jnz fail
	add $PAGE_BYTES, %rbx
	cmp $MIGTD_MEMORY_SIZE, %rbx
	jb 1b

	mov $CONFIG, %esi
	mov $PAYLOAD, %ebx
	mov MIGTD_TABLE_CONFIG(%rbx), %rdi
	mov $PAGE_WORDS, %ecx
	cld
	rep movsq

	lea PAGE_BYTES(%rbx), %rsi
	mov MIGTD_TABLE_NR_RUNS(%rbx), %rdx
	add $MIGTD_TABLE_RUNS, %rbx
2:	test %rdx, %rdx
	jz 3f
	mov MIGTD_RUN_GPA(%rbx), %rdi
	mov MIGTD_RUN_NR_PAGES(%rbx), %rcx
	imul $PAGE_WORDS, %rcx, %rcx
	rep movsq
	add $MIGTD_RUN_SIZE, %rbx
	dec %rdx
	jmp 2b

3:	pushq $KERNEL32_CS
	mov $HERE(leave), %eax
	push %rax
	lretq

fail:
	mov $TDVMCALL_REGS, %ecx
	xor %r10d, %r10d
	mov $TDVMCALL_REPORT_FATAL_ERROR, %r11d
	mov $ERROR_ACCEPT, %r12d
	mov $TDG_VP_VMCALL, %eax
	tdcall_insn
	jmp fail

	.code32
leave:
	mov %cr0, %eax
	and $~X86_CR0_PG, %eax
	mov %eax, %cr0
	/* Where the parameters of the first vCPU are. */
	mov $TD_BOOT_GPA, %ecx
	mov $(TD_BOOT_GPA + TD_BOOT_CODE), %eax
	jmp *%eax

/* Map 1 GiB from EAX on, in the table at EDI, which is then the next one. */
fill_table:
	mov $NR_PTES, %ecx
1:	mov %eax, (%edi)
	add $BYTES_2M, %eax
	add $8, %edi
	dec %ecx
	jnz 1b
	ret

	.balign 16
gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cf9b000000ffff
gdt_end:
gdt_desc:
	.word gdt_end - gdt - 1
	.long HERE(gdt)

	/* The metadata follow. */
	.org td_migtd_shim + MIGTD_METADATA_OFFSET - MIGTD_SHIM_OFFSET
	.org td_migtd_shim + MIGTD_SHIM_SIZE

	.section .note.GNU-stack, "", %progbits
