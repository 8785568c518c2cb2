// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be sent when, and over which stream: a page goes once per epoch, over
 * one stream, and what is not sent stays dirty.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
/* As many as have a bit in a word. */
#define STEP_PAGES		24UL

/* ------------------------------------------------- a TD that goes in steps */

struct shared {
	u64 stop;
};

static struct shared *shared;

static u64 *guest_page(u64 page)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE);
}

static u64 value_of(u64 page, u64 step)
{
	return step << 32 | page;
}

static void guest_stepper(void)
{
	u64 page, step;

	td_accept_pages(MEM_GPA, STEP_PAGES);
	for (step = 0; !READ_ONCE(shared->stop); step++) {
		for (page = 0; page < STEP_PAGES; page++) {
			__GUEST_ASSERT(!step || *guest_page(page) == value_of(page, step - 1),
				       "Page %lu, step %lu: %lx", page, step,
				       *guest_page(page));
			WRITE_ONCE(*guest_page(page), value_of(page, step));
		}
		GUEST_SYNC(step);
	}
	GUEST_DONE();
}

struct stepper {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct shared *shared;
	u64 next;
	struct td_mig m;
};

static void stepper_go(struct stepper *s)
{
	td_vcpu_run_to_sync(s->vcpu, s->next++);
}

static void stepper_create(struct stepper *s, int nr_streams)
{
	gva_t gva;

	*s = (struct stepper) {};
	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, STEP_PAGES, guest_stepper, &s->vcpu);
	vm_enable_cap(s->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	gva = vm_alloc_shared(s->vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, shared, (struct shared *)gva);
	s->shared = addr_gva2hva(s->vm, gva);
	td_add_unaccepted_memory(s->vm, MEM_SLOT, MEM_GPA, STEP_PAGES);
	td_launch(s->vm);
	stepper_go(s);

	td_mig_init(&s->m, s->vm, &s->vcpu, 1, nr_streams);
	vm_mem_region_set_flags(s->vm, MEM_SLOT, KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES);
	td_mig_export_immutable(&s->m);
}

static void stepper_free(struct stepper *s)
{
	td_mig_free(&s->m);
	kvm_vm_free(s->vm);
}

static unsigned long get_dirty(struct stepper *s)
{
	unsigned long bitmap = 0;

	kvm_vm_get_dirty_log(s->vm, MEM_SLOT, &bitmap);
	return bitmap;
}

/* Clear the dirty bits, and return which there were. */
static unsigned long clear_dirty(struct stepper *s)
{
	unsigned long bitmap = get_dirty(s);

	kvm_vm_clear_dirty_log(s->vm, MEM_SLOT, &bitmap, 0, STEP_PAGES);
	return bitmap;
}

#define ALL_STEP_PAGES	GENMASK(STEP_PAGES - 1, 0)

static struct td_mig_bundle *next_bundle(struct td_mig *m)
{
	TEST_ASSERT(m->nr_bundles < TD_MIG_MAX_BUNDLES, "Too many bundles");
	return &m->bundles[m->nr_bundles++];
}

static struct td_mig_bundle *export_pages(struct stepper *s, int stream, unsigned long pages,
					  u64 op, u64 *unsent)
{
	struct td_mig_bundle *b = next_bundle(&s->m);
	u64 gpa_list[STEP_PAGES], hw_error, page;
	u32 nr = 0;
	int ret;

	for (page = 0; page < STEP_PAGES; page++) {
		if (pages & BIT(page))
			gpa_list[nr++] = (MEM_GPA + page * PAGE_SIZE) |
					 op << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	}
	ret = __td_mig_export_mem(&s->m.streams[stream], gpa_list, nr, b, &hw_error);
	TEST_ASSERT(!ret, "Export of memory, errno %d (%s), hw_error 0x%lx", errno,
		    strerror(errno), hw_error);
	*unsent = hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK;
	return b;
}

static void expect_entries(struct td_mig_bundle *b, u64 op, u64 status)
{
	u32 i;

	for (i = 0; i < b->nr; i++) {
		TEST_ASSERT_EQ((b->gpa_list[i] & TDX_MIG_GPA_ENTRY_OP_MASK) >>
			       TDX_MIG_GPA_ENTRY_OP_SHIFT, op);
		TEST_ASSERT_EQ((b->gpa_list[i] & TDX_MIG_GPA_ENTRY_STATUS_MASK) >>
			       TDX_MIG_GPA_ENTRY_STATUS_SHIFT, status);
	}
}

