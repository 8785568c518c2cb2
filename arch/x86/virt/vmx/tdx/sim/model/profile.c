// SPDX-License-Identifier: GPL-2.0
/*
 * The versions of the TDX module that there is a profile of.
 */
#include "metadata_table.h"

/* TDX_FEATURES0 */
#define FEATURE_TD_MIGRATION		BIT_ULL(0)
#define FEATURE_TD_PRESERVING		BIT_ULL(1)
#define FEATURE_SERVICE_TD		BIT_ULL(2)
#define FEATURE_TDG_VP_RDWR		BIT_ULL(3)
#define FEATURE_RELAXED_MEM_LOCKS	BIT_ULL(4)
#define FEATURE_CPUID_VE		BIT_ULL(5)
#define FEATURE_TD_PARTITIONING		BIT_ULL(7)
#define FEATURE_LOCAL_ATTESTATION	BIT_ULL(8)
#define FEATURE_TD_ENTRY_ENHANCEMENTS	BIT_ULL(9)
#define FEATURE_HOST_PRIORITY_LOCKS	BIT_ULL(10)
#define FEATURE_ARCH_CAPABILITIES	BIT_ULL(11)
#define FEATURE_FLEXIBLE_PENDING_VE	BIT_ULL(16)
#define FEATURE_FMS_CONFIG		BIT_ULL(17)
#define FEATURE_NO_RBP_MOD		BIT_ULL(18)
#define FEATURE_L2_TLB_INVD_OPT		BIT_ULL(19)
#define FEATURES0							\
	(FEATURE_TD_MIGRATION | FEATURE_TD_PRESERVING | FEATURE_SERVICE_TD |	\
	 FEATURE_TDG_VP_RDWR | FEATURE_RELAXED_MEM_LOCKS | FEATURE_CPUID_VE |	\
	 FEATURE_TD_PARTITIONING | FEATURE_LOCAL_ATTESTATION |			\
	 FEATURE_TD_ENTRY_ENHANCEMENTS | FEATURE_HOST_PRIORITY_LOCKS |		\
	 FEATURE_ARCH_CAPABILITIES | FEATURE_FLEXIBLE_PENDING_VE |		\
	 FEATURE_FMS_CONFIG | FEATURE_NO_RBP_MOD | FEATURE_L2_TLB_INVD_OPT)

/* Virtual IA32_ARCH_CAPABILITIES */
#define CAPS_XAPIC_DISABLE_STATUS	BIT_ULL(21)
#define CAPS_ONE			0xf16bULL
#define CAPS_ZERO			(GENMASK_ULL(63, 25) | GENMASK_ULL(23, 22) | \
					 GENMASK_ULL(18, 16) | GENMASK_ULL(11, 9) | BIT_ULL(2))

#define SIM_ATTRIBUTES			(SIM_ATTR_DEBUG | SIM_ATTR_SEPT_VE_DISABLE | \
					 SIM_ATTR_MIGRATABLE | SIM_ATTR_PKS | SIM_ATTR_PERFMON)

static const struct md_table *const sys_1_5_01[] = {
	&md_sys_platform, &md_sys_configs, &md_sys_limits, NULL,
};

static const struct md_table *const sys_1_5_05[] = {
	&md_sys_platform, &md_sys_max_vcpus, &md_sys_configs, &md_sys_limits, NULL,
};

static const struct md_table *const td_1_5_01[] = {
	&md_td_management, &md_td_controls_1_5_01, &md_td_state, &md_td_servtd_1_5_01,
	&md_td_links, &md_td_pages, NULL,
};

static const struct md_table *const td_1_5_05[] = {
	&md_td_management, &md_td_controls_1_5_05, &md_td_state, &md_td_servtd_1_5_05,
	&md_td_links, &md_td_x2apic_ids, &md_td_pages, NULL,
};

static const struct md_table *const vp_fields[] = { &md_vmcs_table, &md_vp_table, NULL };

const struct tdx_sim_profile tdx_sim_profile_1_5_01 = {
	.name = "1.5.01",
	.update_version = 1,
	.features0 = FEATURES0,
	.attributes = SIM_ATTRIBUTES,
	.arch_capabilities_one = CAPS_ONE,
	.arch_capabilities_zero = CAPS_ZERO | CAPS_XAPIC_DISABLE_STATUS,
	.cpuid = &cpuid_table_1_5_01,
	.fields = { sys_1_5_01, td_1_5_01, vp_fields },
	.max_vcpus = U16_MAX,
	.min_immutable_export = 3,
	.min_immutable_import = 1,
	.unblock_operand = OPND_SEPT_TREE,
	.unloadable_state = SIM_NON_RECOVERABLE_TD,
	.l2_ctls = GENMASK_ULL(2, 0),
};

/* All but what tells the version. */
#define PROFILE_1_5_05							\
	.features0 = FEATURES0 | SIM_FEATURES0_TOPOLOGY_ENUM,		\
	.attributes = SIM_ATTRIBUTES | SIM_ATTR_LASS,			\
	.arch_capabilities_one = CAPS_ONE | CAPS_XAPIC_DISABLE_STATUS,	\
	.arch_capabilities_zero = CAPS_ZERO,				\
	.cpuid = &cpuid_table_1_5_05,					\
	.fields = { sys_1_5_05, td_1_5_05, vp_fields },			\
	.max_vcpus = SIM_MAX_X2APIC_IDS,				\
	.min_immutable_export = 4,					\
	.min_immutable_import = 2,					\
	.td_epoch_end = GENMASK_ULL(62, 0),				\
	.unblock_operand = RCX,						\
	.unloadable_state = SIM_NON_RECOVERABLE_TD_NON_ACCESSIBLE,	\
	.l2_ctls = GENMASK_ULL(1, 0),					\
	.topology = true,						\
	.lass_lam = true,						\
	.own_servtd_hash = true,					\
	.rebind_by_hash = true,						\
	.epoch_token_of_session = true,					\
	.located_list_errors = true,					\
	.strict_last_list = true,					\
	.strict_import = true,						\
	.allowed_cpuid_bits = true,					\
	.perfmon_leaf = true,						\
	.hle_rtm_leaf = true,						\
	.strict_debugctl = true,					\
	.no_monitor_ve = true,						\
	.strict_sys_init = true,					\
	.tee_tcb_svn2 = true

const struct tdx_sim_profile tdx_sim_profile_1_5_05 = {
	.name = "1.5.05",
	.update_version = 5,
	PROFILE_1_5_05,
};

const struct tdx_sim_profile tdx_sim_profile_1_5_24 = {
	.name = "1.5.24",
	.update_version = 24,
	PROFILE_1_5_05,
	.guarded_import = true,
	.bounded_lists = true,
};

const struct tdx_sim_profile *tdx_sim_find_profile(const char *name)
{
	static const struct tdx_sim_profile *const profiles[] = {
		&tdx_sim_profile_1_5_01, &tdx_sim_profile_1_5_05,
		&tdx_sim_profile_1_5_24,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(profiles); i++) {
		if (!strcmp(profiles[i]->name, name))
			return profiles[i];
	}
	return NULL;
}
