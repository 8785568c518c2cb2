// SPDX-License-Identifier: GPL-2.0
/*
 * Extended state of a vCPU: between entries it lives in the XBUFF pages, in the
 * guest's stay in the registers.
 *
 * The module keeps it in the compacted format; this CPU may lack XSAVES.  The
 * buffer says that it is compacted, as the module's rules demand, but holds what
 * XSAVE wrote: nobody but this file looks at more than the header.
 */
#include <linux/percpu.h>
#include <asm/fpu/xcr.h>
#include <asm/processor.h>

#include "guest.h"

#define XFEATURE_X87		BIT_ULL(0)
#define XFEATURE_SSE_STATE	BIT_ULL(1)
#define XFEATURE_AVX		BIT_ULL(2)

#define XCOMP_COMPACTED		BIT_ULL(63)
#define MXCSR_DEFAULT_VALUE	0x1f80
#define MXCSR_VALID		0xffffU
#define NR_XMM			16
#define VMCALL_XMMS_SHIFT	16

/* Start of an XSAVE area. */
struct sim_xsave {
	u8 x87[24];
	u32 mxcsr;
	u32 mxcsr_mask;
	u8 st[128];
	u8 xmm[NR_XMM][16];
	u8 available[96];
	struct {
		u64 xstate_bv;
		u64 xcomp_bv;
		u64 reserved[6];
	} header;
};

static_assert(offsetof(struct sim_xsave, xmm) == 160);
static_assert(offsetof(struct sim_xsave, header) == 512);

struct sim_xsave_area {
	u8 page[3][SIM_PAGE_SIZE];
} __aligned(64);

static DEFINE_PER_CPU(struct sim_xsave_area, guest_area);
static DEFINE_PER_CPU(struct sim_xsave_area, host_area);

static struct sim_xsave *area_head(struct sim_xsave_area *area)
{
	return (struct sim_xsave *)area;
}

static void xsave_area(struct sim_xsave_area *area, u64 mask)
{
	asm volatile("xsave64 %0" : "+m" (*area) : "a" ((u32)mask), "d" ((u32)(mask >> 32)));
}

static void xrstor_area(const struct sim_xsave_area *area, u64 mask)
{
	asm volatile("xrstor64 %0" : : "m" (*area), "a" ((u32)mask), "d" ((u32)(mask >> 32)));
}

static u64 guest_xfam(const struct sim_vp *vp)
{
	return vp->vps->xfam | XFEATURE_X87 | XFEATURE_SSE_STATE;
}

static bool xcr0_valid(u64 xcr0, u64 xfam)
{
	return (xcr0 & XFEATURE_X87) && !(xcr0 & ~xfam) &&
	       (!(xcr0 & XFEATURE_AVX) || (xcr0 & XFEATURE_SSE_STATE));
}

/* An imported vCPU may hold what XRSTORS and XSETBV refuse. */
bool sim_fpu_valid(const struct sim_vp *vp)
{
	const struct sim_xsave *x = (const struct sim_xsave *)vp->xbuff[0];
	u64 xcomp = x->header.xcomp_bv, bv = x->header.xstate_bv;

	return (xcomp & XCOMP_COMPACTED) &&
	       !(xcomp & ~XCOMP_COMPACTED & ~vp->vps->xfam) &&
	       !(bv & ~(xcomp & ~XCOMP_COMPACTED)) &&
	       !memchr_inv(x->header.reserved, 0, sizeof(x->header.reserved)) &&
	       !((bv & XFEATURE_SSE_STATE) && (x->mxcsr & ~MXCSR_VALID)) &&
	       xcr0_valid(vp->vps->xcr0, guest_xfam(vp));
}

static u32 vmcall_xmms(const struct sim_vp *vp)
{
	return vp->vps->gpr[RCX] >> VMCALL_XMMS_SHIFT & GENMASK(NR_XMM - 1, 0);
}