/* All of them have to be exported, and to come back with this operation. */
static void export_as(struct stepper *s, int stream, unsigned long pages, u64 op, u64 result)
{
	u64 unsent;

	expect_entries(export_pages(s, stream, pages, op, &unsent), result,
		       TDX_MIG_GPA_STATUS_SUCCESS);
	TEST_ASSERT_EQ(unsent, 0UL);
}

/* None of them must be exported, with this status. */
static void export_refused(struct stepper *s, int stream, unsigned long pages, u64 op,
			   u64 status)
{
	u64 unsent;

	expect_entries(export_pages(s, stream, pages, op, &unsent), TDX_MIG_GPA_OP_NOP, status);
	TEST_ASSERT_EQ(unsent, (u64)hweight64(pages));
}

static void export_token(struct stepper *s)
{
	u64 hw_error;
	int ret = __td_mig_export_track(&s->m.streams[0], false, next_bundle(&s->m), &hw_error);

	TEST_ASSERT(!ret, "Epoch token, errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
}

/* Import all that was exported, and let the guest check its memory. */
static void stepper_import(struct stepper *s)
{
	struct td_mig_dest d;

	td_mig_dest_create(&d, &s->m);
	td_mig_import(&d, &s->m, 0, s->m.nr_bundles - 1);
	td_mig_import_end(&d);
	td_vcpu_run_to_sync(d.vcpus[0], s->next);
	WRITE_ONCE(s->shared->stop, 1);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
}

/* The rest of the session, in the pause, and the destination. */
static void stepper_finish(struct stepper *s)
{
	export_token(s);
	td_mig_export_pause(&s->m);
	td_mig_export_all_mem(&s->m);
	td_mig_export_td_and_vcpus(&s->m);
	td_mig_export_start_token(&s->m);
	stepper_import(s);
}

/* ----------------------------------------------------------------- epochs */

TD_TEST(page_is_sent_once_in_an_epoch_over_whatever_stream)
{
	struct stepper s;

	stepper_create(&s, 2);
	TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	TEST_ASSERT_EQ(get_dirty(&s), 0UL);
	stepper_go(&s);
	TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);

	/* The destination would end the session. */
	export_refused(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&s), ALL_STEP_PAGES);
	clear_dirty(&s);
	export_refused(&s, 1, 0xf0, TDX_MIG_GPA_OP_REMIGRATE, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&s), 0xf0UL);

	export_token(&s);
	export_as(&s, 1, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_REMIGRATE);
	stepper_finish(&s);
	stepper_free(&s);
}

TD_TEST(page_that_waits_for_the_next_epoch_holds_up_the_start_token)
{
	struct stepper s;
	u64 hw_error;

	stepper_create(&s, 1);
	clear_dirty(&s);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_go(&s);
	td_mig_export_pause(&s.m);
	clear_dirty(&s);
	export_refused(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&s), ALL_STEP_PAGES);
	TD_EXPECT_ERRNO(EIO, __td_mig_export_track(&s.m.streams[0], true, NULL, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_EXPORTED_DIRTY_PAGES_REMAIN);

	export_token(&s);
	export_as(&s, 0, clear_dirty(&s), TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_REMIGRATE);
	td_mig_export_all_mem(&s.m);
	td_mig_export_td_and_vcpus(&s.m);
	td_mig_export_start_token(&s.m);
	stepper_import(&s);
	stepper_free(&s);
}

TD_TEST(cancel_counts_as_a_version_of_the_page)
{
	struct stepper s;

	stepper_create(&s, 1);
	clear_dirty(&s);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_refused(&s, 0, 0x3, TDX_MIG_GPA_OP_CANCEL, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&s), 0UL);

	export_token(&s);
	export_as(&s, 0, 0x3, TDX_MIG_GPA_OP_CANCEL, TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT_EQ(clear_dirty(&s), 0x3UL);
	export_refused(&s, 0, 0x3, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&s), 0x3UL);

	export_token(&s);
	clear_dirty(&s);
	export_as(&s, 0, 0x3, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_finish(&s);
	stepper_free(&s);
}

