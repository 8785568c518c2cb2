// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many instructions the migration of a page takes in the kernel, without those
 * of the TDX module, see tdx_count.h.  Each figure is the least of some samples.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_count.h"
#include "tdx_dirty_ring.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_util.h"

#define MEM_SLOT	TD_SLOT_UNACCEPTED
#define MEM_GPA		BIT_ULL(30)

#define NR_SAMPLES	5
#define NR_BATCHES	4
/* Of a small batch, so that some meet no refill of a cache. */
#define MORE_SAMPLES	16
/* The dirty log is cleared for whole words of the bitmap. */
#define MIN_SPACING	64UL

/* Each sample has pages of its own, of which a batch of 512 has all below a table. */
static const struct batch {
	u64 nr;
	u64 first;
	int samples;
} batches[NR_BATCHES] = {
	{ 1, 4608, MORE_SAMPLES },
	{ 8, 3584, MORE_SAMPLES },
	{ 64, 2560, MORE_SAMPLES },
	{ 512, 0, NR_SAMPLES },
};

/* More pages, of no batch. */
#define SPARE_PAGES	5632UL
#define MEM_PAGES	5696UL

/* ------------------------------------------------------------------- figures */

enum {
	BLOCKW,
	EXPORT_NEW, EXPORT_AGAIN, EXPORT_POSTCOPY,
	IMPORT_NEW, IMPORT_AGAIN, IMPORT_POSTCOPY,
	FIRST_WRITE,
	RING_WRITE, RING_RESET,
	POSTCOPY_RUN, POSTCOPY_FAULT,
	TRACK,
	NR_ROWS
};

static struct row {
	const char *what;
	/* For the largest batch that is measured. */
	u64 goal;
	struct td_count least[NR_BATCHES];
} rows[NR_ROWS] = {
	[BLOCKW] = { "CLEAR_DIRTY_LOG, with TRACK", 100 },
	[EXPORT_NEW] = { "EXPORT_MEM, page", 120 },
	[EXPORT_AGAIN] = { "EXPORT_MEM, page exported before", 120 },
	[EXPORT_POSTCOPY] = { "EXPORT_MEM in post-copy, page" },
	[IMPORT_NEW] = { "IMPORT_MEM, new page", 300 },
	[IMPORT_AGAIN] = { "IMPORT_MEM, page imported before", 300 },
	[IMPORT_POSTCOPY] = { "IMPORT_MEM in post-copy, page" },
	[FIRST_WRITE] = { "first write, fault to re-entry", 2500 },
	[RING_WRITE] = { "first write, into a dirty ring" },
	[RING_RESET] = { "RESET_DIRTY_RINGS, with TRACK" },
	[POSTCOPY_RUN] = { "missing page, re-entry and fault to exit" },
	[POSTCOPY_FAULT] = { "missing page, with its export and import", 6000 },
	[TRACK] = { "EXPORT_TRACK" },
};

static void record(int row, int batch, struct td_count count)
{
	struct td_count *least = &rows[row].least[batch];

	if (!least->nr || count.nr < least->nr)
		*least = count;
}

static bool is_largest(const struct row *row, int batch)
{
	for (batch++; batch < NR_BATCHES; batch++) {
		if (row->least[batch].nr)
			return false;
	}
	return true;
}

static void print_report(void)
{
	const struct td_count *c;
	int i, j;

	for (i = 0; i < NR_ROWS; i++) {
		for (j = 0; j < NR_BATCHES; j++) {
			c = &rows[i].least[j];
			if (!c->nr)
				continue;
			td_count_print(rows[i].what, batches[j].nr, c,
				       is_largest(&rows[i], j) ? rows[i].goal : 0);
		}
	}
}

/* ------------------------------------------------------------------- the TD */

/* What the host tells the guest to write to. */
struct order {
	u64 first;
	u64 count;
};

static struct order *order;

static void guest_code(void)
{
	u64 i, value = 0;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (;;) {
		GUEST_SYNC(0);
		value++;
		for (i = 0; i < order->count; i++)
			WRITE_ONCE(*(u64 *)(MEM_GPA + (order->first + i) * PAGE_SIZE), value);
	}
}

struct test {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct order *order;
	struct td_mig m;
	struct td_mig_dest d;
};

static void enable_log(struct kvm_vm *vm)
{
	struct kvm_userspace_memory_region2 region = memslot2region(vm, MEM_SLOT)->region;

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static void create_td(struct test *t)
{
	gva_t gva;

	t->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES, guest_code, &t->vcpu);
	td_add_unaccepted_memory(t->vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	gva = vm_alloc_shared(t->vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(t->vm, order, (struct order *)gva);
	t->order = addr_gva2hva(t->vm, gva);
	td_launch(t->vm);
	td_vcpu_run_to_sync(t->vcpu, 0);
	enable_log(t->vm);
}

/* KVM_RUN until the guest is done with what it has been told. */
static struct td_count count_run(struct test *t)
{
	struct td_count count;
	struct td_span s;
	int ret;

	td_span_begin(&s);
	ret = __vcpu_run(t->vcpu);
	count = td_span_end(&s);
	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_RUN, ret));
	TEST_ASSERT_EQ(get_ucall(t->vcpu, NULL), UCALL_SYNC);
	return count;
}

