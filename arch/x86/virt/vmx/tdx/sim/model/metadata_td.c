// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata fields of a TD, with what an access to them checks, and the fields
 * that derive from a TD's configuration.
 */
#include "metadata_table.h"

#define HP_LOCK_TIMEOUT_MIN	10000		/* microseconds */
#define HP_LOCK_TIMEOUT_MAX	100000000
#define US_PER_MS		1000

/* EPTP less the address: what the TD's owner may choose. */
#define EPTP_CONTROLS		(GENMASK_ULL(63, 52) | GENMASK_ULL(11, 0))

u64 sim_supported_attributes(void)
{
	u64 attributes = sim_profile()->attributes;

	return cpuid_has_lass() ? attributes : attributes & ~SIM_ATTR_LASS;
}

bool sim_attributes_valid(u64 attributes)
{
	if (attributes & ~sim_supported_attributes())
		return false;
	return !(attributes & SIM_ATTR_MIGRATABLE) ||
	       !(attributes & (SIM_ATTR_DEBUG | SIM_ATTR_PERFMON));
}

bool sim_xfam_valid(u64 xfam)
{
	if (xfam & ~cpuid_supported_xfam() || (xfam & SIM_XFAM_FIXED1) != SIM_XFAM_FIXED1)
		return false;
	if (xfam & XFAM_AVX512 && !(xfam & XFAM_AVX))
		return false;
	return md_all_or_none(xfam, XFAM_AVX512) && md_all_or_none(xfam, XFAM_CET) &&
	       md_all_or_none(xfam, XFAM_AMX);
}

bool sim_eptp_valid(u64 controls)
{
	return controls == SIM_EPTP_WB_4LEVEL ||
	       (controls == SIM_EPTP_WB_5LEVEL && READ_ONCE(sim_module.platform.ept_levels) > 4);
}

void sim_td_derive(struct sim_td *td)
{
	struct tdcs *tdcs = td->tdcs;
	u32 offsets[SIM_NR_XSAVE_COMPONENTS];

	tdcs->xbuff_size = cpuid_xsave_layout(tdcs->xfam, offsets);
	tdcs->td_ctls &= ~SIM_TD_CTLS_PENDING_VE_DISABLE;
	if (tdcs->attributes & SIM_ATTR_SEPT_VE_DISABLE)
		tdcs->td_ctls |= SIM_TD_CTLS_PENDING_VE_DISABLE;
}

/* ----------------------------------------------------------------- access */

static u64 load_uuid(const struct md_target *t, const struct md_field *f,
		     const u64 *values, u64 mask)
{
	/* Service TDs bound before the import know the TD by its old name. */
	memcpy(t->td->tdcs->pre_import_uuid, t->td->tdr->uuid, sizeof(t->td->tdr->uuid));
	return SIM_SUCCESS;
}

static u64 load_num_l2_vms(const struct md_target *t, const struct md_field *f,
			   const u64 *values, u64 mask)
{
	if (values[0] > SIM_MAX_L2_VMS)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	t->td->tdcs->num_l2_vms = values[0];
	if (t->td->tdr->num_tdcx < SIM_MIN_TDCX + values[0])
		return SIM_TDCS_NOT_ALLOCATED;
	return MD_STORED;
}

static u64 load_attributes(const struct md_target *t, const struct md_field *f,
			   const u64 *values, u64 mask)
{
	u64 attributes = values[0] & mask;

	if (!sim_attributes_valid(attributes) || !(attributes & SIM_ATTR_MIGRATABLE))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	return SIM_SUCCESS;
}

static u64 load_xfam(const struct md_target *t, const struct md_field *f,
		     const u64 *values, u64 mask)
{
	return sim_xfam_valid(values[0] & mask) ? SIM_SUCCESS :
						   SIM_METADATA_FIELD_VALUE_NOT_VALID;
}

static u64 load_eptp(const struct md_target *t, const struct md_field *f,
		     const u64 *values, u64 mask)
{
	u64 controls = values[0] & mask;

	/* The engine has no private addresses above 47 bits. */
	if (!sim_eptp_valid(controls) || t->td->tdcs->gpaw)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	t->td->tdcs->eptp = controls | t->td->tdr->tdcx_pa[TDCX_SEPT_ROOT];
	return MD_STORED;
}

