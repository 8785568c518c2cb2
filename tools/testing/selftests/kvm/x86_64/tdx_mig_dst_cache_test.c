// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that the TDX module has written to, and that do not become, or do not stay,
 * pages of the TD: none of them goes back to the kernel with cache lines under the
 * KeyID of the TD.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

FIXTURE(td_mig)
{
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct td_mig_dest d;
};

FIXTURE_SETUP(td_mig)
{
	self->vm = td_mig_create_data_src(&self->vcpu);
	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);
}

FIXTURE_TEARDOWN(td_mig)
{
	td_mig_dest_free(&self->d);
	td_mig_free(&self->m);
	kvm_vm_free(self->vm);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);
}

/* The kernel may do what it likes with the pages of @b. */
static void give_back(struct td_mig *m, struct td_mig_dest *d, const struct td_mig_bundle *b)
{
	u32 i;

	for (i = 0; i < b->nr; i++)
		td_mig_dest_punch_hole(d, m, td_gpa_entry_gpa(b->gpa_list[i]), PAGE_SIZE);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);
}

static void expect_wrong_mac(struct td_mig_dest *d, const struct td_mig_bundle *b, u64 fatal)
{
	u64 hw_error;

	TD_EXPECT_ERRNO(EIO, __td_mig_import(d->streams, b, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INVALID_PAGE_MAC | fatal);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);
}

enum part { PAGE_CONTENT, PAGE_MAC };

/* Change the content or the MAC of page @i. */
static void change(struct td_mig_bundle *b, enum part part, u32 i)
{
	if (part == PAGE_CONTENT)
		b->pages[i * PAGE_SIZE + i] ^= 1;
	else
		b->mac_list[i * TD_MIG_MAC_SIZE] ^= 1;
}

/* Before the start token: the import fails, and what it has got stays the TD's. */
static void import_wrong_page(struct td_mig *m, struct td_mig_dest *d, enum part part, bool last)
{
	struct td_mig_bundle *b;

	td_mig_export(m);
	td_mig_dest_create(d, m);
	b = &m->bundles[td_mig_import_up_to(d, m, KVM_TDX_MIG_IMPORT_MEM)];
	change(b, part, last ? b->nr - 1 : 0);
	expect_wrong_mac(d, b, TDX_FATAL);
	give_back(m, d, b);
}

TD_TEST_F(td_mig, first_page_of_a_bundle_has_a_wrong_content)
{
	import_wrong_page(&self->m, &self->d, PAGE_CONTENT, false);
}

TD_TEST_F(td_mig, last_page_of_a_bundle_has_a_wrong_content)
{
	import_wrong_page(&self->m, &self->d, PAGE_CONTENT, true);
}

TD_TEST_F(td_mig, first_page_of_a_bundle_has_a_wrong_mac)
{
	import_wrong_page(&self->m, &self->d, PAGE_MAC, false);
}

TD_TEST_F(td_mig, last_page_of_a_bundle_has_a_wrong_mac)
{
	import_wrong_page(&self->m, &self->d, PAGE_MAC, true);
}

/* After the commit the TD lives on, and so does the KeyID. */
TD_TEST_F(td_mig, page_of_a_running_td_has_a_wrong_mac)
{
	struct td_mig_bundle b;
	struct td_postcopy pc;
	gpa_t *gpas;
	u32 nr;

	td_postcopy_start(&pc, &self->m, &self->d);
	gpas = td_mig_list_pages(&self->m, &nr);
	TEST_ASSERT(nr > 3, "%u pages", nr);
	td_postcopy_move(&pc, 0, gpas, 1);

	/* Neither the page that is there already nor the one behind is touched. */
	td_postcopy_export(&self->m, 0, gpas, 3, &b);
	change(&b, PAGE_MAC, 1);
	expect_wrong_mac(&self->d, &b, 0);
	give_back(&self->m, &self->d, &b);
	td_mig_bundle_free(&b);

	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	free(gpas);
}

TD_TEST_F(td_mig, page_has_a_wrong_mac_before_the_commit)
{
	struct td_mig_bundle b;
	gpa_t *gpas;
	u32 nr;

	td_postcopy_export_states(&self->m);
	td_postcopy_import_states(&self->m, &self->d);
	gpas = td_mig_list_pages(&self->m, &nr);
	td_postcopy_export(&self->m, 0, gpas, 2, &b);
	change(&b, PAGE_CONTENT, 1);
	expect_wrong_mac(&self->d, &b, TDX_FATAL);
	give_back(&self->m, &self->d, &b);
	td_mig_bundle_free(&b);
	free(gpas);
}

static void export_mem(struct td_mig *m, gpa_t gpa, u64 op, struct td_mig_bundle *b)
{
	u64 entry = td_gpa_entry(gpa, op), hw_error;
	int ret;

	ret = __td_mig_export_mem(&m->streams[0], &entry, 1, b, &hw_error);
	TEST_ASSERT(!ret, "Export, errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
	TEST_ASSERT_EQ(td_gpa_entry_op(b->gpa_list[0]), op);
}

static void import(struct td_mig_dest *d, struct td_mig_bundle *b)
{
	u64 hw_error;
	int ret = __td_mig_import(d->streams, b, &hw_error);

	TEST_ASSERT(!ret, "Import, errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
	td_mig_bundle_free(b);
}

TD_TEST_F(td_mig, import_of_a_page_is_canceled)
{
	struct td_mig_bundle b;
	gpa_t *gpas;
	u32 nr;

	gpas = td_mig_list_pages(&self->m, &nr);
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import(&self->d, &self->m, 0, 0);

	export_mem(&self->m, gpas[0], TDX_MIG_GPA_OP_MIGRATE, &b);
	import(&self->d, &b);
	TEST_ASSERT(!__td_mig_export_track(&self->m.streams[0], false, &b, NULL), "Epoch token");
	import(&self->d, &b);
	export_mem(&self->m, gpas[0], TDX_MIG_GPA_OP_CANCEL, &b);
	import(&self->d, &b);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);

	td_mig_dest_punch_hole(&self->d, &self->m, gpas[0], PAGE_SIZE);
	free(gpas);
}

/* The way of all other pages: while the TD lives, and with it. */
TD_TEST_F(td_mig, td_is_destroyed_at_both_ends)
{
	struct td_mig_bundle *b;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import_rest(&self->d, &self->m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
	b = &self->m.bundles[td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_MEM)];
	give_back(&self->m, &self->d, b);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	return test_harness_run(argc, argv);
}
