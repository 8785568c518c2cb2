// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata fields of a vCPU that a VMCS holds: guest state, and the few
 * controls that the host or a debugger may see.
 */
#include "metadata_table.h"

/* Encodings that a status names. */
#define VMCS_PI_VECTOR		0x0002
#define VMCS_PI_DESC		0x2016

#define PI_DESC_SIZE		64
#define PI_DESC_ADDRESS		GENMASK_ULL(63, 6)
#define PI_VECTOR_NONE		0xffff
#define PI_VECTOR_MAX		0xff
#define PIN_POSTED_INTR		BIT_ULL(7)
/* Bus lock detection, notify VM exit. */
#define SECONDARY_HOST		GENMASK_ULL(31, 30)
#define ENTRY_IA32E_MODE	BIT_ULL(9)
#define ENTRY_LOAD_PERF_GLOBAL	BIT_ULL(13)
#define ENTRY_LOAD_PKRS		BIT_ULL(22)
#define GUEST_EFER_LMA		BIT_ULL(10)

#define DEBUGCTL_TR		BIT_ULL(6)
#define DEBUGCTL_BTS		BIT_ULL(7)
#define DEBUGCTL_UNCORE_PMI	BIT_ULL(13)
#define DEBUGCTL_WRITABLE	(GENMASK_ULL(15, 6) | GENMASK_ULL(2, 0))

/* CR0 and CR4 bits that belong to the module, and what the guest sees in them. */
#define CR0_PE			BIT_ULL(0)
#define CR0_NE			BIT_ULL(5)
#define CR0_MASK		(CR0_PE | CR0_NE | GENMASK_ULL(15, 6) | BIT_ULL(17) | \
				 GENMASK_ULL(30, 19) | GENMASK_ULL(63, 32))
#define CR0_SHADOW		(CR0_PE | CR0_NE)
#define CR4_MCE			BIT_ULL(6)
#define CR4_VMXE		BIT_ULL(13)
#define CR4_SMXE		BIT_ULL(14)
#define CR4_KL			BIT_ULL(19)
#define CR4_PKE			BIT_ULL(22)
#define CR4_CET			BIT_ULL(23)
#define CR4_PKS			BIT_ULL(24)
#define CR4_UINTR		BIT_ULL(25)
#define CR4_LASS		BIT_ULL(27)
#define CR4_LAM_SUP		BIT_ULL(28)
#define CR4_MASK		(CR4_MCE | CR4_VMXE | CR4_SMXE | BIT_ULL(15) | CR4_KL | \
				 GENMASK_ULL(63, 26))
#define CR4_SHADOW		CR4_MCE

#define CR3_RESERVED		(BIT_ULL(63) | GENMASK_ULL(60, 52))
#define CR3_LAM			GENMASK_ULL(62, 61)

/*
 * Controls as hardware has them while a TD runs.  Nothing in the model acts on
 * them but the bits named above.
 */
#define PIN_INITIAL		0x0000003f
#define PRIMARY_INITIAL		0xb5a06dfa
#define SECONDARY_INITIAL	0x021237ef
#define EXIT_INITIAL		0x1fbcfdff
#define ENTRY_INITIAL		0x001ed3ff
#define EXCEPTION_BITMAP_INITIAL BIT(18)	/* #MC */

void sim_vp_init_controls(struct sim_vp *vp)
{
	const struct tdcs *tdcs = vp->td.tdcs;
	u64 *ctls = vp->vmcs->exec_ctls;

	vp->vps->pi_vector = PI_VECTOR_NONE;
	vp->vps->pi_desc_pa = ~0ULL;
	vp->vps->shared_eptp = ~0ULL;
	vp->vps->pin_ctls = PIN_INITIAL;

	memset(ctls, 0, sizeof(vp->vmcs->exec_ctls));
	ctls[CTL_PRIMARY] = PRIMARY_INITIAL;
	ctls[CTL_SECONDARY] = SECONDARY_INITIAL;
	ctls[CTL_EXIT] = EXIT_INITIAL;
	ctls[CTL_ENTRY] = ENTRY_INITIAL & ~ENTRY_IA32E_MODE;
	if (tdcs->attributes & (SIM_ATTR_PERFMON | SIM_ATTR_DEBUG))
		ctls[CTL_ENTRY] |= ENTRY_LOAD_PERF_GLOBAL;
	if (tdcs->attributes & (SIM_ATTR_PKS | SIM_ATTR_DEBUG))
		ctls[CTL_ENTRY] |= ENTRY_LOAD_PKRS;
	ctls[CTL_EXCEPTION_BITMAP] = EXCEPTION_BITMAP_INITIAL;
	ctls[CTL_CR4_SHADOW] = CR4_SHADOW;
	memset(vp->vmcs->pdpte, 0xff, sizeof(vp->vmcs->pdpte));
}

