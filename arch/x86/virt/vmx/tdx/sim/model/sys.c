// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a whole: initialisation, TDMRs, global key, shutdown.
 */
#include "leaves.h"

/* PAMT entries of 4 KiB pages that one TDH.SYS.TDMR.INIT initialises. */
#define TDMR_INIT_PAGES		1024
#define TDMR_INFO_ALIGN		512
#define TDMR_ALIGN		SIM_LEVEL_SIZE(2)
#define HANDOFF_VERSION		0

/* As the host lays it out in memory. */
struct tdmr_info {
	u64 base, size;
	/* 1 GiB, 2 MiB, 4 KiB */
	struct { u64 base, size; } pamt[SIM_NR_PAMT_LEVELS];
	struct { u64 offset, size; } reserved[SIM_MAX_RESERVED];
};

static_assert(sizeof(struct tdmr_info) == 320);

static bool sys_trylock(struct sim_call *c, enum sim_lock_mode mode)
{
	return sim_hold(c, &sim_module.lock, mode);
}

#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_MISC_ENABLE		0x1a0
#define MSR_PERF_CAPABILITIES	0x345
#define MSR_VMX_PROC_CTLS3	0x492
#define CAPS_FB_CLEAR_CTRL	BIT_ULL(18)
#define MISC_ENABLE_PERFMON	BIT_ULL(7)
#define MISC_ENABLE_NO_BTS	BIT_ULL(11)
#define PERF_CAP_FREEZE_SMM	BIT_ULL(12)
#define CTLS3_VIRT_SPEC_CTRL	BIT_ULL(7)
#define CPUID_7_2_EDX_DDPD	BIT(3)

/* What this processor lacks that the module demands, of what only some versions do. */
static u64 check_msrs(void)
{
	static const struct {
		u32 msr;
		u64 ones, zeroes;
	} rules[] = {
		{ MSR_MISC_ENABLE, MISC_ENABLE_PERFMON, MISC_ENABLE_NO_BTS },
		{ MSR_ARCH_CAPABILITIES, 0, CAPS_FB_CLEAR_CTRL },
		{ MSR_PERF_CAPABILITIES, PERF_CAP_FREEZE_SMM, 0 },
	};
	u32 features[4];
	unsigned int i;
	u64 value;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		value = tdx_sim_host_msr(rules[i].msr);
		if (~value & rules[i].ones || value & rules[i].zeroes)
			return SIM_INCORRECT_MSR_VALUE | rules[i].msr;
	}
	tdx_sim_host_cpuid(7, 2, features);
	if (features[3] & CPUID_7_2_EDX_DDPD &&
	    !(tdx_sim_host_msr(MSR_VMX_PROC_CTLS3) & CTLS3_VIRT_SPEC_CTRL))
		return SIM_INCORRECT_MSR_VALUE | MSR_VMX_PROC_CTLS3;
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_init(struct sim_call *c)
{
	u64 err;
	int reg;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	for (reg = R8; reg <= R10; reg++)
		c->regs->r[reg] = 0;

	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	if (c->in.r[RCX])
		return SIM_OPERAND_INVALID | RCX;
	if (sim_module.sys_state != SYS_INIT_PENDING)
		return SIM_SYS_INIT_NOT_PENDING;
	err = sim_profile()->strict_sys_init ? check_msrs() : SIM_SUCCESS;
	if (err)
		return err;
	sim_store(&sim_module.sys_state, (u32)SYS_INIT_DONE);
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_lp_init(struct sim_call *c)
{
	u64 lp = BIT_ULL(tdx_sim_host_lp());

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	c->regs->r[R8] = 0;

	if (!sys_trylock(c, SIM_SHARED))
		return SIM_SYS_BUSY;
	if (sim_load(&sim_module.lps_initialised) & lp)
		return SIM_SYS_LP_INIT_DONE;
	/* A processor that comes online later joins a module that runs. */
	if (sim_module.sys_state == SYS_INIT_PENDING)
		return SIM_SYS_LP_INIT_NOT_PENDING;
	sim_atomic_or64(&sim_module.lps_initialised, lp);
	return SIM_SUCCESS;
}

/* ---------------------------------------------------------- TDH.SYS.CONFIG */

/* Details of a TDMR error: which TDMR, and what of it. */
static u64 tdmr_error(u64 err, u32 tdmr, u32 item, u32 other)
{
	return err | tdmr | item << 8 | other << 16;
}

static bool range_is_physical(u64 base, u64 size)
{
	u64 last = base + size - 1;

	return size && last >= base && sim_strip_hkid(base) == base &&
	       sim_strip_hkid(last) == last;
}

static bool range_is_convertible(u64 base, u64 size)
{
	u64 offset;

	for (offset = 0; offset < size; offset += SIM_PAGE_SIZE) {
		if (!tdx_sim_host_convertible(base + offset))
			return false;
	}
	return true;
}

static bool ranges_overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a_size && b_size && a < b + b_size && b < a + a_size;
}

