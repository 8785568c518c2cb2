// SPDX-License-Identifier: GPL-2.0
/*
 * Host instructions of a TDX capable processor that this CPU does not have:
 * each raises #UD in kernel mode and is emulated from the die notifier, which
 * runs before the exception tables are searched.
 *
 * VMX instructions exist as far as kvm-intel needs them to load and to run
 * TDs.  A VMLAUNCH always fails: there are no VMX guests.
 */
#include <linux/bug.h>
#include <linux/kdebug.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/ratelimit.h>
#include <linux/string.h>
#include <asm/insn.h>
#include <asm/insn-eval.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "leaves.h"
#include "mig.h"
#include "platform.h"

#define ARITH_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | \
			 X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_OF)
/* SEAMCALLs with this bit of RAX go to the P-SEAMLDR, which is not there. */
#define SEAMCALL_TO_LOADER	BIT_ULL(63)
#define MOVDIR64B_SIZE		64

static DEFINE_PER_CPU(bool, sim_vmx_on);

bool sim_cpu_in_vmx_operation(void)
{
	return this_cpu_read(sim_vmx_on);
}

static void copy_from_ptregs(struct tdx_sim_regs *regs, const struct pt_regs *pt)
{
	u64 *r = regs->r;

	r[RAX] = pt->ax;
	r[RCX] = pt->cx;
	r[RDX] = pt->dx;
	r[RBX] = pt->bx;
	r[RSP] = pt->sp;
	r[RBP] = pt->bp;
	r[RSI] = pt->si;
	r[RDI] = pt->di;
	r[R8] = pt->r8;
	r[R9] = pt->r9;
	r[R10] = pt->r10;
	r[R11] = pt->r11;
	r[R12] = pt->r12;
	r[R13] = pt->r13;
	r[R14] = pt->r14;
	r[R15] = pt->r15;
}

static void copy_to_ptregs(struct pt_regs *pt, const struct tdx_sim_regs *regs)
{
	const u64 *r = regs->r;

	pt->ax = r[RAX];
	pt->cx = r[RCX];
	pt->dx = r[RDX];
	pt->bx = r[RBX];
	pt->bp = r[RBP];
	pt->si = r[RSI];
	pt->di = r[RDI];
	pt->r8 = r[R8];
	pt->r9 = r[R9];
	pt->r10 = r[R10];
	pt->r11 = r[R11];
	pt->r12 = r[R12];
	pt->r13 = r[R13];
	pt->r14 = r[R14];
	pt->r15 = r[R15];
}

/* Handlers return false for #UD; VMfailInvalid is CF, VMfailValid is ZF. */
static bool emulate_seamcall(struct insn *insn, struct pt_regs *pt)
{
	u64 start = rdtsc();
	struct tdx_sim_regs regs;
	u16 leaf = pt->ax;
	u64 err;

	if (pt->ax & SEAMCALL_TO_LOADER) {
		pt->flags |= X86_EFLAGS_CF;
		return true;
	}

	copy_from_ptregs(&regs, pt);
	if (leaf == LEAF_MNG_INIT)
		sim_td_params_change(regs.r[RDX]);
	sim_env_enter(leaf, pt->flags & X86_EFLAGS_IF);
	if (sim_env_leaf_is_busy(leaf, regs.r[R10] & MIGS_COMMAND))
		regs.r[RAX] = SIM_OPERAND_BUSY | RCX;
	else if (sim_fail_begin(leaf, &err))
		regs.r[RAX] = err;
	else
		tdx_sim_seamcall(&regs);
	sim_fail_end(regs.r[RAX]);
	/* Whether that does harm depends on what the compiler keeps there. */
	WARN_RATELIMIT(regs.r[RBP] != pt->bp,
		       "tdx_sim: SEAMCALL leaf %u has changed RBP, which the kernel does not save\n",
		       leaf);
	copy_to_ptregs(pt, &regs);
	sim_account_seamcall(leaf, pt->flags & X86_EFLAGS_IF, start, &regs);
	return true;
}

static bool emulate_vmxon(struct insn *insn, struct pt_regs *pt)
{
	if (!(cr4_read_shadow() & X86_CR4_VMXE))
		return false;

	sim_svm_enable_cpu();
	this_cpu_write(sim_vmx_on, true);
	return true;
}

static bool emulate_vmxoff(struct insn *insn, struct pt_regs *pt)
{
	this_cpu_write(sim_vmx_on, false);
	sim_svm_disable_cpu();
	return true;
}

static bool emulate_vmread(struct insn *insn, struct pt_regs *pt)
{
	int off;

	if (X86_MODRM_MOD(insn->modrm.value) != 3)
		return false;

	off = insn_get_modrm_rm_off(insn, pt);
	if (off < 0)
		return false;

	*(unsigned long *)((void *)pt + off) = 0;
	return true;
}

static bool emulate_vmfail(struct insn *insn, struct pt_regs *pt)
{
	pt->flags |= X86_EFLAGS_ZF;
	return true;
}

