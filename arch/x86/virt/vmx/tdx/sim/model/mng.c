// SPDX-License-Identifier: GPL-2.0
/*
 * Life of a TD before and after it has content: creation, key, control
 * structure pages, and giving the key back.
 */
#include "leaves.h"

u64 tdx_sim_mng_create(struct sim_call *c)
{
	u64 hkid = c->in.r[RDX];
	struct pamt_entry *pe;
	struct tdr *tdr;
	u64 err;

	if (!sim_hkid_is_private(hkid))
		return SIM_OPERAND_INVALID | RDX;
	err = sim_get_free_page(c, c->in.r[RCX], RCX, &pe);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &sim_module.kot_lock, SIM_EXCL, OPND_KOT);
	if (err)
		return err;
	if (sim_module.kot[hkid].state != KOT_FREE)
		return SIM_HKID_NOT_FREE;

	tdr = sim_ptr(c->in.r[RCX]);
	memset(tdr, 0, SIM_PAGE_SIZE);
	if (!tdx_sim_host_random(tdr->uuid, sizeof(tdr->uuid)))
		return SIM_RND_NO_ENTROPY;
	sim_module.kot[hkid].state = KOT_ASSIGNED;
	tdr->hkid = hkid;
	tdr->lifecycle = TD_HKID_ASSIGNED;
	sim_cache_take(c->in.r[RCX], 0, sim_module.global_hkid);
	sim_pamt_assign(pe, PT_TDR, 0);
	return SIM_SUCCESS;
}

u64 tdx_sim_mng_key_config(struct sim_call *c)
{
	u64 pkg = BIT_ULL(tdx_sim_host_package());
	struct sim_td td;
	u64 err;

	err = sim_get_tdr(c, RCX, SIM_EXCL, &td);
	if (err)
		return err;
	if (td.tdr->fatal)
		return SIM_TD_FATAL;
	if (td.tdr->lifecycle != TD_HKID_ASSIGNED)
		return SIM_LIFECYCLE_STATE_INCORRECT;
	if (td.tdr->pkg_configured & pkg)
		return SIM_KEY_CONFIGURED;
	td.tdr->pkg_configured |= pkg;
	if (td.tdr->pkg_configured == sim_module.pkgs_key_configured)
		td.tdr->lifecycle = TD_KEYS_CONFIGURED;
	return SIM_SUCCESS;
}

u64 tdx_sim_mng_addcx(struct sim_call *c)
{
	struct pamt_entry *pe;
	struct sim_td td;
	u64 err, pa;
	void *page;
	u32 index;

	err = sim_get_tdr(c, RDX, SIM_EXCL, &td);
	if (err)
		return err;
	if (td.tdr->fatal)
		return SIM_TD_FATAL;
	if (td.tdr->lifecycle != TD_KEYS_CONFIGURED)
		return SIM_TD_KEYS_NOT_CONFIGURED;
	index = td.tdr->num_tdcx;
	if (index >= SIM_MAX_TDCX)
		return SIM_TDCX_NUM_INCORRECT;
	pa = c->in.r[RCX];
	err = sim_get_free_page(c, pa, RCX, &pe);
	if (err)
		return err;

	page = sim_ptr(pa);
	memset(page, 0, SIM_PAGE_SIZE);
	if (index + 1 == SIM_MIN_TDCX) {
		if (!tdx_sim_host_random(td.tdcs->mig_enc_key, sizeof(td.tdcs->mig_enc_key)))
			return SIM_RND_NO_ENTROPY;
	} else if (index + 1 > SIM_MIN_TDCX) {
		if (!sim_op_state_allows(c->leaf, td.tdcs->op_state))
			return SIM_OP_STATE_INCORRECT;
	}
	td.tdr->tdcx_pa[index] = pa;
	td.tdr->num_tdcx = index + 1;
	sim_atomic_inc64(&td.tdr->chldcnt);
	sim_cache_take(pa, 0, td.tdr->hkid);
	sim_pamt_assign(pe, PT_TDCX, td.tdr_pa);
	return SIM_SUCCESS;
}

u64 tdx_sim_mng_vpflushdone(struct sim_call *c)
{
	struct sim_td td;
	u16 hkid;
	u64 err;

	err = sim_get_tdr(c, RCX, SIM_EXCL, &td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &sim_module.kot_lock, SIM_EXCL, OPND_KOT);
	if (err)
		return err;
	if (td.tdr->lifecycle != TD_KEYS_CONFIGURED && td.tdr->lifecycle != TD_HKID_ASSIGNED)
		return SIM_LIFECYCLE_STATE_INCORRECT;
	if (td.tdr->num_tdcx >= SIM_MIN_TDCX && td.tdcs->op_state != OP_UNINITIALIZED &&
	    sim_load(&td.tdcs->num_assoc_vcpus))
		return SIM_FLUSHVP_NOT_DONE;

	hkid = td.tdr->hkid;
	sim_store(&sim_module.kot[hkid].wbinvd_bitmap, sim_module.pkgs_key_configured);
	sim_module.kot[hkid].state = KOT_FLUSHED;
	td.tdr->lifecycle = TD_BLOCKED;
	return SIM_SUCCESS;
}

u64 tdx_sim_mng_key_freeid(struct sim_call *c)
{
	struct sim_td td;
	u16 hkid;
	u64 err;

	err = sim_get_tdr(c, RCX, SIM_EXCL, &td);
	if (err)
		return err;
	if (td.tdr->lifecycle != TD_BLOCKED)
		return SIM_LIFECYCLE_STATE_INCORRECT;
	err = sim_hold_or_busy(c, &sim_module.kot_lock, SIM_EXCL, OPND_KOT);
	if (err)
		return err;
	hkid = td.tdr->hkid;
	if (sim_load(&sim_module.kot[hkid].wbinvd_bitmap))
		return SIM_WBCACHE_NOT_COMPLETE;
	sim_module.kot[hkid].state = KOT_FREE;
	td.tdr->lifecycle = TD_TEARDOWN;
	return SIM_SUCCESS;
}

/* Kept for hosts that still call it; KEY.FREEID does the work. */
u64 tdx_sim_mng_key_reclaimid(struct sim_call *c)
{
	(void)c;
	return SIM_SUCCESS;
}