/* The TDMR's range @i between its reserved areas; false after the last. */
static bool available_area(const struct sim_tdmr *t, unsigned int i, u64 *start, u64 *size)
{
	u64 end;

	if (i > t->nr_reserved)
		return false;
	*start = t->base;
	if (i)
		*start += t->reserved[i - 1].offset + t->reserved[i - 1].size;
	end = t->base + (i < t->nr_reserved ? t->reserved[i].offset : t->size);
	*size = end - *start;
	return true;
}

static u64 check_reserved(struct sim_tdmr *t, const struct tdmr_info *info, u32 index)
{
	unsigned int i;
	u64 end = 0;

	for (i = 0; i < SIM_MAX_RESERVED; i++) {
		u64 offset = info->reserved[i].offset, size = info->reserved[i].size;

		if (!size)
			break;
		if (offset + size < offset)
			return tdmr_error(SIM_INVALID_RESERVED_IN_TDMR, index, i, 0);
		if (i && offset < end)
			return tdmr_error(SIM_NON_ORDERED_RESERVED_IN_TDMR, index, i, 0);
		if (!IS_ALIGNED(offset | size, SIM_PAGE_SIZE) || offset + size > t->size)
			return tdmr_error(SIM_INVALID_RESERVED_IN_TDMR, index, i, 0);
		end = offset + size;
		t->reserved[i].offset = offset;
		t->reserved[i].size = size;
	}
	t->nr_reserved = i;
	/* Null entries are the last. */
	for (; i + 1 < SIM_MAX_RESERVED; i++) {
		if (info->reserved[i + 1].size)
			return tdmr_error(SIM_NON_ORDERED_RESERVED_IN_TDMR, index, i, 0);
	}
	return SIM_SUCCESS;
}

static u64 check_pamt_form(struct sim_tdmr *t, u32 index)
{
	int level;

	for (level = SIM_NR_PAMT_LEVELS - 1; level >= 0; level--) {
		u64 base = t->pamt[level].base, size = t->pamt[level].size;
		u64 need = (t->size >> SIM_LEVEL_SHIFT(level)) * sizeof(struct pamt_entry);

		if (!IS_ALIGNED(base | size, SIM_PAGE_SIZE) || size < need ||
		    !range_is_physical(base, size))
			return tdmr_error(SIM_INVALID_PAMT, index, level, 0);
	}
	return SIM_SUCCESS;
}

static bool pamt_areas_overlap(const struct sim_tdmr *a, int la, const struct sim_tdmr *b, int lb)
{
	return ranges_overlap(a->pamt[la].base, a->pamt[la].size,
			      b->pamt[lb].base, b->pamt[lb].size);
}

static bool pamt_overlaps_available(const struct sim_tdmr *a, int level, const struct sim_tdmr *t)
{
	u64 start, size;
	unsigned int i;

	for (i = 0; available_area(t, i, &start, &size); i++) {
		if (ranges_overlap(a->pamt[level].base, a->pamt[level].size, start, size))
			return true;
	}
	return false;
}

