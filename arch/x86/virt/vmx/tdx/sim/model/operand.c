// SPDX-License-Identifier: GPL-2.0
/*
 * Operands that several leaves have in common: physical addresses, TDR, TDVPR.
 */
#include "leaves.h"

static unsigned int max_pa_bits(void)
{
	return sim_module.platform.hkid_shift + sim_module.platform.hkid_bits;
}

u64 sim_strip_hkid(u64 hpa)
{
	return hpa & (BIT_ULL(sim_module.platform.hkid_shift) - 1);
}

u16 sim_hkid(u64 hpa)
{
	return (hpa >> sim_module.platform.hkid_shift) &
	       (BIT_ULL(sim_module.platform.hkid_bits) - 1);
}

bool sim_hkid_is_private(u64 hkid)
{
	const struct tdx_sim_platform *p = &sim_module.platform;

	return hkid > p->nr_mktme_hkids && hkid <= p->nr_mktme_hkids + p->nr_tdx_hkids;
}

void *sim_ptr(u64 hpa)
{
	u64 offset = hpa & (SIM_PAGE_SIZE - 1);
	u8 *page;

	hpa = sim_strip_hkid(hpa);
	page = tdx_sim_host_page(hpa - offset);
	return page ? page + offset : NULL;
}

u64 sim_check_hpa(u64 hpa, int level, u32 operand)
{
	if (!IS_ALIGNED(hpa, SIM_LEVEL_SIZE(level)) || sim_strip_hkid(hpa) != hpa)
		return SIM_OPERAND_INVALID | operand;
	return SIM_SUCCESS;
}

u64 sim_check_private_page(u64 hpa, u32 reg)
{
	u64 err = sim_check_hpa(hpa, 0, reg);

	if (err)
		return err;
	return sim_pamt(hpa) ? SIM_SUCCESS : SIM_OPERAND_ADDR_RANGE_ERROR | reg;
}

bool sim_shared_hpa_form(u64 hpa, u64 align)
{
	return IS_ALIGNED(hpa, align) && !(hpa >> max_pa_bits()) &&
	       sim_hkid(hpa) <= sim_module.platform.nr_mktme_hkids;
}

/*
 * Access with a shared KeyID would poison a private page.  Here it would reach
 * the plain text, so it is refused.
 */
static bool page_is_private(u64 hpa)
{
	const struct pamt_entry *pe;
	int level;

	for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
		pe = sim_pamt_level(hpa, level);
		if (pe && READ_ONCE(pe->type) != PT_NDA && pe->type != PT_RSVD)
			return true;
	}
	return sim_pamt_contains(hpa);
}

u64 sim_check_shared_hpa(u64 hpa, u64 align, u32 operand)
{
	if (!sim_shared_hpa_form(hpa, align) || !sim_ptr(hpa) ||
	    page_is_private(sim_strip_hkid(hpa)))
		return SIM_OPERAND_INVALID | operand;
	sim_cache_host_use(sim_strip_hkid(hpa), SIM_USE_SHARED);
	return SIM_SUCCESS;
}

static void map_tdcs(struct sim_td *td)
{
	const u64 *pa = td->tdr->tdcx_pa;
	u32 nr = td->tdr->num_tdcx;

	td->tdcs = nr > TDCX_TDCS ? sim_ptr(pa[TDCX_TDCS]) : NULL;
	td->cpuid = nr > TDCX_CPUID ? sim_ptr(pa[TDCX_CPUID]) : NULL;
	td->sept_root = nr > TDCX_SEPT_ROOT ? sim_ptr(pa[TDCX_SEPT_ROOT]) : NULL;
	td->migsc_links = nr > TDCX_MIGSC_LINKS ? sim_ptr(pa[TDCX_MIGSC_LINKS]) : NULL;
	td->x2apic_ids = nr > TDCX_X2APIC_IDS ? sim_ptr(pa[TDCX_X2APIC_IDS]) : NULL;
}

u64 sim_get_tdr_at(struct sim_call *c, u64 hpa, u32 operand, enum sim_lock_mode mode,
		   struct sim_td *td)
{
	u64 err;

	memset(td, 0, sizeof(*td));
	td->tdr_pa = hpa;
	err = sim_get_page(c, hpa, operand, 0, mode, PT_TDR, &td->pamt);
	if (err)
		return err;
	td->tdr = sim_ptr(hpa);
	if (!td->tdr)
		return SIM_OPERAND_ADDR_RANGE_ERROR | operand;
	map_tdcs(td);
	return SIM_SUCCESS;
}

