// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual interrupt delivery: posted interrupts, IRR, ISR and PPR of the
 * virtual APIC page, and the guest interrupt status (RVI and SVI).
 */
#include "guest.h"

#define VAPIC_TPR		0x80
#define VAPIC_PPR		0xa0
#define VAPIC_ISR		0x100
#define VAPIC_IRR		0x200
#define VAPIC_REG_STRIDE	0x10

#define APIC_PRIO		0xf0

#define PIN_PROCESS_POSTED	BIT_ULL(7)
#define PI_NR_WORDS		4
#define PI_ON			BIT_ULL(0)

/* Posted interrupt descriptor, as KVM writes it. */
struct sim_pi_desc {
	u64 pir[PI_NR_WORDS];
	u64 control;
	u64 reserved[3];
};

static_assert(sizeof(struct sim_pi_desc) == 64);

static u32 *vapic_reg(const struct sim_vp *vp, u32 offset)
{
	return (u32 *)(vp->vapic + offset);
}

u32 sim_vapic_read(const struct sim_vp *vp, u32 offset)
{
	return *vapic_reg(vp, offset);
}

static void vapic_set(struct sim_vp *vp, u32 base, u8 vector)
{
	*vapic_reg(vp, base + vector / 32 * VAPIC_REG_STRIDE) |= BIT(vector % 32);
}

static void vapic_clear(struct sim_vp *vp, u32 base, u8 vector)
{
	*vapic_reg(vp, base + vector / 32 * VAPIC_REG_STRIDE) &= ~BIT(vector % 32);
}

/* Vector 0 stands for none: it is never delivered. */
static u8 vapic_highest(const struct sim_vp *vp, u32 base)
{
	int i;
	u32 reg;

	for (i = 7; i >= 0; i--) {
		reg = *vapic_reg(vp, base + i * VAPIC_REG_STRIDE);
		if (reg)
			return i * 32 + fls(reg) - 1;
	}
	return 0;
}

static u8 rvi(const struct sim_vp *vp)
{
	return vp->vmcs->intr_status;
}

static u8 svi(const struct sim_vp *vp)
{
	return vp->vmcs->intr_status >> 8;
}

static void set_status(struct sim_vp *vp, u8 rvi, u8 svi)
{
	vp->vmcs->intr_status = svi << 8 | rvi;
}

static void update_ppr(struct sim_vp *vp)
{
	u8 tpr = *vapic_reg(vp, VAPIC_TPR);

	if ((tpr & APIC_PRIO) >= (svi(vp) & APIC_PRIO))
		*vapic_reg(vp, VAPIC_PPR) = tpr;
	else
		*vapic_reg(vp, VAPIC_PPR) = svi(vp) & APIC_PRIO;
}

static void request(struct sim_vp *vp, u8 vector)
{
	vapic_set(vp, VAPIC_IRR, vector);
	if (vector > rvi(vp))
		set_status(vp, vector, svi(vp));
}

void sim_vapic_sync_pir(struct sim_vp *vp)
{
	u64 pa = vp->vps->pi_desc_pa;
	struct sim_pi_desc *pi;
	u64 word;
	int i;

	if (!(vp->vps->pin_ctls & PIN_PROCESS_POSTED) ||
	    !IS_ALIGNED(pa, sizeof(struct sim_pi_desc)))
		return;

	pi = sim_ptr(pa);
	if (!pi || !(READ_ONCE(pi->control) & PI_ON))
		return;

	/* The sender sets PIR, then ON. */
	sim_atomic_andnot64(&pi->control, PI_ON);
	for (i = 0; i < PI_NR_WORDS; i++) {
		word = READ_ONCE(pi->pir[i]) ? sim_xchg64(&pi->pir[i], 0) : 0;
		while (word) {
			request(vp, i * 64 + __ffs64(word));
			word &= word - 1;
		}
	}
}

bool sim_vapic_pending(const struct sim_vp *vp)
{
	return rvi(vp) != 0;
}

bool sim_vapic_deliverable(const struct sim_vp *vp)
{
	return (rvi(vp) & APIC_PRIO) > (*vapic_reg(vp, VAPIC_PPR) & APIC_PRIO);
}

u8 sim_vapic_accept(struct sim_vp *vp)
{
	u8 vector = rvi(vp);

	vapic_set(vp, VAPIC_ISR, vector);
	vapic_clear(vp, VAPIC_IRR, vector);
	set_status(vp, vapic_highest(vp, VAPIC_IRR), vector);
	update_ppr(vp);
	return vector;
}

void sim_vapic_eoi(struct sim_vp *vp)
{
	vapic_clear(vp, VAPIC_ISR, svi(vp));
	set_status(vp, rvi(vp), vapic_highest(vp, VAPIC_ISR));
	update_ppr(vp);
}

u8 sim_vapic_tpr(const struct sim_vp *vp)
{
	return *vapic_reg(vp, VAPIC_TPR);
}

void sim_vapic_set_tpr(struct sim_vp *vp, u8 tpr)
{
	*vapic_reg(vp, VAPIC_TPR) = tpr;
	update_ppr(vp);
}

void sim_vapic_self_ipi(struct sim_vp *vp, u8 vector)
{
	request(vp, vector);
}
