// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual CPUID: which leaves a TD sees, what of them the host may configure,
 * the values of a TD, and the capabilities that CPUID tells of.
 */
#include "cpuid_table.h"

#define CPUID_1_ECX_MONITOR	BIT(3)
#define CPUID_1_ECX_OSXSAVE	BIT(27)
#define CPUID_1_EBX_APIC_ID	GENMASK(31, 24)
#define CPUID_7_EBX_HLE		BIT(4)
#define CPUID_7_EBX_RTM		BIT(11)
#define CPUID_7_ECX_OSPKE	BIT(4)
#define CPUID_7_ECX_LA57	BIT(16)
#define CPUID_7_ECX_KL		BIT(23)
#define CPUID_7_ECX_PKS		BIT(31)
#define CPUID_7_1_EAX_LASS	BIT(6)
#define CPUID_7_1_EAX_PERFMON	BIT(8)
#define CPUID_7_1_EAX_LAM	BIT(26)
#define CPUID_D_1_EAX_XFD	BIT(4)
#define CPUID_D_ECX_ALIGN	BIT(1)
#define CPUID_D_ECX_XFD		BIT(2)
#define CPUID_80000001_EDX_SYSCALL BIT(11)
#define CPUID_80000008_LA_BITS	GENMASK(15, 8)
#define LA_BITS_4LEVEL		48
#define LA_BITS_5LEVEL		57
#define CPUID_STEPPING		GENMASK(3, 0)

#define LAST_BASE_LEAF		0x23
#define LAST_EXTENDED_LEAF	0x80000008
#define FIRST_EXTENDED_LEAF	0x80000000
#define FIRST_VMM_LEAF		0x40000000
#define LAST_VMM_LEAF		0x4fffffff

#define CR4_OSXSAVE		BIT_ULL(18)
#define CR4_PKE			BIT_ULL(22)
#define GUEST_EFER_LMA		BIT_ULL(10)
#define SEGMENT_AR_DPL		GENMASK(6, 5)
#define SEGMENT_AR_L		BIT(13)
#define CPUID_CONTROL_SUPERVISOR BIT(0)
#define CPUID_CONTROL_USER	BIT(1)

/* XSAVE area: legacy region and header. */
#define XSAVE_EXTENDED		576

/* IA32_ARCH_CAPABILITIES: what a module demands of its processor. */
#define MSR_ARCH_CAPABILITIES	0x10a
#define CAPS_SSB_NO		BIT_ULL(4)
#define CAPS_TSX_CTRL		BIT_ULL(7)
#define CAPS_RRSBA		BIT_ULL(19)
#define CAPS_BHI_NO		BIT_ULL(20)
#define CAPS_PBRSB_NO	BIT_ULL(24)

unsigned int cpuid_index(u32 leaf, u32 subleaf)
{
	const struct cpuid_row *row;
	unsigned int i;

	for (i = 0; i < cpuid_nr_rows(); i++) {
		row = cpuid_row(i);
		if (row->leaf == leaf && (row->subleaf == NONE || row->subleaf == subleaf))
			return i;
	}
	return CPUID_NONE;
}

u32 cpuid_code(unsigned int index)
{
	const struct cpuid_row *row = cpuid_row(index);
	u32 code = FIELD_PREP(MD_CPUID_LEAF, row->leaf & FIELD_MAX(MD_CPUID_LEAF));

	if (row->leaf & BIT(31))
		code |= MD_CPUID_LEAF_BIT31;
	if (row->subleaf == NONE)
		return code | MD_CPUID_NO_SUBLEAF | MD_CPUID_SUBLEAF;
	return code | FIELD_PREP(MD_CPUID_SUBLEAF, row->subleaf);
}

static bool cpuid_faults(unsigned int index)
{
	return cpuid_row(index)->faults;
}

bool cpuid_readable(const struct sim_td *td, unsigned int index)
{
	return !cpuid_faults(index) && td->cpuid->valid[index];
}

static void cpuid_native(unsigned int index, u32 values[NR_VALUES])
{
	const struct cpuid_row *row = cpuid_row(index);

	tdx_sim_host_cpuid(row->leaf, row->subleaf == NONE ? 0 : row->subleaf, values);
}

static void cpuid_put(struct sim_td *td, unsigned int index, const u32 values[NR_VALUES])
{
	td->cpuid->values[index][0] = values[EAX] | (u64)values[EBX] << 32;
	td->cpuid->values[index][1] = values[ECX] | (u64)values[EDX] << 32;
}

