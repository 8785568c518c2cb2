// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private memory of a destination changes while it is imported, and an import fails
 * while other things go on.  Whatever comes first, the source can always go on.
 *
 * One source exports once, and each attempt takes a destination of its own.  The
 * test knows by the counters of the platform when the TDX module is at work.
 * Elsewhere it depends on luck what meets what.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

#define TDH_MEM_SEPT_ADD	3

/* Two slots with page tables of their own. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		64UL
#define OTHER_SLOT		(TD_SLOT_UNACCEPTED + 1)
#define OTHER_GPA		0x80000000UL
#define OTHER_PAGES		4UL
/* Memory that only destinations have: the bundle of a liar takes a page here and there. */
#define FORGED_SLOT		(TD_SLOT_UNACCEPTED + 2)
#define FORGED_GPA		0x100000000UL
#define FORGED_STRIDE		0x200000UL
#define FORGED_PAGES		TDX_MIG_BUF_LIST_PAGES_MAX
#define FORGED_SIZE		(FORGED_PAGES * FORGED_STRIDE)
/* There is no memory. */
#define NO_GPA			0x200000000UL

/* So many times the same two things meet. */
#define NR_ATTEMPTS		8
#define NR_IMAGE_BUNDLES	4

/* The bundles of the source. */
enum {
	IMMUTABLE,
	/* All of the two slots, and what the image has beyond. */
	MEM,
	IMAGE,
	OTHER = IMAGE + NR_IMAGE_BUNDLES,
	TD_STATE,
	VCPU_STATE,
	START_TOKEN,
	/* Sent when the order does not matter any more. */
	LATE,
	NR_BUNDLES,
};

static void guest_code(void)
{
	td_accept_pages(MEM_GPA, MEM_PAGES);
	td_accept_pages(OTHER_GPA, OTHER_PAGES);
	GUEST_SYNC(1);
	GUEST_DONE();
}

struct import {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct td_mig_dest d;
};

static void export_pages(struct td_mig *m, u32 stream, const gpa_t *gpas, u32 nr)
{
	u64 list[TDX_MIG_BUF_LIST_PAGES_MAX];
	u32 i;
	int ret;

	for (i = 0; i < nr; i++)
		list[i] = td_gpa_entry(gpas[i], TDX_MIG_GPA_OP_MIGRATE);
	ret = __td_mig_export_mem(&m->streams[stream], list, nr, &m->bundles[m->nr_bundles++],
				  NULL);
	TEST_ASSERT(!ret, "Export failed, errno %d", errno);
}

static void export_range(struct td_mig *m, u32 stream, gpa_t gpa, u32 nr)
{
	gpa_t gpas[TDX_MIG_BUF_LIST_PAGES_MAX];
	u32 i;

	for (i = 0; i < nr; i++)
		gpas[i] = gpa + i * PAGE_SIZE;
	export_pages(m, stream, gpas, nr);
}

static void export_image(struct td_mig *m, int first, int nr)
{
	u32 i, nr_gpas, nr_image = 0;
	gpa_t *gpas = td_mig_list_pages(m, &nr_gpas);

	for (i = 0; i < nr_gpas; i++) {
		if (gpas[i] < MEM_GPA)
			gpas[nr_image++] = gpas[i];
	}
	TEST_ASSERT(nr_image >= (first + nr) * MEM_PAGES, "%u pages", nr_image);
	for (i = first; i < first + nr; i++)
		export_pages(m, 0, &gpas[i * MEM_PAGES], MEM_PAGES);
	free(gpas);
}

static void import_create(struct import *t)
{
	struct td_mig *m = &t->m;

	t->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES + OTHER_PAGES, guest_code,
			    &t->vcpu);
	td_add_unaccepted_memory(t->vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_add_unaccepted_memory(t->vm, OTHER_SLOT, OTHER_GPA, OTHER_PAGES);
	td_launch(t->vm);
	td_vcpu_run_to_sync(t->vcpu, 1);

	td_mig_init(m, t->vm, &t->vcpu, 1, 2);
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	export_range(m, 0, MEM_GPA, MEM_PAGES);
	export_image(m, 0, NR_IMAGE_BUNDLES);
	export_range(m, 1, OTHER_GPA, OTHER_PAGES);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
	export_image(m, NR_IMAGE_BUNDLES, 1);
	TEST_ASSERT_EQ(m->nr_bundles, NR_BUNDLES);
}

