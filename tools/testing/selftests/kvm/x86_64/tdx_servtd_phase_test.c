// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: what becomes of a binding in each phase of a migration, and what the
 * binding of the destination has to be.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd.h"
#include "tdx_test.h"

static u8 report[TD_REPORT_SIZE] __aligned(TD_REPORT_SIZE);
static u8 report_data[TD_REPORT_DATA_SIZE] __aligned(TD_REPORT_DATA_SIZE);
static u8 *shared_report;
static gpa_t report_gpa, report_data_gpa;

static void guest_report(void)
{
	GUEST_ASSERT_EQ(tdg_mr_report(report_gpa, report_data_gpa, 0), 0UL);
	memcpy(shared_report, report, sizeof(report));
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(tdg_mr_report(report_gpa, report_data_gpa, 0), 0UL);
	memcpy(shared_report, report, sizeof(report));
	GUEST_DONE();
}

static u64 access_binding(struct td_migtd *m, const struct td_servtd_binding *binding)
{
	u64 version;

	m->target = *binding;
	return td_migtd_read(m, TD_MD_MIG_VERSION, &version);
}

/* ------------------------------------------------------- what becomes of a binding */

/* A binding that exists is made again, or is not: @errnum is 0 or why not. */
static void bind_again(struct td_pair *p, bool is_source, int errnum)
{
	struct td_migtd *m = is_source ? p->src_migtd : p->dst_migtd;
	struct td_servtd_binding *binding = is_source ? &p->src : &p->dst;
	u64 hw_error;
	int ret;

	ret = __td_migtd_bind(m, is_source ? p->vm : p->d.vm, 0, &hw_error);
	TEST_ASSERT(errnum ? ret && errno == errnum : !ret, "Bind returned %d, errno %d (%s)",
		    ret, errno, strerror(errno));
	if (!errnum) {
		TEST_ASSERT_EQ(m->target.handle, binding->handle);
		*binding = m->target;
	} else {
		TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
	}
	/* In any case it is as good as before. */
	TEST_ASSERT_EQ(access_binding(m, binding), 0UL);
}

