/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The last page below 4 GiB: what a TD vCPU executes first.
 *
 * A TD vCPU starts in flat 32-bit protected mode at the reset vector, with
 * EFER.LME set, its index in ESI and the value of its initialization, here the
 * APIC id, in ECX. Vcpu 0 goes on to the 64-bit entry point of the image, the
 * others wait in the mailbox of the ACPI multiprocessor wakeup structure.
 *
 * The loader fills in the parameters at the start of the page and provides
 * page tables that map the first 4 GiB one to one.
 */
#include "reset.h"

#define CR0_PE_PG		0x80000001
#define CR4_PAE			0x20

#define MAILBOX_COMMAND		0
#define MAILBOX_APIC_ID		4
#define MAILBOX_VECTOR		8
#define MAILBOX_CMD_NONE	0
#define MAILBOX_CMD_WAKEUP	1

	.text
	.globl	_start
_start:
page:
entry:
	.quad	0
argument:
	.quad	0
mailbox:
	.quad	0

	.balign	16
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdt_end:
gdt_desc:
	.word	gdt_end - gdt - 1
	.long	gdt

	.code32
start32:
	lgdt	gdt_desc
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$RESET_PML4_GPA, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$CR0_PE_PG, %eax
	movl	%eax, %cr0
	ljmp	$RESET_CS, $start64

	.code64
start64:
	movl	$RESET_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	testl	%esi, %esi
	jnz	wait_for_wakeup
	movq	argument(%rip), %rsi
	jmpq	*entry(%rip)

wait_for_wakeup:
	movq	mailbox(%rip), %rbx
1:	pause
	cmpw	$MAILBOX_CMD_WAKEUP, MAILBOX_COMMAND(%rbx)
	jne	1b
	cmpl	%ecx, MAILBOX_APIC_ID(%rbx)
	jne	1b
	movq	MAILBOX_VECTOR(%rbx), %rax
	movw	$MAILBOX_CMD_NONE, MAILBOX_COMMAND(%rbx)
	jmpq	*%rax

	.org	page + RESET_VECTOR_OFFSET
	.code32
	jmp	start32
	.org	page + RESET_PAGE_SIZE
