// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves on several processors at once: whoever loses a race is told so, and
 * what is left behind adds up.
 */
#include <pthread.h>

#include "fixture.h"
#include "invariants.h"
#include "tap.h"

#define LPS		4
#define RACES		200
#define CHAOS_CALLS	20000
#define GPA_OP_MIGRATE	BIT_ULL(52)
#define SHARED_PAGES	12
#define CODE_MASK	GENMASK_ULL(63, 32)

static struct fx_pair pair;
static pthread_barrier_t barrier;

struct worker {
	pthread_t thread;
	unsigned int lp;
	u64 (*fn)(struct worker *w);
	u64 status;
	u64 page;
	u64 gpa;
	struct fx_bundle b;
	u64 seed;
};

static struct worker workers[LPS];

static void *run_worker(void *arg)
{
	struct worker *w = arg;

	machine_set_lp(w->lp);
	pthread_barrier_wait(&barrier);
	w->status = w->fn(w);
	return NULL;
}

static void run_all(u64 (*fn)(struct worker *w))
{
	unsigned int i;

	for (i = 0; i < LPS; i++) {
		workers[i].lp = i;
		workers[i].fn = fn;
		pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
	}
	for (i = 0; i < LPS; i++)
		pthread_join(workers[i].thread, NULL);
}

static unsigned int nr_succeeded(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < LPS; i++)
		n += !workers[i].status;
	return n;
}

static bool adds_up(void)
{
	const char *broken = invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + SZ_1M * 16);

	if (broken)
		printf("# %s\n", broken);
	return !broken;
}

/* Contention is no result; a second fault of the same kind may be. */
static bool is_busy(u64 status)
{
	return (status & CODE_MASK) == SIM_OPERAND_BUSY ||
	       (status & CODE_MASK) == SIM_SYS_BUSY;
}

static u64 race_create(struct worker *w)
{
	u64 err;

	do {
		err = fx_call(LEAF_MNG_CREATE, .rcx = w->page, .rdx = 50);
	} while (is_busy(err));
	return err;
}

static void test_one_hkid_one_td(void)
{
	unsigned int i;

	for (i = 0; i < LPS; i++)
		workers[i].page = fx_page();
	run_all(race_create);
	tap_equal(nr_succeeded(), 1, "one of several TDs gets a KeyID");
	for (i = 0; i < LPS; i++) {
		if (workers[i].status && workers[i].status != SIM_HKID_NOT_FREE)
			break;
	}
	tap_equal(i, LPS, "the others are told that it is in use");
}

static u64 race_same_page(struct worker *w)
{
	u64 err;

	do {
		err = fx_call(LEAF_MEM_PAGE_AUG, .rcx = w->gpa, .rdx = pair.src.tdr, .r8 = w->page);
	} while (is_busy(err));
	return err;
}

static void test_one_page_one_owner(void)
{
	unsigned int race, i, wins = 0;
	u64 page;

	for (race = 0; race < RACES; race++) {
		page = fx_page();
		for (i = 0; i < LPS; i++) {
			workers[i].page = page;
			workers[i].gpa = (FX_NR_PAGES + race) * SIM_PAGE_SIZE;
		}
		run_all(race_same_page);
		wins += nr_succeeded();
	}
	tap_equal(wins, RACES, "a page offered several times is taken once");
	tap_ok(adds_up(), "ownership adds up after the races for pages");
}

static u64 export_own(struct worker *w)
{
	u64 err;
	unsigned int i;

	for (i = 0; i < 2; i++)
		*fx_gpa_entry(&w->b, i) = GPA_OP_MIGRATE | (w->lp * 2 + i) * SIM_PAGE_SIZE;
	do {
		err = fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&w->b, 2), .rdx = pair.src.tdr,
			      .r8 = fx_mbmd(&w->b), .r9 = w->b.page_list, .r10 = w->lp,
			      .r11 = w->b.mac[0]);
	} while (is_busy(err));
	return err;
}

