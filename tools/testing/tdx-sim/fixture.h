/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests, the fuzzer and the benchmark start from: calls in C, page
 * allocators, TDs built and migrated up to a point.  A step of the set-up that
 * fails ends the program.
 */
#ifndef TDX_SIM_FIXTURE_H
#define TDX_SIM_FIXTURE_H

#include "leaves.h"
#include "machine.h"
#include "probe.h"

struct fx_args {
	u64 rcx, rdx, r8, r9, r10, r11, r12, r13;
};

/* A SEAMCALL; outputs replace the inputs in @args. */
u64 fx_seamcall(u64 rax, struct fx_args *args);
/* The same for inputs only, by name: fx_call(LEAF_MNG_CREATE, .rcx = page). */
#define fx_call(leaf, ...)	fx_seamcall(leaf, &(struct fx_args){ __VA_ARGS__ })
/* And one that has to succeed. */
#define fx_must(leaf, ...)	fx_expect_success(#leaf, fx_call(leaf, ##__VA_ARGS__))
void fx_expect_success(const char *what, u64 status);

/* A TDCALL of a guest of the TD. */
u64 fx_tdcall(u64 tdr, u64 leaf, struct fx_args *args);

/* Page allocators: a page of the TDMR, and zeroed pages of the host. */
u64 fx_page(void);
u64 fx_hpages(unsigned int n);
void *fx_mem(u64 hpa);

/* Version of the module that is brought up from now on; 1.5.01 at first. */
void fx_profile(const struct tdx_sim_profile *profile);

/* Bring the module up, on a platform with @nr_lps processors. */
void fx_boot(unsigned int nr_lps);
/* The same with all but the first @usable bytes of the TDMR reserved. */
void fx_boot_reserved(unsigned int nr_lps, u64 usable);

/* Keep the state of machine, module and allocators, and return to it. */
void fx_snapshot(unsigned int nr);
void fx_restore(unsigned int nr);
/* End of the pages handed out so far. */
u64 fx_pages_end(void);

#define FX_MAX_STREAMS	8
#define FX_MAX_VCPUS	2

#define FX_ATTR_MIGRATABLE	BIT_ULL(29)

struct fx_td {
	u64 tdr;
	u16 hkid;
	u64 vp[FX_MAX_VCPUS];
	unsigned int nr_vps;
	u64 stream[FX_MAX_STREAMS];
	unsigned int nr_streams;
	/* As the target of a binding. */
	u64 handle;
	u64 uuid[4];
};

/* TDR and TDCS, not initialised. */
void fx_td_create(struct fx_td *td, u16 hkid);
void fx_td_init(struct fx_td *td, u64 attributes);
u64 fx_vp_create(struct fx_td *td);
void fx_vp_add(struct fx_td *td);
/* Secure EPT pages for the 2 MB that @gpa is in. */
void fx_sept_add(struct fx_td *td, u64 gpa);
u64 fx_page_add(struct fx_td *td, u64 gpa, u8 byte);
void fx_streams(struct fx_td *td, unsigned int n);
void fx_bind(struct fx_td *td, const struct fx_td *servtd);
void fx_set_key(struct fx_td *td, const struct fx_td *servtd, const u8 key[32]);
void fx_get_key(struct fx_td *td, const struct fx_td *servtd, const u8 key[32]);

/* Buffers of a bundle. */
#define FX_BUNDLE_PAGES	16

struct fx_bundle {
	u64 mbmd;
	u64 page_list;
	u64 pages;
	u64 gpa_list;
	u64 mac[2];
	u64 new_list;
};

void fx_bundle_init(struct fx_bundle *b);
/* Make all data pages available again: an export marks those that it did not use. */
void fx_reset_slots(const struct fx_bundle *b);
/* Operands for it. */
u64 fx_mbmd(const struct fx_bundle *b);
u64 fx_page_list(const struct fx_bundle *b, unsigned int pages);
u64 fx_gpa_list(const struct fx_bundle *b, unsigned int entries);
u64 *fx_gpa_entry(const struct fx_bundle *b, unsigned int i);
/* Fill new-page slots with fresh pages. */
void fx_new_pages(const struct fx_bundle *b, unsigned int n);

#define FX_NR_PAGES	12
/* Guest page n is filled with this byte plus n. */
#define FX_PAGE_BYTE	0x10

/* Source, destination and their migration TD. */
struct fx_pair {
	struct fx_td mig, src, dst;
	u64 src_page[FX_NR_PAGES];
	struct fx_bundle b;
};

/* Source runnable with @streams streams, keys exchanged, destination empty. */
void fx_pair_init(struct fx_pair *p, unsigned int streams);
/* Then the immutable state exported, source in LIVE_EXPORT. Returns its number of pages. */
unsigned int fx_pair_export(struct fx_pair *p);
/* And imported. */
void fx_pair_import(struct fx_pair *p, unsigned int pages);
/* Both of it. */
void fx_pair_start(struct fx_pair *p);
/* Then the source paused, and the TD state moved. */
void fx_pair_move_td_state(struct fx_pair *p);
/* Block and track pages [first, first + n). */
void fx_block_writes(struct fx_pair *p, unsigned int first, unsigned int n);
u64 fx_export_pages(struct fx_pair *p, unsigned int first, unsigned int n, u64 stream);
u64 fx_import_pages(struct fx_pair *p, unsigned int n, u64 stream);

u64 fx_mng_rd(u64 tdr, u64 field);

/* Metadata fields that tests look at. */
#define FX_MD_CHLDCNT		0x8010000300000004ULL
#define FX_MD_OP_STATE		0x9010000200000004ULL
#define FX_MD_DEC_KEY		0x9810000300000010ULL
#define FX_MD_ENC_KEY		0x9810000300000018ULL
#define FX_MD_DIRTY_COUNT	0x9810000300000030ULL
#define FX_MD_MIG_COUNT		0x9810000300000031ULL

/*
 * Tear a TD down to its last page; needs to know no more than the PAMT.  All
 * its pages are free afterwards.
 */
void fx_td_destroy(struct fx_td *td);
/* Pages of the TDMR that are not free. */
unsigned int fx_used_pages(void);

#endif /* TDX_SIM_FIXTURE_H */
