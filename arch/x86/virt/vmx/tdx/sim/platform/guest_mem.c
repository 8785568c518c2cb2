// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's memory: translation of its physical addresses through the Secure
 * EPT and the host's shared EPT, of its linear addresses through its own page
 * tables, and instruction fetch.
 */
#include <asm/pgtable_types.h>
#include <asm/processor-flags.h>

#include "guest.h"

#define GPAW_SHARED_BIT		51
#define NO_GPAW_SHARED_BIT	47

#define EPT_ENTRIES_BITS	9
#define EPT_LARGE		BIT_ULL(7)
#define EPT_MAX_LARGE_LEVEL	2

#define PTE_ADDR		GENMASK_ULL(51, 12)
#define GUEST_PT_LEVELS		4
#define GUEST_PT_LEVELS_LA57	5

#define PREFIX_FS		0x64
#define PREFIX_GS		0x65

static u64 level_mask(int level)
{
	return BIT_ULL(SIM_PAGE_SHIFT + level * EPT_ENTRIES_BITS) - 1;
}

static unsigned int level_index(u64 addr, int level)
{
	return (addr >> (SIM_PAGE_SHIFT + level * EPT_ENTRIES_BITS)) &
	       (BIT(EPT_ENTRIES_BITS) - 1);
}

bool sim_gpa_shared(const struct sim_vp *vp, u64 gpa)
{
	return gpa & BIT_ULL(vp->td.tdcs->gpaw ? GPAW_SHARED_BIT : NO_GPAW_SHARED_BIT);
}

/* The host's tables: any content is possible, none is followed outside of RAM. */
static void *translate_shared(struct sim_vp *vp, u64 gpa, u64 *entry)
{
	u64 table = vp->vps->shared_eptp;
	u64 *page;
	int level;

	*entry = 0;
	for (level = sept_root_level(&vp->td); level >= 0; level--) {
		page = tdx_sim_host_page(sept_hpa(table));
		if (!page)
			return NULL;
		*entry = READ_ONCE(page[level_index(gpa, level)]);
		if (!(*entry & SEPT_RWX))
			return NULL;
		if (level && level <= EPT_MAX_LARGE_LEVEL && (*entry & EPT_LARGE))
			break;
		table = *entry;
	}
	level = max(level, 0);
	return sim_ptr((sept_hpa(*entry) & ~level_mask(level)) | (gpa & level_mask(level)));
}

static void *translate_private(struct sim_vp *vp, u64 gpa, u64 *entry)
{
	struct sept_walk w;
	u64 err;

	*entry = 0;
	if (!sept_gpa_private(&vp->td, gpa))
		return NULL;

	err = sept_walk_leaf(&vp->td, gpa, &w);
	*entry = w.entry;
	if (err || !sept_is_guest_accessible(sept_state(w.entry)))
		return NULL;
	return sim_ptr((sept_hpa(w.entry) & ~level_mask(w.level)) | (gpa & level_mask(w.level)));
}

void *sim_guest_translate(struct sim_vp *vp, u64 gpa, u64 *entry)
{
	if (sim_gpa_shared(vp, gpa))
		return translate_shared(vp, gpa, entry);
	return translate_private(vp, gpa, entry);
}

bool sim_guest_walk(struct sim_vp *vp, u64 gla, u64 *gpa)
{
	struct sim_vmcs *vmcs = vp->vmcs;
	u64 table = vmcs->cr3 & PTE_ADDR;
	u64 *page, pte;
	int level;

	if (!(vmcs->cr0 & X86_CR0_PG)) {
		*gpa = (u32)gla;
		return true;
	}

	level = vmcs->cr4 & X86_CR4_LA57 ? GUEST_PT_LEVELS_LA57 : GUEST_PT_LEVELS;
	while (--level >= 0) {
		page = sim_guest_page(vp, table, false);
		if (!page)
			return false;
		pte = READ_ONCE(page[level_index(gla, level)]);
		if (!(pte & _PAGE_PRESENT))
			return false;
		if (level && level <= EPT_MAX_LARGE_LEVEL && (pte & _PAGE_PSE))
			break;
		table = pte & PTE_ADDR;
	}
	level = max(level, 0);
	*gpa = (pte & PTE_ADDR & ~level_mask(level)) | (gla & level_mask(level));
	return true;
}

