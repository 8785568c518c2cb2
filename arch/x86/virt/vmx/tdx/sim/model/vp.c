// SPDX-License-Identifier: GPL-2.0
/*
 * Life of a vCPU: creation, its pages, reset state, leaving a processor.
 */
#include "leaves.h"
#include "metadata.h"

/* Registers of a TD vCPU out of reset. */
#define RESET_RIP		0xfffffff0
#define RESET_RFLAGS		0x2
#define RESET_CR0		0x21		/* PE, NE */
#define RESET_CR4		0x2040		/* MCE, VMXE */
#define RESET_EFER		0x901		/* SCE, LME, NXE */
#define RESET_PAT		0x0007040600070406ULL
#define RESET_PERF_GLOBAL_CTRL	0xff
#define RESET_DR6		0xffff0ff0
#define RESET_DR7		0x400
#define RESET_XCR0		1
#define RESET_FMASK		0x20200

#define AR_CODE			0xc09b
#define AR_DATA			0xc093
#define AR_LDTR			0x10082
#define AR_TR			0x8b
#define LIMIT_FLAT		0xffffffff
#define LIMIT_TABLE		0xffff

/* XSAVE header: the area is in compacted format. */
#define XSAVE_XCOMP_BV		520
#define XCOMP_BV_COMPACTED	BIT_ULL(63)

#define GPA_WIDTH		48
#define GPA_WIDTH_WIDE		52
#define CPUID_VERSION		1

u64 tdx_sim_vp_create(struct sim_call *c)
{
	u64 pa = c->in.r[RCX];
	struct pamt_entry *pe;
	struct tdvps *vps;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &td);
	if (err)
		return err;
	err = sim_get_free_page(c, pa, RCX, &pe);
	if (err)
		return err;

	vps = sim_ptr(pa);
	memset(vps, 0, SIM_PAGE_SIZE);
	vps->tdr_pa = td.tdr_pa;
	vps->num_pages = 1;
	vps->page_pa[TDVPS_MGMT] = pa;
	sim_atomic_inc64(&td.tdr->chldcnt);
	sim_cache_take(pa, 0, td.tdr->hkid);
	sim_pamt_assign(pe, PT_TDVPR, td.tdr_pa);
	return SIM_SUCCESS;
}

u64 tdx_sim_vp_addcx(struct sim_call *c)
{
	u64 pa = c->in.r[RCX];
	struct pamt_entry *pe;
	struct tdvps *vps;
	struct sim_vp vp;
	u64 err;

	err = sim_get_vp_in(c, RDX, SIM_EXCL, SIM_SHARED, &vp);
	if (!err)
		err = sim_check_td(c, &vp.td, SIM_SHARED);
	if (err)
		return err;
	vps = vp.vps;
	if (vps->state != VCPU_UNINITIALIZED)
		return SIM_VCPU_STATE_INCORRECT;
	if (vps->num_pages >= SIM_MAX_TDVPS_PAGES)
		return SIM_TDCX_NUM_INCORRECT;
	err = sim_get_free_page(c, pa, RCX, &pe);
	if (err)
		return err;

	memset(sim_ptr(pa), 0, SIM_PAGE_SIZE);
	vps->page_pa[vps->num_pages] = pa;
	vps->num_pages++;
	sim_atomic_inc64(&vp.td.tdr->chldcnt);
	sim_cache_take(pa, 0, vp.td.tdr->hkid);
	sim_pamt_assign(pe, PT_TDCX, vp.td.tdr_pa);
	return SIM_SUCCESS;
}

static void set_segment(struct sim_segment *s, u32 limit, u32 ar)
{
	memset(s, 0, sizeof(*s));
	s->limit = limit;
	s->ar = ar;
}

static void reset_vmcs(struct sim_vmcs *v)
{
	memset(v, 0, sizeof(*v));
	set_segment(&v->cs, LIMIT_FLAT, AR_CODE);
	set_segment(&v->ds, LIMIT_FLAT, AR_DATA);
	set_segment(&v->es, LIMIT_FLAT, AR_DATA);
	set_segment(&v->fs, LIMIT_FLAT, AR_DATA);
	set_segment(&v->gs, LIMIT_FLAT, AR_DATA);
	set_segment(&v->ss, LIMIT_FLAT, AR_DATA);
	set_segment(&v->ldtr, LIMIT_TABLE, AR_LDTR);
	set_segment(&v->tr, LIMIT_TABLE, AR_TR);
	set_segment(&v->gdtr, LIMIT_TABLE, 0);
	v->cr0 = RESET_CR0;
	v->cr4 = RESET_CR4;
	v->dr7 = RESET_DR7;
	v->rip = RESET_RIP;
	v->rflags = RESET_RFLAGS;
	v->efer = RESET_EFER;
	v->pat = RESET_PAT;
	v->perf_global_ctrl = RESET_PERF_GLOBAL_CTRL;
}

