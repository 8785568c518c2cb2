// SPDX-License-Identifier: GPL-2.0
/*
 * Set-up of tests: the module, TDs, and a pair of TDs in migration.
 */
#include "fixture.h"

#define MBMD_SIZE		128ULL
#define MBMD_SIZE_SHIFT		52
#define LIST_LAST_SHIFT		55
#define GPA_OP_MIGRATE		BIT_ULL(52)
#define LIST_SLOTS		512

/* Where fx_page() begins, and the last page it may hand out. */
#define PAGES_BEGIN		(MACHINE_TDMR_BASE + 0x10000)

static const struct tdx_sim_profile *boot_profile = &tdx_sim_profile_1_5_01;
static u64 next_page, next_hpage;
static u64 saved_page[MACHINE_SNAPSHOTS], saved_hpage[MACHINE_SNAPSHOTS];

u64 fx_seamcall(u64 rax, struct fx_args *a)
{
	struct tdx_sim_regs regs = { .r = {
		[RAX] = rax, [RCX] = a->rcx, [RDX] = a->rdx, [R8] = a->r8, [R9] = a->r9,
		[R10] = a->r10, [R11] = a->r11, [R12] = a->r12, [R13] = a->r13,
	} };

	tdx_sim_seamcall(&regs);
	*a = (struct fx_args){ regs.r[RCX], regs.r[RDX], regs.r[R8], regs.r[R9],
			       regs.r[R10], regs.r[R11], regs.r[R12], regs.r[R13] };
	return regs.r[RAX];
}

u64 fx_tdcall(u64 tdr, u64 leaf, struct fx_args *a)
{
	struct tdx_sim_regs regs = { .r = {
		[RAX] = leaf, [RCX] = a->rcx, [RDX] = a->rdx, [R8] = a->r8, [R9] = a->r9,
		[R10] = a->r10, [R11] = a->r11, [R12] = a->r12, [R13] = a->r13,
	} };
	struct sim_vp vp = { };
	struct sim_guest_call g = { .regs = &regs, .vp = &vp };

	if (!probe_td(tdr, &vp.td))
		fx_expect_success("TD lookup", SIM_PAGE_METADATA_INCORRECT);
	tdx_sim_tdcall(&g);
	*a = (struct fx_args){ regs.r[RCX], regs.r[RDX], regs.r[R8], regs.r[R9],
			       regs.r[R10], regs.r[R11], regs.r[R12], regs.r[R13] };
	return g.exit.pending ? g.exit.rax : regs.r[RAX];
}

void fx_expect_success(const char *what, u64 status)
{
	if (!status)
		return;
	fprintf(stderr, "set-up: %s returned %#llx\n", what, status);
	abort();
}

u64 fx_page(void)
{
	u64 page = xadd(&next_page, SIM_PAGE_SIZE);

	if (page >= MACHINE_TDMR_END)
		fx_expect_success("page allocator", U64_MAX);
	return page;
}

u64 fx_hpages(unsigned int n)
{
	u64 page = xadd(&next_hpage, (u64)n * SIM_PAGE_SIZE);

	if (page + n * SIM_PAGE_SIZE > MACHINE_HOST_END)
		fx_expect_success("host page allocator", U64_MAX);
	memset(fx_mem(page), 0, n * SIM_PAGE_SIZE);
	return page;
}

void *fx_mem(u64 hpa)
{
	return machine_memory(hpa, 1);
}

void fx_profile(const struct tdx_sim_profile *profile)
{
	boot_profile = profile;
}

void fx_boot(unsigned int nr_lps)
{
	fx_boot_reserved(nr_lps, MACHINE_TDMR_SIZE);
}

void fx_boot_reserved(unsigned int nr_lps, u64 usable)
{
	struct tdx_sim_platform platform = machine_reference_platform;
	struct fx_args args;
	unsigned int lp;
	u64 list, *info;

	platform.profile = boot_profile;
	platform.nr_lps = nr_lps;
	machine_reset(&platform);
	next_page = PAGES_BEGIN;
	next_hpage = MACHINE_FREE_BASE;

	list = fx_hpages(1);
	info = fx_mem(fx_hpages(1));
	*(u64 *)fx_mem(list) = list + SIM_PAGE_SIZE;
	info[0] = MACHINE_TDMR_BASE;
	info[1] = MACHINE_TDMR_SIZE;
	info[2] = MACHINE_PAMT_1G;
	info[3] = MACHINE_PAMT_1G_SIZE;
	info[4] = MACHINE_PAMT_2M;
	info[5] = MACHINE_PAMT_2M_SIZE;
	info[6] = MACHINE_PAMT_4K;
	info[7] = MACHINE_PAMT_4K_SIZE;
	info[8] = usable;
	info[9] = MACHINE_TDMR_SIZE - usable;

	fx_must(LEAF_SYS_INIT);
	for (lp = 0; lp < nr_lps; lp++) {
		machine_set_lp(lp);
		fx_must(LEAF_SYS_LP_INIT);
	}
	machine_set_lp(0);
	fx_must(LEAF_SYS_CONFIG, .rcx = list, .rdx = 1, .r8 = MACHINE_GLOBAL_HKID);
	fx_must(LEAF_SYS_KEY_CONFIG);
	do {
		args = (struct fx_args){ .rcx = MACHINE_TDMR_BASE };
		fx_expect_success("TDMR.INIT", fx_seamcall(LEAF_SYS_TDMR_INIT, &args));
	} while (args.rdx != MACHINE_TDMR_END);
}

