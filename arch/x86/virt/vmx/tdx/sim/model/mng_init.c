// SPDX-License-Identifier: GPL-2.0
/*
 * TDH.MNG.INIT: the host's TD_PARAMS become the TD's configuration.
 */
#include "leaves.h"
#include "metadata.h"
#include "mig.h"

/* TD_PARAMS as the host lays it out in memory. */
struct td_params {
	u64 attributes;
	u64 xfam;
	u16 max_vcpus;
	u8 num_l2_vms;
	u8 msr_config_ctls;
	u8 reserved0[4];
	u64 eptp_controls;
	u64 config_flags;
	u16 tsc_frequency;
	u8 reserved1[38];
	u8 mrconfigid[48];
	u8 mrowner[48];
	u8 mrownerconfig[48];
	u64 arch_capabilities;
	u8 reserved2[24];
	u8 cpuid[768];		/* CPUID configuration, the rest reserved */
};

static_assert(sizeof(struct td_params) == SIM_TD_PARAMS_SIZE);
static_assert(offsetof(struct td_params, cpuid) == SIM_TD_PARAMS_CPUID);

#define MSR_CONFIG_ARCH_CAP	BIT(0)

#define TSC_FREQUENCY_MIN	4
#define TSC_FREQUENCY_MAX	400
#define TSC_FREQUENCY_KHZ	25000
#define HP_LOCK_TIMEOUT_MS	1000

static bool all_zero(const u8 *p, size_t len)
{
	while (len--) {
		if (*p++)
			return false;
	}
	return true;
}

bool sim_tsc_frequency_valid(u64 frequency)
{
	return frequency >= TSC_FREQUENCY_MIN && frequency <= TSC_FREQUENCY_MAX;
}

static u64 tsc_multiplier(u32 frequency)
{
	u32 native_khz = tdx_sim_host_tsc_khz();
	u32 khz = frequency * TSC_FREQUENCY_KHZ;
	u64 mult, rest;
	int i;

	/* TDs cannot have a native frequency between two units; the lower one is it. */
	if (frequency == native_khz / TSC_FREQUENCY_KHZ)
		return SIM_TSC_MULTIPLIER_ONE;

	mult = khz / native_khz;
	rest = khz % native_khz;
	for (i = 0; i < SIM_TSC_FRACTION_BITS; i++) {
		rest <<= 1;
		mult <<= 1;
		if (rest >= native_khz) {
			rest -= native_khz;
			mult |= 1;
		}
	}
	return mult;
}

u64 sim_virtual_tsc(const struct tdcs *tdcs)
{
	return mul_u64_u64_shr(tdx_sim_host_tsc(), tdcs->tsc_multiplier,
			       SIM_TSC_FRACTION_BITS) + tdcs->tsc_offset;
}

void sim_set_tsc(struct tdcs *tdcs, u64 virtual_tsc)
{
	tdcs->tsc_multiplier = tsc_multiplier(tdcs->tsc_frequency);
	tdcs->tsc_offset = 0;
	tdcs->tsc_offset = virtual_tsc - sim_virtual_tsc(tdcs);
}