void sim_vp_reset(struct sim_vp *vp)
{
	struct tdvps *vps = vp->vps;
	u64 xcomp_bv = XCOMP_BV_COMPACTED;

	reset_vmcs(vp->vmcs);
	memset(vp->vapic, 0, SIM_PAGE_SIZE);
	memcpy(vp->xbuff[0] + XSAVE_XCOMP_BV, &xcomp_bv, sizeof(xcomp_bv));
	memset(vps->gpr, 0, sizeof(vps->gpr));
	vps->xfam = vp->td.tdcs->xfam;
	vps->xcr0 = RESET_XCR0;
	vps->dr6 = RESET_DR6;
	vps->msr_fmask = RESET_FMASK;
	sim_vp_init_controls(vp);
}

/* Where the boot code of a TD expects what it has to know. */
static void set_boot_gprs(struct sim_vp *vp, u64 rcx)
{
	struct tdvps *vps = vp->vps;
	u32 version[4] = {};

	sim_cpuid(vp, CPUID_VERSION, 0, version);
	vps->gpr[RBX] = vp->td.tdcs->gpaw ? GPA_WIDTH_WIDE : GPA_WIDTH;
	vps->gpr[RCX] = rcx;
	vps->gpr[R8] = rcx;
	vps->gpr[RDX] = version[0];
	vps->gpr[RSI] = vps->index;
}

/* Without an id for each vCPU, the TD has no topology. */
static u64 set_x2apic_id(struct sim_call *c, struct sim_td *td, u32 index)
{
	u64 id = c->in.r[R8];
	u32 i;

	if (!c->version) {
		td->tdcs->topology_enum_configured = false;
		return SIM_SUCCESS;
	}
	if (id > U32_MAX) {
		sim_atomic_dec32(&td->tdcs->num_vcpus);
		return SIM_OPERAND_INVALID | R8;
	}
	/* Without a topology, nobody can ask for it. */
	if (!sim_profile()->topology)
		return SIM_SUCCESS;
	/* The index of a vCPU that has an id of another one is used up. */
	for (i = 0; i < index; i++) {
		if (td->x2apic_ids[i] == id)
			return SIM_X2APIC_ID_NOT_UNIQUE | id;
	}
	td->x2apic_ids[index] = id;
	return SIM_SUCCESS;
}

u64 tdx_sim_vp_init(struct sim_call *c)
{
	enum sim_lock_mode td_mode = c->version ? SIM_EXCL : SIM_SHARED;
	struct tdcs *tdcs;
	struct sim_vp vp;
	u32 index;
	u64 err;

	if (c->version > 1)
		return SIM_OPERAND_INVALID | RAX;
	err = sim_get_vp_in(c, RCX, SIM_EXCL, td_mode, &vp);
	if (!err)
		err = sim_check_td(c, &vp.td, SIM_SHARED);
	if (err)
		return err;
	tdcs = vp.td.tdcs;
	if (!sim_vp_complete(&vp))
		return SIM_TDCX_NUM_INCORRECT;
	if (vp.vps->state != VCPU_UNINITIALIZED)
		return SIM_VCPU_STATE_INCORRECT;

	index = sim_atomic_inc32(&tdcs->num_vcpus) - 1;
	if (index >= tdcs->max_vcpus) {
		sim_atomic_dec32(&tdcs->num_vcpus);
		return SIM_MAX_VCPUS_EXCEEDED;
	}
	err = set_x2apic_id(c, &vp.td, index);
	if (err)
		return err;

	vp.vps->index = index;
	sim_vp_reset(&vp);
	set_boot_gprs(&vp, c->in.r[RDX]);
	vp.vps->state = VCPU_READY;
	vp.vps->assoc_lp = sim_this_lp();
	sim_atomic_inc32(&tdcs->num_assoc_vcpus);
	return SIM_SUCCESS;
}

u64 tdx_sim_vp_flush(struct sim_call *c)
{
	struct sim_vp vp;
	u64 err;

	err = sim_get_vp(c, SIM_EXCL, &vp);
	if (err)
		return err;
	if (vp.td.tdr->lifecycle != TD_KEYS_CONFIGURED)
		return SIM_TD_KEYS_NOT_CONFIGURED;
	if (vp.td.tdr->num_tdcx < SIM_MIN_TDCX)
		return SIM_TDCS_NOT_ALLOCATED;
	if (!sim_vp_complete(&vp))
		return SIM_TDCX_NUM_INCORRECT;
	if (vp.vps->assoc_lp != sim_this_lp())
		return SIM_VCPU_NOT_ASSOCIATED;
	vp.vps->launched = false;
	sim_store(&vp.vps->assoc_lp, 0U);
	sim_atomic_dec32(&vp.td.tdcs->num_assoc_vcpus);
	return SIM_SUCCESS;
}