u64 sim_get_tdr(struct sim_call *c, u32 reg, enum sim_lock_mode mode, struct sim_td *td)
{
	return sim_get_tdr_at(c, c->in.r[reg], reg, mode, td);
}

static void count_call(struct sim_call *c, struct sim_td *td)
{
	if (c->leaf < ARRAY_SIZE(td->cpuid->host_calls))
		sim_atomic_inc32(&td->cpuid->host_calls[c->leaf]);
}

u64 sim_check_td(struct sim_call *c, struct sim_td *td, int op_lock)
{
	if (td->tdr->fatal)
		return SIM_TD_FATAL;
	if (td->tdr->lifecycle != TD_KEYS_CONFIGURED)
		return SIM_TD_KEYS_NOT_CONFIGURED;
	if (td->tdr->num_tdcx < SIM_MIN_TDCX)
		return SIM_TDCS_NOT_ALLOCATED;
	if (op_lock >= 0 &&
	    !sim_hold(c, &td->tdcs->op_state_lock, (enum sim_lock_mode)op_lock))
		return SIM_OPERAND_BUSY | OPND_OP_STATE;
	if (!sim_op_state_allows(c->leaf, td->tdcs->op_state))
		return SIM_OP_STATE_INCORRECT;
	count_call(c, td);
	return SIM_SUCCESS;
}

u64 sim_get_td(struct sim_call *c, u32 reg, enum sim_lock_mode mode, int op_lock,
	       struct sim_td *td)
{
	u64 err = sim_get_tdr(c, reg, mode, td);

	return err ? err : sim_check_td(c, td, op_lock);
}

u64 sim_get_vp_in(struct sim_call *c, u32 reg, enum sim_lock_mode mode,
		  enum sim_lock_mode td_mode, struct sim_vp *vp)
{
	const u64 *pa;
	u64 err;
	int i;

	memset(vp, 0, sizeof(*vp));
	vp->tdvpr_pa = c->in.r[reg];
	err = sim_get_page(c, vp->tdvpr_pa, reg, 0, mode, PT_TDVPR, &vp->pamt);
	if (err)
		return err;

	vp->td.tdr_pa = sim_pamt_owner(vp->pamt);
	vp->td.pamt = sim_pamt(vp->td.tdr_pa);
	vp->td.tdr = sim_ptr(vp->td.tdr_pa);
	vp->vps = sim_ptr(vp->tdvpr_pa);
	if (!vp->td.pamt || !vp->td.tdr || !vp->vps)
		return SIM_OPERAND_ADDR_RANGE_ERROR | reg;
	err = sim_hold_or_busy(c, &vp->td.pamt->lock, td_mode, OPND_TDR);
	if (err)
		return err;
	map_tdcs(&vp->td);

	if (vp->vps->num_pages < SIM_NR_TDVPS_PAGES)
		return SIM_SUCCESS;
	pa = vp->vps->page_pa;
	vp->vapic = sim_ptr(pa[TDVPS_VAPIC]);
	vp->vmcs = sim_ptr(pa[TDVPS_VMCS]);
	for (i = 0; i < (int)ARRAY_SIZE(vp->xbuff); i++)
		vp->xbuff[i] = sim_ptr(pa[TDVPS_XBUFF0 + i]);
	return SIM_SUCCESS;
}

u64 sim_get_vp(struct sim_call *c, enum sim_lock_mode mode, struct sim_vp *vp)
{
	return sim_get_vp_in(c, RCX, mode, SIM_SHARED, vp);
}

bool sim_vp_complete(const struct sim_vp *vp)
{
	return vp->vps->num_pages >=
	       SIM_NR_TDVPS_PAGES + SIM_TDVPS_PAGES_PER_L2 * vp->td.tdcs->num_l2_vms;
}

u32 sim_this_lp(void)
{
	return tdx_sim_host_lp() + 1;
}

u64 sim_associate_vp(struct sim_vp *vp)
{
	u32 old = sim_cmpxchg32(&vp->vps->assoc_lp, 0, sim_this_lp());

	if (old == sim_this_lp())
		return SIM_SUCCESS;
	if (old)
		return SIM_VCPU_ASSOCIATED;
	vp->vps->launched = false;
	sim_atomic_inc32(&vp->td.tdcs->num_assoc_vcpus);
	return SIM_SUCCESS;
}