static u64 import_own(struct worker *w)
{
	u64 err;

	do {
		err = fx_call(LEAF_IMPORT_MEM, .rcx = fx_gpa_list(&w->b, 2), .rdx = pair.dst.tdr,
			      .r8 = fx_mbmd(&w->b), .r9 = w->b.page_list, .r10 = w->lp,
			      .r11 = w->b.mac[0], .r13 = w->b.new_list);
	} while (is_busy(err));
	return err;
}

static void test_parallel_streams(void)
{
	struct probe_page page;
	unsigned int i, good = 0;
	struct sim_td td;

	fx_block_writes(&pair, 0, 2 * LPS);
	for (i = 0; i < LPS; i++) {
		fx_bundle_init(&workers[i].b);
		fx_new_pages(&workers[i].b, 2);
	}
	run_all(export_own);
	tap_equal(nr_succeeded(), LPS, "every stream exports its bundle");
	tap_equal(fx_mng_rd(pair.src.tdr, FX_MD_MIG_COUNT), 2 * LPS, "all pages are counted");
	run_all(import_own);
	tap_equal(nr_succeeded(), LPS, "every stream imports its bundle");

	probe_td(pair.dst.tdr, &td);
	for (i = 0; i < 2 * LPS; i++) {
		u8 byte = FX_PAGE_BYTE + i;

		if (probe_translate(&td, i * SIM_PAGE_SIZE, &page) &&
		    !memchr_inv(fx_mem(page.hpa), byte, SIM_PAGE_SIZE))
			good++;
	}
	tap_equal(good, 2 * LPS, "every page has arrived as it was");
	tap_ok(adds_up(), "ownership adds up after parallel streams");
}

static u64 next_random(struct worker *w)
{
	w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return w->seed >> 33;
}

/* Anything that a host may do to a few pages of a live export. */
static u64 chaos(struct worker *w)
{
	unsigned int i;

	for (i = 0; i < CHAOS_CALLS; i++) {
		u64 r = next_random(w), gpa = (r >> 8) % SHARED_PAGES * SIM_PAGE_SIZE;

		*fx_gpa_entry(&w->b, 0) = GPA_OP_MIGRATE << (r >> 16) % 2 | gpa;
		switch (r % 7) {
		case 0:
			fx_call(LEAF_EXPORT_BLOCKW, .rcx = fx_gpa_list(&w->b, 1),
				.rdx = pair.src.tdr);
			break;
		case 1:
			fx_call(LEAF_EXPORT_UNBLOCKW, .rcx = gpa, .rdx = pair.src.tdr);
			break;
		case 2:
			fx_call(LEAF_MEM_TRACK, .rcx = pair.src.tdr);
			break;
		case 3:
		case 4:
			fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&w->b, 1),
				.rdx = pair.src.tdr, .r8 = fx_mbmd(&w->b), .r9 = w->b.page_list,
				.r10 = w->lp % 3, .r11 = w->b.mac[0]);
			break;
		case 5:
			fx_call(LEAF_MEM_RANGE_BLOCK, .rcx = gpa, .rdx = pair.src.tdr);
			break;
		case 6:
			fx_call(LEAF_MEM_RANGE_UNBLOCK, .rcx = gpa, .rdx = pair.src.tdr);
			break;
		}
	}
	return 0;
}

static void test_chaos(void)
{
	unsigned int i;

	for (i = 0; i < LPS; i++)
		workers[i].seed = i + 1;
	run_all(chaos);
	tap_ok(adds_up(), "counters, ownership and locks add up after chaos");
	fx_must(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr);
	tap_equal(fx_mng_rd(pair.src.tdr, FX_MD_OP_STATE), OP_PAUSED_EXPORT,
		  "the export goes on after chaos");
}

int main(void)
{
	pthread_barrier_init(&barrier, NULL, LPS);
	fx_boot(LPS);
	fx_pair_init(&pair, LPS + 1);
	test_one_hkid_one_td();
	test_one_page_one_owner();
	fx_pair_start(&pair);
	test_parallel_streams();
	test_chaos();
	return tap_done();
}