void fx_snapshot(unsigned int nr)
{
	saved_page[nr] = next_page;
	saved_hpage[nr] = next_hpage;
	machine_snapshot(nr);
}

void fx_restore(unsigned int nr)
{
	next_page = saved_page[nr];
	next_hpage = saved_hpage[nr];
	machine_restore(nr);
}

u64 fx_pages_end(void)
{
	return next_page;
}

void fx_td_create(struct fx_td *td, u16 hkid)
{
	unsigned int i;

	*td = (struct fx_td){ .tdr = fx_page(), .hkid = hkid };
	fx_must(LEAF_MNG_CREATE, .rcx = td->tdr, .rdx = hkid);
	fx_must(LEAF_MNG_KEY_CONFIG, .rcx = td->tdr);
	for (i = 0; i < SIM_MIN_TDCX; i++)
		fx_must(LEAF_MNG_ADDCX, .rcx = fx_page(), .rdx = td->tdr);
}

void fx_td_init(struct fx_td *td, u64 attributes)
{
	u64 params = fx_hpages(1);
	u8 *p = fx_mem(params);

	put_unaligned_le64(attributes, p);
	put_unaligned_le64(3, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(0x1e, p + 0x18);
	put_unaligned_le16(100, p + 0x28);
	fx_must(LEAF_MNG_INIT, .rcx = td->tdr, .rdx = params);
}

u64 fx_vp_create(struct fx_td *td)
{
	u64 vp = fx_page();
	unsigned int i;

	fx_must(LEAF_VP_CREATE, .rcx = vp, .rdx = td->tdr);
	for (i = 1; i < SIM_NR_TDVPS_PAGES; i++)
		fx_must(LEAF_VP_ADDCX, .rcx = fx_page(), .rdx = vp);
	td->vp[td->nr_vps++] = vp;
	return vp;
}

void fx_vp_add(struct fx_td *td)
{
	fx_must(LEAF_VP_INIT, .rcx = fx_vp_create(td));
}

void fx_sept_add(struct fx_td *td, u64 gpa)
{
	int level;

	for (level = SEPT_ROOT_LEVEL; level > 0; level--) {
		u64 start = ALIGN_DOWN(gpa, SIM_LEVEL_SIZE(level));

		fx_must(LEAF_MEM_SEPT_ADD, .rcx = start | level, .rdx = td->tdr, .r8 = fx_page());
	}
}

u64 fx_page_add(struct fx_td *td, u64 gpa, u8 byte)
{
	u64 page = fx_page(), source = fx_hpages(1);

	memset(fx_mem(source), byte, SIM_PAGE_SIZE);
	fx_must(LEAF_MEM_PAGE_ADD, .rcx = gpa, .rdx = td->tdr, .r8 = page, .r9 = source);
	return page;
}

void fx_streams(struct fx_td *td, unsigned int n)
{
	while (n--) {
		u64 page = fx_page();

		fx_must(LEAF_MIG_STREAM_CREATE, .rcx = page, .rdx = td->tdr);
		td->stream[td->nr_streams++] = page;
	}
}

void fx_bind(struct fx_td *td, const struct fx_td *servtd)
{
	struct fx_args args = { .rcx = td->tdr, .rdx = servtd->tdr };

	fx_expect_success("SERVTD.BIND", fx_seamcall(LEAF_SERVTD_BIND, &args));
	td->handle = args.rcx;
	td->uuid[0] = args.r10;
	td->uuid[1] = args.r11;
	td->uuid[2] = args.r12;
	td->uuid[3] = args.r13;
}

static struct fx_args servtd_args(const struct fx_td *td, u64 field)
{
	return (struct fx_args){ .rcx = td->handle, .rdx = field, .r10 = td->uuid[0],
				 .r11 = td->uuid[1], .r12 = td->uuid[2], .r13 = td->uuid[3] };
}

/* The key with which the TD encrypts, made to be @key. */
void fx_get_key(struct fx_td *td, const struct fx_td *servtd, const u8 key[32])
{
	unsigned int i;

	machine_script_random(key);
	for (i = 0; i < 4; i++) {
		struct fx_args args = servtd_args(td, FX_MD_ENC_KEY + i);

		fx_expect_success("SERVTD.RD", fx_tdcall(servtd->tdr, TDG_SERVTD_RD, &args));
		if (args.r8 != get_unaligned_le64(key + 8 * i))
			fx_expect_success("SERVTD.RD value", args.r8);
	}
}

void fx_set_key(struct fx_td *td, const struct fx_td *servtd, const u8 key[32])
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct fx_args args = servtd_args(td, FX_MD_DEC_KEY + i);

		args.r8 = get_unaligned_le64(key + 8 * i);
		args.r9 = U64_MAX;
		fx_expect_success("SERVTD.WR", fx_tdcall(servtd->tdr, TDG_SERVTD_WR, &args));
	}
}

