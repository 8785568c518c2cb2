// SPDX-License-Identifier: GPL-2.0-only
/*
 * Post-copy: bundles that arrive twice, changed or too late, and pages that are
 * removed on either side, neither stop the TD nor give it a page that is not its
 * own.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_test.h"

/* Pages with content. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		8UL

/* Second mapping of the first of these pages. */
static u64 *guest_shared_alias;

static gpa_t mem_gpa(u64 page)
{
	return MEM_GPA + page * PAGE_SIZE;
}

static u64 *guest_page(u64 page)
{
	return (u64 *)mem_gpa(page);
}

static struct kvm_vm *create_td(void *guest_code, struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES, guest_code, vcpu);

	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	write_guest_global(vm, guest_shared_alias, (u64 *)td_map_shared_alias(vm, MEM_GPA));
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 0);
	return vm;
}

/* A destination that is committed, and misses no page but those of the test. */
static void start(struct td_postcopy *p, struct td_mig *m, struct td_mig_dest *d)
{
	td_postcopy_start(p, m, d);
	td_postcopy_move_image(p);
}

/* A destination that has all the state, and has not committed yet. */
static void start_uncommitted(struct td_postcopy *p, struct td_mig *m, struct td_mig_dest *d)
{
	*p = (struct td_postcopy) { .m = m, .d = d };
	td_postcopy_export_states(m);
	td_postcopy_import_states(m, d);
}

/* The way back: the destination gives up, the source goes on if it can. */
static int abort_with_token(struct td_mig *m, struct td_mig_dest *d)
{
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*m->streams[0].mbmd = *d->streams[0].mbmd;
	return __td_mig_cmd_nr(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL, NULL);
}

/* Each of the syncs has written to all pages once more. */
static void guest_count(void)
{
	u64 page, n;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (n = 0; n < 2; n++) {
		for (page = 0; page < MEM_PAGES; page++) {
			GUEST_ASSERT_EQ(*guest_page(page), n);
			*guest_page(page) = n + 1;
		}
		GUEST_SYNC(n);
	}
	for (page = 0; page < MEM_PAGES; page++)
		GUEST_ASSERT_EQ(*guest_page(page), n);
	GUEST_DONE();
}

static struct kvm_vm *create_counting_src(struct kvm_vcpu **vcpu)
{
	return create_td(guest_count, vcpu);
}

TD_MIG_FIXTURE(counting, create_counting_src);

TD_TEST_F(counting, there_is_no_way_back_after_the_commit)
{
	struct kvm_tdx_mig_vcpu_state state = {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
	};
	struct td_postcopy p;
	struct td_mig_stream *s;
	u64 nr = 1;

	start_uncommitted(&p, &self->m, &self->d);
	s = &self->d.streams[0];

	/* Before it, the TD does not run. */
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->d.vcpus[0]));
	TD_EXPECT_ERRNO(EOPNOTSUPP, __td_pre_fault(self->d.vcpus[0], MEM_GPA, PAGE_SIZE));
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT);

	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_ABORT, NULL, NULL));
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_COMMIT, NULL, NULL));
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_TRACK, NULL, NULL));
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_STATE_TD, &nr, NULL));
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &nr,
						NULL));
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(self->d.vcpus[0], KVM_TDX_MIG_SET_VCPU_STATE, 0,
					       (u64)&state));

	/* The source is at its end, too, though it has not sent any memory. */
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->vcpu));
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL,
						NULL));
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_END, NULL, NULL));
}

/* -------------------------------------------------- bundles that do not fit */

static void expect_entry(const struct td_mig_stream *s, int i, u32 op, u32 status)
{
	TEST_ASSERT(td_gpa_entry_op(s->gpa_list[i]) == op &&
		    td_gpa_entry_status(s->gpa_list[i]) == status,
		    "Entry %d is %lx", i, s->gpa_list[i]);
}

TD_TEST_F(counting, page_that_comes_twice_is_skipped)
{
	gpa_t gpas[] = { mem_gpa(2), mem_gpa(4), mem_gpa(6) };
	struct td_mig_bundle first, second;
	struct td_postcopy p;
	u64 i;

	start(&p, &self->m, &self->d);
	td_postcopy_export(&self->m, 0, gpas, 1, &first);
	/* The source sends a page as often as it is asked to. */
	td_postcopy_export(&self->m, 0, gpas, 3, &second);
	for (i = 0; i < 3; i++)
		TEST_ASSERT_EQ(td_gpa_entry_op(second.gpa_list[i]), TDX_MIG_GPA_OP_MIGRATE);

	td_postcopy_import(&self->d, &first);
	expect_entry(&self->d.streams[0], 0, TDX_MIG_GPA_OP_MIGRATE, TDX_MIG_GPA_STATUS_SUCCESS);
	/* The guest changes all three, which the next bundles must not undo. */
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 1);
	td_postcopy_import(&self->d, &second);
	for (i = 0; i < 3; i++)
		expect_entry(&self->d.streams[0], i, TDX_MIG_GPA_OP_NOP,
			     TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	td_postcopy_import(&self->d, &first);
	td_postcopy_run_to_done(&p, self->d.vcpus[0], 0);
	td_mig_bundle_free(&first);
	td_mig_bundle_free(&second);
}