static u64 check_pamt_overlap(struct sim_tdmr *t, u32 index)
{
	int level, other;
	u32 i;

	for (i = 0; i < index; i++) {
		for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
			for (other = 0; other < SIM_NR_PAMT_LEVELS; other++) {
				if (pamt_areas_overlap(t, level, &sim_module.tdmr[i], other))
					return tdmr_error(SIM_PAMT_OVERLAP, index, level, i);
			}
		}
	}
	for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
		for (other = level + 1; other < SIM_NR_PAMT_LEVELS; other++) {
			if (pamt_areas_overlap(t, level, t, other))
				return tdmr_error(SIM_PAMT_OVERLAP, index, level, index);
		}
	}
	for (i = 0; i <= index; i++) {
		const struct sim_tdmr *o = &sim_module.tdmr[i];

		for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
			if (pamt_overlaps_available(t, level, o))
				return tdmr_error(SIM_PAMT_OVERLAP, index, level, i);
		}
		for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
			if (pamt_overlaps_available(o, level, t))
				return tdmr_error(SIM_PAMT_OVERLAP, i, level, index);
		}
	}
	return SIM_SUCCESS;
}

static u64 check_cmrs(struct sim_tdmr *t, u32 index)
{
	u64 start, size;
	unsigned int i;
	int level;

	for (level = SIM_NR_PAMT_LEVELS - 1; level >= 0; level--) {
		if (!range_is_convertible(t->pamt[level].base, t->pamt[level].size))
			return tdmr_error(SIM_PAMT_OUTSIDE_CMRS, index, level, 0);
	}
	for (i = 0; available_area(t, i, &start, &size); i++) {
		if (!range_is_convertible(start, size))
			return tdmr_error(SIM_TDMR_OUTSIDE_CMRS, index, 0, 0);
	}
	return SIM_SUCCESS;
}

/* Check TDMR @index and enter it in the table. */
static u64 set_tdmr(const struct tdmr_info *info, u32 index)
{
	struct sim_tdmr *t = &sim_module.tdmr[index];
	int level;
	u64 err;

	memset(t, 0, sizeof(*t));
	t->base = info->base;
	t->size = info->size;
	t->next_init = info->base;
	for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
		t->pamt[level].base = info->pamt[SIM_NR_PAMT_LEVELS - 1 - level].base;
		t->pamt[level].size = info->pamt[SIM_NR_PAMT_LEVELS - 1 - level].size;
	}

	if (t->base + t->size < t->base)
		return tdmr_error(SIM_INVALID_TDMR, index, 0, 0);
	if (index && t->base < t[-1].base + t[-1].size)
		return tdmr_error(SIM_NON_ORDERED_TDMR, index, 0, 0);
	if (!IS_ALIGNED(t->base | t->size, TDMR_ALIGN) || !range_is_physical(t->base, t->size))
		return tdmr_error(SIM_INVALID_TDMR, index, 0, 0);
	err = check_reserved(t, info, index);
	if (!err)
		err = check_pamt_form(t, index);
	if (!err)
		err = check_pamt_overlap(t, index);
	if (!err)
		err = check_cmrs(t, index);
	return err;
}

static bool lp_is_initialised(void)
{
	return sim_load(&sim_module.lps_initialised) & BIT_ULL(tdx_sim_host_lp());
}