static bool emulate_movdir64b(struct insn *insn, struct pt_regs *pt)
{
	unsigned long *dst = insn_get_modrm_reg_ptr(insn, pt);
	void *src = (void __force *)insn_get_addr_ref(insn, pt);

	if (!dst || src == (void *)-1L || *dst % MOVDIR64B_SIZE)
		return false;

	memcpy((void *)*dst, src, MOVDIR64B_SIZE);
	return true;
}

static bool emulate_nop(struct insn *insn, struct pt_regs *pt)
{
	return true;
}

enum { ANY = -1, PFX_NONE = 0, PFX_66 = 0x66, PFX_F3 = 0xf3 };

static const struct sim_insn {
	u8 opcode[3];
	/* ModRM byte, or its reg field when only that matters. */
	s16 modrm;
	s8 reg;
	s16 prefix;
	bool vmx_operation;
	bool (*emulate)(struct insn *insn, struct pt_regs *pt);
} sim_insns[] = {
	/* SEAMCALL */
	{ { 0x0f, 0x01 }, 0xcf, ANY, PFX_66, true, emulate_seamcall },
	/* VMLAUNCH, VMRESUME */
	{ { 0x0f, 0x01 }, 0xc2, ANY, PFX_NONE, true, emulate_vmfail },
	{ { 0x0f, 0x01 }, 0xc3, ANY, PFX_NONE, true, emulate_vmfail },
	/* VMXOFF, VMXON */
	{ { 0x0f, 0x01 }, 0xc4, ANY, PFX_NONE, true, emulate_vmxoff },
	{ { 0x0f, 0xc7 }, ANY, 6, PFX_F3, false, emulate_vmxon },
	/* VMCLEAR, VMPTRLD */
	{ { 0x0f, 0xc7 }, ANY, 6, PFX_66, true, emulate_nop },
	{ { 0x0f, 0xc7 }, ANY, 6, PFX_NONE, true, emulate_nop },
	/* VMREAD, VMWRITE */
	{ { 0x0f, 0x78 }, ANY, ANY, PFX_NONE, true, emulate_vmread },
	{ { 0x0f, 0x79 }, ANY, ANY, PFX_NONE, true, emulate_nop },
	/* INVEPT, INVVPID */
	{ { 0x0f, 0x38, 0x80 }, ANY, ANY, PFX_66, true, emulate_nop },
	{ { 0x0f, 0x38, 0x81 }, ANY, ANY, PFX_66, true, emulate_nop },
	/* MOVDIR64B */
	{ { 0x0f, 0x38, 0xf8 }, ANY, ANY, PFX_66, false, emulate_movdir64b },
};

static int last_prefix(const struct insn *insn)
{
	int i, prefix = PFX_NONE;

	for (i = 0; i < insn->prefixes.nbytes; i++) {
		if (insn->prefixes.bytes[i] == PFX_66 || insn->prefixes.bytes[i] == PFX_F3)
			prefix = insn->prefixes.bytes[i];
	}
	return prefix;
}

static const struct sim_insn *find_sim_insn(const struct insn *insn)
{
	const struct sim_insn *e;

	for (e = sim_insns; e < sim_insns + ARRAY_SIZE(sim_insns); e++) {
		if (insn->opcode.nbytes != (e->opcode[2] ? 3 : 2) ||
		    memcmp(insn->opcode.bytes, e->opcode, insn->opcode.nbytes))
			continue;
		if (e->modrm != ANY && e->modrm != (u8)insn->modrm.value)
			continue;
		if (e->reg != ANY && e->reg != X86_MODRM_REG(insn->modrm.value))
			continue;
		if (e->prefix == last_prefix(insn))
			return e;
	}
	return NULL;
}

static int sim_insn_notify(struct notifier_block *nb, unsigned long val, void *data)
{
	struct die_args *args = data;
	struct pt_regs *pt = args->regs;
	const struct sim_insn *e;
	unsigned long flags;
	struct insn insn;

	if (val != DIE_TRAP || args->trapnr != X86_TRAP_UD || user_mode(pt))
		return NOTIFY_DONE;

	if (insn_decode_kernel(&insn, (void *)pt->ip))
		return NOTIFY_DONE;

	e = find_sim_insn(&insn);
	if (!e || (e->vmx_operation && !sim_cpu_in_vmx_operation()))
		return NOTIFY_DONE;

	flags = pt->flags;
	pt->flags &= ~ARITH_FLAGS;
	if (!e->emulate(&insn, pt)) {
		pt->flags = flags;
		return NOTIFY_DONE;
	}

	pt->ip += insn.length;
	return NOTIFY_STOP;
}

static struct notifier_block sim_insn_nb = {
	.notifier_call = sim_insn_notify,
	.priority = INT_MAX,
};

int sim_insn_init(void)
{
	return register_die_notifier(&sim_insn_nb);
}
