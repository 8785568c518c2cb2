/* SPDX-License-Identifier: GPL-2.0 */
/*
 * World switch of the SVM engine.
 */
#include <linux/linkage.h>
#include <asm/frame.h>

#define WORD		8
#define GPR(n)		((n) * WORD)(%rax)

/* Registers in instruction encoding order, as in enum sim_reg. */
#define G_RCX		1
#define G_RDX		2
#define G_RBX		3
#define G_RBP		5
#define G_RSI		6
#define G_RDI		7
#define G_R8		8
#define G_R9		9
#define G_R10		10
#define G_R11		11
#define G_R12		12
#define G_R13		13
#define G_R14		14
#define G_R15		15

/*
 * void sim_svm_vmrun(u64 vmcb_pa, u64 host_pa, u64 *gprs)
 *
 * Called with interrupts disabled.  They are enabled for VMRUN alone, with GIF
 * clear around it: a host interrupt ends the guest's run and is then taken when
 * the caller enables interrupts; an NMI is taken at STGI.
 */
SYM_FUNC_START(sim_svm_vmrun)
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi

	clgi
	movq	%rsi, %rax
	vmsave	%rax
	movq	%rdi, %rax
	vmload	%rax

	movq	%rdx, %rax
	movq	GPR(G_RCX), %rcx
	movq	GPR(G_RDX), %rdx
	movq	GPR(G_RBX), %rbx
	movq	GPR(G_RBP), %rbp
	movq	GPR(G_RSI), %rsi
	movq	GPR(G_RDI), %rdi
	movq	GPR(G_R8), %r8
	movq	GPR(G_R9), %r9
	movq	GPR(G_R10), %r10
	movq	GPR(G_R11), %r11
	movq	GPR(G_R12), %r12
	movq	GPR(G_R13), %r13
	movq	GPR(G_R14), %r14
	movq	GPR(G_R15), %r15

	movq	(%rsp), %rax
	sti
	vmrun	%rax
	cli
	movq	(%rsp), %rax
	vmsave	%rax

	movq	(2 * WORD)(%rsp), %rax
	movq	%rcx, GPR(G_RCX)
	movq	%rdx, GPR(G_RDX)
	movq	%rbx, GPR(G_RBX)
	movq	%rbp, GPR(G_RBP)
	movq	%rsi, GPR(G_RSI)
	movq	%rdi, GPR(G_RDI)
	movq	%r8, GPR(G_R8)
	movq	%r9, GPR(G_R9)
	movq	%r10, GPR(G_R10)
	movq	%r11, GPR(G_R11)
	movq	%r12, GPR(G_R12)
	movq	%r13, GPR(G_R13)
	movq	%r14, GPR(G_R14)
	movq	%r15, GPR(G_R15)

	movq	WORD(%rsp), %rax
	vmload	%rax
	stgi

	addq	$(3 * WORD), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	RET
SYM_FUNC_END(sim_svm_vmrun)
