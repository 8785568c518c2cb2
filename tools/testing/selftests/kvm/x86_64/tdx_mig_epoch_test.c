// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be sent when, and over which stream: a page goes once per epoch, over
 * one stream, and what is not sent stays dirty.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

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

TD_STREAMS_FIXTURE(stepper, struct stepper, s, stepper_create, stepper_free);
TD_MIG_VARIANT(stepper, one_stream, 1);
TD_STREAMS_FIXTURE(stepper_streams, struct stepper, s, stepper_create, stepper_free);
TD_MIG_VARIANT(stepper_streams, two_streams, 2);

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

static struct td_mig_bundle *export_pages(struct stepper *s, int stream, unsigned long pages,
					  u64 op, u64 *unsent)
{
	struct td_mig_bundle *b = td_mig_next_bundle(&s->m);
	u64 gpa_list[STEP_PAGES], hw_error, page;
	u32 nr = 0;
	int ret;

	for (page = 0; page < STEP_PAGES; page++) {
		if (pages & BIT(page))
			gpa_list[nr++] = td_gpa_entry(MEM_GPA + page * PAGE_SIZE, op);
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
		TEST_ASSERT_EQ(td_gpa_entry_op(b->gpa_list[i]), op);
		TEST_ASSERT_EQ(td_gpa_entry_status(b->gpa_list[i]), status);
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

/* Import all that was exported, and let the guest check its memory. */
static void stepper_import(struct stepper *s)
{
	struct td_mig_dest d;

	td_mig_dest_create(&d, &s->m);
	td_mig_import_rest(&d, &s->m, 0);
	td_vcpu_run_to_sync(d.vcpus[0], s->next);
	WRITE_ONCE(s->shared->stop, 1);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
}

/* The rest of the session, in the pause, and the destination. */
static void stepper_finish(struct stepper *s)
{
	td_mig_export_track(&s->m);
	td_mig_export_pause(&s->m);
	td_mig_export_rest(&s->m);
	stepper_import(s);
}

/* ----------------------------------------------------------------- epochs */

TD_TEST_F(stepper_streams, page_is_sent_once_in_an_epoch_over_whatever_stream)
{
	TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0UL);
	stepper_go(&self->s);
	TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);

	/* The destination would end the session. */
	export_refused(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&self->s), ALL_STEP_PAGES);
	clear_dirty(&self->s);
	export_refused(&self->s, 1, 0xf0, TDX_MIG_GPA_OP_REMIGRATE, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0xf0UL);

	td_mig_export_track(&self->s.m);
	export_as(&self->s, 1, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_REMIGRATE);
	stepper_finish(&self->s);
}

TD_TEST_F(stepper, page_that_waits_for_the_next_epoch_holds_up_the_start_token)
{
	u64 hw_error;

	clear_dirty(&self->s);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_go(&self->s);
	td_mig_export_pause(&self->s.m);
	clear_dirty(&self->s);
	export_refused(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&self->s), ALL_STEP_PAGES);
	TD_EXPECT_ERRNO(EIO, __td_mig_export_track(&self->s.m.streams[0], true, NULL, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_EXPORTED_DIRTY_PAGES_REMAIN);

	td_mig_export_track(&self->s.m);
	export_as(&self->s, 0, clear_dirty(&self->s), TDX_MIG_GPA_OP_MIGRATE,
		  TDX_MIG_GPA_OP_REMIGRATE);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0UL);
	td_mig_export_rest(&self->s.m);
	stepper_import(&self->s);
}