static u64 set_controls(struct sim_td *td, const struct td_params *p)
{
	struct tdcs *tdcs = td->tdcs;

	if (!sim_attributes_valid(p->attributes))
		return SIM_OPERAND_INVALID | OPND_ATTRIBUTES;
	tdcs->attributes = p->attributes;
	if (!sim_xfam_valid(p->xfam))
		return SIM_OPERAND_INVALID | OPND_XFAM;
	tdcs->xfam = p->xfam;
	if (!p->max_vcpus || p->max_vcpus > sim_profile()->max_vcpus)
		return SIM_OPERAND_INVALID | OPND_MAX_VCPUS;
	tdcs->max_vcpus = p->max_vcpus;
	if (p->num_l2_vms > SIM_MAX_L2_VMS)
		return SIM_OPERAND_INVALID | OPND_NUM_L2_VMS;
	if (td->tdr->num_tdcx < (u32)SIM_MIN_TDCX + p->num_l2_vms)
		return SIM_TDCS_NOT_ALLOCATED;
	tdcs->num_l2_vms = p->num_l2_vms;
	if (!all_zero(p->reserved0, sizeof(p->reserved0)))
		return SIM_OPERAND_INVALID | RDX;
	if (p->config_flags & ~SIM_CONFIG_FLAGS_FIXED0)
		return SIM_OPERAND_INVALID | OPND_EXEC_CONTROLS;
	if (!sim_eptp_valid(p->eptp_controls) || (p->config_flags & SIM_CONFIG_GPAW))
		return SIM_OPERAND_INVALID | OPND_EPTP_CONTROLS;
	tdcs->eptp = p->eptp_controls;
	tdcs->config_flags = p->config_flags;
	tdcs->gpaw = 0;
	if (!sim_tsc_frequency_valid(p->tsc_frequency))
		return SIM_OPERAND_INVALID | OPND_TSC_FREQUENCY;
	tdcs->tsc_frequency = p->tsc_frequency;
	if (!all_zero(p->reserved1, sizeof(p->reserved1)))
		return SIM_OPERAND_INVALID | RDX;
	memcpy(tdcs->mrconfigid, p->mrconfigid, sizeof(tdcs->mrconfigid));
	memcpy(tdcs->mrowner, p->mrowner, sizeof(tdcs->mrowner));
	memcpy(tdcs->mrownerconfig, p->mrownerconfig, sizeof(tdcs->mrownerconfig));
	if ((p->msr_config_ctls & ~MSR_CONFIG_ARCH_CAP) ||
	    !all_zero(p->reserved2, sizeof(p->reserved2)))
		return SIM_OPERAND_INVALID | RDX;
	return SIM_SUCCESS;
}

static u64 configure(struct sim_td *td, const struct td_params *p, u64 *ext)
{
	struct tdcs *tdcs = td->tdcs;
	u64 err;

	err = set_controls(td, p);
	if (!err)
		err = sim_cpuid_configure(td, (const u8 *)p, ext);
	if (err)
		return err;
	if (!sim_arch_capabilities_configure(td, p->msr_config_ctls & MSR_CONFIG_ARCH_CAP,
					     p->arch_capabilities))
		return SIM_OPERAND_INVALID | OPND_ARCH_CAPABILITIES;
	/* A partitioned TD cannot be migrated. */
	if ((tdcs->attributes & SIM_ATTR_MIGRATABLE) && tdcs->num_l2_vms)
		return SIM_OPERAND_INVALID | RDX;
	return SIM_SUCCESS;
}

u64 tdx_sim_mng_init(struct sim_call *c)
{
	struct td_params params;
	struct tdcs *tdcs;
	struct sim_td td;
	u64 err;

	c->regs->r[RCX] = 0;
	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	/* An import that was interrupted has configured the TD in part. */
	if (sim_profile()->guarded_import && mig_import_begun(&td))
		return SIM_OP_STATE_INCORRECT;
	err = sim_check_shared_hpa(c->in.r[RDX], SIM_TD_PARAMS_SIZE, RDX);
	if (err)
		return err;
	memcpy(&params, sim_ptr(c->in.r[RDX]), sizeof(params));

	tdcs = td.tdcs;
	tdcs->num_vcpus = 0;
	tdcs->num_assoc_vcpus = 0;
	memset(&tdcs->epoch, 0, sizeof(tdcs->epoch));
	tdcs->epoch.td_epoch = 1;
	err = configure(&td, &params, &c->regs->r[RCX]);
	if (err)
		return err;

	sim_set_tsc(tdcs, 0);
	/* Until a vCPU comes without an x2APIC id. */
	tdcs->topology_enum_configured = sim_profile()->topology;
	tdcs->hp_lock_timeout = (u64)tdx_sim_host_tsc_khz() * HP_LOCK_TIMEOUT_MS;
	tdcs->td_ctls = tdcs->attributes & SIM_ATTR_SEPT_VE_DISABLE ?
			SIM_TD_CTLS_PENDING_VE_DISABLE : 0;
	sim_td_derive(&td);
	sim_sha384_init(&tdcs->mrtd_sha);
	memset(tdcs->rtmr, 0, sizeof(tdcs->rtmr));
	tdcs->op_state = OP_INITIALIZED;
	return SIM_SUCCESS;
}