/* The destination gives up. */
static void import_abort(struct import *t, struct tdx_mig_mbmd *token)
{
	td_mig_cmd(&t->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*token = *t->d.streams[0].mbmd;
	td_mig_dest_free(&t->d);
}

/* The source goes on. */
static void import_free(struct import *t, const struct tdx_mig_mbmd *token)
{
	*t->m.streams[0].mbmd = *token;
	td_mig_cmd(&t->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(t->vcpu);
	td_mig_free(&t->m);
	kvm_vm_free(t->vm);
}

/* ------------------------------------------------------ imports that fail */

enum disturbance {
	PUNCH,
	CONVERT,
	FORGE,
};

struct race {
	struct import *t;
	enum disturbance what;
	struct td_mig_bundle forged;
	pthread_t thread;
	bool ready;
	bool over;
};

static void add_forged_memory(struct race *r)
{
	struct td_mig_bundle *b = &r->forged;
	struct td_mig_dest *d = &r->t->d;
	void *mem = kvm_mmap(FORGED_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	int i, fd = vm_create_guest_memfd(d->vm, FORGED_SIZE, 0);

	d->gmem_fds[d->nr_gmem_fds++] = fd;
	vm_set_user_memory_region2(d->vm, FORGED_SLOT, KVM_MEM_GUEST_MEMFD, FORGED_GPA,
				   FORGED_SIZE, mem, fd, 0);
	for (i = 0; i < FORGED_PAGES; i++)
		vm_mem_set_private(d->vm, FORGED_GPA + i * FORGED_STRIDE, PAGE_SIZE);

	*b = (struct td_mig_bundle) {
		.import_cmd = KVM_TDX_MIG_IMPORT_MEM,
		.stream = 1,
		.nr = FORGED_PAGES,
		.mbmd = r->t->m.bundles[OTHER].mbmd,
		.gpa_list = calloc(FORGED_PAGES, sizeof(u64)),
		.mac_list = calloc(FORGED_PAGES, TD_MIG_MAC_SIZE),
		.pages = calloc(FORGED_PAGES, PAGE_SIZE),
	};
	TEST_ASSERT(b->gpa_list && b->mac_list && b->pages, "Insufficient Memory");
	b->mbmd.type_info = FORGED_PAGES;
	for (i = 0; i < FORGED_PAGES; i++)
		b->gpa_list[i] = td_gpa_entry(FORGED_GPA + i * FORGED_STRIDE,
					      TDX_MIG_GPA_OP_MIGRATE);
}

static void disturb(struct race *r)
{
	struct td_mig_dest *d = &r->t->d;

	switch (r->what) {
	case PUNCH:
		td_mig_dest_punch_hole(d, &r->t->m, MEM_GPA, PAGE_SIZE);
		break;
	case CONVERT:
		vm_mem_set_shared(d->vm, MEM_GPA, PAGE_SIZE);
		break;
	case FORGE:
		TD_EXPECT_ERRNO(EIO, __td_mig_import(d->streams, &r->forged, NULL));
		break;
	}
}

/* Wait until the TDX module is busy with the other thread's command. */
static void wait_for_leaf(struct race *r, unsigned int leaf, u64 calls)
{
	while (td_sim_count_leaf(leaf) == calls && !READ_ONCE(r->over))
		;
}

static void *race_thread(void *arg)
{
	struct race *r = arg;
	u64 calls = td_sim_count_leaf(TDH_IMPORT_MEM);

	WRITE_ONCE(r->ready, true);
	if (r->what != FORGE)
		wait_for_leaf(r, TDH_IMPORT_MEM, calls);
	disturb(r);
	WRITE_ONCE(r->over, true);
	return NULL;
}

static void race(struct import *t, enum disturbance what, const struct td_mig_bundle *bad)
{
	struct race r = { .t = t, .what = what };
	u64 calls, hw_error;

	if (what == FORGE)
		add_forged_memory(&r);

	calls = td_sim_count_leaf(TDH_MEM_SEPT_ADD);
	kvm_pthread_create(&r.thread, NULL, race_thread, &r);
	while (!READ_ONCE(r.ready))
		sched_yield();
	if (what == FORGE)
		wait_for_leaf(&r, TDH_MEM_SEPT_ADD, calls);

	TD_EXPECT_ERRNO(EIO, __td_mig_import(t->d.streams, bad, &hw_error));
	/* Unless the forged bundle has failed before. */
	TEST_ASSERT(hw_error & TDX_FATAL || what == FORGE, "hw_error 0x%lx", hw_error);
	WRITE_ONCE(r.over, true);
	kvm_pthread_join(r.thread, NULL);
	td_mig_bundle_free(&r.forged);
}

/* No use of the memory does any harm from now on. */
static void check_memory_is_free(struct import *t)
{
	td_mig_dest_punch_hole(&t->d, &t->m, MEM_GPA, MEM_PAGES * PAGE_SIZE);
	vm_mem_set_shared(t->d.vm, OTHER_GPA, OTHER_PAGES * PAGE_SIZE);
	vm_mem_set_private(t->d.vm, OTHER_GPA, OTHER_PAGES * PAGE_SIZE);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(t->d.streams, &t->m.bundles[OTHER], NULL));
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(t->d.vcpus[0]));
}

static void fail_and_disturb(enum disturbance what, int last_good, int first_bad)
{
	struct tdx_mig_mbmd token, unused;
	struct td_mig_bundle bad;
	struct import t;
	int i;

	import_create(&t);
	bad = t.m.bundles[first_bad];
	/* The last thing that the TDX module looks at. */
	bad.pages[bad.nr * PAGE_SIZE - 1] ^= 1;

	for (i = 0; i < NR_ATTEMPTS; i++) {
		td_mig_dest_create(&t.d, &t.m);
		td_mig_import(&t.d, &t.m, 0, last_good);
		race(&t, what, &bad);
		check_memory_is_free(&t);
		/* The source knows the key of the first one. */
		import_abort(&t, i ? &unused : &token);
	}
	import_free(&t, &token);
}

TD_TEST(hole_that_is_punched_while_an_import_fails_does_not_cost_the_source)
{
	fail_and_disturb(PUNCH, MEM, IMAGE);
}

TD_TEST(hole_that_is_punched_while_a_late_import_fails_does_not_cost_the_source)
{
	fail_and_disturb(PUNCH, START_TOKEN, LATE);
}

TD_TEST(conversion_while_a_late_import_fails_does_not_cost_the_source)
{
	fail_and_disturb(CONVERT, START_TOKEN, LATE);
}

TD_TEST(page_tables_built_while_an_import_fails_do_not_cost_the_source)
{
	fail_and_disturb(FORGE, MEM, IMAGE);
}

/* --------------------------------------------------- imports that succeed */

struct unmapper {
	pthread_t thread;
	void *mem;
	size_t size;
	u64 nr;
	bool stop;
};

/* The shared memory of the slot, which nobody uses. */
static void *unmap_thread(void *arg)
{
	struct unmapper *u = arg;

	while (!READ_ONCE(u->stop)) {
		TEST_ASSERT(!madvise(u->mem, u->size, MADV_DONTNEED), "errno %d", errno);
		WRITE_ONCE(u->nr, u->nr + 1);
	}
	return NULL;
}

TD_TEST(import_goes_on_while_shared_memory_is_unmapped)
{
	struct tdx_mig_mbmd token;
	struct unmapper u = {};
	struct import t;
	int i, ret;

	import_create(&t);
	td_mig_dest_create(&t.d, &t.m);
	td_mig_import(&t.d, &t.m, IMMUTABLE, IMMUTABLE);

	u.mem = memslot2region(t.vm, OTHER_SLOT)->host_mem;
	u.size = OTHER_PAGES * PAGE_SIZE;
	kvm_pthread_create(&u.thread, NULL, unmap_thread, &u);
	while (!READ_ONCE(u.nr))
		sched_yield();

	/* At the first attempt: nobody touches what has the GPAs of these. */
	for (i = MEM; i < OTHER; i++) {
		struct td_mig_bundle *b = &t.m.bundles[i];
		struct td_mig_stream *s = &t.d.streams[b->stream];
		u64 nr = b->nr, hw_error;

		*s->mbmd = b->mbmd;
		memcpy(s->buf, b->pages, b->nr * PAGE_SIZE);
		memcpy(s->gpa_list, b->gpa_list, b->nr * sizeof(*b->gpa_list));
		memcpy(s->mac_list, b->mac_list, b->nr * TD_MIG_MAC_SIZE);
		ret = __td_mig_cmd(s, KVM_TDX_MIG_IMPORT_MEM, 0, (u64)&nr, &hw_error);
		TEST_ASSERT(!ret, "Bundle %d: errno %d (%s), hw_error 0x%lx", i, errno,
			    strerror(errno), hw_error);
	}

	/* Shared memory that has the same GPAs is in the way now and then. */
	td_mig_import(&t.d, &t.m, OTHER, OTHER);

	WRITE_ONCE(u.stop, true);
	kvm_pthread_join(u.thread, NULL);
	import_abort(&t, &token);
	import_free(&t, &token);
}

static void expect_refused(struct import *t, gpa_t gpa, unsigned int op, int err)
{
	struct td_mig_bundle *b = &t->m.bundles[MEM];
	u64 entry = b->gpa_list[1];

	b->gpa_list[1] = td_gpa_entry(gpa, op);
	TEST_ASSERT(__td_mig_import(t->d.streams, b, NULL) == -1 && errno == err,
		    "GPA 0x%lx, operation %u: errno %d (%s)", gpa, op, errno, strerror(errno));
	b->gpa_list[1] = entry;
}

TD_TEST(entry_of_a_page_that_is_not_there_builds_no_page_table)
{
	struct tdx_mig_mbmd token;
	struct import t;
	u64 calls;
	gpa_t gpa;
	int i;

	import_create(&t);
	td_mig_dest_create(&t.d, &t.m);
	td_mig_import(&t.d, &t.m, IMMUTABLE, IMMUTABLE);

	/* The other entries of the bundle may have theirs. */
	expect_refused(&t, MEM_GPA + PAGE_SIZE, TDX_MIG_GPA_OP_CANCEL, ENOENT);
	calls = td_sim_count_leaf(TDH_MEM_SEPT_ADD);
	for (i = 0; i < 8; i++) {
		gpa = NO_GPA + i * 0x40000000UL;
		expect_refused(&t, gpa, TDX_MIG_GPA_OP_MIGRATE, EINVAL);
		expect_refused(&t, gpa, TDX_MIG_GPA_OP_CANCEL, ENOENT);
		expect_refused(&t, gpa, TDX_MIG_GPA_OP_REMIGRATE, ENOENT);
		/* There is memory, but no page yet. */
		expect_refused(&t, OTHER_GPA, TDX_MIG_GPA_OP_CANCEL, ENOENT);
	}
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_MEM_SEPT_ADD), calls);

	td_mig_import(&t.d, &t.m, MEM, TD_STATE);
	import_abort(&t, &token);
	import_free(&t, &token);
}

