// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: what a VMM can know before there is a TD.
 */
#include <linux/preempt.h>

#include "tdx_mig.h"

static_assert(sizeof(struct kvm_tdx_mig_caps) == 64);
/* The size is part of the interface, and CPUID entries come next. */
static_assert(offsetof(struct kvm_tdx_capabilities, cpuid) == 256 * sizeof(u64));

/* @caps is zeroed. */
void tdx_mig_get_caps(struct kvm_tdx_mig_caps *caps)
{
	const struct tdx_sys_info *sysinfo = tdx_get_sysinfo();
	const struct tdx_sys_info_td_mig *td_mig = &sysinfo->td_mig;
	const struct tdx_sys_info_servtd *servtd = &sysinfo->servtd;

	if (!enable_tdx_mig)
		return;

	/*
	 * An update of the TDX module changes the version, with all CPUs stopped, and
	 * nothing else: the kernel goes on with what it read at boot.
	 */
	guard(preempt)();

	*caps = (struct kvm_tdx_mig_caps) {
		.flags = KVM_TDX_MIG_CAP_TDVMCALL_SERVICE | KVM_TDX_MIG_CAP_TDVMCALL_MIGTD,
		/* One stream context is for the way back. */
		.max_streams = td_mig->max_migs - 1,
		.min_export_version = td_mig->min_export_version,
		.max_export_version = td_mig->max_export_version,
		.min_import_version = td_mig->min_import_version,
		.max_import_version = td_mig->max_import_version,
		.immutable_state_pages = td_mig->num_immutable_state_pages,
		.td_state_pages = td_mig->num_td_state_pages,
		.vp_state_pages = td_mig->num_vp_state_pages,
		.module_features0 = sysinfo->features.tdx_features0,
		.module_major_version = sysinfo->version.major_version,
		.module_minor_version = sysinfo->version.minor_version,
		.module_update_version = sysinfo->version.update_version,
	};

	if (!servtd->max_servtds)
		return;

	caps->flags |= KVM_TDX_MIG_CAP_SERVTD;
	caps->max_servtds = servtd->max_servtds;
	caps->servtd_types = BIT_ULL(KVM_TDX_SERVTD_TYPE_MIGTD);
	caps->servtd_attributes_allowed = servtd->attributes_fixed0;
	caps->servtd_attributes_required = servtd->attributes_fixed1;
}
