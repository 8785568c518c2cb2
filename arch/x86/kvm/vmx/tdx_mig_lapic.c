// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the part of a vCPU's local APIC that lives in KVM, i.e.
 * the registers that KVM emulates, and the interrupts that it has posted and
 * that the TDX module has not seen yet.  The virtual APIC page itself is in the
 * state bundle of the vCPU.
 */
#include <asm/apic.h>

#include "lapic.h"
#include "posted_intr.h"
#include "tdx_mig_internal.h"

/* IRR is an array of 32-bit registers, 16 bytes apart. */
#define TDX_MIG_NR_IRR_REGS	(NR_PIR_VECTORS / 32)
#define TDX_MIG_IRR_REG(i)	(APIC_IRR + (i) * 0x10)

/* No APIC delivers vectors below that. */
#define TDX_MIG_FIRST_VECTOR	16

static bool tdx_mig_has_lapic_state(struct kvm_vcpu *vcpu)
{
	return to_kvm_tdx(vcpu->kvm)->attributes & TDX_TD_ATTR_MIGRATABLE;
}

int tdx_mig_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct vcpu_tdx *tdx = to_tdx(vcpu);
	unsigned int i;
	u32 pir;
	int r;

	if (!tdx_mig_has_lapic_state(vcpu) || tdx->state != VCPU_TD_STATE_INITIALIZED)
		return -EINVAL;

	/* This can post the interrupt of the timer, so it comes first. */
	r = kvm_apic_get_protected_state(vcpu, s);
	if (r)
		return r;

	/* Leave PIR alone: the vCPU runs on here if the migration fails. */
	for (i = 0; i < TDX_MIG_NR_IRR_REGS; i++) {
		pir = READ_ONCE(((u32 *)tdx->vt.pi_desc.pir)[i]);
		if (!i)
			pir &= GENMASK(31, TDX_MIG_FIRST_VECTOR);
		apic_set_reg(s->regs, TDX_MIG_IRR_REG(i), pir);
	}

	return 0;
}

int tdx_mig_set_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct vcpu_tdx *tdx = to_tdx(vcpu);
	struct pi_desc *pi_desc = &tdx->vt.pi_desc;
	unsigned long irr[NR_PIR_WORDS] = {};
	unsigned int i, vector;
	int r;

	if (!tdx_mig_has_lapic_state(vcpu))
		return -EINVAL;

	if (!tdx_mig_vcpu_is_importing(vcpu))
		return -EBUSY;

	for (i = 0; i < TDX_MIG_NR_IRR_REGS; i++)
		((u32 *)irr)[i] = apic_get_reg(s->regs, TDX_MIG_IRR_REG(i));
	if (irr[0] & GENMASK(TDX_MIG_FIRST_VECTOR - 1, 0))
		return -EINVAL;

	r = kvm_apic_set_protected_state(vcpu, s);
	if (r)
		return r;

	/* Other interrupts may have been posted already. */
	for_each_set_bit(vector, irr, NR_PIR_VECTORS)
		pi_test_and_set_pir(vector, pi_desc);
	if (!bitmap_empty(irr, NR_PIR_VECTORS))
		pi_set_on(pi_desc);

	return 0;
}