TD_TEST(source_is_bound_again_except_while_it_is_paused)
{
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);

	bind_again(&p, true, 0);
	td_mig_export_immutable(&p.m);
	bind_again(&p, true, 0);
	td_mig_export_pause(&p.m);
	bind_again(&p, true, EBUSY);
	td_mig_export_all_mem(&p.m);
	td_mig_export_td_and_vcpus(&p.m);
	bind_again(&p, true, EBUSY);
	td_mig_export_start_token(&p.m);
	bind_again(&p, true, EBUSY);

	td_mig_import(&p.d, &p.m, 0, 0);
	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*p.m.streams[0].mbmd = *p.d.streams[0].mbmd;
	td_mig_cmd(&p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	bind_again(&p, true, 0);
	td_pair_run_to_done(p.vcpu);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(destination_is_bound_again_except_while_it_is_imported)
{
	struct td_migtd src, dst;
	struct td_pair p;
	int mem, td;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	bind_again(&p, false, 0);
	td_pair_exchange(&p);
	td_mig_export(&p.m);
	mem = td_mig_find_bundle(&p.m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(&p.m, KVM_TDX_MIG_IMPORT_STATE_TD);

	bind_again(&p, false, 0);
	td_mig_import(&p.d, &p.m, 0, mem - 1);
	/* The TD has got the name that it has on the source. */
	memcpy(p.dst.uuid, p.src.uuid, sizeof(p.dst.uuid));
	bind_again(&p, false, EBUSY);
	td_mig_import(&p.d, &p.m, mem, td);
	bind_again(&p, false, EBUSY);
	td_mig_import(&p.d, &p.m, td + 1, p.m.nr_bundles - 2);
	bind_again(&p, false, EBUSY);
	td_mig_import(&p.d, &p.m, p.m.nr_bundles - 1, p.m.nr_bundles - 1);
	bind_again(&p, false, 0);
	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	bind_again(&p, false, 0);
	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	bind_again(&p, false, 0);
	TEST_ASSERT(!memcmp(p.dst.uuid, p.src.uuid, sizeof(p.dst.uuid)), "Another TD");
	td_pair_run_to_done(p.d.vcpus[0]);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(destination_that_is_not_bound_in_time_gets_no_key)
{
	struct td_migtd migtd;
	struct kvm_vm *bound;
	struct td_pair p;
	u64 hw_error;

	td_pair_create_unbound(&p);
	td_migtd_bind(td_mig_src_migtd(), p.vm, 0);
	td_pair_launch(&p);
	td_mig_exchange_keys(&p.m);
	td_mig_export_immutable(&p.m);

	/* Take the place of the destination that has the key. */
	bound = p.m.next_dst;
	p.m.next_dst = td_mig_dest_create_vm();
	td_mig_dest_create(&p.d, &p.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(p.d.streams, &p.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);

	/* It is not too late for it. */
	td_migtd_create(&migtd);
	td_migtd_bind(&migtd, p.d.vm, 0);
	td_migtd_free(&migtd);
	td_mig_cmd(&p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_pair_run_to_done(p.vcpu);
	kvm_vm_free(bound);
	td_pair_free(&p);
}

TD_TEST(name_of_the_destination_before_the_import_is_still_known)
{
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);
	td_mig_export(&p.m);
	td_pair_import(&p);
	TEST_ASSERT(memcmp(p.src.uuid, p.dst.uuid, sizeof(p.src.uuid)), "Same TD");
	TEST_ASSERT_EQ(access_binding(&dst, &p.dst) & TDX_STATUS_MASK, TDX_TARGET_UUID_UPDATED);
	memcpy(p.dst.uuid, p.src.uuid, sizeof(p.dst.uuid));
	TEST_ASSERT_EQ(access_binding(&dst, &p.dst), 0UL);
	p.dst.uuid[0] ^= 1;
	TEST_ASSERT_EQ(access_binding(&dst, &p.dst) & TDX_STATUS_MASK, TDX_TARGET_UUID_MISMATCH);
	td_pair_run_to_done(p.d.vcpus[0]);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(keys_cannot_be_written_while_the_source_is_paused)
{
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);
	src.target = p.src;

	td_mig_export_immutable(&p.m);
	TEST_ASSERT_EQ(td_migtd_write(&src, TD_MD_MIG_VERSION, 0), 0UL);
	td_mig_export_pause(&p.m);
	TEST_ASSERT_EQ(td_migtd_write(&src, TD_MD_MIG_VERSION, 0) & TDX_STATUS_MASK,
		       TDX_OP_STATE_INCORRECT);
	td_mig_export_all_mem(&p.m);
	td_mig_export_td_and_vcpus(&p.m);
	td_mig_export_start_token(&p.m);
	TEST_ASSERT_EQ(td_migtd_write(&src, TD_MD_MIG_DEC_KEY, 0) & TDX_STATUS_MASK,
		       TDX_OP_STATE_INCORRECT);
	td_pair_import(&p);
	td_pair_run_to_done(p.d.vcpus[0]);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(session_that_is_aborted_leaves_the_binding_and_takes_the_keys)
{
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);
	td_mig_export(&p.m);
	td_mig_import(&p.d, &p.m, 0, p.m.nr_bundles - 1);
	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*p.m.streams[0].mbmd = *p.d.streams[0].mbmd;
	td_mig_cmd(&p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	/* The destination is good for nothing, but its migration TD can see it. */
	memcpy(p.dst.uuid, p.src.uuid, sizeof(p.dst.uuid));
	TEST_ASSERT_EQ(access_binding(&dst, &p.dst), 0UL);
	td_mig_dest_free(&p.d);
	td_pair_forget_bundles(&p);

	td_pair_expect_no_key(&p);
	td_pair_add_dest(&p, &dst, 0);
	td_pair_exchange(&p);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

/* ---------------------------------------------------- what the destination has to be */

static void check_report_moves(struct td_migtd *src, struct td_migtd *dst)
{
	u8 before[TD_SHA384_SIZE], info_hash[TD_SHA384_SIZE], expected[TD_SHA384_SIZE];
	struct td_pair p = { .src_migtd = src };
	gva_t gva;
	u8 *seen;

	td_migtd_info_hash(src, 0, info_hash);
	td_servtd_hash(info_hash, 0, expected);

	p.vm = td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_report, &p.vcpu);
	gva = vm_alloc_shared(p.vm, TD_REPORT_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(p.vm, shared_report, (u8 *)gva);
	write_guest_global(p.vm, report_gpa, addr_gva2gpa(p.vm, (gva_t)report));
	write_guest_global(p.vm, report_data_gpa, addr_gva2gpa(p.vm, (gva_t)report_data));
	seen = addr_gva2hva(p.vm, gva);
	td_migtd_bind(src, p.vm, 0);
	p.src = src->target;
	td_pair_launch(&p);
	memcpy(before, seen + TD_REPORT_SERVTD_HASH, sizeof(before));
	TEST_ASSERT(!memcmp(before, expected, sizeof(before)), "Not the hash of the binding");

	memset(seen, 0, TD_REPORT_SIZE);
	td_pair_add_dest(&p, dst, 0);
	td_pair_exchange(&p);
	td_pair_migrate(&p);
	TEST_ASSERT(!memcmp(seen + TD_REPORT_SERVTD_HASH, expected, sizeof(expected)),
		    "SERVTD_HASH did not come with the TD");
	td_pair_free(&p);
}

TD_TEST(report_after_the_migration_tells_of_the_binding_at_the_source)
{
	struct td_migtd src, dst, other;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_migtd_create_variant(&other, 1);
	check_report_moves(&src, &dst);
	/* Even if the destination is served by a migration TD of another kind. */
	check_report_moves(&src, &other);
	td_migtd_free(&other);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(destination_that_is_bound_with_other_attributes_is_refused)
{
	struct td_migtd src, dst;
	u64 hw_error;
	struct td_pair p;
	int td;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_mig_dest_free(&p.d);
	td_pair_add_dest(&p, &dst, TD_SERVTD_ATTR_IGNORE_ALL);
	td_pair_exchange(&p);
	td_mig_export(&p.m);
	td = td_mig_find_bundle(&p.m, KVM_TDX_MIG_IMPORT_STATE_TD);
	td_mig_import(&p.d, &p.m, 0, td - 1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(p.d.streams, &p.m.bundles[td], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK,
		       TDX_METADATA_FIELD_VALUE_NOT_VALID | TDX_FATAL);

	/* The source takes the TD back. */
	td_mig_cmd(&p.d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*p.m.streams[0].mbmd = *p.d.streams[0].mbmd;
	td_mig_cmd(&p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_pair_run_to_done(p.vcpu);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(td_that_was_migrated_comes_back_by_the_same_migration_tds)
{
	struct td_migtd src, dst;
	struct td_mig_dest home;
	struct td_mig back;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);
	td_mig_export(&p.m);
	td_pair_import(&p);
	td_vcpu_run_to_sync(p.d.vcpus[0], 2);
	td_mig_stream_close(&p.d.streams[0]);
	p.d.nr_streams = 0;

	/* Memory is laid out like in the first source. */
	back = (struct td_mig) {
		.src = p.vm,
		.src_vcpus = { p.d.vcpus[0] },
		.nr_vcpus = 1,
		.nr_streams = 1,
		.nr_entries = TDX_MIG_BUF_LIST_PAGES_MAX,
		.next_dst = td_mig_dest_create_vm(),
	};
	td_mig_stream_open(&back.streams[0], p.d.vm, 0, TDX_MIG_BUF_LIST_PAGES_MAX);
	td_migtd_bind(&dst, p.d.vm, 0);
	td_migtd_bind(&src, back.next_dst, 0);
	td_migtd_exchange(&dst, &src);
	td_mig_dest_create(&home, &back);
	td_mig_export(&back);
	td_mig_import(&home, &back, 0, back.nr_bundles - 1);
	td_mig_import_end(&home);
	td_vcpu_run_to_sync(home.vcpus[0], 3);
	td_pair_run_to_done(home.vcpus[0]);
	td_mig_dest_free(&home);
	td_mig_free(&back);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