static void copy_xmms(struct sim_xsave *dst, const struct sim_xsave *src, u32 mask)
{
	int i;

	for (i = 0; i < NR_XMM; i++) {
		if (mask & BIT(i))
			memcpy(dst->xmm[i], src->xmm[i], sizeof(dst->xmm[i]));
	}
	if (mask)
		dst->header.xstate_bv |= XFEATURE_SSE_STATE;
}

void sim_fpu_load(struct sim_run *run)
{
	struct sim_xsave_area *area = this_cpu_ptr(&guest_area);
	struct sim_xsave *x = area_head(area);
	struct sim_vp *vp = run->vp;
	int i;

	if (run->fpu_loaded)
		return;

	for (i = 0; i < ARRAY_SIZE(area->page); i++)
		memcpy(area->page[i], vp->xbuff[i], SIM_PAGE_SIZE);
	x->header.xcomp_bv = 0;
	if (!(x->header.xstate_bv & XFEATURE_SSE_STATE)) {
		memset(x->xmm, 0, sizeof(x->xmm));
		x->mxcsr = MXCSR_DEFAULT_VALUE;
	}

	run->host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	xsetbv(XCR_XFEATURE_ENABLED_MASK, guest_xfam(vp));
	xrstor_area(area, guest_xfam(vp));
	xsetbv(XCR_XFEATURE_ENABLED_MASK, vp->vps->xcr0);
	run->fpu_loaded = true;
}

/*
 * XSETBV is not intercepted on all CPUs.  Keep to XFAM, and let CPUID see what
 * the guest has set.
 */
void sim_fpu_sync_xcr0(struct sim_run *run)
{
	u64 xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	struct sim_vp *vp = run->vp;

	vp->vps->xcr0 = xcr0 & guest_xfam(vp);
	if (xcr0 != vp->vps->xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vp->vps->xcr0);
}

void sim_fpu_save(struct sim_run *run)
{
	struct sim_xsave_area *area = this_cpu_ptr(&guest_area);
	struct sim_xsave *x = area_head(area);
	struct sim_vp *vp = run->vp;
	int i;

	if (!run->fpu_loaded)
		return;

	xsetbv(XCR_XFEATURE_ENABLED_MASK, guest_xfam(vp));
	xsave_area(area, guest_xfam(vp));
	x->header.xcomp_bv = XCOMP_COMPACTED | vp->vps->xfam;
	x->header.xstate_bv &= vp->vps->xfam;
	xsetbv(XCR_XFEATURE_ENABLED_MASK, run->host_xcr0);
	for (i = 0; i < ARRAY_SIZE(area->page); i++)
		memcpy(vp->xbuff[i], area->page[i], SIM_PAGE_SIZE);
	run->fpu_loaded = false;
}

/*
 * XCR0 stays XFAM and all components are in their initial state, as the host
 * has to expect.  XMM registers that a TDVMCALL shares are passed on.
 */
void sim_fpu_scrub(struct sim_run *run)
{
	struct sim_xsave_area *area = this_cpu_ptr(&host_area);
	struct sim_xsave *x = area_head(area);
	struct sim_vp *vp = run->vp;

	memset(x, 0, sizeof(*x));
	x->mxcsr = MXCSR_DEFAULT_VALUE;
	if (run->exit->rax == SIM_EXIT_TDCALL)
		copy_xmms(x, (struct sim_xsave *)vp->xbuff[0], vmcall_xmms(vp));
	xsetbv(XCR_XFEATURE_ENABLED_MASK, guest_xfam(vp));
	xrstor_area(area, guest_xfam(vp));
}

/* XMM registers with which the host answers a TDVMCALL. */
void sim_fpu_complete_vmcall(struct sim_vp *vp)
{
	struct sim_xsave_area *area = this_cpu_ptr(&host_area);
	u32 mask = vmcall_xmms(vp);

	if (!mask)
		return;

	xsave_area(area, XFEATURE_SSE_STATE);
	copy_xmms((struct sim_xsave *)vp->xbuff[0], area_head(area), mask);
}