static u64 set_pi_vector(const struct md_target *t, const struct md_field *f, u64 mask,
			 u64 *value)
{
	return *value > PI_VECTOR_MAX ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 set_pin_ctls(const struct md_target *t, const struct md_field *f, u64 mask,
			u64 *value)
{
	if (!(*value & PIN_POSTED_INTR))
		return SIM_SUCCESS;
	if (t->vp->vps->pi_vector == PI_VECTOR_NONE)
		return SIM_TD_VMCS_FIELD_NOT_INITIALIZED | VMCS_PI_VECTOR;
	if (t->vp->vps->pi_desc_pa == ~0ULL)
		return SIM_TD_VMCS_FIELD_NOT_INITIALIZED | VMCS_PI_DESC;
	return SIM_SUCCESS;
}

static u64 set_debugctl(const struct md_target *t, const struct md_field *f, u64 mask,
			u64 *value)
{
	if ((*value & (DEBUGCTL_TR | DEBUGCTL_BTS)) == DEBUGCTL_TR &&
	    !(t->td->tdcs->attributes & SIM_ATTR_DEBUG))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	*value &= ~DEBUGCTL_UNCORE_PMI;
	return SIM_SUCCESS;
}

static u64 get_tsc_offset(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = t->td->tdcs->tsc_offset;
	return SIM_SUCCESS;
}

static u64 get_tsc_multiplier(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = t->td->tdcs->tsc_multiplier;
	return SIM_SUCCESS;
}

static u64 get_eptp(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = t->td->tdcs->eptp;
	return SIM_SUCCESS;
}

static u64 get_hkid(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = t->td->tdr->hkid;
	return SIM_SUCCESS;
}

/* The mode that the next VM entry is to, kept in EFER alone. */
static u64 get_entry_ctls(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = t->vp->vmcs->exec_ctls[CTL_ENTRY];
	if (t->vp->vmcs->efer & GUEST_EFER_LMA)
		*value |= ENTRY_IA32E_MODE;
	return SIM_SUCCESS;
}

static u64 set_entry_ctls(const struct md_target *t, const struct md_field *f, u64 mask,
			  u64 *value)
{
	return MD_STORED;
}

static u64 get_cr0_mask(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = CR0_MASK;
	return SIM_SUCCESS;
}

static u64 get_cr4_mask(const struct md_target *t, const struct md_field *f, u64 *value)
{
	const struct tdcs *tdcs = t->td->tdcs;

	*value = CR4_MASK;
	if (!(tdcs->xfam & XFAM_PKRU))
		*value |= CR4_PKE;
	if ((tdcs->xfam & XFAM_CET) != XFAM_CET)
		*value |= CR4_CET;
	if (!(tdcs->xfam & XFAM_UINTR))
		*value |= CR4_UINTR;
	if (!(tdcs->attributes & SIM_ATTR_PKS))
		*value |= CR4_PKS;
	if (!sim_profile()->lass_lam)
		return SIM_SUCCESS;
	if (tdcs->attributes & SIM_ATTR_LASS)
		*value &= ~CR4_LASS;
	if (cpuid_has_lam())
		*value &= ~CR4_LAM_SUP;
	return SIM_SUCCESS;
}

/* A debugger sees the register, a bundle what the guest sees. */
static u64 cr_read(const struct md_target *t, u64 cr, u64 mask, u64 shadow)
{
	return t->who == MD_BUNDLE ? (cr & ~mask) | (shadow & mask) : cr;
}

/* Written as if by the guest: bits of the module must be given as it shows them. */
static u64 cr_write(u64 *cr, u64 value, u64 mask, u64 shadow)
{
	if ((value ^ shadow) & mask)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	*cr = (*cr & mask) | (value & ~mask);
	return MD_STORED;
}

static u64 get_cr0(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = cr_read(t, t->vp->vmcs->cr0, CR0_MASK, CR0_SHADOW);
	return SIM_SUCCESS;
}

static u64 set_cr0(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	return cr_write(&t->vp->vmcs->cr0, *value, CR0_MASK, CR0_SHADOW);
}

static u64 get_cr4(const struct md_target *t, const struct md_field *f, u64 *value)
{
	u64 mask;

	get_cr4_mask(t, f, &mask);
	*value = cr_read(t, t->vp->vmcs->cr4, mask, CR4_SHADOW);
	return SIM_SUCCESS;
}

static u64 set_cr4(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	u64 owned;

	get_cr4_mask(t, f, &owned);
	return cr_write(&t->vp->vmcs->cr4, *value, owned, CR4_SHADOW);
}

static u64 set_cr3(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	u64 cr3 = *value;

	if (sim_profile()->lass_lam && cpuid_has_lam())
		cr3 &= ~CR3_LAM;
	return cr3 & (CR3_RESERVED | CR3_LAM) || !sept_gpa_private(t->td, cr3) ?
	       SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

/* Id of the field with that VMCS encoding, by width. */
#define VMCS16(_code)	(0x0024000100000000ULL | (_code))
#define VMCS32(_code)	(0x0024000200000000ULL | (_code))
#define VMCS64(_code)	(0x0024000300000000ULL | (_code))
#define ONE		.fields = 1, .elements = 1
#define IN_VMCS(_m)	.home = MD_VMCS, .offset = offsetof(struct sim_vmcs, _m)
#define IN_CTL(_ctl)	.home = MD_VMCS, .offset = offsetof(struct sim_vmcs, exec_ctls[_ctl])
#define IN_TDVPS(_m)	.home = MD_TDVPS, .offset = offsetof(struct tdvps, _m)
#define MUST_BE_MUTABLE	.phase = MD_MUTABLE, .import = MD_REQUIRED

/* Guest state: migrated, and open to a debugger. */
#define GUEST(_id, _m) \
	{ _id, ONE, IN_VMCS(_m), MUST_BE_MUTABLE, .access = MD_RW_DEBUG }
#define GUEST_RO(_id, _m) \
	{ _id, ONE, IN_VMCS(_m), MUST_BE_MUTABLE, .access = MD_R_DEBUG }
/* A control that is sent for information only. */
#define CONTROL(_id, _ctl) \
	{ _id, ONE, IN_CTL(_ctl), .phase = MD_MUTABLE, .access = MD_R_DEBUG }
/* A field that the model has no use for. */
#define ABSENT(_id, _fields, _access) \
	{ _id, .fields = _fields, .elements = 1, .access = _access }

static const struct md_row vmcs_rows[] = {
	ABSENT(VMCS16(0x0000), 1, MD_R_DEBUG),
	{ VMCS16(0x0002), ONE, IN_TDVPS(pi_vector), .access = MD_RW_HOST, .set = set_pi_vector },
	ABSENT(VMCS16(0x0004), 1, MD_R_DEBUG),
	ABSENT(VMCS16(0x0006), 1, MD_R_DEBUG),
	GUEST(VMCS16(0x0800), es.selector),
	GUEST(VMCS16(0x0802), cs.selector),
	GUEST(VMCS16(0x0804), ss.selector),
	GUEST(VMCS16(0x0806), ds.selector),
	GUEST(VMCS16(0x0808), fs.selector),
	GUEST(VMCS16(0x080a), gs.selector),
	GUEST(VMCS16(0x080c), ldtr.selector),
	GUEST(VMCS16(0x080e), tr.selector),
	GUEST(VMCS16(0x0810), intr_status),
	ABSENT(VMCS16(0x0812), 1, MD_R_DEBUG),
	GUEST(VMCS16(0x0814), guest_uinv),
	ABSENT(VMCS64(0x2000), 2, MD_R_DEBUG),
	ABSENT(VMCS64(0x2004), 1, MD_R_HOST),
	ABSENT(VMCS64(0x2006), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x2008), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x200a), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x200c), 1, 0),
	ABSENT(VMCS64(0x200e), 1, MD_R_HOST),
	{ VMCS64(0x2010), ONE, .access = MD_R_HOST, .get = get_tsc_offset },
	ABSENT(VMCS64(0x2012), 1, 0),
	ABSENT(VMCS64(0x2014), 1, MD_R_DEBUG),
	{ VMCS64(0x2016), ONE, IN_TDVPS(pi_desc_pa), .access = MD_RW_HOST,
	  .write_mask = PI_DESC_ADDRESS, .shared_hpa = PI_DESC_SIZE },
	ABSENT(VMCS64(0x2018), 1, MD_R_HOST),
	{ VMCS64(0x201a), ONE, .access = MD_R_HOST, .get = get_eptp },
	ABSENT(VMCS64(0x201c), 4, MD_R_DEBUG),
	ABSENT(VMCS64(0x2024), 1, MD_R_HOST),
	ABSENT(VMCS64(0x2026), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x2028), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x202a), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x202c), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x202e), 1, MD_R_DEBUG),
	{ VMCS64(0x2032), ONE, .access = MD_R_HOST, .get = get_tsc_multiplier },
	CONTROL(VMCS64(0x2034), CTL_TERTIARY),
	ABSENT(VMCS64(0x2036), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x2038), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x203a), 1, MD_R_DEBUG),
	{ VMCS64(0x203c), ONE, IN_TDVPS(shared_eptp), .access = MD_RW_HOST,
	  .host_mask = SIM_HPA_PAGE_MASK, .write_mask = SIM_HPA_PAGE_MASK,
	  .shared_hpa = SIM_PAGE_SIZE },
	ABSENT(VMCS64(0x203e), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x2040), 1, MD_R_DEBUG),
	CONTROL(VMCS64(0x204a), CTL_SPEC_CTRL_MASK),
	CONTROL(VMCS64(0x204c), CTL_SPEC_CTRL_SHADOW),
	ABSENT(VMCS64(0x2400), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x2800), 1, 0),
	{ VMCS64(0x2802), ONE, IN_VMCS(debugctl), MUST_BE_MUTABLE, .access = MD_RW_DEBUG,
	  .write_mask = DEBUGCTL_WRITABLE, .export_mask = ~DEBUGCTL_UNCORE_PMI,
	  .set = set_debugctl },
	GUEST(VMCS64(0x2804), pat),
	GUEST(VMCS64(0x2806), efer),
	GUEST(VMCS64(0x2808), perf_global_ctrl),
	{ VMCS64(0x280a), .fields = 4, .elements = 1, IN_VMCS(pdpte), .phase = MD_MUTABLE,
	  .access = MD_R_DEBUG },
	GUEST(VMCS64(0x2814), rtit_ctl),
	GUEST(VMCS64(0x2816), lbr_ctl),
	GUEST(VMCS64(0x2818), pkrs),
	{ VMCS32(0x4000), ONE, IN_TDVPS(pin_ctls), .phase = MD_MUTABLE, .access = MD_RW_HOST,
	  .host_mask = PIN_POSTED_INTR, .write_mask = PIN_POSTED_INTR, .set = set_pin_ctls },
	CONTROL(VMCS32(0x4002), CTL_PRIMARY),
	CONTROL(VMCS32(0x4004), CTL_EXCEPTION_BITMAP),
	CONTROL(VMCS32(0x4006), CTL_PF_ERROR_MASK),
	CONTROL(VMCS32(0x4008), CTL_PF_ERROR_MATCH),
	ABSENT(VMCS32(0x400a), 1, MD_R_DEBUG),
	CONTROL(VMCS32(0x400c), CTL_EXIT),
	ABSENT(VMCS32(0x400e), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x4010), 1, MD_R_DEBUG),
	{ VMCS32(0x4012), ONE, MUST_BE_MUTABLE, .access = MD_R_DEBUG,
	  .write_mask = ENTRY_IA32E_MODE, .get = get_entry_ctls, .set = set_entry_ctls },
	ABSENT(VMCS32(0x4014), 1, MD_R_DEBUG),
	GUEST_RO(VMCS32(0x4016), entry_intr_info),
	GUEST_RO(VMCS32(0x4018), entry_error_code),
	GUEST_RO(VMCS32(0x401a), entry_instr_len),
	ABSENT(VMCS32(0x401c), 1, MD_R_DEBUG),
	{ VMCS32(0x401e), ONE, IN_CTL(CTL_SECONDARY), .phase = MD_MUTABLE,
	  .import = MD_PRESENT, .access = MD_RW_HOST, .host_mask = SECONDARY_HOST,
	  .write_mask = SECONDARY_HOST },
	{ VMCS32(0x4020), ONE, IN_CTL(CTL_PLE_GAP), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_RW_DEBUG },
	{ VMCS32(0x4022), ONE, IN_CTL(CTL_PLE_WINDOW), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_RW_DEBUG },
	{ VMCS32(0x4024), ONE, IN_CTL(CTL_NOTIFY_WINDOW), MUST_BE_MUTABLE,
	  .access = MD_RW_HOST },
	{ VMCS32(0x4026), ONE, .access = MD_R_HOST, .get = get_hkid },
	ABSENT(VMCS32(0x4400), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x4402), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x4404), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x4406), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x4408), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x440a), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x440c), 1, MD_R_DEBUG),
	ABSENT(VMCS32(0x440e), 1, MD_R_DEBUG),
	GUEST(VMCS32(0x4800), es.limit),
	GUEST(VMCS32(0x4802), cs.limit),
	GUEST(VMCS32(0x4804), ss.limit),
	GUEST(VMCS32(0x4806), ds.limit),
	GUEST(VMCS32(0x4808), fs.limit),
	GUEST(VMCS32(0x480a), gs.limit),
	GUEST(VMCS32(0x480c), ldtr.limit),
	GUEST(VMCS32(0x480e), tr.limit),
	GUEST(VMCS32(0x4810), gdtr.limit),
	GUEST(VMCS32(0x4812), idtr.limit),
	GUEST(VMCS32(0x4814), es.ar),
	GUEST(VMCS32(0x4816), cs.ar),
	GUEST(VMCS32(0x4818), ss.ar),
	GUEST(VMCS32(0x481a), ds.ar),
	GUEST(VMCS32(0x481c), fs.ar),
	GUEST(VMCS32(0x481e), gs.ar),
	GUEST(VMCS32(0x4820), ldtr.ar),
	GUEST(VMCS32(0x4822), tr.ar),
	GUEST(VMCS32(0x4824), interruptibility),
	GUEST_RO(VMCS32(0x4826), activity),
	ABSENT(VMCS32(0x4828), 1, 0),
	GUEST(VMCS32(0x482a), sysenter_cs),
	GUEST(VMCS32(0x482e), preemption_timer),
	{ VMCS64(0x6000), ONE, .access = MD_R_DEBUG, .get = get_cr0_mask },
	{ VMCS64(0x6002), ONE, .access = MD_R_DEBUG, .get = get_cr4_mask },
	{ VMCS64(0x6004), ONE, .access = MD_R_DEBUG, .constant = CR0_SHADOW },
	CONTROL(VMCS64(0x6006), CTL_CR4_SHADOW),
	ABSENT(VMCS64(0x6008), 4, MD_R_DEBUG),
	ABSENT(VMCS64(0x6400), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x6402), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x6404), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x6406), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x6408), 1, MD_R_DEBUG),
	ABSENT(VMCS64(0x640a), 1, MD_R_DEBUG),
	{ VMCS64(0x6800), ONE, MUST_BE_MUTABLE, .access = MD_RW_DEBUG, .get = get_cr0,
	  .set = set_cr0 },
	{ VMCS64(0x6802), ONE, IN_VMCS(cr3), MUST_BE_MUTABLE, .access = MD_RW_DEBUG,
	  .set = set_cr3 },
	{ VMCS64(0x6804), ONE, MUST_BE_MUTABLE, .access = MD_RW_DEBUG, .get = get_cr4,
	  .set = set_cr4 },
	GUEST(VMCS64(0x6806), es.base),
	GUEST(VMCS64(0x6808), cs.base),
	GUEST(VMCS64(0x680a), ss.base),
	GUEST(VMCS64(0x680c), ds.base),
	GUEST(VMCS64(0x680e), fs.base),
	GUEST(VMCS64(0x6810), gs.base),
	GUEST(VMCS64(0x6812), ldtr.base),
	GUEST(VMCS64(0x6814), tr.base),
	GUEST(VMCS64(0x6816), gdtr.base),
	GUEST(VMCS64(0x6818), idtr.base),
	GUEST(VMCS64(0x681a), dr7),
	GUEST(VMCS64(0x681c), rsp),
	GUEST(VMCS64(0x681e), rip),
	GUEST(VMCS64(0x6820), rflags),
	GUEST(VMCS64(0x6822), pending_dbg),
	GUEST(VMCS64(0x6824), sysenter_esp),
	GUEST(VMCS64(0x6826), sysenter_eip),
	GUEST(VMCS64(0x6828), s_cet),
	GUEST(VMCS64(0x682a), ssp),
	GUEST(VMCS64(0x682c), intr_ssp_table),
	ABSENT(VMCS64(0x6c08), 1, 0),
	ABSENT(VMCS64(0x6c14), 1, 0),
	ABSENT(VMCS64(0x6c16), 1, 0),
	ABSENT(VMCS64(0x6c1a), 1, 0),
};

const struct md_table md_vmcs_table = { vmcs_rows, ARRAY_SIZE(vmcs_rows) };
