// SPDX-License-Identifier: GPL-2.0
/*
 * Guest writes of CR0, CR4 and CR8.  The module owns some bits: what is illegal
 * on the CPU raises #GP, what a TD must not do raises #VE.
 */
#include <asm/insn.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "guest.h"

#define CR0_IGNORED		(GENMASK_ULL(28, 19) | BIT_ULL(17) | GENMASK_ULL(15, 6))
#define CR0_LMSW		(X86_CR0_TS | X86_CR0_EM | X86_CR0_MP)
#define XFAM_PKRU		BIT_ULL(9)
#define SEG_AR_L		BIT(13)
#define CR3_PCID		GENMASK_ULL(11, 0)
#define CR8_TPR			GENMASK_ULL(3, 0)
#define CR8_TPR_SHIFT		4

/* Exit qualification of a CR access. */
#define CR_QUAL_TYPE_SHIFT	4
#define CR_QUAL_REG_SHIFT	8
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

enum cr_result { CR_DONE, CR_GP, CR_VE };

/* Paging goes on or off: long mode follows, as the CPU does it. */
static enum cr_result switch_paging(struct sim_vmcs *vmcs, bool on)
{
	if (!(vmcs->efer & EFER_LME))
		return CR_DONE;

	if (!on) {
		if (vmcs->cs.ar & SEG_AR_L)
			return CR_GP;
		vmcs->efer &= ~EFER_LMA;
		return CR_DONE;
	}

	if (!(vmcs->cr4 & X86_CR4_PAE) || (vmcs->cs.ar & SEG_AR_L))
		return CR_GP;
	vmcs->efer |= EFER_LMA;
	return CR_DONE;
}

static enum cr_result set_cr0(struct sim_vmcs *vmcs, u64 val)
{
	enum cr_result ret;

	if (val >> 32 || !(val & X86_CR0_NE))
		return CR_GP;
	if (!(val & X86_CR0_PE) && (val & X86_CR0_PG))
		return CR_GP;
	if (!(val & X86_CR0_PE) || (val & (X86_CR0_NW | X86_CR0_CD)))
		return CR_VE;

	if ((val ^ vmcs->cr0) & X86_CR0_PG) {
		ret = switch_paging(vmcs, val & X86_CR0_PG);
		if (ret != CR_DONE)
			return ret;
	}
	vmcs->cr0 = (val & ~CR0_IGNORED) | (vmcs->cr0 & CR0_IGNORED);
	return CR_DONE;
}

static enum cr_result set_cr4(const struct sim_vp *vp, u64 val)
{
	struct sim_vmcs *vmcs = vp->vmcs;

	if (val & ~(u64)SIM_GUEST_CR4_VALID)
		return CR_GP;
	if ((val & X86_CR4_PKE) && !(vp->vps->xfam & XFAM_PKRU))
		return CR_GP;
	/* The guest sees VMXE as 0 and MCE as 1; both are fixed. */
	if ((val & X86_CR4_VMXE) || !(val & X86_CR4_MCE))
		return CR_VE;

	if ((vmcs->efer & EFER_LMA) &&
	    (!(val & X86_CR4_PAE) || ((val ^ vmcs->cr4) & X86_CR4_LA57)))
		return CR_GP;
	if ((val & X86_CR4_PCIDE) && !(vmcs->cr4 & X86_CR4_PCIDE) &&
	    (!(vmcs->efer & EFER_LMA) || (vmcs->cr3 & CR3_PCID)))
		return CR_GP;

	vmcs->cr4 = val | X86_CR4_VMXE;
	return CR_DONE;
}

static enum cr_result set_cr(struct sim_vp *vp, unsigned int cr, u64 val)
{
	switch (cr) {
	case 0:
		return set_cr0(vp->vmcs, val);
	case 4:
		return set_cr4(vp, val);
	case 8:
		if (val & ~CR8_TPR)
			return CR_GP;
		sim_vapic_set_tpr(vp, val << CR8_TPR_SHIFT);
		return CR_DONE;
	default:
		return CR_GP;
	}
}

static u64 get_reg(const struct sim_vp *vp, unsigned int reg)
{
	u64 val = reg == RSP ? vp->vmcs->rsp : vp->vps->gpr[reg];

	return sim_guest_in_64bit(vp) ? val : (u32)val;
}

static void get_cr4(struct sim_vp *vp, unsigned int reg)
{
	u64 val = vp->vmcs->cr4 & ~X86_CR4_VMXE;

	if (reg == RSP)
		vp->vmcs->rsp = val;
	else
		vp->vps->gpr[reg] = val;
}

/* Source of LMSW in a register; from memory it is not supported. */
static u64 lmsw_value(const struct sim_vp *vp, const struct insn *insn)
{
	u64 src = get_reg(vp, X86_MODRM_RM(insn->modrm.value));

	return (vp->vmcs->cr0 & ~(u64)CR0_LMSW) | (src & CR0_LMSW);
}

void sim_guest_cr_access(struct sim_run *run)
{
	struct sim_vp *vp = run->vp;
	enum cr_result ret = CR_DONE;
	enum cr_access type;
	unsigned int cr, reg;
	struct insn insn;

	if (sim_guest_decode(vp, &insn) != SIM_DECODE_OK)
		return;

	cr = X86_MODRM_REG(insn.modrm.value) | (X86_REX_R(insn.rex_prefix.value) ? 8 : 0);
	reg = X86_MODRM_RM(insn.modrm.value) | (X86_REX_B(insn.rex_prefix.value) ? 8 : 0);

	switch (insn.opcode.bytes[1]) {
	case 0x06:
		type = CR_CLTS;
		cr = 0;
		reg = 0;
		vp->vmcs->cr0 &= ~X86_CR0_TS;
		break;
	case 0x20:
		type = CR_MOV_FROM;
		get_cr4(vp, reg);
		break;
	case 0x22:
		type = CR_MOV_TO;
		ret = set_cr(vp, cr, get_reg(vp, reg));
		break;
	default:
		type = CR_LMSW;
		cr = 0;
		reg = 0;
		ret = set_cr0(vp->vmcs, lmsw_value(vp, &insn));
		break;
	}

	if (ret == CR_GP)
		sim_inject_gp(vp);
	else if (ret == CR_VE)
		sim_inject_ve(vp, SIM_EXIT_CR_ACCESS,
			      cr | type << CR_QUAL_TYPE_SHIFT | reg << CR_QUAL_REG_SHIFT,
			      0, 0, insn.length);
	else
		sim_skip_insn(vp, insn.length);
}
