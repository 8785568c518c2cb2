// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata fields of the module: version, features, limits and what the host
 * may configure.
 */
#include "metadata_table.h"

#define VENDOR_INTEL		0x8086
#define BUILD_DATE		20240129
#define BUILD_NUM		744
#define MAJOR_VERSION		1
#define MINOR_VERSION		5

/* Least number of pages that the export leaves demand in a page list. */
#define NUM_TD_STATE_PAGES		2
#define NUM_VP_STATE_PAGES		5

#define GUEST_L2_GPA_ATTR_MASK		(GENMASK_ULL(6, 0) | BIT_ULL(15))
#define VM_CTLS_ALLOWED			BIT_ULL(0)
#define L2_CTLS_ALLOWED			GENMASK_ULL(1, 0)
#define L2_DEBUG_CTLS_ALLOWED		GENMASK_ULL(2, 0)

static u64 get_features0(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_profile()->features0;
	if (sim_has_topology_enum())
		*value |= SIM_FEATURES0_TOPOLOGY_ENUM;
	return SIM_SUCCESS;
}

static u64 get_update_version(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_profile()->update_version;
	return SIM_SUCCESS;
}

static u64 get_attributes_fixed0(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_supported_attributes();
	return SIM_SUCCESS;
}

static u64 get_max_vcpus(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_profile()->max_vcpus;
	return SIM_SUCCESS;
}

static u64 get_immutable_pages(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_profile()->min_immutable_export;
	return SIM_SUCCESS;
}

static u64 get_num_pkgs(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = sim_module.platform.nr_packages;
	return SIM_SUCCESS;
}

static u64 get_pkg_fms(const struct md_target *t, const struct md_field *f, u64 *value)
{
	if (f->index < sim_module.platform.nr_packages)
		*value = cpuid_platform_fms();
	return SIM_SUCCESS;
}

static u64 get_xfam_fixed0(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = cpuid_supported_xfam();
	return SIM_SUCCESS;
}

static u64 get_num_cpuid_config(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = cpuid_nr_configs();
	return SIM_SUCCESS;
}

static u64 get_cpuid_config_leaf(const struct md_target *t, const struct md_field *f, u64 *value)
{
	if (f->index < cpuid_nr_configs())
		*value = cpuid_config_leaf(f->index);
	return SIM_SUCCESS;
}

static u64 get_cpuid_config_value(const struct md_target *t, const struct md_field *f,
				  u64 *value)
{
	/* Linux does not look at SYS.INFO, where all modules have these. */
	bool allowed = sim_profile()->allowed_cpuid_bits || sim_module.platform.topology_enum;

	if (f->index / 2 < cpuid_nr_configs())
		*value = cpuid_config_mask(f->index / 2, f->index % 2, allowed);
	return SIM_SUCCESS;
}

static u64 get_allowed_fms(const struct md_target *t, const struct md_field *f, u64 *value)
{
	if (!f->index)
		*value = cpuid_platform_fms();
	return SIM_SUCCESS;
}

/* A value for the host. */
#define SYS(_id, _value) \
	{ .id = _id, .fields = 1, .elements = 1, .access = MD_R_HOST, .constant = _value }
/* A value for the host and for TDs. */
#define SYS_PUBLIC(_id, _value) \
	{ .id = _id, .fields = 1, .elements = 1, .access = MD_R_HOST | MD_R_GUEST, \
	  .constant = _value }
/* The same, and sent along with a migrated TD. */
#define SYS_SENT(_id, _access, _value) \
	{ .id = _id, .fields = 1, .elements = 1, .access = _access, .constant = _value, \
	  .phase = MD_IMMUTABLE, .import = MD_OPTIONAL }
#define SYS_ARRAY(_id, _fields, _elements, _empty, _get) \
	{ .id = _id, .fields = _fields, .elements = _elements, .access = MD_R_HOST, \
	  .constant = _empty, .get = _get }