void fx_reset_slots(const struct fx_bundle *b)
{
	u64 *list = fx_mem(b->page_list);
	unsigned int i;

	for (i = 0; i < FX_BUNDLE_PAGES; i++)
		list[i] = b->pages + i * SIM_PAGE_SIZE;
}

void fx_bundle_init(struct fx_bundle *b)
{
	b->mbmd = fx_hpages(1);
	b->page_list = fx_hpages(1);
	b->gpa_list = fx_hpages(1);
	b->mac[0] = fx_hpages(1);
	b->mac[1] = fx_hpages(1);
	b->new_list = fx_hpages(1);
	b->pages = fx_hpages(FX_BUNDLE_PAGES);
	fx_reset_slots(b);
}

u64 fx_mbmd(const struct fx_bundle *b)
{
	return b->mbmd | MBMD_SIZE << MBMD_SIZE_SHIFT;
}

u64 fx_page_list(const struct fx_bundle *b, unsigned int pages)
{
	return b->page_list | (u64)(pages - 1) << LIST_LAST_SHIFT;
}

u64 fx_gpa_list(const struct fx_bundle *b, unsigned int entries)
{
	return b->gpa_list | (u64)(entries - 1) << LIST_LAST_SHIFT;
}

u64 *fx_gpa_entry(const struct fx_bundle *b, unsigned int i)
{
	return (u64 *)fx_mem(b->gpa_list) + i;
}

void fx_new_pages(const struct fx_bundle *b, unsigned int n)
{
	u64 *list = fx_mem(b->new_list);
	unsigned int i;

	for (i = 0; i < n; i++)
		list[i] = fx_page();
}

void fx_pair_init(struct fx_pair *p, unsigned int streams)
{
	u8 forward[32], backward[32];
	unsigned int i;

	for (i = 0; i < sizeof(forward); i++) {
		forward[i] = i;
		backward[i] = 0x80 + i;
	}

	fx_td_create(&p->mig, 35);
	fx_td_init(&p->mig, 0);
	fx_vp_add(&p->mig);
	fx_sept_add(&p->mig, 0);
	fx_page_add(&p->mig, 0, 'M');
	fx_must(LEAF_MR_FINALIZE, .rcx = p->mig.tdr);

	fx_td_create(&p->src, 33);
	fx_td_init(&p->src, FX_ATTR_MIGRATABLE);
	fx_vp_add(&p->src);
	fx_sept_add(&p->src, 0);
	for (i = 0; i < FX_NR_PAGES; i++)
		p->src_page[i] = fx_page_add(&p->src, i * SIM_PAGE_SIZE, FX_PAGE_BYTE + i);
	fx_bind(&p->src, &p->mig);
	fx_must(LEAF_MR_FINALIZE, .rcx = p->src.tdr);
	fx_streams(&p->src, streams);

	fx_td_create(&p->dst, 34);
	fx_streams(&p->dst, streams);
	fx_bind(&p->dst, &p->mig);

	fx_get_key(&p->src, &p->mig, forward);
	fx_get_key(&p->dst, &p->mig, backward);
	fx_set_key(&p->dst, &p->mig, forward);
	fx_set_key(&p->src, &p->mig, backward);
	fx_bundle_init(&p->b);
}

