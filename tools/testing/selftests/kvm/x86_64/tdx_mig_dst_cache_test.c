// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that the TDX module has written to, and that do not become, or do not stay,
 * pages of the TD: none of them goes back to the kernel with cache lines under the
 * KeyID of the TD.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

#define NR_DATA_PAGES		8
#define NR_DATA_WORDS		(NR_DATA_PAGES * PAGE_SIZE / sizeof(u64))

static u64 data[NR_DATA_WORDS] __aligned(PAGE_SIZE);

static void guest_keep_data(void)
{
	u64 i;

	for (i = 0; i < NR_DATA_WORDS; i++)
		data[i] = i * i + 1;
	GUEST_SYNC(1);
	for (i = 0; i < NR_DATA_WORDS; i++)
		GUEST_ASSERT_EQ(data[i], i * i + 1);
	GUEST_DONE();
}

struct pair {
	struct td_mig m;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
};

static void pair_create(struct pair *p)
{
	struct kvm_vm *vm;

	vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_keep_data, &p->vcpu);
	td_launch(vm);
	td_vcpu_run_to_sync(p->vcpu, 1);
	td_mig_init(&p->m, vm, &p->vcpu, 1, 1);
}

static void pair_free(struct pair *p)
{
	td_mig_dest_free(&p->d);
	td_mig_free(&p->m);
	kvm_vm_free(p->m.src);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);
}

static gpa_t entry_gpa(u64 entry)
{
	return entry & TDX_MIG_GPA_ENTRY_GPA_MASK;
}

/* The kernel may do what it likes with the pages of @b. */
static void give_back(struct pair *p, const struct td_mig_bundle *b)
{
	u32 i;

	for (i = 0; i < b->nr; i++)
		td_mig_dest_punch_hole(&p->d, &p->m, entry_gpa(b->gpa_list[i]), PAGE_SIZE);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);
}

static void expect_wrong_mac(struct pair *p, const struct td_mig_bundle *b, u64 fatal)
{
	u64 hw_error;

	TD_EXPECT_ERRNO(EIO, __td_mig_import(p->d.streams, b, &hw_error));
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
static void import_wrong_page(enum part part, bool last)
{
	struct td_mig_bundle *b;
	struct pair p;
	int mem;

	pair_create(&p);
	td_mig_export(&p.m);
	td_mig_dest_create(&p.d, &p.m);
	mem = td_mig_find_bundle(&p.m, KVM_TDX_MIG_IMPORT_MEM);
	td_mig_import(&p.d, &p.m, 0, mem - 1);

	b = &p.m.bundles[mem];
	change(b, part, last ? b->nr - 1 : 0);
	expect_wrong_mac(&p, b, TDX_FATAL);
	give_back(&p, b);
	pair_free(&p);
}

TD_TEST(first_page_of_a_bundle_has_a_wrong_content)
{
	import_wrong_page(PAGE_CONTENT, false);
}

TD_TEST(last_page_of_a_bundle_has_a_wrong_content)
{
	import_wrong_page(PAGE_CONTENT, true);
}

TD_TEST(first_page_of_a_bundle_has_a_wrong_mac)
{
	import_wrong_page(PAGE_MAC, false);
}

TD_TEST(last_page_of_a_bundle_has_a_wrong_mac)
{
	import_wrong_page(PAGE_MAC, true);
}

/* After the commit the TD lives on, and so does the KeyID. */
TD_TEST(page_of_a_running_td_has_a_wrong_mac)
{
	struct td_mig_bundle b;
	struct td_postcopy pc;
	struct pair p;
	gpa_t *gpas;
	u32 nr;

	pair_create(&p);
	td_postcopy_start(&pc, &p.m, &p.d);
	gpas = td_mig_list_pages(&p.m, &nr);
	TEST_ASSERT(nr > 3, "%u pages", nr);
	td_postcopy_move(&pc, 0, gpas, 1);

	/* Neither the page that is there already nor the one behind is touched. */
	td_postcopy_export(&p.m, 0, gpas, 3, &b);
	change(&b, PAGE_MAC, 1);
	expect_wrong_mac(&p, &b, 0);
	give_back(&p, &b);
	td_mig_bundle_free(&b);

	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	free(gpas);
	pair_free(&p);
}

TD_TEST(page_has_a_wrong_mac_before_the_commit)
{
	struct td_mig_bundle b;
	struct pair p;
	gpa_t *gpas;
	u32 nr;

	pair_create(&p);
	td_postcopy_export_states(&p.m);
	td_postcopy_import_states(&p.m, &p.d);
	gpas = td_mig_list_pages(&p.m, &nr);
	td_postcopy_export(&p.m, 0, gpas, 2, &b);
	change(&b, PAGE_CONTENT, 1);
	expect_wrong_mac(&p, &b, TDX_FATAL);
	give_back(&p, &b);
	td_mig_bundle_free(&b);
	free(gpas);
	pair_free(&p);
}

static void export_mem(struct pair *p, gpa_t gpa, u64 op, struct td_mig_bundle *b)
{
	u64 entry = td_gpa_entry(gpa, op), hw_error;
	int ret;

	ret = __td_mig_export_mem(&p->m.streams[0], &entry, 1, b, &hw_error);
	TEST_ASSERT(!ret, "Export, errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
	TEST_ASSERT_EQ(td_gpa_entry_op(b->gpa_list[0]), op);
}

static void import(struct pair *p, struct td_mig_bundle *b)
{
	u64 hw_error;
	int ret = __td_mig_import(p->d.streams, b, &hw_error);

	TEST_ASSERT(!ret, "Import, errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
	td_mig_bundle_free(b);
}

TD_TEST(import_of_a_page_is_canceled)
{
	struct td_mig_bundle b;
	struct pair p;
	gpa_t *gpas;
	u32 nr;

	pair_create(&p);
	gpas = td_mig_list_pages(&p.m, &nr);
	td_mig_export_immutable(&p.m);
	td_mig_export_pause(&p.m);
	td_mig_dest_create(&p.d, &p.m);
	td_mig_import(&p.d, &p.m, 0, 0);

	export_mem(&p, gpas[0], TDX_MIG_GPA_OP_MIGRATE, &b);
	import(&p, &b);
	TEST_ASSERT(!__td_mig_export_track(&p.m.streams[0], false, &b, NULL), "Epoch token");
	import(&p, &b);
	export_mem(&p, gpas[0], TDX_MIG_GPA_OP_CANCEL, &b);
	import(&p, &b);
	TEST_ASSERT_EQ(td_sim_count_dirty_pages(), 0);

	td_mig_dest_punch_hole(&p.d, &p.m, gpas[0], PAGE_SIZE);
	free(gpas);
	pair_free(&p);
}

/* The way of all other pages: while the TD lives, and with it. */
TD_TEST(td_is_destroyed_at_both_ends)
{
	struct td_mig_bundle *b;
	struct pair p;

	pair_create(&p);
	td_mig_dest_create(&p.d, &p.m);
	td_mig_export(&p.m);
	td_mig_import(&p.d, &p.m, 0, p.m.nr_bundles - 1);
	td_mig_import_end(&p.d);
	td_vcpu_run_to_done(p.d.vcpus[0]);
	b = &p.m.bundles[td_mig_find_bundle(&p.m, KVM_TDX_MIG_IMPORT_MEM)];
	give_back(&p, b);
	pair_free(&p);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	return test_harness_run(argc, argv);
}