static u64 load_config_flags(const struct md_target *t, const struct md_field *f,
			     const u64 *values, u64 mask)
{
	return values[0] & mask & ~SIM_CONFIG_FLAGS_FIXED0 ?
	       SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 load_tsc_frequency(const struct md_target *t, const struct md_field *f,
			      const u64 *values, u64 mask)
{
	return sim_profile()->strict_import && !sim_tsc_frequency_valid(values[0]) ?
	       SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 get_virtual_tsc(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_virtual_tsc(t->td->tdcs);
	return SIM_SUCCESS;
}

static u64 load_virtual_tsc(const struct md_target *t, const struct md_field *f,
			    const u64 *values, u64 mask)
{
	sim_set_tsc(t->td->tdcs, values[0]);
	return MD_STORED;
}

static u64 get_num_cpuid_values(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = cpuid_nr_rows();
	return SIM_SUCCESS;
}

static u64 load_num_cpuid_values(const struct md_target *t, const struct md_field *f,
				 const u64 *values, u64 mask)
{
	return values[0] == cpuid_nr_rows() ? MD_STORED : SIM_METADATA_FIELD_VALUE_NOT_VALID;
}

/* Told in microseconds, kept in ticks of the native TSC. */
static u64 get_hp_lock_timeout(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = div_u64(t->td->tdcs->hp_lock_timeout * US_PER_MS,
			 tdx_sim_host_tsc_khz());
	return SIM_SUCCESS;
}

static u64 load_hp_lock_timeout(const struct md_target *t, const struct md_field *f,
				const u64 *values, u64 mask)
{
	u64 us = values[0] & mask;

	if (us < HP_LOCK_TIMEOUT_MIN || us > HP_LOCK_TIMEOUT_MAX)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	WRITE_ONCE(t->td->tdcs->hp_lock_timeout,
		   div_u64(us * tdx_sim_host_tsc_khz(), US_PER_MS));
	return MD_STORED;
}

static u64 set_hp_lock_timeout(const struct md_target *t, const struct md_field *f, u64 mask,
			       u64 *value)
{
	if (mask != ~0ULL)
		return SIM_METADATA_WR_MASK_NOT_VALID;
	return load_hp_lock_timeout(t, f, value, mask);
}

static u64 set_td_ctls(const struct md_target *t, const struct md_field *f, u64 mask,
		       u64 *value)
{
	if (!(t->td->tdcs->config_flags & SIM_CONFIG_FLEXIBLE_PENDING_VE) &&
	    (*value ^ t->td->tdcs->td_ctls) & SIM_TD_CTLS_PENDING_VE_DISABLE)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	if (*value & SIM_TD_CTLS_ENUM_TOPOLOGY && !t->td->tdcs->topology_enum_configured)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	return SIM_SUCCESS;
}

static u64 get_cpuid_valid(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = f->index < cpuid_nr_rows() && t->td->cpuid->valid[f->index];
	return SIM_SUCCESS;
}

static u64 get_xbuff_offset(const struct md_target *t, const struct md_field *f, u64 *value)
{
	u32 offsets[SIM_NR_XSAVE_COMPONENTS];

	cpuid_xsave_layout(t->td->tdcs->xfam, offsets);
	*value = offsets[f->index];
	return SIM_SUCCESS;
}

static u64 get_cpuid_value(const struct md_target *t, const struct md_field *f, u64 *value)
{
	if (!cpuid_readable(t->td, f->index / 2))
		return SIM_METADATA_FIELD_NOT_READABLE;
	*value = t->td->cpuid->values[f->index / 2][f->index % 2];
	return SIM_SUCCESS;
}

static u64 load_cpuid_values(const struct md_target *t, const struct md_field *f,
			     const u64 *values, u64 mask)
{
	u64 err = cpuid_import(t->td, f->index / 2, values, mask);

	return err ?: MD_STORED;
}

static u64 load_arch_capabilities(const struct md_target *t, const struct md_field *f,
				  const u64 *values, u64 mask)
{
	return cpuid_arch_capabilities_valid(t->td, values[0]) ?
	       SIM_SUCCESS : SIM_METADATA_FIELD_VALUE_NOT_VALID;
}

static u64 set_mig_dec_key(const struct md_target *t, const struct md_field *f, u64 mask,
			   u64 *value)
{
	WRITE_ONCE(t->td->tdcs->mig_dec_key_set, 1);
	return SIM_SUCCESS;
}

static u64 get_mig_enc_key(const struct md_target *t, const struct md_field *f, u64 *value)
{
	struct tdcs *tdcs = t->td->tdcs;

	/* A migration TD that begins to read gets a key that was never told. */
	if (t->who == MD_SERVTD && !f->index) {
		u64 key[ARRAY_SIZE(tdcs->mig_enc_key)];

		if (!tdx_sim_host_random(key, sizeof(key)))
			return SIM_RND_NO_ENTROPY;
		memcpy(tdcs->mig_enc_key, key, sizeof(key));
		memzero_explicit(key, sizeof(key));
	}
	*value = READ_ONCE(tdcs->mig_enc_key[f->index]);
	return SIM_SUCCESS;
}

static u64 set_mig_version(const struct md_target *t, const struct md_field *f, u64 mask,
			   u64 *value)
{
	return *value ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 load_servtd_binding(const struct md_target *t, const struct md_field *f,
			       const u64 *values, u64 mask)
{
	const struct servtd_binding *own = &t->td->tdcs->servtd[0];
	struct servtd_binding sent;

	memcpy(&sent, values, sizeof(sent));
	if (sent.state == SERVTD_NOT_BOUND)
		return MD_STORED;
	if (sent.state != SERVTD_PRE_BOUND && sent.state != SERVTD_BOUND)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	if (sent.type != SERVTD_TYPE_MIGTD ||
	    sent.attributes & ~SIM_SERVTD_ATTRIBUTES_FIXED0)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	/* The binding of this TD stays; the peer's must be of the same kind. */
	if (own->state != SERVTD_NOT_BOUND &&
	    (own->type != sent.type || own->attributes != sent.attributes))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	return MD_STORED;
}

/* ------------------------------------------------------------------ table */

#define IN_TDR(_member)		.home = MD_TDR, .offset = offsetof(struct tdr, _member)
#define IN_TDCS(_member)	.home = MD_TDCS, .offset = offsetof(struct tdcs, _member)
#define ONE			.fields = 1, .elements = 1
#define SHA384			.fields = 1, .elements = 6
#define KEY256			.fields = 1, .elements = 4
#define MUST_BE_IMMUTABLE	.phase = MD_IMMUTABLE, .import = MD_REQUIRED
#define MUST_BE_MUTABLE		.phase = MD_MUTABLE, .import = MD_REQUIRED

static const struct md_row management_rows[] = {
	/* TDR: management */
	{ 0x8010000000000001, ONE, IN_TDR(fatal), .access = MD_R_HOST },
	{ 0x8010000200000002, ONE, IN_TDR(num_tdcx), .access = MD_R_HOST },
	{ 0x8010000300000004, ONE, IN_TDR(chldcnt), .access = MD_R_HOST },
	{ 0x8010000200000005, ONE, IN_TDR(lifecycle), .access = MD_R_HOST },
	{ 0x8010000300000010, .fields = SIM_MAX_TDCX, .elements = 1, IN_TDR(tdcx_pa),
	  .access = MD_R_HOST },
	{ 0x8010000300000020, KEY256, IN_TDR(uuid), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD, .load = load_uuid },
	/* TDR: keys, handoff */
	{ 0x8110000100000001, ONE, IN_TDR(hkid), .access = MD_R_HOST },
	{ 0x8110000300000002, ONE, IN_TDR(pkg_configured), .access = MD_R_HOST },
	{ 0x8210000100000000, ONE, .access = MD_R_HOST },
	{ 0x8210000300000001, ONE, .access = MD_R_HOST },
	{ 0x8210000300000002, KEY256 },
	/* TDCS: management */
	{ 0x9010000200000001, ONE, IN_TDCS(num_vcpus), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x9010000200000002, ONE, IN_TDCS(num_assoc_vcpus), .access = MD_R_HOST },
	{ 0x9010000200000004, ONE, IN_TDCS(op_state), .access = MD_R_HOST },
	{ 0x9010000100000005, ONE, IN_TDCS(num_l2_vms), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD, .load = load_num_l2_vms },
	/* TDCS: execution controls */
	{ 0x1110000300000000, ONE, IN_TDCS(attributes), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD, .load = load_attributes },
	{ 0x1110000300000001, ONE, IN_TDCS(xfam), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD, .load = load_xfam },
	{ 0x1110000200000002, ONE, IN_TDCS(max_vcpus), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x1110000000000003, ONE, IN_TDCS(gpaw), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD },
	{ 0x1110000300000004, ONE, IN_TDCS(eptp), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_SERVTD, .export_mask = EPTP_CONTROLS,
	  .write_mask = EPTP_CONTROLS, .load = load_eptp },
	{ 0x111000030000000a, ONE, IN_TDCS(tsc_offset), .access = MD_R_HOST },
	{ 0x111000030000000b, ONE, IN_TDCS(tsc_multiplier), .access = MD_R_HOST },
	{ 0x111000010000000c, ONE, IN_TDCS(tsc_frequency), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST, .load = load_tsc_frequency },
	{ 0x111000030000000d, ONE, MUST_BE_MUTABLE, .get = get_virtual_tsc,
	  .load = load_virtual_tsc },
	{ 0x911000010000000e, ONE, MUST_BE_IMMUTABLE, .access = MD_R_HOST,
	  .get = get_num_cpuid_values, .load = load_num_cpuid_values },
	{ 0x911000020000000f, ONE, IN_TDCS(xbuff_size), .phase = MD_IMMUTABLE,
	  .access = MD_R_HOST },
	{ 0x9110000300000010, ONE, IN_TDCS(notify_enables), MUST_BE_MUTABLE,
	  .access = MD_RW_DEBUG | MD_RW_GUEST, .write_mask = BIT_ULL(0) },
	{ 0x9110000300000011, ONE, MUST_BE_MUTABLE, .access = MD_RW_HOST,
	  .get = get_hp_lock_timeout, .set = set_hp_lock_timeout,
	  .load = load_hp_lock_timeout },
	{ 0x9110000300000012, .fields = 4, .elements = 1, IN_TDCS(vm_ctls), MUST_BE_MUTABLE,
	  .access = MD_RW_HOST, .write_mask = BIT_ULL(0) },
};

/* CONFIG_FLAGS and TD_CTLS */
#define CONFIG_FLAGS(_id) \
	{ _id, ONE, IN_TDCS(config_flags), .phase = MD_IMMUTABLE, .import = MD_OPTIONAL, \
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD, .load = load_config_flags }
#define TD_CTLS(_id, _mask) \
	{ _id, ONE, IN_TDCS(td_ctls), .phase = MD_MUTABLE, .import = MD_OPTIONAL, \
	  .access = MD_R_DEBUG | MD_RW_GUEST, .write_mask = _mask, .set = set_td_ctls }

static const struct md_row controls_1_5_01[] = {
	CONFIG_FLAGS(0x1110000300000016),
	TD_CTLS(0x1110000300000017, SIM_TD_CTLS_PENDING_VE_DISABLE),
};

static const struct md_row controls_1_5_05[] = {
	CONFIG_FLAGS(0x9110000300000016),
	TD_CTLS(0x9110000300000017,
		SIM_TD_CTLS_PENDING_VE_DISABLE | SIM_TD_CTLS_ENUM_TOPOLOGY),
	{ 0x9110000000000019, ONE, IN_TDCS(topology_enum_configured), .phase = MD_IMMUTABLE,
	  .import = MD_OPTIONAL, .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD },
};

static const struct md_row state_rows[] = {
	{ 0x9110000000000080, .fields = 80, .elements = 1, .access = MD_R_DEBUG,
	  .get = get_cpuid_valid },
	{ 0x9110000200000800, .fields = SIM_NR_XSAVE_COMPONENTS, .elements = 1,
	  .access = MD_R_HOST, .get = get_xbuff_offset },
	/* TDCS: TLB epoch */
	{ 0x9210000300000000, ONE, IN_TDCS(epoch.td_epoch), .access = MD_R_HOST },
	{ 0x9210000100000001, .fields = 2, .elements = 1, IN_TDCS(epoch.refcount),
	  .access = MD_R_HOST },
	/* TDCS: measurement */
	{ 0x1310000300000000, SHA384, IN_TDCS(mrtd), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x1310000300000010, SHA384, IN_TDCS(mrconfigid), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x1310000300000018, SHA384, IN_TDCS(mrowner), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x1310000300000020, SHA384, IN_TDCS(mrownerconfig), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST },
	{ 0x1310000300000040, .fields = 4, .elements = 6, IN_TDCS(rtmr), MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG | MD_R_GUEST },
	/* TDCS: virtual CPUID */
	{ 0x9410000300000000, .fields = SIM_NR_CPUID_VALUES, .elements = 2,
	  .phase = MD_IMMUTABLE, .import = MD_OPTIONAL, .access = MD_R_HOST | MD_R_SERVTD,
	  .get = get_cpuid_value, .load = load_cpuid_values },
	/* TDCS: virtual MSRs */
	{ 0x961000030000010a, ONE, IN_TDCS(virt_arch_capabilities), MUST_BE_IMMUTABLE,
	  .access = MD_R_DEBUG, .load = load_arch_capabilities },
	{ 0x9610000300000480, ONE, IN_TDCS(virt_vmx_basic), MUST_BE_IMMUTABLE,
	  .access = MD_R_DEBUG },
	{ 0x9610000300000485, .fields = 5, .elements = 1, IN_TDCS(virt_vmx_misc),
	  MUST_BE_IMMUTABLE, .access = MD_R_DEBUG },
	{ 0x961000030000048b, .fields = 9, .elements = 1, IN_TDCS(virt_vmx_ctls),
	  MUST_BE_IMMUTABLE, .access = MD_R_DEBUG },
	/* TDCS: migration */
	{ 0x9810000000000001, ONE, IN_TDCS(mig_dec_key_set), .access = MD_R_HOST },
	{ 0x9810000200000002, ONE, IN_TDCS(export_count), MUST_BE_IMMUTABLE,
	  .access = MD_R_HOST | MD_R_SERVTD },
	{ 0x9810000200000003, ONE, IN_TDCS(import_count), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_R_SERVTD },
	{ 0x9810000200000004, ONE, IN_TDCS(mig_epoch), .access = MD_R_HOST },
	{ 0x9810000300000005, ONE, IN_TDCS(bw_epoch), .access = MD_R_HOST },
	{ 0x9810000300000006, ONE, IN_TDCS(total_mb_count), .access = MD_R_HOST },
	{ 0x9810000300000010, KEY256, IN_TDCS(mig_dec_key),
	  .access = MD_R_DEBUG | MD_RW_SERVTD, .set = set_mig_dec_key },
	{ 0x9810000300000014, KEY256, IN_TDCS(mig_dec_working_key),
	  .access = MD_R_DEBUG | MD_R_SERVTD },
	{ 0x9810000300000018, KEY256, .access = MD_R_DEBUG | MD_R_SERVTD,
	  .get = get_mig_enc_key },
	{ 0x981000030000001c, KEY256, IN_TDCS(mig_enc_working_key),
	  .access = MD_R_DEBUG | MD_R_SERVTD },
	{ 0x9810000100000020, ONE, IN_TDCS(mig_version),
	  .access = MD_R_HOST | MD_RW_SERVTD, .set = set_mig_version },
	{ 0x9810000100000021, ONE, IN_TDCS(mig_working_version),
	  .access = MD_R_HOST | MD_R_SERVTD },
	{ 0x9810000300000030, ONE, IN_TDCS(dirty_count), .access = MD_R_HOST },
	{ 0x9810000300000031, ONE, IN_TDCS(mig_count), .access = MD_R_HOST },
	{ 0x9810000100000032, ONE, IN_TDCS(num_migs), .access = MD_R_HOST },
	{ 0x9810000200000034, ONE, IN_TDCS(num_migrated_vcpus), .access = MD_R_HOST },
	{ 0x9810000300000040, KEY256, IN_TDCS(pre_import_uuid),
	  .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD },
};

/* Service TDs: their hash, their number, their bindings. */
#define SERVTD_HASH(_import) \
	{ 0x9910000300000000, SHA384, IN_TDCS(servtd_hash), .phase = MD_IMMUTABLE, \
	  .import = _import, .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD }
#define SERVTD_NUM(_import) \
	{ 0x9910000100000006, ONE, IN_TDCS(servtd_num), .phase = MD_IMMUTABLE, \
	  .import = _import, .access = MD_R_HOST | MD_R_GUEST | MD_R_SERVTD }
#define SERVTD_BINDINGS(_import, _load) \
	{ 0x9910000300000080, .fields = SIM_MAX_SERVTDS, .elements = 16, IN_TDCS(servtd), \
	  .phase = MD_MUTABLE, .import = _import, .access = MD_R_HOST | MD_R_GUEST, \
	  .load = _load }

static const struct md_row servtd_1_5_01[] = {
	SERVTD_HASH(MD_REQUIRED),
	SERVTD_NUM(MD_REQUIRED),
	SERVTD_BINDINGS(MD_OPTIONAL, load_servtd_binding),
};

static const struct md_row servtd_1_5_05[] = {
	SERVTD_HASH(MD_IGNORED),
	/*
	 * The module has a check that this is 1, but does not get there: no bit of
	 * the field can be imported, and such a field is skipped.
	 */
	SERVTD_NUM(MD_PRESENT),
	SERVTD_BINDINGS(MD_IGNORED, NULL),
};

/* Whole pages: stream links, x2APIC ids, MSR bitmaps (all set), Secure EPT root. */
static const struct md_row links_rows[] = {
	{ 0x9a10000300000000, .fields = SIM_MAX_MIGS, .elements = 1, .home = MD_MIGSC_LINKS,
	  .access = MD_R_HOST },
};

static const struct md_row x2apic_ids_rows[] = {
	{ 0x9c10000200000000, .fields = SIM_MAX_X2APIC_IDS, .elements = 1,
	  .home = MD_X2APIC_IDS, .phase = MD_IMMUTABLE, .import = MD_OPTIONAL,
	  .access = MD_R_HOST | MD_R_SERVTD },
};

static const struct md_row pages_rows[] = {
	{ 0x2010000300000000, .fields = 512, .elements = 1, .access = MD_R_DEBUG,
	  .constant = ~0ULL },
	{ 0x2110000300000000, .fields = 512, .elements = 1, .home = MD_SEPT_ROOT,
	  .access = MD_R_DEBUG },
};

const struct md_table md_td_management = { management_rows, ARRAY_SIZE(management_rows) };
const struct md_table md_td_controls_1_5_01 = { controls_1_5_01, ARRAY_SIZE(controls_1_5_01) };
const struct md_table md_td_controls_1_5_05 = { controls_1_5_05, ARRAY_SIZE(controls_1_5_05) };
const struct md_table md_td_state = { state_rows, ARRAY_SIZE(state_rows) };
const struct md_table md_td_servtd_1_5_01 = { servtd_1_5_01, ARRAY_SIZE(servtd_1_5_01) };
const struct md_table md_td_servtd_1_5_05 = { servtd_1_5_05, ARRAY_SIZE(servtd_1_5_05) };
const struct md_table md_td_links = { links_rows, ARRAY_SIZE(links_rows) };
const struct md_table md_td_x2apic_ids = { x2apic_ids_rows, ARRAY_SIZE(x2apic_ids_rows) };
const struct md_table md_td_pages = { pages_rows, ARRAY_SIZE(pages_rows) };

/* The host may have given two vCPUs one id, or imported one vCPU twice. */
static u64 finish_vp(const struct sim_vp *vp)
{
	u32 nr = min_t(u32, vp->td.tdcs->num_vcpus, SIM_MAX_X2APIC_IDS), i;
	u32 id = sim_x2apic_id(vp);

	if (!vp->td.tdcs->topology_enum_configured)
		return SIM_SUCCESS;
	for (i = 0; i < nr; i++) {
		if (i != vp->vps->index && vp->td.x2apic_ids[i] == id)
			return SIM_X2APIC_ID_NOT_UNIQUE | id;
	}
	return SIM_SUCCESS;
}

u64 md_finish_import(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp)
{
	struct tdcs *tdcs = td->tdcs;
	u64 err;

	if (bundle == MD_BUNDLE_VP)
		return finish_vp(vp);
	if (bundle != MD_BUNDLE_IMMUTABLE_TD)
		return SIM_SUCCESS;
	if (tdcs->num_l2_vms)
		return SIM_OPERAND_INVALID | RDX | SIM_FATAL;
	if (!tdcs->num_vcpus || tdcs->num_vcpus > tdcs->max_vcpus)
		return SIM_OPERAND_INVALID | SIM_FATAL |
		       (sim_profile()->strict_import ? OPND_MAX_VCPUS : RDX);

	tdcs->num_assoc_vcpus = 0;
	tdcs->epoch.td_epoch = 1;
	tdcs->epoch.refcount[0] = 0;
	tdcs->epoch.refcount[1] = 0;
	/* CONFIG_FLAGS is optional, GPAW is not. */
	tdcs->config_flags &= ~SIM_CONFIG_GPAW;
	if (tdcs->gpaw)
		tdcs->config_flags |= SIM_CONFIG_GPAW;
	sim_td_derive(td);
	err = cpuid_import_topology(td);
	if (!err && sim_profile()->own_servtd_hash)
		sim_servtd_finalize(td);
	return err;
}