static void *guest_linear(struct sim_vp *vp, u64 gla)
{
	u64 gpa, entry;

	return sim_guest_walk(vp, gla, &gpa) ? sim_guest_translate(vp, gpa, &entry) : NULL;
}

enum sim_decode sim_guest_decode(struct sim_vp *vp, struct insn *insn)
{
	bool long_mode = sim_guest_in_64bit(vp);
	u64 rip = long_mode ? vp->vmcs->rip : (u32)(vp->vmcs->cs.base + vp->vmcs->rip);
	unsigned int in_page = SIM_PAGE_SIZE - rip % SIM_PAGE_SIZE;
	unsigned int len = min_t(unsigned int, in_page, MAX_INSN_SIZE);
	u8 buf[MAX_INSN_SIZE];
	void *p;

	p = guest_linear(vp, rip);
	if (!p)
		return SIM_DECODE_UNREADABLE;
	memcpy(buf, p, len);

	if (len < MAX_INSN_SIZE) {
		p = guest_linear(vp, rip + len);
		if (p) {
			memcpy(buf + len, p, MAX_INSN_SIZE - len);
			len = MAX_INSN_SIZE;
		}
	}
	return insn_decode(insn, buf, len, long_mode ? INSN_MODE_64 : INSN_MODE_32) ?
	       SIM_DECODE_UNKNOWN : SIM_DECODE_OK;
}

static u64 guest_reg(const struct sim_vp *vp, unsigned int reg)
{
	return reg == RSP ? vp->vmcs->rsp : vp->vps->gpr[reg];
}

static u64 segment_base(const struct sim_vp *vp, const struct insn *insn)
{
	int i;

	for (i = 0; i < insn->prefixes.nbytes; i++) {
		if (insn->prefixes.bytes[i] == PREFIX_FS)
			return vp->vmcs->fs.base;
		if (insn->prefixes.bytes[i] == PREFIX_GS)
			return vp->vmcs->gs.base;
	}
	return sim_guest_in_64bit(vp) ? 0 : vp->vmcs->ds.base;
}

/* Address of the ModRM memory operand of 64-bit code. */
static u64 modrm_address(const struct sim_vp *vp, const struct insn *insn)
{
	u8 modrm = insn->modrm.value, sib = insn->sib.value, rex = insn->rex_prefix.value;
	unsigned int mod = X86_MODRM_MOD(modrm), rm = X86_MODRM_RM(modrm);
	unsigned int base, index;
	u64 addr = insn->displacement.nbytes ? (s64)insn->displacement.value : 0;

	if (rm == RSP) {
		base = X86_SIB_BASE(sib) | (X86_REX_B(rex) ? 8 : 0);
		index = X86_SIB_INDEX(sib) | (X86_REX_X(rex) ? 8 : 0);
		if (index != RSP)
			addr += guest_reg(vp, index) << X86_SIB_SCALE(sib);
		if (mod || X86_SIB_BASE(sib) != RBP)
			addr += guest_reg(vp, base);
	} else if (!mod && rm == RBP) {
		addr += vp->vmcs->rip + insn->length;
	} else {
		addr += guest_reg(vp, rm | (X86_REX_B(rex) ? 8 : 0));
	}
	return addr;
}

static bool maps_to(struct sim_vp *vp, u64 gla, u64 gpa)
{
	u64 found;

	return sim_guest_walk(vp, gla, &found) && (found ^ gpa) >> SIM_PAGE_SHIFT == 0;
}

/*
 * The engine reports the guest physical address only.  Try the addresses that
 * the instruction can use: its memory operand, the string operands, the stack.
 */
u64 sim_guest_find_gla(struct sim_vp *vp, const struct insn *insn, u64 gpa)
{
	u64 base = segment_base(vp, insn), offset = gpa & (SIM_PAGE_SIZE - 1);
	u64 candidates[] = {
		insn->modrm.nbytes && X86_MODRM_MOD(insn->modrm.value) != 3 ?
			base + modrm_address(vp, insn) : 0,
		base + vp->vps->gpr[RSI],
		vp->vps->gpr[RDI],
		vp->vmcs->rsp - sizeof(u64),
		vp->vmcs->rip,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(candidates); i++) {
		if (candidates[i] && maps_to(vp, candidates[i], gpa))
			return (candidates[i] & ~(u64)(SIM_PAGE_SIZE - 1)) | offset;
	}
	return 0;
}