TD_TEST_F(stepper, cancel_counts_as_a_version_of_the_page)
{
	clear_dirty(&self->s);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_refused(&self->s, 0, 0x3, TDX_MIG_GPA_OP_CANCEL, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0UL);

	td_mig_export_track(&self->s.m);
	export_as(&self->s, 0, 0x3, TDX_MIG_GPA_OP_CANCEL, TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT_EQ(clear_dirty(&self->s), 0x3UL);
	export_refused(&self->s, 0, 0x3, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_STATUS_SKIPPED);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0x3UL);

	td_mig_export_track(&self->s.m);
	clear_dirty(&self->s);
	export_as(&self->s, 0, 0x3, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_finish(&self->s);
}

TD_TEST_F(stepper, only_pages_that_the_destination_lacks_become_dirty_again)
{
	/* Writable: the log has not been cleared. */
	export_refused(&self->s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	/* Written since: only the fault has made it dirty, not the refusal. */
	td_mig_export_track(&self->s.m);
	stepper_go(&self->s);
	export_refused(&self->s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_REMIGRATE);

	/* Unchanged: the destination has it. */
	td_mig_export_track(&self->s.m);
	export_refused(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE,
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	TEST_ASSERT_EQ(get_dirty(&self->s), 0UL);
	stepper_finish(&self->s);
}

TD_TEST_F(stepper, refused_pages_are_counted_once_however_often_the_export_is_interrupted)
{
	if (!td_sim_is_present())
		SKIP(return, "The TDX module is interrupted when it likes");

	clear_dirty(&self->s);
	export_as(&self->s, 0, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_sim_interrupt_every(1);
	export_refused(&self->s, 0, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_STATUS_SKIPPED);
	td_sim_interrupt_every(0);
	stepper_finish(&self->s);
}

TD_TEST_F(stepper, new_session_starts_with_a_new_epoch)
{
	clear_dirty(&self->s);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_cmd(&self->s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->s.m);

	stepper_go(&self->s);
	td_mig_init(&self->s.m, self->s.vm, &self->s.vcpu, 1, 1);
	td_mig_export_immutable(&self->s.m);
	TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);
	export_as(&self->s, 0, ALL_STEP_PAGES, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	stepper_finish(&self->s);
}

TD_TEST_F(stepper_streams, bundle_waits_for_the_token_of_its_epoch)
{
	struct td_mig_dest d;
	u64 hw_error;

	clear_dirty(&self->s);
	export_as(&self->s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_export_track(&self->s.m);
	export_as(&self->s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	td_mig_dest_create(&d, &self->s.m);
	td_mig_import(&d, &self->s.m, 0, 1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &self->s.m.bundles[3], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_MBMD);
	/* Nothing has happened. */
	TEST_ASSERT(!__td_mig_import(d.streams, &self->s.m.bundles[2], &hw_error),
		    "Token, errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT(!__td_mig_import(d.streams, &self->s.m.bundles[3], &hw_error),
		    "Bundle, errno %d, hw_error 0x%lx", errno, hw_error);
}

TD_TEST_F(stepper_streams, token_waits_for_the_bundles_of_all_streams)
{
	struct td_mig_dest d;
	u64 hw_error;

	clear_dirty(&self->s);
	export_as(&self->s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&self->s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_export_track(&self->s.m);

	td_mig_dest_create(&d, &self->s.m);
	td_mig_import(&d, &self->s.m, 0, 1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &self->s.m.bundles[3], &hw_error));
	TEST_ASSERT_EQ(hw_error & (TDX_STATUS_MASK & ~TDX_FATAL), TDX_INVALID_MBMD);
	TEST_ASSERT(hw_error & TDX_FATAL, "hw_error 0x%lx", hw_error);
	/* The session is lost, and KVM knows that. */
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &self->s.m.bundles[2], &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
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
		gpa_list[page] = td_gpa_entry(MEM_GPA + page * PAGE_SIZE, TDX_MIG_GPA_OP_MIGRATE);
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

TD_TEST_F(stepper_streams, page_that_two_streams_export_at_once_goes_over_one_of_them)
{
	struct exporter e[2];
	u64 page, hw_error, nr;
	int i, j;

	for (i = 0; i < NR_TRIES; i++) {
		TEST_ASSERT_EQ(clear_dirty(&self->s), ALL_STEP_PAGES);
		export_twice_at_once(&self->s.m.streams[0], &self->s.m.streams[1], e);
		for (page = 0; page < STEP_PAGES; page++) {
			nr = 0;
			for (j = 0; j < 2; j++)
				nr += !!td_gpa_entry_op(e[j].b.gpa_list[page]);
			TEST_ASSERT(nr == 1, "Page %lu went over %lu streams", page, nr);
		}
		hw_error = (e[0].hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK) +
			   (e[1].hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK);
		TEST_ASSERT_EQ(hw_error, STEP_PAGES);
		for (j = 0; j < 2; j++)
			*td_mig_next_bundle(&self->s.m) = e[j].b;
		td_mig_export_track(&self->s.m);
		stepper_go(&self->s);
	}
	stepper_finish(&self->s);
}

TD_TEST_F(stepper, threads_take_turns_on_one_stream)
{
	struct exporter e[2];
	int i;

	for (i = 0; i < NR_TRIES; i++) {
		clear_dirty(&self->s);
		/* They share the buffers, so what they read back may be the other's. */
		export_twice_at_once(&self->s.m.streams[0], &self->s.m.streams[0], e);
		td_mig_bundle_free(&e[0].b);
		td_mig_bundle_free(&e[1].b);
	}
	td_mig_cmd(&self->s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	stepper_go(&self->s);
}

TD_TEST_F(stepper_streams, page_that_is_there_already_is_not_imported_over_another_stream)
{
	struct td_mig_bundle *b0, *b1;
	struct td_mig_dest d;
	u64 hw_error, entry;

	clear_dirty(&self->s);
	export_as(&self->s, 0, 0xf, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&self->s, 1, 0xf0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	b0 = &self->s.m.bundles[1];
	b1 = &self->s.m.bundles[2];

	td_mig_dest_create(&d, &self->s.m);
	td_mig_import(&d, &self->s.m, 0, 1);

	/* A list that names a page of the other stream's, last. */
	entry = b1->gpa_list[3];
	b1->gpa_list[3] = (entry & ~TDX_MIG_GPA_ENTRY_GPA_MASK) | td_gpa_entry_gpa(b0->gpa_list[0]);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(d.streams, b1, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	b1->gpa_list[3] = entry;

	/* Nothing has happened. */
	TEST_ASSERT(!__td_mig_import(d.streams, b1, &hw_error), "errno %d, hw_error 0x%lx",
		    errno, hw_error);
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
	struct td_mig_stream *s = td_mig_load_bundle(i->d->streams, i->b);
	u64 nr = i->b->nr;

	pthread_barrier_wait(i->barrier);
	i->err = __td_mig_cmd(s, KVM_TDX_MIG_IMPORT_MEM, 0, (u64)&nr, NULL) ? errno : 0;
	return NULL;
}

TD_TEST_F(stepper_streams, page_that_two_streams_import_at_once_is_imported_once)
{
	struct importer i[2];
	pthread_barrier_t barrier;
	struct td_mig_bundle *b;
	pthread_t threads[2];
	struct td_mig_dest d;
	int j, k, try;

	clear_dirty(&self->s);
	export_as(&self->s, 0, 0xff, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	export_as(&self->s, 1, 0xff00, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);

	/* The second list is a forgery, which only the TDX module can tell. */
	b = &self->s.m.bundles[2];
	for (k = 0; k < 8; k++)
		b->gpa_list[k] = self->s.m.bundles[1].gpa_list[7 - k];

	for (try = 0; try < NR_TRIES; try++) {
		td_mig_dest_create(&d, &self->s.m);
		td_mig_import(&d, &self->s.m, 0, 0);
		pthread_barrier_init(&barrier, NULL, 2);
		for (j = 0; j < 2; j++) {
			i[j] = (struct importer) { &d, &self->s.m.bundles[1 + j], &barrier };
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
}

TD_TEST_F(stepper_streams, stream_that_is_closed_does_not_stop_the_others)
{
	struct td_mig_stream late;

	clear_dirty(&self->s);
	export_as(&self->s, 1, 0xff, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_OP_MIGRATE);
	td_mig_stream_close(&self->s.m.streams[1]);

	/* Its number is free, but not to be used in this session. */
	td_mig_stream_create(&late, self->s.vm, 1);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_stream_set_attr(&late, KVM_DEV_TDX_MIG_ATTR_VERSION, 512));
	TD_EXPECT_ERRNO(ENXIO, __td_mig_cmd(&late, KVM_TDX_MIG_EXPORT_PAUSE, 0, 0, NULL));
	td_mig_stream_close(&late);

	export_as(&self->s, 0, ALL_STEP_PAGES & ~0xffUL, TDX_MIG_GPA_OP_MIGRATE,
		  TDX_MIG_GPA_OP_MIGRATE);
	td_mig_export_pause(&self->s.m);
	/* The library uses as many streams as there are, the destination all. */
	self->s.m.nr_streams = 1;
	td_mig_export_track(&self->s.m);
	td_mig_export_rest(&self->s.m);
	self->s.m.nr_streams = 2;
	stepper_import(&self->s);
	self->s.m.nr_streams = 1;
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return test_harness_run(argc, argv);
}