static struct td_count count_writes(struct test *t, u64 first, u64 nr)
{
	*t->order = (struct order) { .first = first, .count = nr };
	return count_run(t);
}

/* ----------------------------------------------------------------- commands */

static u64 first_page(int batch, int sample)
{
	return batches[batch].first + sample * max(batches[batch].nr, MIN_SPACING);
}

static void fill_gpa_list(struct td_mig_stream *s, u64 first, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++)
		s->gpa_list[i] = td_gpa_entry(MEM_GPA + (first + i) * PAGE_SIZE,
					      TDX_MIG_GPA_OP_MIGRATE);
}

static struct td_count count_cmd(struct td_mig_stream *s, u32 id, u64 nr)
{
	struct td_count count;
	struct td_span span;
	u64 hw_error;
	int ret;

	td_span_begin(&span);
	ret = __td_mig_cmd_nr(s, id, &nr, &hw_error);
	count = td_span_end(&span);
	TEST_ASSERT(!ret, "Command %u failed, errno %d (%s), hw_error 0x%lx", id, errno,
		    strerror(errno), hw_error);
	return count;
}

/* The instructions of a bundle on both sides. */
struct bundle_count {
	struct td_count export;
	struct td_count import;
};

static struct bundle_count send_bundle(struct test *t, u64 first, u64 nr)
{
	struct td_mig_stream *src = &t->m.streams[0], *dst = &t->d.streams[0];
	struct bundle_count c;

	fill_gpa_list(src, first, nr);
	c.export = count_cmd(src, KVM_TDX_MIG_EXPORT_MEM, nr);

	*dst->mbmd = *src->mbmd;
	memcpy(dst->gpa_list, src->gpa_list, nr * sizeof(*src->gpa_list));
	memcpy(dst->mac_list, src->mac_list, nr * TD_MIG_MAC_SIZE);
	memcpy(dst->buf, src->buf, nr * PAGE_SIZE);
	c.import = count_cmd(dst, KVM_TDX_MIG_IMPORT_MEM, nr);
	return c;
}

/* Of each batch all samples. */
static void send_batches(struct test *t, int export_row, int import_row)
{
	struct bundle_count c;
	int i, j;

	for (i = 0; i < NR_BATCHES; i++) {
		for (j = 0; j < batches[i].samples; j++) {
			c = send_bundle(t, first_page(i, j), batches[i].nr);
			record(export_row, i, c.export);
			record(import_row, i, c.import);
		}
	}
}

static struct td_count count_clear(struct test *t, u64 first, u64 nr)
{
	unsigned long bitmap[512 / BITS_PER_LONG] = {};
	struct td_span s;
	u64 i;

	for (i = 0; i < nr; i++)
		__set_bit(i, bitmap);
	td_span_begin(&s);
	kvm_vm_clear_dirty_log(t->vm, MEM_SLOT, bitmap, first, max(nr, MIN_SPACING));
	return td_span_end(&s);
}

/* Make all pages of samples clean: block them, and track that once for each call. */
static void clear_batches(struct test *t)
{
	int i, j;

	for (i = 0; i < NR_BATCHES; i++) {
		for (j = 0; j < batches[i].samples; j++)
			record(BLOCKW, i, count_clear(t, first_page(i, j), batches[i].nr));
	}
}

/* ------------------------------------------------------------------- rounds */

static void next_epoch(struct test *t)
{
	int i;

	for (i = 0; i < NR_SAMPLES; i++) {
		record(TRACK, 0, count_cmd(&t->m.streams[0], KVM_TDX_MIG_EXPORT_TRACK, 0));
		*t->d.streams[0].mbmd = *t->m.streams[0].mbmd;
		td_mig_cmd(&t->d.streams[0], KVM_TDX_MIG_IMPORT_TRACK);
	}
}

static void first_writes(struct test *t)
{
	struct td_count count;
	u64 none = -1UL;
	int i, j;

	for (j = 0; j < NR_SAMPLES; j++)
		none = min(none, count_writes(t, 0, 0).nr);
	for (i = 0; i < NR_BATCHES; i++) {
		for (j = 0; j < batches[i].samples; j++) {
			count = count_writes(t, first_page(i, j), batches[i].nr);
			TEST_ASSERT(count.nr > none, "No fault");
			count.nr -= none;
			record(FIRST_WRITE, i, count);
		}
	}
}

static void begin_session(struct test *t)
{
	td_mig_init(&t->m, t->vm, &t->vcpu, 1, 1);
}

static void count_rounds(struct test *t)
{
	begin_session(t);
	td_mig_dest_create(&t->d, &t->m);
	td_mig_export_immutable(&t->m);
	td_mig_import(&t->d, &t->m, 0, 0);

	clear_batches(t);
	send_batches(t, EXPORT_NEW, IMPORT_NEW);

	next_epoch(t);
	first_writes(t);
	clear_batches(t);
	send_batches(t, EXPORT_AGAIN, IMPORT_AGAIN);

	td_mig_cmd(&t->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&t->m);
	td_mig_dest_free(&t->d);
}