unsigned int fx_pair_export(struct fx_pair *p)
{
	struct fx_args args = { .rcx = p->src.tdr, .r8 = fx_mbmd(&p->b),
				.r9 = fx_page_list(&p->b, FX_BUNDLE_PAGES) };

	fx_expect_success("EXPORT.STATE.IMMUTABLE",
			  fx_seamcall(LEAF_EXPORT_STATE_IMMUTABLE, &args));
	return args.rdx;
}

void fx_pair_import(struct fx_pair *p, unsigned int pages)
{
	fx_must(LEAF_IMPORT_STATE_IMMUTABLE, .rcx = p->dst.tdr, .r8 = fx_mbmd(&p->b),
		.r9 = fx_page_list(&p->b, pages));
	fx_sept_add(&p->dst, 0);
}

void fx_pair_start(struct fx_pair *p)
{
	fx_pair_import(p, fx_pair_export(p));
}

void fx_pair_move_td_state(struct fx_pair *p)
{
	struct fx_args args = { .rcx = p->src.tdr, .r8 = fx_mbmd(&p->b),
				.r9 = fx_page_list(&p->b, FX_BUNDLE_PAGES) };

	fx_must(LEAF_EXPORT_PAUSE, .rcx = p->src.tdr);
	fx_expect_success("EXPORT.STATE.TD", fx_seamcall(LEAF_EXPORT_STATE_TD, &args));
	fx_must(LEAF_IMPORT_STATE_TD, .rcx = p->dst.tdr, .r8 = fx_mbmd(&p->b),
		.r9 = fx_page_list(&p->b, args.rdx));
}

static void fill_gpa_list(struct fx_pair *p, unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		*fx_gpa_entry(&p->b, i) = GPA_OP_MIGRATE | (first + i) * SIM_PAGE_SIZE;
}

void fx_block_writes(struct fx_pair *p, unsigned int first, unsigned int n)
{
	fill_gpa_list(p, first, n);
	fx_must(LEAF_EXPORT_BLOCKW, .rcx = fx_gpa_list(&p->b, n), .rdx = p->src.tdr);
	fx_must(LEAF_MEM_TRACK, .rcx = p->src.tdr);
}

u64 fx_export_pages(struct fx_pair *p, unsigned int first, unsigned int n, u64 stream)
{
	fill_gpa_list(p, first, n);
	fx_reset_slots(&p->b);
	return fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&p->b, n), .rdx = p->src.tdr,
		       .r8 = fx_mbmd(&p->b), .r9 = p->b.page_list, .r10 = stream,
		       .r11 = p->b.mac[0], .r12 = p->b.mac[1]);
}

u64 fx_import_pages(struct fx_pair *p, unsigned int n, u64 stream)
{
	fx_new_pages(&p->b, n);
	return fx_call(LEAF_IMPORT_MEM, .rcx = fx_gpa_list(&p->b, n), .rdx = p->dst.tdr,
		       .r8 = fx_mbmd(&p->b), .r9 = p->b.page_list, .r10 = stream,
		       .r11 = p->b.mac[0], .r12 = p->b.mac[1], .r13 = p->b.new_list);
}

u64 fx_mng_rd(u64 tdr, u64 field)
{
	struct fx_args args = { .rcx = tdr, .rdx = field };

	fx_expect_success("MNG.RD", fx_seamcall(LEAF_MNG_RD, &args));
	return args.r8;
}

static bool next_owned_page(u64 tdr, u64 *hpa)
{
	for (; *hpa < next_page; *hpa += SIM_PAGE_SIZE) {
		struct pamt_entry *pe = sim_pamt(*hpa);

		if (pe->type != PT_NDA && pe->type != PT_TDR && sim_pamt_owner(pe) == tdr)
			return true;
	}
	return false;
}

void fx_td_destroy(struct fx_td *td)
{
	u64 hpa = MACHINE_TDMR_BASE;
	unsigned int i;

	for (i = 0; i < td->nr_vps; i++)
		fx_call(LEAF_VP_FLUSH, .rcx = td->vp[i]);
	fx_must(LEAF_MNG_VPFLUSHDONE, .rcx = td->tdr);
	fx_must(LEAF_PHYMEM_CACHE_WB);
	fx_must(LEAF_MNG_KEY_FREEID, .rcx = td->tdr);
	while (next_owned_page(td->tdr, &hpa))
		fx_must(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = hpa);
	fx_must(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = td->tdr);
}

unsigned int fx_used_pages(void)
{
	unsigned int used = 0;
	u64 hpa;

	for (hpa = MACHINE_TDMR_BASE; hpa < next_page; hpa += SIM_PAGE_SIZE)
		used += sim_pamt(hpa)->type != PT_NDA;
	return used;
}
