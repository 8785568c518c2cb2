// SPDX-License-Identifier: GPL-2.0
/*
 * Measurement leaves of a TD: TDG.MR.REPORT and TDG.MR.RTMR.EXTEND.
 */
#include "leaves.h"
#include "metadata.h"

#define REPORT_TYPE_TDX		0x81
#define REPORT_VERSION		0
#define REPORT_VERSION_SERVTDS	1
#define REPORT_DATA_SIZE	64
#define CPU_SVN_SIZE		16
/* Words of TEE_TCB_INFO that are set; those of TEE_TCB_SVN2. */
#define TEE_TCB_VALID		0x1ffULL
#define TEE_TCB_VALID_SVN2	GENMASK_ULL(17, 16)
#define RTMR_SIZE		48
#define RTMR_DATA_ALIGN		64
#define NR_RTMRS		4
#define HMAC_BLOCK		128
#define HMAC_IPAD		0x36
#define HMAC_OPAD		0x5c
#define EPT_VIOLATION_READ	BIT_ULL(0)
#define EPT_VIOLATION_WRITE	BIT_ULL(1)
#define GPA_BITS		48
#define GPA_BITS_WIDE		52

/* REPORTMACSTRUCT: everything before the MAC is covered by it. */
struct report_mac {
	u8 type;
	u8 subtype;
	u8 version;
	u8 reserved0[13];
	u8 cpu_svn[CPU_SVN_SIZE];
	u8 tee_tcb_info_hash[48];
	u8 tee_info_hash[48];
	u8 report_data[REPORT_DATA_SIZE];
	u8 reserved1[32];
	u8 mac[32];
};

static_assert(sizeof(struct report_mac) == 256);

struct tee_tcb_info {
	u64 valid;
	u8 tee_tcb_svn[16];
	u8 mrseam[48];
	u8 mrsignerseam[48];
	u64 attributes;
	u8 tee_tcb_svn2[16];
	u8 reserved[95];
} __packed;

static_assert(sizeof(struct tee_tcb_info) == 239);

struct td_report {
	struct report_mac mac;
	struct tee_tcb_info tcb;
	u8 reserved[17];
	u8 tdinfo[SIM_TDINFO_SIZE];
};

static_assert(sizeof(struct td_report) == 1024);

/* HMAC-SHA384 with the key of this boot, cut to the size of the MAC. */
static noinline void report_seal(struct report_mac *mac)
{
	u8 block[HMAC_BLOCK] = {}, digest[48];
	struct sim_sha384 sha;
	unsigned int i;

	memcpy(block, sim_module.report_key, sizeof(sim_module.report_key));
	for (i = 0; i < sizeof(block); i++)
		block[i] ^= HMAC_IPAD;
	sim_sha384_init(&sha);
	sim_sha384_update(&sha, block, sizeof(block));
	sim_sha384_update(&sha, mac, offsetof(struct report_mac, mac));
	sim_sha384_final(&sha, digest);
	for (i = 0; i < sizeof(block); i++)
		block[i] ^= HMAC_IPAD ^ HMAC_OPAD;
	sim_sha384_init(&sha);
	sim_sha384_update(&sha, block, sizeof(block));
	sim_sha384_update(&sha, digest, sizeof(digest));
	sim_sha384_final(&sha, digest);
	memcpy(mac->mac, digest, sizeof(mac->mac));
	memzero_explicit(block, sizeof(block));
}

/* The key that reports are sealed with is drawn with the first report. */
static u64 report_key(struct sim_guest_call *g)
{
	u64 err;

	err = sim_hold_guest(g, &sim_module.report_lock, SIM_EXCL, OPND_SYS);
	if (err || sim_module.report_key_set)
		return err;
	if (!tdx_sim_host_random(sim_module.report_key, sizeof(sim_module.report_key)))
		return SIM_RND_NO_ENTROPY;
	sim_module.report_key_set = 1;
	return SIM_SUCCESS;
}

