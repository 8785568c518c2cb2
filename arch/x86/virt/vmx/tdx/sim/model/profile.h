/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Profiles: what one version of the TDX module does in its own way.  Everything
 * that no profile names is the same in all of them.
 */
#ifndef _TDX_SIM_PROFILE_H
#define _TDX_SIM_PROFILE_H

#include "env.h"

/* TDX_FEATURES0: MNG.INIT and VP.INIT take the topology of the TD */
#define SIM_FEATURES0_TOPOLOGY_ENUM	BIT_ULL(20)

struct sim_cpuid_table;
struct md_table;

/* Tables of the fields of a TD, of the module and of a vCPU, each ended by NULL. */
struct sim_fields {
	const struct md_table *const *sys;
	const struct md_table *const *td;
	const struct md_table *const *vp;
};

/**
 * struct tdx_sim_profile - A version of the module
 * @name: As a boot parameter or an option selects it
 * @update_version: Third part of that, as SYS.RD tells it
 * @features0: TDX_FEATURES0
 * @attributes: ATTRIBUTES that a TD may have
 * @arch_capabilities_one: Bits that the virtual IA32_ARCH_CAPABILITIES always has
 * @arch_capabilities_zero: Bits that it never has
 * @cpuid: Virtual CPUID: leaves, and what of them can be configured
 * @fields: Metadata fields
 * @max_vcpus: vCPUs that a TD may be configured for
 * @min_immutable_export: Pages that a list for immutable state must offer
 * @min_immutable_import: The same for an import, SYS pages apart
 * @td_epoch_end: The module breaks down when TD_EPOCH gets there; 0 is never
 * @unblock_operand: What RANGE.UNBLOCK names if TLB tracking is not done
 * @unloadable_state: Status of VP.ENTER if the guest's MSRs or extended state
 *	cannot be loaded
 * @l2_ctls: L2_CTLS that can be set
 * @topology: The host configures CPUID 0x1F and the x2APIC ids, and a TD can have
 *	CPUID 0xB and 0x1F without #VE
 * @lass_lam: CR4 bits of LASS and LAM can be the guest's, and so those of LAM in CR3
 * @own_servtd_hash: An import does not take over what the source has bound, but
 *	measures its own binding
 * @rebind_by_hash: A service TD that is bound again is recognized by its
 *	measurement even if its instance was bound
 * @epoch_token_of_session: An epoch token has the version of its session
 * @located_list_errors: Errors of a metadata list say that they are about no field,
 *	and a list that ends between sequences is too short
 * @strict_last_list: Only the last list of a bundle is checked for fields that are
 *	missing
 * @strict_import: Imported TSC_FREQUENCY is checked and XSS more strictly, a disabled
 *	vCPU stays so, RTIT_CTL is not taken over, and NUM_VCPUS is named if it is wrong
 * @allowed_cpuid_bits: CPUID_CONFIG_VALUES has the bits that a TD may lack of what
 *	the processor has, as SYS.INFO has them, not just those that can be set freely
 * @perfmon_leaf: A TD has CPUID 0x23 only with PERFMON
 * @hle_rtm_leaf: MNG.INIT names the leaf if HLE and RTM differ
 * @strict_debugctl: A guest has only the DEBUGCTL bits of features that it has
 * @no_monitor_ve: MONITOR and MWAIT raise #UD instead of #VE
 * @strict_sys_init: SYS.INIT checks more MSRs
 * @tee_tcb_svn2: TDREPORTs have TEE_TCB_SVN2
 * @guarded_import: MNG.INIT leaves a TD alone whose import has begun
 * @bounded_lists: A metadata list that is shorter than its header is too short
 */
struct tdx_sim_profile {
	const char *name;
	u16 update_version;
	u64 features0;
	u64 attributes;
	u64 arch_capabilities_one;
	u64 arch_capabilities_zero;
	const struct sim_cpuid_table *cpuid;
	struct sim_fields fields;
	u32 max_vcpus;
	u8 min_immutable_export;
	u8 min_immutable_import;
	u64 td_epoch_end;
	u32 unblock_operand;
	u64 unloadable_state;
	u64 l2_ctls;
	bool topology;
	bool lass_lam;
	bool own_servtd_hash;
	bool rebind_by_hash;
	bool epoch_token_of_session;
	bool located_list_errors;
	bool strict_last_list;
	bool strict_import;
	bool allowed_cpuid_bits;
	bool perfmon_leaf;
	bool hle_rtm_leaf;
	bool strict_debugctl;
	bool no_monitor_ve;
	bool strict_sys_init;
	bool tee_tcb_svn2;
	bool guarded_import;
	bool bounded_lists;
};

extern const struct tdx_sim_profile tdx_sim_profile_1_5_01;
extern const struct tdx_sim_profile tdx_sim_profile_1_5_05;
/* The one before, without the vulnerabilities that are known to be mended there. */
extern const struct tdx_sim_profile tdx_sim_profile_1_5_24;
/* The newest one that is modelled as a whole. */
#define TDX_SIM_PROFILE_DEFAULT	(&tdx_sim_profile_1_5_05)

/* NULL if there is none of that name. */
const struct tdx_sim_profile *tdx_sim_find_profile(const char *name);

#endif /* _TDX_SIM_PROFILE_H */