/* --------------------------------------------------------------- post-copy */

static struct td_count count_missing_page(struct test *t, u64 page)
{
	struct kvm_vcpu *vcpu = t->d.vcpus[0];
	struct td_count count;
	struct td_span s;
	int ret;

	td_span_begin(&s);
	ret = __vcpu_run(vcpu);
	count = td_span_end(&s);
	TEST_ASSERT(td_is_missing_page(vcpu, ret), "KVM_RUN returned %d, errno %d, exit %s", ret,
		    errno, exit_reason_str(vcpu->run->exit_reason));
	TEST_ASSERT_EQ(vcpu->run->memory_fault.gpa, MEM_GPA + page * PAGE_SIZE);
	return count;
}

/* The first run also returns from the last sync. */
static void miss_pages(struct test *t)
{
	struct bundle_count c;
	struct td_count run;
	u64 page;

	*t->order = (struct order) { .first = SPARE_PAGES, .count = NR_SAMPLES + 1 };
	for (page = SPARE_PAGES; page <= SPARE_PAGES + NR_SAMPLES; page++) {
		run = count_missing_page(t, page);
		c = send_bundle(t, page, 1);
		record(POSTCOPY_RUN, 0, run);
		run.nr += c.export.nr + c.import.nr;
		record(POSTCOPY_FAULT, 0, run);
	}
	td_vcpu_run_to_sync(t->d.vcpus[0], 0);
}

static void count_postcopy(struct test *t)
{
	struct td_postcopy p;

	begin_session(t);
	td_postcopy_start(&p, &t->m, &t->d);
	td_postcopy_move_image(&p);
	miss_pages(t);
	send_batches(t, EXPORT_POSTCOPY, IMPORT_POSTCOPY);

	td_mig_dest_free(&t->d);
	td_mig_free(&t->m);
}

/* -------------------------------------------------------------- dirty rings */

#define NR_RING_ENTRIES	4096

static void guest_write_samples(void)
{
	int i, j;
	u64 gpa, n;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (i = 0; i <= NR_SAMPLES; i++)
		GUEST_SYNC(0);
	for (i = 0; i < NR_BATCHES; i++) {
		for (j = 0; j < batches[i].samples; j++) {
			gpa = MEM_GPA + first_page(i, j) * PAGE_SIZE;
			for (n = 0; n < batches[i].nr; n++)
				WRITE_ONCE(*(u64 *)(gpa + n * PAGE_SIZE), 1);
			GUEST_SYNC(0);
		}
	}
}

/* Make the pages clean that are in the ring: block them, and track that once. */
static struct td_count count_reset(struct td_ring *ring, u64 nr)
{
	unsigned long bitmap[BITS_TO_LONGS(MEM_PAGES)] = {};
	struct td_count count;
	struct td_span s;
	u32 reset;

	TEST_ASSERT_EQ(td_ring_harvest(ring, bitmap), nr);
	td_span_begin(&s);
	reset = kvm_vm_reset_dirty_ring(ring->vcpu->vm);
	count = td_span_end(&s);
	TEST_ASSERT_EQ(reset, nr);
	return count;
}

static void count_samples(struct test *t, struct td_ring *ring)
{
	struct td_count count;
	u64 none = -1UL;
	int i, j;

	for (j = 0; j < NR_SAMPLES; j++)
		none = min(none, count_run(t).nr);
	for (i = 0; i < NR_BATCHES; i++) {
		for (j = 0; j < batches[i].samples; j++) {
			count = count_run(t);
			TEST_ASSERT(count.nr > none, "No fault");
			count.nr -= none;
			record(RING_WRITE, i, count);
			record(RING_RESET, i, count_reset(ring, batches[i].nr));
		}
	}
}

static void count_ring(void)
{
	struct test t = {};
	struct td_ring ring = { .slot = MEM_SLOT, .nr_pages = MEM_PAGES };
	unsigned long all[BITS_TO_LONGS(MEM_PAGES)];

	t.vm = td_create_with_ring(NR_RING_ENTRIES, guest_write_samples, &t.vcpu);
	ring.vcpu = t.vcpu;
	td_add_unaccepted_memory(t.vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_launch(t.vm);
	td_vcpu_run_to_sync(t.vcpu, 0);
	enable_log(t.vm);

	begin_session(&t);
	td_mig_export_immutable(&t.m);
	bitmap_fill(all, MEM_PAGES);
	kvm_vm_clear_dirty_log(t.vm, MEM_SLOT, all, 0, MEM_PAGES);
	count_samples(&t, &ring);

	td_mig_cmd(&t.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&t.m);
	kvm_vm_free(t.vm);
}

int main(int argc, char *argv[])
{
	struct test t = {};

	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());

	td_count_init();
	td_sim_set_null_cipher(true);
	create_td(&t);
	count_rounds(&t);
	count_postcopy(&t);
	kvm_vm_free(t.vm);
	count_ring();
	td_sim_set_null_cipher(false);

	print_report();
	td_count_end(argc > 1 && !strcmp(argv[1], "-s"));
	return 0;
}