TD_TEST_F(counting, cancel_and_remigrate_are_refused_and_do_no_harm)
{
	const u64 cancel = td_gpa_entry(mem_gpa(1), TDX_MIG_GPA_OP_CANCEL);
	gpa_t gpas[] = { mem_gpa(1), mem_gpa(2) };
	struct td_mig_bundle b;
	struct td_postcopy p;
	u64 op;

	start(&p, &self->m, &self->d);

	/* The source does not even export them. */
	TEST_ASSERT(!__td_mig_export_mem(&self->m.streams[0], &cancel, 1, &b, NULL),
		    "Export failed, errno %d", errno);
	TEST_ASSERT_EQ(td_gpa_entry_op(b.gpa_list[0]), TDX_MIG_GPA_OP_NOP);
	TEST_ASSERT_EQ(td_gpa_entry_status(b.gpa_list[0]),
		       TDX_MIG_GPA_STATUS_OP_STATE_INCORRECT);
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);

	td_postcopy_export(&self->m, 0, gpas, 2, &b);
	for (op = TDX_MIG_GPA_OP_CANCEL; op <= TDX_MIG_GPA_OP_REMIGRATE; op++) {
		b.gpa_list[1] = td_gpa_entry(gpas[1], op);
		TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->d.streams, &b, NULL));
	}
	/* The same page twice in one list. */
	b.gpa_list[1] = b.gpa_list[0];
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->d.streams, &b, NULL));
	b.gpa_list[1] = td_gpa_entry(gpas[1], TDX_MIG_GPA_OP_MIGRATE);
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 1);
}

TD_TEST_F(counting, bundle_with_a_wrong_header_is_refused_and_can_come_again)
{
	gpa_t gpas[] = { mem_gpa(1) };
	struct td_mig_bundle b;
	struct td_postcopy p;
	u64 hw_error;

	start(&p, &self->m, &self->d);
	td_postcopy_export(&self->m, 0, gpas, 1, &b);

	b.mbmd.mac[0] ^= 1;
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &b, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INCORRECT_MBMD_MAC);
	b.mbmd.mac[0] ^= 1;
	b.mbmd.mig_epoch = 0;
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &b, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_MBMD);
	b.mbmd.mig_epoch = TDX_MIG_EPOCH_OUT_OF_ORDER;
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 1);
}

TD_TEST_F(counting, forged_page_ends_the_import_but_not_the_td)
{
	gpa_t gpa, last = mem_gpa(MEM_PAGES - 1);
	struct td_mig_bundle good, bad;
	struct td_postcopy p;
	u64 hw_error;
	int i;

	start(&p, &self->m, &self->d);
	for (gpa = MEM_GPA; gpa < last; gpa += PAGE_SIZE)
		td_postcopy_move(&p, 0, &gpa, 1);
	td_postcopy_export(&self->m, 0, &last, 1, &good);
	td_postcopy_export(&self->m, 0, &last, 1, &bad);
	bad.pages[0] ^= 1;

	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &bad, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_PAGE_MAC);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &good, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0);
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT, NULL,
					     NULL));

	/* The pages that are there are good; those that are not stay missing. */
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_missing_page(self->d.vcpus[0], last);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_mig_bundle_free(&good);
	td_mig_bundle_free(&bad);
}

TD_TEST_F(counting, forged_page_before_the_commit_sends_the_td_back)
{
	gpa_t gpas[] = { mem_gpa(1), mem_gpa(2) };
	struct td_mig_bundle b;
	struct td_postcopy p;
	u64 hw_error;

	start_uncommitted(&p, &self->m, &self->d);
	td_postcopy_move(&p, 0, &gpas[0], 1);
	td_postcopy_export(&self->m, 0, &gpas[1], 1, &b);
	b.pages[0] ^= 1;
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &b, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_PAGE_MAC | TDX_FATAL);
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&self->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT, NULL,
					     NULL));
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->d.vcpus[0]));

	TEST_ASSERT(!abort_with_token(&self->m, &self->d), "Abort failed, errno %d", errno);
	td_vcpu_run_to_sync(self->vcpu, 1);
	td_vcpu_run_to_done(self->vcpu);
	td_mig_bundle_free(&b);
}

/* ----------------------------------------------------------- pages that go */

/* The first page becomes shared, and private again. */
static void guest_convert(void)
{
	td_accept_pages(MEM_GPA, 2);
	*(u64 *)MEM_GPA = 1;
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(*(u64 *)MEM_GPA, 1UL);
	td_map_gpa(MEM_GPA | TD_SHARED_BIT, PAGE_SIZE);
	WRITE_ONCE(*guest_shared_alias, 2);
	GUEST_SYNC(1);
	td_map_gpa(MEM_GPA, PAGE_SIZE);
	GUEST_SYNC(2);
	td_accept_pages(MEM_GPA, 1);
	GUEST_ASSERT_EQ(*(u64 *)MEM_GPA, 0UL);
	GUEST_DONE();
}