static void cpuid_store(struct sim_td *td, unsigned int index, const u32 values[NR_VALUES])
{
	td->cpuid->valid[index] = !cpuid_faults(index);
	cpuid_put(td, index, values);
}

static void cpuid_unpack(const u64 halves[2], u32 values[NR_VALUES])
{
	values[EAX] = halves[0];
	values[EBX] = halves[0] >> 32;
	values[ECX] = halves[1];
	values[EDX] = halves[1] >> 32;
}

static u32 cpuid_td_value(struct sim_td *td, u32 leaf, u32 subleaf, unsigned int reg)
{
	u32 values[NR_VALUES];

	cpuid_unpack(td->cpuid->values[cpuid_index(leaf, subleaf)], values);
	return values[reg];
}

u32 cpuid_platform_fms(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(1, 0, values);
	return values[EAX];
}

/* ---------------------------------------------------------------- limits */

u64 cpuid_config_leaf(unsigned int config)
{
	const struct cpuid_row *row = cpuid_row(cpuid_config_row(config));

	return row->leaf | (u64)row->subleaf << 32;
}

u64 cpuid_config_mask(unsigned int config, unsigned int half, bool allowed)
{
	const struct cpuid_row *row = cpuid_row(cpuid_config_row(config));
	u32 native[NR_VALUES];
	unsigned int i;

	cpuid_native(cpuid_config_row(config), native);
	for (i = 0; i < NR_VALUES; i++)
		native[i] = row->direct[i] | (allowed ? row->allow[i] & native[i] : 0);
	return native[2 * half] | (u64)native[2 * half + 1] << 32;
}

bool cpuid_has_lass(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(7, 1, values);
	return values[EAX] & CPUID_7_1_EAX_LASS;
}

bool cpuid_has_lam(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(7, 1, values);
	return values[EAX] & CPUID_7_1_EAX_LAM;
}

u64 cpuid_supported_xfam(void)
{
	u32 user[NR_VALUES], supervisor[NR_VALUES];

	tdx_sim_host_cpuid(0xd, 0, user);
	tdx_sim_host_cpuid(0xd, 1, supervisor);
	return SIM_XFAM_FIXED0 & (user[EAX] | supervisor[ECX]);
}

u64 cpuid_supported_xss(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(0xd, 1, values);
	return values[ECX] | (u64)values[EDX] << 32;
}

u32 cpuid_xsave_layout(u64 xfam, u32 offsets[SIM_NR_XSAVE_COMPONENTS])
{
	u32 component[NR_VALUES], offset = XSAVE_EXTENDED, i;

	memset(offsets, 0, SIM_NR_XSAVE_COMPONENTS * sizeof(offsets[0]));
	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		if (!(xfam & BIT_ULL(i)))
			continue;
		tdx_sim_host_cpuid(0xd, i, component);
		if (component[ECX] & CPUID_D_ECX_ALIGN)
			offset = round_up(offset, 64);
		offsets[i] = offset;
		offset += component[EAX];
	}
	return offset;
}

/* Size of an XSAVE area in standard format. */
static u32 cpuid_xsave_standard_size(u64 xcr0)
{
	u32 component[NR_VALUES], size = XSAVE_EXTENDED, i;

	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		if (!(xcr0 & XFAM_USER & BIT_ULL(i)))
			continue;
		tdx_sim_host_cpuid(0xd, i, component);
		size = max(size, component[EAX] + component[EBX]);
	}
	return size;
}

/* ----------------------------------------------- rules of single leaves */

static bool is_zero(const u32 values[NR_VALUES])
{
	return !(values[EAX] | values[EBX] | values[ECX] | values[EDX]);
}

/* Is the leaf absent because the TD lacks what it describes? */
static bool cpuid_absent(struct sim_td *td, const struct cpuid_row *row)
{
	u64 xfam = td->tdcs->xfam;

	switch (row->leaf) {
	case 0x5:
		return !(cpuid_td_value(td, 1, 0, ECX) & CPUID_1_ECX_MONITOR);
	case 0xa:
		return !(td->tdcs->attributes & SIM_ATTR_PERFMON);
	case 0xd:
		return row->subleaf >= 2 && !(xfam & BIT_ULL(row->subleaf));
	case 0x14:
		return !(xfam & XFAM_PT);
	case 0x19:
		return true;
	case 0x1a:
		return td->tdcs->attributes & SIM_ATTR_MIGRATABLE;
	case 0x1c:
		return !(xfam & XFAM_LBR);
	case 0x1d:
		return (xfam & XFAM_AMX) != XFAM_AMX;
	case 0x23:
		return sim_profile()->perfmon_leaf &&
		       (!(td->tdcs->attributes & SIM_ATTR_PERFMON) ||
			!(cpuid_td_value(td, 7, 1, EAX) & CPUID_7_1_EAX_PERFMON));
	default:
		return false;
	}
}