static const struct md_row platform_rows[] = {
	/* platform */
	SYS_ARRAY(0x0000000200000000, 1, 1, 0, get_num_pkgs),
	{
		.id = 0x0000000200000001, .fields = 8, .elements = 1, .access = MD_R_HOST,
		.phase = MD_IMMUTABLE, .import = MD_OPTIONAL, .get = get_pkg_fms,
	},
	/* version */
	SYS_SENT(0x0800000200000000, MD_R_HOST | MD_R_GUEST, VENDOR_INTEL),
	SYS_SENT(0x8800000200000001, MD_R_HOST, BUILD_DATE),
	SYS_SENT(0x8800000100000002, MD_R_HOST, BUILD_NUM),
	SYS_SENT(0x0800000100000003, MD_R_HOST | MD_R_GUEST, MINOR_VERSION),
	SYS_SENT(0x0800000100000004, MD_R_HOST | MD_R_GUEST, MAJOR_VERSION),
	{
		.id = 0x0800000100000005, .fields = 1, .elements = 1, .access = MD_R_HOST,
		.phase = MD_IMMUTABLE, .import = MD_OPTIONAL, .get = get_update_version,
	},
	SYS_SENT(0x0800000100000006, MD_R_HOST, 0),
	/* handoff: nothing is ever handed to another module */
	SYS(0x8900000100000000, 0),
	SYS(0x8900000100000001, 0),
	SYS(0x8900000000000002, 0),
	SYS(0x8900000100000003, 0),
	SYS(0x8900000000000004, 0),
	SYS(0x8900000100000005, 0),
	SYS(0x8900000200000006, 0),
	/* attributes and features */
	SYS_SENT(0x0a00000200000000, MD_R_HOST | MD_R_GUEST, 0),
	SYS_SENT(0x0a00000000000001, MD_R_HOST | MD_R_GUEST, 1),
	{
		.id = 0x0a00000300000008, .fields = 1, .elements = 1,
		.access = MD_R_HOST | MD_R_GUEST, .phase = MD_IMMUTABLE,
		.import = MD_OPTIONAL, .get = get_features0,
	},
	/* convertible memory is the environment's knowledge */
	SYS(0x9000000100000000, 0),
	SYS_ARRAY(0x9000000300000080, 32, 1, 0, NULL),
	SYS_ARRAY(0x9000000300000100, 32, 1, 0, NULL),
	/* TDMRs: how many, reserved areas, PAMT entry sizes for 4K, 2M, 1G */
	SYS(0x9100000100000008, ARRAY_SIZE(sim_module.tdmr)),
	SYS(0x9100000100000009, ARRAY_SIZE(sim_module.tdmr[0].reserved)),
	SYS(0x9100000100000010, sizeof(struct pamt_entry)),
	SYS(0x9100000100000011, sizeof(struct pamt_entry)),
	SYS(0x9100000100000012, sizeof(struct pamt_entry)),
	/* control structures: TDR, TDCS and per L2 VM, TDVPS and per L2 VM */
	SYS(0x9800000100000000, SIM_PAGE_SIZE),
	SYS(0x9800000100000100, SIM_MIN_TDCX * SIM_PAGE_SIZE),
	SYS(0x9800000100000101, SIM_PAGE_SIZE),
	SYS(0x9800000100000200, SIM_NR_TDVPS_PAGES * SIM_PAGE_SIZE),
	SYS(0x9800000100000201, SIM_TDVPS_PAGES_PER_L2 * SIM_PAGE_SIZE),
	/* configuration of a TD: ATTRIBUTES, XFAM, CPUID, CONFIG_FLAGS */
	SYS_ARRAY(0x1900000300000000, 1, 1, 0, get_attributes_fixed0),
	SYS(0x1900000300000001, 0),
	SYS_ARRAY(0x1900000300000002, 1, 1, 0, get_xfam_fixed0),
	SYS(0x1900000300000003, SIM_XFAM_FIXED1),
	SYS_ARRAY(0x9900000100000004, 1, 1, 0, get_num_cpuid_config),
	SYS(0x9900000300000006, SIM_CONFIG_FLAGS_FIXED0),
	SYS(0x9900000300000007, 0),
};

static const struct md_row max_vcpus_rows[] = {
	SYS_ARRAY(0x9900000100000008, 1, 1, 0, get_max_vcpus),
};

static const struct md_row configs_rows[] = {
	SYS_ARRAY(0x9900000300000400, 32, 1, ~0ULL, get_cpuid_config_leaf),
	SYS_ARRAY(0x9900000300000500, 32, 2, 0, get_cpuid_config_value),
	SYS(0x9900000300000600, SIM_ARCH_CAPABILITIES_CONFIG),
	SYS(0x9900000100000800, 1),
	SYS(0x9900000100000801, 0),
	SYS_ARRAY(0x9900000300000810, 64, 1, 0, get_allowed_fms),
	SYS_ARRAY(0x9900000300000850, 64, 1, 0, NULL),
};

static const struct md_row limits_rows[] = {
	/* migration: attributes, versions, streams, pages in state bundles */
	SYS_PUBLIC(0xa000000300000000, 0),
	SYS_PUBLIC(0x2000000100000001, 0),
	SYS_PUBLIC(0x2000000100000002, 0),
	SYS_PUBLIC(0x2000000100000003, 0),
	SYS_PUBLIC(0x2000000100000004, 0),
	SYS(0xa000000100000010, SIM_MAX_MIGS),
	SYS_ARRAY(0xa000000000000020, 1, 1, 0, get_immutable_pages),
	SYS(0xa000000000000021, NUM_TD_STATE_PAGES),
	SYS(0xa000000000000022, NUM_VP_STATE_PAGES),
	/* service TDs */
	SYS(0xa100000100000000, SIM_MAX_SERVTDS),
	SYS(0xa100000300000001, SIM_SERVTD_ATTRIBUTES_FIXED0),
	SYS(0xa100000300000002, 0),
	/* partitioning */
	SYS_PUBLIC(0xa200000100000000, GUEST_L2_GPA_ATTR_MASK),
	SYS(0xa200000300000001, VM_CTLS_ALLOWED),
	SYS(0xa200000300000002, 0),
	SYS(0xa200000300000003, L2_CTLS_ALLOWED),
	SYS(0xa200000300000004, 0),
	SYS(0xa200000300000005, L2_DEBUG_CTLS_ALLOWED),
	SYS(0xa200000300000006, 0),
};

const struct md_table md_sys_platform = { platform_rows, ARRAY_SIZE(platform_rows) };
const struct md_table md_sys_max_vcpus = { max_vcpus_rows, ARRAY_SIZE(max_vcpus_rows) };
const struct md_table md_sys_configs = { configs_rows, ARRAY_SIZE(configs_rows) };
const struct md_table md_sys_limits = { limits_rows, ARRAY_SIZE(limits_rows) };