static void expect_removed(struct import *t, const struct td_mig_bundle *b)
{
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(t->d.streams, b, NULL));
	TEST_ASSERT_EQ(td_gpa_entry_status(t->d.streams[b->stream].gpa_list[0]),
		       TDX_MIG_GPA_STATUS_DISALLOWED_IMPORT_OVER_REMOVED);
}

TD_TEST(page_that_was_removed_is_not_imported_however_often_it_comes_and_goes)
{
	const u64 size = MEM_PAGES * PAGE_SIZE;
	struct td_mig_bundle all, one;
	struct import t;
	u64 i;

	import_create(&t);
	export_range(&t.m, 0, MEM_GPA, MEM_PAGES);
	all = t.m.bundles[t.m.nr_bundles - 1];
	td_mig_dest_create(&t.d, &t.m);
	td_mig_import(&t.d, &t.m, 0, START_TOKEN);

	td_mig_dest_punch_hole(&t.d, &t.m, MEM_GPA, size);
	expect_removed(&t, &all);
	vm_mem_set_shared(t.d.vm, MEM_GPA, size);
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(t.d.streams, &all, NULL));
	vm_mem_set_private(t.d.vm, MEM_GPA, size);
	expect_removed(&t, &all);

	td_mig_cmd(&t.d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	for (i = 0; i < MEM_PAGES; i += MEM_PAGES / 4) {
		gpa_t gpa = MEM_GPA + i * PAGE_SIZE;

		export_pages(&t.m, 0, &gpa, 1);
		one = t.m.bundles[t.m.nr_bundles - 1];
		expect_removed(&t, &one);
		td_pre_fault(t.d.vcpus[0], gpa, PAGE_SIZE);
		TEST_ASSERT(!__td_mig_import(t.d.streams, &one, NULL), "errno %d", errno);
		TEST_ASSERT_EQ(td_gpa_entry_status(t.d.streams[0].gpa_list[0]),
			       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
		td_mig_dest_punch_hole(&t.d, &t.m, gpa, PAGE_SIZE);
		expect_removed(&t, &one);
	}

	/* That does not keep the others from coming. */
	td_mig_import(&t.d, &t.m, LATE, LATE);
	td_mig_cmd(&t.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_mig_dest_free(&t.d);
	td_mig_free(&t.m);
	kvm_vm_free(t.vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