static struct kvm_vm *create_converting_src(struct kvm_vcpu **vcpu)
{
	return create_td(guest_convert, vcpu);
}

TD_MIG_FIXTURE(converting, create_converting_src);

TD_TEST_F(converting, converted_page_is_not_imported_over)
{
	gpa_t gpas[] = { MEM_GPA, MEM_GPA + PAGE_SIZE };
	struct td_mig_bundle b, old, other;
	struct td_postcopy p;

	start(&p, &self->m, &self->d);
	td_postcopy_export(&self->m, 0, gpas, 2, &b);

	/* The page is fetched by the guest's first access, and then converted. */
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 1);
	TEST_ASSERT_EQ(p.nr_absent, 0);
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->d.streams, &b, NULL));
	td_postcopy_run_to_sync(&p, self->d.vcpus[0], 0, 2);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(self->d.streams, &b, NULL));
	TEST_ASSERT_EQ(td_gpa_entry_status(self->d.streams[0].gpa_list[0]),
		       TDX_MIG_GPA_STATUS_DISALLOWED_IMPORT_OVER_REMOVED);

	/*
	 * The old content must not come back, the page is a new one.  It has to be
	 * there before the guest accepts it, as the TDX module does not ask for it.
	 */
	td_pre_fault(self->d.vcpus[0], MEM_GPA, PAGE_SIZE);
	td_postcopy_export(&self->m, 0, gpas, 1, &old);
	td_postcopy_import(&self->d, &old);
	TEST_ASSERT_EQ(td_gpa_entry_status(self->d.streams[0].gpa_list[0]),
		       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	td_vcpu_run_to_done(self->d.vcpus[0]);

	/* The session has not suffered. */
	td_postcopy_export(&self->m, 0, &gpas[1], 1, &other);
	td_postcopy_import(&self->d, &other);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_mig_bundle_free(&b);
	td_mig_bundle_free(&old);
	td_mig_bundle_free(&other);
}

TD_TEST_F(counting, page_punched_at_the_destination_is_missing_again)
{
	gpa_t gpa = mem_gpa(1);
	struct td_mig_bundle b;
	struct td_postcopy p;
	bool committed;

	start_uncommitted(&p, &self->m, &self->d);

	for (committed = false; ; committed = true) {
		td_postcopy_export(&self->m, 0, &gpa, 1, &b);
		td_postcopy_import(&self->d, &b);
		td_mig_dest_punch_hole(&self->d, &self->m, gpa, PAGE_SIZE);
		TD_EXPECT_ERRNO(EEXIST, __td_mig_import(self->d.streams, &b, NULL));
		td_mig_bundle_free(&b);
		if (committed)
			break;
		td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
		gpa = mem_gpa(2);
	}
	td_postcopy_move_image(&p);

	/* The TD runs up to the page that is gone for good. */
	while (p.nr_faults < MEM_PAGES) {
		TEST_ASSERT(td_is_missing_page(self->d.vcpus[0], __vcpu_run(self->d.vcpus[0])),
			    "Exit %s", exit_reason_str(self->d.vcpus[0]->run->exit_reason));
		gpa = self->d.vcpus[0]->run->memory_fault.gpa;
		if (gpa == mem_gpa(1))
			break;
		td_postcopy_fetch(&p, self->d.vcpus[0], 0, gpa);
	}
	TEST_ASSERT_EQ(gpa, mem_gpa(1));
}

TD_TEST_F(counting, page_removed_from_the_source_does_not_stop_the_others)
{
	gpa_t sent = mem_gpa(1), unsent = mem_gpa(2), other = mem_gpa(3);
	struct td_mig_bundle b;
	struct td_postcopy p;

	start_uncommitted(&p, &self->m, &self->d);

	/* It is gone, as the destination learns. */
	vm_guest_mem_punch_hole(self->vm, unsent, PAGE_SIZE);
	td_postcopy_export(&self->m, 0, &unsent, 1, &b);
	TEST_ASSERT_EQ(td_gpa_entry_op(b.gpa_list[0]), TDX_MIG_GPA_OP_NOP);
	td_mig_bundle_free(&b);

	/* To free what has been sent makes the TD unable to come back. */
	td_postcopy_export(&self->m, 0, &sent, 1, &b);
	vm_guest_mem_punch_hole(self->vm, sent, PAGE_SIZE);
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);
	td_postcopy_export(&self->m, 0, &other, 1, &b);
	TEST_ASSERT_EQ(td_gpa_entry_op(b.gpa_list[0]), TDX_MIG_GPA_OP_MIGRATE);
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);

	TD_EXPECT_ERRNO(ECANCELED, abort_with_token(&self->m, &self->d));
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->vcpu));
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