static bool tsx_consistent(u32 ebx)
{
	return !(ebx & CPUID_7_EBX_HLE) == !(ebx & CPUID_7_EBX_RTM);
}

/* TDs with TSX have IA32_TSX_CTRL, so the processor must have it. */
static bool tsx_possible(void)
{
	return tdx_sim_host_msr(MSR_ARCH_CAPABILITIES) & CAPS_TSX_CTRL;
}

/* A TD that migrates may claim an older stepping. */
static bool fms_valid(struct sim_td *td, u32 fms, bool migratable)
{
	u32 native = cpuid_platform_fms();

	if (!migratable)
		return fms == native;
	return !((fms ^ native) & ~CPUID_STEPPING) &&
	       (fms & CPUID_STEPPING) <= (native & CPUID_STEPPING);
}

static bool xfd_possible(u64 xfam)
{
	u32 component[NR_VALUES], i;

	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		tdx_sim_host_cpuid(0xd, i, component);
		if (xfam & BIT_ULL(i) && component[ECX] & CPUID_D_ECX_XFD)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------- configuration */

/* Native value less what is fixed, with what the host configured. */
static bool cpuid_apply_config(const struct cpuid_row *row, const u8 *config,
			       u32 values[NR_VALUES])
{
	u32 wanted[NR_VALUES] = {};
	unsigned int i;

	if (config)
		memcpy(wanted, config, sizeof(wanted));
	for (i = 0; i < NR_VALUES; i++) {
		if (wanted[i] & ~(row->direct[i] | row->allow[i]))
			return false;
		values[i] = (values[i] & ~row->zero[i]) | row->one[i];
		values[i] = (values[i] & ~row->direct[i]) | (wanted[i] & row->direct[i]);
		values[i] &= wanted[i] | ~row->allow[i];
	}
	return true;
}

static u64 cpuid_apply_rules(struct sim_td *td, const struct cpuid_row *row,
			     u32 values[NR_VALUES], u64 *ext_rcx)
{
	const struct tdcs *tdcs = td->tdcs;
	u32 zero[NR_VALUES];
	unsigned int i;

	cpuid_xfam_zero(tdcs->xfam, row, zero);
	for (i = 0; i < NR_VALUES; i++)
		values[i] &= ~zero[i];

	if (cpuid_absent(td, row)) {
		memset(values, 0, sizeof(zero));
	} else if (row->leaf == 0x1) {
		if (!values[EAX])
			values[EAX] = cpuid_platform_fms();
		if (!fms_valid(td, values[EAX], tdcs->attributes & SIM_ATTR_MIGRATABLE))
			return SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
	} else if (row->leaf == 0x7 && row->subleaf == 0) {
		if (!tsx_consistent(values[EBX])) {
			if (!sim_profile()->hle_rtm_leaf)
				*ext_rcx = 0;
			return SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
		}
		if ((values[EBX] & CPUID_7_EBX_HLE) && !tsx_possible()) {
			*ext_rcx = 0;
			return SIM_INCORRECT_MSR_VALUE | MSR_ARCH_CAPABILITIES;
		}
		values[ECX] &= ~(CPUID_7_ECX_KL | CPUID_7_ECX_PKS);
		if (tdcs->attributes & SIM_ATTR_PKS)
			values[ECX] |= CPUID_7_ECX_PKS;
	} else if (row->leaf == 0x7 && row->subleaf == 1) {
		values[EAX] &= ~CPUID_7_1_EAX_LASS;
		if (tdcs->attributes & SIM_ATTR_LASS)
			values[EAX] |= CPUID_7_1_EAX_LASS;
	} else if (row->leaf == 0xd && row->subleaf == 0) {
		values[ECX] = cpuid_xsave_standard_size(tdcs->xfam);
	} else if (row->leaf == 0xd && row->subleaf == 1) {
		if (!xfd_possible(tdcs->xfam))
			values[EAX] &= ~CPUID_D_1_EAX_XFD;
	} else if (row->leaf == 0x15) {
		values[EBX] = tdcs->tsc_frequency;
	} else if (row->leaf == LAST_EXTENDED_LEAF) {
		values[EAX] &= ~CPUID_80000008_LA_BITS;
		values[EAX] |= FIELD_PREP(CPUID_80000008_LA_BITS,
					  cpuid_td_value(td, 7, 0, ECX) & CPUID_7_ECX_LA57 ?
					  LA_BITS_5LEVEL : LA_BITS_4LEVEL);
	}
	return SIM_SUCCESS;
}

/* A level of the topology in CPUID 0x1F, and its type in ECX. */
#define TOPOLOGY_LEVELS		6
#define TOPOLOGY_TYPE		GENMASK(15, 8)

enum topology_type { TOPOLOGY_END, TOPOLOGY_SMT, TOPOLOGY_CORE, TOPOLOGY_NR_TYPES = 6 };

/* The six levels, from the host's configuration or, if it has none, as the CPU has them. */
static bool cpuid_topology_levels(struct sim_td *td, bool native,
				  u32 levels[TOPOLOGY_LEVELS][NR_VALUES])
{
	unsigned int i, j, index;
	bool empty = true;

	for (i = 0; i < TOPOLOGY_LEVELS; i++) {
		cpuid_unpack(td->cpuid->values[cpuid_index(0x1f, i)], levels[i]);
		empty = empty && is_zero(levels[i]);
		/* Nothing but the first level says that there is no configuration. */
		if (!i && !empty)
			native = false;
	}
	if (!native)
		return true;
	if (!empty)
		return false;
	for (i = 0; i < TOPOLOGY_LEVELS; i++) {
		index = cpuid_index(0x1f, i);
		cpuid_native(index, levels[i]);
		for (j = 0; j < NR_VALUES; j++)
			levels[i][j] &= ~cpuid_row(index)->zero[j];
		cpuid_store(td, index, levels[i]);
	}
	return true;
}

/*
 * Check CPUID 0x1F and make 0xB of it, which has no level above the cores: the
 * second one takes whatever the last level of 0x1F has, also if that is unused.
 * That does not make 0xB valid if an import has left it out.
 */
static u64 cpuid_derive_topology(struct sim_td *td, bool may_be_native)
{
	u32 levels[TOPOLOGY_LEVELS][NR_VALUES];
	u32 last = TOPOLOGY_END, type, *level;
	bool has_cores = false;

	if (!cpuid_topology_levels(td, may_be_native, levels))
		return SIM_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED;
	for (level = levels[0]; level < levels[TOPOLOGY_LEVELS]; level += NR_VALUES) {
		type = FIELD_GET(TOPOLOGY_TYPE, level[ECX]);
		if (type == TOPOLOGY_END ? !has_cores : type <= last || type >= TOPOLOGY_NR_TYPES)
			return SIM_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED;
		if (type == TOPOLOGY_SMT)
			cpuid_put(td, cpuid_index(0xb, 0), level);
		has_cores = has_cores || type == TOPOLOGY_CORE;
		last = type;
		level[ECX] &= ~TOPOLOGY_TYPE;
		level[ECX] |= FIELD_PREP(TOPOLOGY_TYPE, TOPOLOGY_CORE);
		cpuid_put(td, cpuid_index(0xb, 1), level);
	}
	return SIM_SUCCESS;
}

u64 cpuid_import_topology(struct sim_td *td)
{
	return sim_profile()->topology ? cpuid_derive_topology(td, false) : SIM_SUCCESS;
}

u64 sim_cpuid_configure(struct sim_td *td, const u8 params[SIM_TD_PARAMS_SIZE], u64 *ext_rcx)
{
	const u8 *configs = params + SIM_TD_PARAMS_CPUID, *config;
	const struct cpuid_row *row;
	u32 values[NR_VALUES];
	unsigned int i, j;
	u64 err;

	for (i = 0; i < cpuid_nr_rows(); i++) {
		row = cpuid_row(i);
		config = NULL;
		for (j = 0; j < cpuid_nr_configs(); j++) {
			if (cpuid_config_row(j) == i)
				config = configs + j * sizeof(values);
		}
		cpuid_native(i, values);
		*ext_rcx = row->leaf | (u64)row->subleaf << 32;
		if (!cpuid_apply_config(row, config, values))
			return SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
		err = cpuid_apply_rules(td, row, values, ext_rcx);
		if (err)
			return err;
		cpuid_store(td, i, values);
	}
	*ext_rcx = 0;
	err = sim_profile()->topology ? cpuid_derive_topology(td, true) : SIM_SUCCESS;
	if (err)
		return err;
	if (memchr_inv(configs + sizeof(values) * cpuid_nr_configs(), 0,
		       SIM_TD_PARAMS_SIZE - SIM_TD_PARAMS_CPUID -
		       sizeof(values) * cpuid_nr_configs()))
		return SIM_OPERAND_INVALID | RDX;
	return SIM_SUCCESS;
}

/* ----------------------------------------------------------------- import */

static bool cpuid_import_valid(struct sim_td *td, unsigned int index,
			       const u32 values[NR_VALUES])
{
	const struct cpuid_row *row = cpuid_row(index);
	const struct tdcs *tdcs = td->tdcs;
	u32 native[NR_VALUES], zero[NR_VALUES];
	unsigned int i;

	cpuid_native(index, native);
	cpuid_xfam_zero(tdcs->xfam, row, zero);
	for (i = 0; i < NR_VALUES; i++) {
		if (values[i] & (row->zero[i] | zero[i]) || ~values[i] & row->one[i] ||
		    values[i] & row->allow[i] & ~native[i])
			return false;
	}
	if (cpuid_absent(td, row))
		return is_zero(values);

	switch (row->leaf) {
	case 0x1:
		return fms_valid(td, values[EAX], true);
	case 0x5:
		for (i = 0; i < NR_VALUES; i++) {
			if ((values[i] ^ native[i]) & ~row->zero[i])
				return false;
		}
		return true;
	case 0x7:
		if (row->subleaf == 1)
			return !(values[EAX] & CPUID_7_1_EAX_LASS) ==
			       !(tdcs->attributes & SIM_ATTR_LASS);
		if (row->subleaf)
			return true;
		return tsx_consistent(values[EBX]) &&
		       (!(values[EBX] & CPUID_7_EBX_HLE) || tsx_possible()) &&
		       !(values[ECX] & CPUID_7_ECX_KL) &&
		       !(values[ECX] & CPUID_7_ECX_PKS) ==
		       !(tdcs->attributes & SIM_ATTR_PKS);
	case 0xd:
		if (row->subleaf == 0)
			return values[ECX] == cpuid_xsave_standard_size(tdcs->xfam);
		return row->subleaf != 1 || !(values[EAX] & ~native[EAX] & CPUID_D_1_EAX_XFD);
	case 0x15:
		return values[EBX] == tdcs->tsc_frequency;
	default:
		return true;
	}
}

u64 cpuid_import(struct sim_td *td, unsigned int index, const u64 halves[2], u64 mask)
{
	u64 *stored = td->cpuid->values[index];
	u32 values[NR_VALUES];

	/* The mask is for what is stored: the check is of all bits. */
	cpuid_unpack(halves, values);
	if (!cpuid_import_valid(td, index, values))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	td->cpuid->valid[index] = true;
	stored[0] = (stored[0] & ~mask) | (halves[0] & mask);
	stored[1] = (stored[1] & ~mask) | (halves[1] & mask);
	return SIM_SUCCESS;
}

/* ------------------------------------------------- IA32_ARCH_CAPABILITIES */

static u64 native_arch_capabilities(void)
{
	return sim_profile()->arch_capabilities_one | (tsx_possible() ? CAPS_TSX_CTRL : 0);
}

static bool td_has_tsx(struct sim_td *td)
{
	return cpuid_td_value(td, 7, 0, EBX) & CPUID_7_EBX_HLE;
}

bool sim_arch_capabilities_configure(struct sim_td *td, bool configured, u64 value)
{
	u64 caps = native_arch_capabilities();

	if (configured ? value & ~SIM_ARCH_CAPABILITIES_CONFIG : value)
		return false;
	caps &= ~(CAPS_SSB_NO | CAPS_BHI_NO | CAPS_PBRSB_NO) | value;
	caps |= value & CAPS_RRSBA;
	if (!td_has_tsx(td))
		caps &= ~CAPS_TSX_CTRL;
	td->tdcs->virt_arch_capabilities = caps;
	return true;
}

bool cpuid_arch_capabilities_valid(struct sim_td *td, u64 value)
{
	const struct tdx_sim_profile *profile = sim_profile();
	u64 native = native_arch_capabilities();

	if (~value & profile->arch_capabilities_one || value & profile->arch_capabilities_zero)
		return false;
	if (value & (CAPS_SSB_NO | CAPS_BHI_NO | CAPS_PBRSB_NO) & ~native)
		return false;
	if (~value & native & CAPS_RRSBA)
		return false;
	return value & CAPS_TSX_CTRL || !td_has_tsx(td);
}

/* -------------------------------------------------------------- execution */

/* Did the guest ask for a #VE instead of the value? */
static bool cpuid_ve_wanted(const struct sim_vp *vp, unsigned int index)
{
	const struct tdvps *vps = vp->vps;

	if (!FIELD_GET(SEGMENT_AR_DPL, vp->vmcs->ss.ar))
		return vps->cpuid_supervisor_ve ||
		       vps->cpuid_control[index] & CPUID_CONTROL_SUPERVISOR;
	return vps->cpuid_user_ve || vps->cpuid_control[index] & CPUID_CONTROL_USER;
}

static void set_bit_if(u32 *value, u32 bit, bool set)
{
	*value = set ? *value | bit : *value & ~bit;
}

/* Bits that follow the state of the vCPU. */
static void cpuid_dynamic(const struct sim_vp *vp, u32 leaf, u32 subleaf, u32 out[4])
{
	const struct sim_vmcs *vmcs = vp->vmcs;
	const struct tdvps *vps = vp->vps;
	u32 offsets[SIM_NR_XSAVE_COMPONENTS];

	switch (leaf) {
	case 0x1:
		out[EBX] &= ~CPUID_1_EBX_APIC_ID;
		out[EBX] |= FIELD_PREP(CPUID_1_EBX_APIC_ID,
				       (u8)(sim_has_topology(vp) ? sim_x2apic_id(vp) : vps->index));
		set_bit_if(&out[ECX], CPUID_1_ECX_OSXSAVE, vmcs->cr4 & CR4_OSXSAVE);
		break;
	case 0x7:
		if (!subleaf)
			set_bit_if(&out[ECX], CPUID_7_ECX_OSPKE, vmcs->cr4 & CR4_PKE);
		break;
	case 0xb:
	case 0x1f:
		out[EDX] = sim_x2apic_id(vp);
		break;
	case 0xd:
		if (subleaf == 0)
			out[EBX] = cpuid_xsave_standard_size(vps->xcr0);
		else if (subleaf == 1)
			out[EBX] = cpuid_xsave_layout(vps->xcr0 | vps->msr_xss, offsets);
		break;
	case 0x80000001:
		set_bit_if(&out[EDX], CPUID_80000001_EDX_SYSCALL,
			   vmcs->efer & GUEST_EFER_LMA && vmcs->cs.ar & SEGMENT_AR_L);
		break;
	}
}

bool sim_has_topology(const struct sim_vp *vp)
{
	return vp->td.tdcs->td_ctls & SIM_TD_CTLS_ENUM_TOPOLOGY;
}

u32 sim_x2apic_id(const struct sim_vp *vp)
{
	u32 index = vp->vps->index;

	/* An imported TD can have more vCPUs than a new one. */
	return index < SIM_MAX_X2APIC_IDS ? READ_ONCE(vp->td.x2apic_ids[index]) : 0;
}

bool sim_cpuid(struct sim_vp *vp, u32 leaf, u32 subleaf, u32 out[4])
{
	unsigned int index;

	/* Leaves past the last one answer as the last base leaf does. */
	if (!in_range(leaf, FIRST_VMM_LEAF, LAST_VMM_LEAF - FIRST_VMM_LEAF + 1) &&
	    (leaf > LAST_EXTENDED_LEAF || in_range(leaf, LAST_BASE_LEAF + 1,
						   FIRST_EXTENDED_LEAF - LAST_BASE_LEAF - 1)))
		leaf = LAST_BASE_LEAF;

	index = cpuid_index(leaf, subleaf);
	if (index == CPUID_NONE || cpuid_faults(index) || cpuid_ve_wanted(vp, index))
		return false;
	if ((leaf == 0xb || leaf == 0x1f) && !sim_has_topology(vp))
		return false;
	cpuid_unpack(vp->td.cpuid->values[index], out);
	cpuid_dynamic(vp, leaf, subleaf, out);
	return true;
}