TD_TEST(only_pages_that_the_destination_lacks_become_dirty_again)
{
	struct stepper s;

	stepper_create(&s, 1);

	/* Writable: the log has not been cleared. */
	export_refused(&s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	/* Written since: only the fault has made it dirty, not the refusal. */
	export_token(&s);
	stepper_go(&s);
	export_refused(&s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_REMIGRATE);

	/* Unchanged: the destination has it. */
	export_token(&s);
	export_refused(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(get_dirty(&s), 0UL);
	stepper_finish(&s);
	stepper_free(&s);
}

TD_TEST(new_session_starts_with_a_new_epoch)
{
	struct stepper s;

	stepper_create(&s, 1);
	clear_dirty(&s);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_cmd(&s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&s.m);

	stepper_go(&s);
	td_mig_init(&s.m, s.vm, &s.vcpu, 1, 1);
	td_mig_export_immutable(&s.m);
	TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);
	export_as(&s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_finish(&s);
	stepper_free(&s);
}

TD_TEST(bundle_waits_for_the_token_of_its_epoch)
{
	struct td_mig_dest d;
	struct stepper s;
	u64 hw_error;

	stepper_create(&s, 2);
	clear_dirty(&s);
	export_as(&s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_token(&s);
	export_as(&s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	td_mig_dest_create(&d, &s.m);
	td_mig_import(&d, &s.m, 0, 1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &s.m.bundles[3], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_MBMD);
	/* Nothing has happened. */
	TEST_ASSERT(!__td_mig_import(d.streams, &s.m.bundles[2], &hw_error),
		    "Token, errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT(!__td_mig_import(d.streams, &s.m.bundles[3], &hw_error),
		    "Bundle, errno %d, hw_error 0x%lx", errno, hw_error);
	td_mig_dest_free(&d);
	stepper_free(&s);
}

TD_TEST(token_waits_for_the_bundles_of_all_streams)
{
	struct td_mig_dest d;
	struct stepper s;
	u64 hw_error;

	stepper_create(&s, 2);
	clear_dirty(&s);
	export_as(&s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_token(&s);

	td_mig_dest_create(&d, &s.m);
	td_mig_import(&d, &s.m, 0, 1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &s.m.bundles[3], &hw_error));
	TEST_ASSERT_EQ(hw_error & (TDX_STATUS_MASK & ~TDX_FATAL), TDX_INVALID_MBMD);
	TEST_ASSERT(hw_error & TDX_FATAL, "hw_error 0x%lx", hw_error);
	/* The session is lost. */
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &s.m.bundles[2], &hw_error));
	td_mig_dest_free(&d);
	stepper_free(&s);
}

/* --------------------------------------------------------- shared streams */

#define NR_TRIES	8

struct exporter {
	struct td_mig_stream *s;
	pthread_barrier_t *barrier;
	struct td_mig_bundle b;
	int ret;
	int err;
	u64 hw_error;
};

static void *export_at_once(void *arg)
{
	struct exporter *e = arg;
	u64 gpa_list[STEP_PAGES], page;

	for (page = 0; page < STEP_PAGES; page++)
		gpa_list[page] = (MEM_GPA + page * PAGE_SIZE) |
				 (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	pthread_barrier_wait(e->barrier);
	e->ret = __td_mig_export_mem(e->s, gpa_list, STEP_PAGES, &e->b, &e->hw_error);
	e->err = errno;
	return NULL;
}

/* Export the same pages over @s0 and @s1. */
static void export_twice_at_once(struct td_mig_stream *s0, struct td_mig_stream *s1,
				 struct exporter e[2])
{
	pthread_barrier_t barrier;
	pthread_t threads[2];
	int i;

	pthread_barrier_init(&barrier, NULL, 2);
	for (i = 0; i < 2; i++) {
		e[i] = (struct exporter) { .s = i ? s1 : s0, .barrier = &barrier };
		kvm_pthread_create(&threads[i], NULL, export_at_once, &e[i]);
	}
	for (i = 0; i < 2; i++) {
		kvm_pthread_join(threads[i], NULL);
		/* Who shares a stream may find what the other has read back. */
		TEST_ASSERT(!e[i].ret || (s0 == s1 && e[i].err == EINVAL),
			    "Export %d, errno %d, hw_error 0x%lx", i, e[i].err, e[i].hw_error);
	}
	pthread_barrier_destroy(&barrier);
}

TD_TEST(page_that_two_streams_export_at_once_goes_over_one_of_them)
{
	struct exporter e[2];
	struct stepper s;
	u64 page, hw_error, nr;
	int i, j;

	stepper_create(&s, 2);
	for (i = 0; i < NR_TRIES; i++) {
		TEST_ASSERT_EQ(clear_dirty(&s), ALL_STEP_PAGES);
		export_twice_at_once(&s.m.streams[0], &s.m.streams[1], e);
		for (page = 0; page < STEP_PAGES; page++) {
			nr = 0;
			for (j = 0; j < 2; j++)
				nr += !!(e[j].b.gpa_list[page] & TDX_MIG_GPA_ENTRY_OP_MASK);
			TEST_ASSERT(nr == 1, "Page %lu went over %lu streams", page, nr);
		}
		hw_error = (e[0].hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK) +
			   (e[1].hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK);
		TEST_ASSERT_EQ(hw_error, STEP_PAGES);
		for (j = 0; j < 2; j++)
			*next_bundle(&s.m) = e[j].b;
		export_token(&s);
		stepper_go(&s);
	}
	stepper_finish(&s);
	stepper_free(&s);
}

TD_TEST(threads_take_turns_on_one_stream)
{
	struct exporter e[2];
	struct stepper s;
	int i;

	stepper_create(&s, 1);
	for (i = 0; i < NR_TRIES; i++) {
		clear_dirty(&s);
		/* They share the buffers, so what they read back may be the other's. */
		export_twice_at_once(&s.m.streams[0], &s.m.streams[0], e);
		td_mig_bundle_free(&e[0].b);
		td_mig_bundle_free(&e[1].b);
	}
	td_mig_cmd(&s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	stepper_go(&s);
	stepper_free(&s);
}

static u64 entry_gpa(struct td_mig_bundle *b, u32 i)
{
	return b->gpa_list[i] & TDX_MIG_GPA_ENTRY_GPA_MASK;
}

TD_TEST(page_that_is_there_already_is_not_imported_over_another_stream)
{
	struct td_mig_bundle *b0, *b1;
	struct td_mig_dest d;
	u64 hw_error, entry;
	struct stepper s;

	stepper_create(&s, 2);
	clear_dirty(&s);
	export_as(&s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	b0 = &s.m.bundles[1];
	b1 = &s.m.bundles[2];

	td_mig_dest_create(&d, &s.m);
	td_mig_import(&d, &s.m, 0, 1);

	/* A list that names a page of the other stream's, last. */
	entry = b1->gpa_list[3];
	b1->gpa_list[3] = (entry & ~TDX_MIG_GPA_ENTRY_GPA_MASK) | entry_gpa(b0, 0);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(d.streams, b1, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	b1->gpa_list[3] = entry;

	/* Nothing has happened. */
	TEST_ASSERT(!__td_mig_import(d.streams, b1, &hw_error), "errno %d, hw_error 0x%lx",
		    errno, hw_error);
	td_mig_dest_free(&d);
	stepper_free(&s);
}

struct importer {
	struct td_mig_dest *d;
	struct td_mig_bundle *b;
	pthread_barrier_t *barrier;
	int err;
};

static void *import_at_once(void *arg)
{
	struct importer *i = arg;
	struct td_mig_stream *s = &i->d->streams[i->b->stream];
	u64 nr = i->b->nr;

	*s->mbmd = i->b->mbmd;
	memcpy(s->buf, i->b->pages, nr * PAGE_SIZE);
	memcpy(s->gpa_list, i->b->gpa_list, nr * sizeof(*s->gpa_list));
	memcpy(s->mac_list, i->b->mac_list, nr * TD_MIG_MAC_SIZE);
	pthread_barrier_wait(i->barrier);
	i->err = __td_mig_cmd(s, KVM_TDX_MIG_IMPORT_MEM, 0, (u64)&nr, NULL) ? errno : 0;
	return NULL;
}

TD_TEST(page_that_two_streams_import_at_once_is_imported_once)
{
	struct importer i[2];
	pthread_barrier_t barrier;
	struct td_mig_bundle *b;
	pthread_t threads[2];
	struct td_mig_dest d;
	struct stepper s;
	int j, k, try;

	stepper_create(&s, 2);
	clear_dirty(&s);
	export_as(&s, 0, 0xff, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&s, 1, 0xff00, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	/* The second list is a forgery, which only the TDX module can tell. */
	b = &s.m.bundles[2];
	for (k = 0; k < 8; k++)
		b->gpa_list[k] = s.m.bundles[1].gpa_list[7 - k];

	for (try = 0; try < NR_TRIES; try++) {
		td_mig_dest_create(&d, &s.m);
		td_mig_import(&d, &s.m, 0, 0);
		pthread_barrier_init(&barrier, NULL, 2);
		for (j = 0; j < 2; j++) {
			i[j] = (struct importer) { &d, &s.m.bundles[1 + j], &barrier };
			kvm_pthread_create(&threads[j], NULL, import_at_once, &i[j]);
		}
		for (j = 0; j < 2; j++)
			kvm_pthread_join(threads[j], NULL);
		pthread_barrier_destroy(&barrier);

		/* If the forgery gets to the TDX module, the session is lost. */
		TEST_ASSERT(!i[0].err || i[0].err == EAGAIN || i[0].err == EIO,
			    "The bundle fails with errno %d", i[0].err);
		TEST_ASSERT(i[1].err == EEXIST || i[1].err == EAGAIN || i[1].err == EIO,
			    "The forgery fails with errno %d", i[1].err);
		TEST_ASSERT(i[0].err != EIO || i[1].err == EIO, "Lost without a forgery");
		td_mig_dest_free(&d);
	}
	stepper_free(&s);
}

TD_TEST(stream_that_is_closed_does_not_stop_the_others)
{
	struct td_mig_stream late;
	struct stepper s;

	stepper_create(&s, 2);
	clear_dirty(&s);
	export_as(&s, 1, 0xff, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_stream_close(&s.m.streams[1]);

	/* Its number is free, but not to be used in this session. */
	td_mig_stream_create(&late, s.vm, 1);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_stream_set_attr(&late, KVM_DEV_TDX_MIG_ATTR_VERSION, 512));
	TD_EXPECT_ERRNO(ENXIO, __td_mig_cmd(&late, KVM_TDX_MIG_EXPORT_PAUSE, 0, 0, NULL));
	td_mig_stream_close(&late);

	export_as(&s, 0, ALL_STEP_PAGES & ~0xffUL, TDX_MIG_GPA_OP_MIGRATE,
		  TDX_MIG_GPA_OP_MIGRATE);
	td_mig_export_pause(&s.m);
	/* The library uses as many streams as there are, the destination all. */
	s.m.nr_streams = 1;
	export_token(&s);
	td_mig_export_all_mem(&s.m);
	td_mig_export_td_and_vcpus(&s.m);
	td_mig_export_start_token(&s.m);
	s.m.nr_streams = 2;
	stepper_import(&s);
	s.m.nr_streams = 1;
	stepper_free(&s);
}

TD_TEST(td_has_as_many_streams_as_the_host_says)
{
	struct kvm_tdx_capabilities *caps;
	struct td_mig_stream *streams;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u32 i, nr;

	vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, STEP_PAGES, guest_stepper, &vcpu);
	caps = td_get_capabilities(vm);
	nr = caps->mig.max_streams;
	free(caps);
	TEST_ASSERT(nr, "No streams");

	streams = calloc(nr, sizeof(*streams));
	TEST_ASSERT(streams, "Insufficient Memory");
	for (i = 0; i < nr; i++)
		td_mig_stream_create(&streams[i], vm, i);
	TD_EXPECT_ERRNO(ENOSPC, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));

	/* The last one makes the TDX module create all of them. */
	TEST_ASSERT(!__td_mig_stream_set_attr(&streams[nr - 1], KVM_DEV_TDX_MIG_ATTR_VERSION, 1),
		    "No attributes for stream %u, errno %d", nr - 1, errno);
	for (i = 0; i < nr; i++)
		td_mig_stream_close(&streams[i]);
	free(streams);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return test_harness_run(argc, argv);
}