/*
 * Map @len bytes at @gpa, which do not cross a page.  NULL with g->exit filled
 * when the host has to map them first, without when the address is no good.
 */
static void *guest_range(struct sim_guest_call *g, u64 gpa, size_t len, bool write)
{
	u64 page_gpa = ALIGN_DOWN(gpa, SIM_PAGE_SIZE);
	u8 *page;

	if (!IS_ALIGNED(gpa, len) || gpa >> (g->vp->td.tdcs->gpaw ? GPA_BITS_WIDE : GPA_BITS))
		return NULL;
	page = sim_guest_page(g->vp, page_gpa, write);
	if (!page) {
		sim_exit_ept_violation(&g->exit, page_gpa,
				       write ? EPT_VIOLATION_WRITE : EPT_VIOLATION_READ, 0);
		return NULL;
	}
	return page + (gpa - page_gpa);
}

/* RCX: where the report goes, RDX: data to include, R8: subtype. */
u64 tdx_sim_tdg_mr_report(struct sim_guest_call *g)
{
	struct td_report report = {};
	struct sim_td *td = &g->vp->td;
	const u64 *r = g->regs->r;
	void *data, *out;
	u64 err;

	if (!IS_ALIGNED(r[RCX], sizeof(report)))
		return SIM_OPERAND_INVALID | RCX;
	data = guest_range(g, r[RDX], REPORT_DATA_SIZE, false);
	if (!data)
		return SIM_OPERAND_INVALID | RDX;
	if (r[R8])
		return SIM_OPERAND_INVALID | R8;
	err = sim_hold_guest(g, &td->tdcs->rtmr_lock, SIM_SHARED, OPND_RTMR);
	if (!err)
		err = report_key(g);
	if (err)
		return err;

	report.tcb.valid = TEE_TCB_VALID;
	if (sim_profile()->tee_tcb_svn2)
		report.tcb.valid |= TEE_TCB_VALID_SVN2;
	sim_tdinfo(td, 0, report.tdinfo);
	report.mac.type = REPORT_TYPE_TDX;
	report.mac.version = td->tdcs->servtd_num ? REPORT_VERSION_SERVTDS : REPORT_VERSION;
	memcpy(report.mac.report_data, data, REPORT_DATA_SIZE);
	sim_measure(&report.tcb, sizeof(report.tcb), report.mac.tee_tcb_info_hash);
	sim_measure(report.tdinfo, sizeof(report.tdinfo), report.mac.tee_info_hash);
	report_seal(&report.mac);

	out = guest_range(g, r[RCX], sizeof(report), true);
	if (!out)
		return SIM_OPERAND_INVALID | RCX;
	memcpy(out, &report, sizeof(report));
	return SIM_SUCCESS;
}

/* RCX: data, RDX: index of the RTMR. */
u64 tdx_sim_tdg_mr_rtmr_extend(struct sim_guest_call *g)
{
	struct sim_td *td = &g->vp->td;
	u64 index = g->regs->r[RDX], gpa = g->regs->r[RCX], err;
	u8 message[2 * RTMR_SIZE];
	void *data;

	if (!sept_gpa_private(td, gpa))
		return SIM_OPERAND_INVALID | RCX;
	data = guest_range(g, gpa, RTMR_DATA_ALIGN, false);
	if (!data)
		return SIM_OPERAND_INVALID | RCX;
	if (index >= NR_RTMRS)
		return SIM_OPERAND_INVALID | RDX;
	err = sim_hold_guest(g, &td->tdcs->rtmr_lock, SIM_EXCL, OPND_RTMR);
	if (err)
		return err;
	memcpy(message, td->tdcs->rtmr[index], RTMR_SIZE);
	memcpy(message + RTMR_SIZE, data, RTMR_SIZE);
	sim_measure(message, sizeof(message), td->tdcs->rtmr[index]);
	return SIM_SUCCESS;
}