u64 tdx_sim_sys_config(struct sim_call *c)
{
	u64 list = c->in.r[RCX], nr = c->in.r[RDX], hkid = c->in.r[R8];
	struct tdmr_info info;
	const u64 *entry;
	u64 err, pa;
	u32 i;

	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	if (sim_module.sys_state != SYS_INIT_DONE || !lp_is_initialised())
		return SIM_SYS_CONFIG_NOT_PENDING;
	err = sim_check_shared_hpa(list, TDMR_INFO_ALIGN, RCX);
	if (err)
		return err;
	if (!nr || nr > SIM_MAX_TDMRS)
		return SIM_OPERAND_INVALID | RDX;
	if (!sim_hkid_is_private(hkid))
		return SIM_OPERAND_INVALID | R8;

	for (i = 0; i < nr; i++) {
		entry = sim_ptr(list + i * sizeof(*entry));
		pa = READ_ONCE(*entry);
		err = sim_check_shared_hpa(pa, TDMR_INFO_ALIGN, RCX);
		if (err)
			return err;
		memcpy(&info, sim_ptr(pa), sizeof(info));
		err = set_tdmr(&info, i);
		if (err)
			return err;
	}
	sim_module.kot[hkid].state = KOT_RESERVED;
	sim_module.global_hkid = hkid;
	sim_module.nr_tdmrs = nr;
	sim_store(&sim_module.sys_state, (u32)SYS_CONFIG_DONE);
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_key_config(struct sim_call *c)
{
	u64 pkg = BIT_ULL(tdx_sim_host_package());

	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	if (sim_module.sys_state != SYS_CONFIG_DONE)
		return SIM_SYS_KEY_CONFIG_NOT_PENDING;
	if (sim_module.pkgs_key_configured & pkg)
		return SIM_KEY_CONFIGURED;
	sim_module.pkgs_key_configured |= pkg;
	if (hweight64(sim_module.pkgs_key_configured) == sim_module.platform.nr_packages)
		sim_store(&sim_module.sys_state, (u32)SYS_READY);
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_tdmr_init(struct sim_call *c)
{
	u64 base = c->in.r[RCX];
	struct sim_tdmr *t;
	unsigned int i;
	u64 err;

	c->regs->r[RDX] = 0;
	err = sim_check_hpa(base, 2, RCX);
	if (err)
		return err;
	for (i = 0; i < sim_module.nr_tdmrs; i++) {
		if (sim_module.tdmr[i].base == base)
			break;
	}
	if (i == sim_module.nr_tdmrs)
		return SIM_OPERAND_INVALID | RCX;
	t = &sim_module.tdmr[i];
	err = sim_hold_or_busy(c, &t->lock, SIM_EXCL, RCX);
	if (err)
		return err;
	if (t->next_init >= t->base + t->size)
		return SIM_TDMR_ALREADY_INITIALIZED;
	sim_pamt_init(t, (t->next_init - t->base) >> SIM_PAGE_SHIFT, TDMR_INIT_PAGES);
	sim_store(&t->next_init, t->next_init + TDMR_INIT_PAGES * SIM_PAGE_SIZE);
	c->regs->r[RDX] = ALIGN_DOWN(t->next_init, TDMR_ALIGN);
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_shutdown(struct sim_call *c)
{
	if (c->in.r[RCX] != HANDOFF_VERSION)
		return SIM_OPERAND_INVALID | RCX;
	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	sim_store(&sim_module.sys_state, (u32)SYS_SHUTDOWN);
	return SIM_SUCCESS;
}

u64 tdx_sim_sys_disable(struct sim_call *c)
{
	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	sim_store(&sim_module.sys_state, (u32)SYS_SHUTDOWN);
	return SIM_SUCCESS;
}

u64 sim_break_down(void)
{
	sim_store(&sim_module.sys_state, (u32)SYS_SHUTDOWN);
	return SIM_SYS_SHUTDOWN;
}

/* There is no loader that could bring another module's state. */
u64 tdx_sim_sys_update(struct sim_call *c)
{
	if (!sys_trylock(c, SIM_EXCL))
		return SIM_SYS_BUSY;
	if (sim_module.sys_state != SYS_INIT_DONE)
		return SIM_SYS_STATE_INCORRECT;
	return SIM_SYS_INVALID_HANDOFF;
}

u64 tdx_sim_sys_lp_shutdown(struct sim_call *c)
{
	(void)c;
	return SIM_SUCCESS;
}
