// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: what becomes of a binding in each phase of a migration, and what the
 * binding of the destination has to be.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

TD_PAIR_FIXTURE(td_pair);

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
	TEST_ASSERT_EQ(td_migtd_access(m, binding), 0UL);
}

TD_TEST_F(td_pair, source_is_bound_again_except_while_it_is_paused)
{
	td_pair_exchange(&self->p);

	bind_again(&self->p, true, 0);
	td_mig_export_immutable(&self->p.m);
	bind_again(&self->p, true, 0);
	td_mig_export_pause(&self->p.m);
	bind_again(&self->p, true, EBUSY);
	td_mig_export_all_mem(&self->p.m);
	td_mig_export_td_and_vcpus(&self->p.m);
	bind_again(&self->p, true, EBUSY);
	td_mig_export_start_token(&self->p.m);
	bind_again(&self->p, true, EBUSY);

	td_mig_import(&self->p.d, &self->p.m, 0, 0);
	td_mig_return(&self->p.m, &self->p.d);
	bind_again(&self->p, true, 0);
	td_pair_run_to_done(self->p.vcpu);
}

TD_TEST_F(td_pair, destination_is_bound_again_except_while_it_is_imported)
{
	int mem, td;

	bind_again(&self->p, false, 0);
	td_pair_exchange(&self->p);
	td_mig_export(&self->p.m);
	mem = td_mig_find_bundle(&self->p.m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(&self->p.m, KVM_TDX_MIG_IMPORT_STATE_TD);

	bind_again(&self->p, false, 0);
	td_mig_import(&self->p.d, &self->p.m, 0, mem - 1);
	/* The TD has got the name that it has on the source. */
	memcpy(self->p.dst.uuid, self->p.src.uuid, sizeof(self->p.dst.uuid));
	bind_again(&self->p, false, EBUSY);
	td_mig_import(&self->p.d, &self->p.m, mem, td);
	bind_again(&self->p, false, EBUSY);
	td_mig_import(&self->p.d, &self->p.m, td + 1, self->p.m.nr_bundles - 2);
	bind_again(&self->p, false, EBUSY);
	td_mig_import(&self->p.d, &self->p.m, self->p.m.nr_bundles - 1, self->p.m.nr_bundles - 1);
	bind_again(&self->p, false, 0);
	td_mig_cmd(&self->p.d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	bind_again(&self->p, false, 0);
	td_mig_cmd(&self->p.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	bind_again(&self->p, false, 0);
	TEST_ASSERT(!memcmp(self->p.dst.uuid, self->p.src.uuid, sizeof(self->p.dst.uuid)),
		    "Another TD");
	td_pair_run_to_done(self->p.d.vcpus[0]);
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

TD_TEST_F(td_pair, name_of_the_destination_before_the_import_is_still_known)
{
	td_pair_exchange(&self->p);
	td_mig_export(&self->p.m);
	td_mig_import_rest(&self->p.d, &self->p.m, 0);
	TEST_ASSERT(memcmp(self->p.src.uuid, self->p.dst.uuid, sizeof(self->p.src.uuid)),
		    "Same TD");
	TEST_ASSERT_EQ(td_migtd_access(&self->dst, &self->p.dst) & TDX_STATUS_MASK,
		       TDX_TARGET_UUID_UPDATED);
	memcpy(self->p.dst.uuid, self->p.src.uuid, sizeof(self->p.dst.uuid));
	TEST_ASSERT_EQ(td_migtd_access(&self->dst, &self->p.dst), 0UL);
	self->p.dst.uuid[0] ^= 1;
	TEST_ASSERT_EQ(td_migtd_access(&self->dst, &self->p.dst) & TDX_STATUS_MASK,
		       TDX_TARGET_UUID_MISMATCH);
	td_pair_run_to_done(self->p.d.vcpus[0]);
}

TD_TEST_F(td_pair, keys_cannot_be_written_while_the_source_is_paused)
{
	td_pair_exchange(&self->p);
	self->src.target = self->p.src;

	td_mig_export_immutable(&self->p.m);
	TEST_ASSERT_EQ(td_migtd_write(&self->src, TD_MD_MIG_VERSION, 0), 0UL);
	td_mig_export_pause(&self->p.m);
	TEST_ASSERT_EQ(td_migtd_write(&self->src, TD_MD_MIG_VERSION, 0) & TDX_STATUS_MASK,
		       TDX_OP_STATE_INCORRECT);
	td_mig_export_rest(&self->p.m);
	TEST_ASSERT_EQ(td_migtd_write(&self->src, TD_MD_MIG_DEC_KEY, 0) & TDX_STATUS_MASK,
		       TDX_OP_STATE_INCORRECT);
	td_mig_import_rest(&self->p.d, &self->p.m, 0);
	td_pair_run_to_done(self->p.d.vcpus[0]);
}

TD_TEST_F(td_pair, session_that_is_aborted_leaves_the_binding_and_takes_the_keys)
{
	td_pair_exchange(&self->p);
	td_mig_export(&self->p.m);
	td_mig_import(&self->p.d, &self->p.m, 0, self->p.m.nr_bundles - 1);
	td_mig_return(&self->p.m, &self->p.d);

	/* The destination is good for nothing, but its migration TD can see it. */
	memcpy(self->p.dst.uuid, self->p.src.uuid, sizeof(self->p.dst.uuid));
	TEST_ASSERT_EQ(td_migtd_access(&self->dst, &self->p.dst), 0UL);
	td_mig_dest_free(&self->p.d);
	td_mig_forget_bundles(&self->p.m);

	td_mig_expect_no_key(&self->p.m);
	td_pair_add_dest(&self->p, &self->dst, 0);
	td_pair_exchange(&self->p);
	td_pair_migrate(&self->p);
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

	/* Before 1.5.05, SERVTD_HASH comes with the TD. */
	if (td_module_version() >= TD_MODULE(1, 5, 5)) {
		td_migtd_info_hash(dst, 0, info_hash);
		td_servtd_hash(info_hash, 0, expected);
	}
	memset(seen, 0, TD_REPORT_SIZE);
	td_pair_add_dest(&p, dst, 0);
	td_pair_exchange(&p);
	td_pair_migrate(&p);
	TEST_ASSERT(!memcmp(seen + TD_REPORT_SERVTD_HASH, expected, sizeof(expected)),
		    "SERVTD_HASH is that of another migration TD");
	td_pair_free(&p);
}

TD_TEST(report_after_the_migration_tells_of_the_binding_that_the_module_says)
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

/* Before 1.5.05, the bindings of the source come with the TD, and are compared. */
static void check_other_attributes_are_refused(struct td_pair *p)
{
	u64 hw_error;
	int td;

	td_mig_export(&p->m);
	td = td_mig_import_up_to(&p->d, &p->m, KVM_TDX_MIG_IMPORT_STATE_TD);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(p->d.streams, &p->m.bundles[td], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK,
		       TDX_METADATA_FIELD_VALUE_NOT_VALID | TDX_FATAL);

	/* The source takes the TD back. */
	td_mig_return(&p->m, &p->d);
	td_pair_run_to_done(p->vcpu);
}

TD_TEST_F(td_pair, destination_may_be_bound_with_other_attributes_if_the_module_permits)
{
	td_mig_dest_free(&self->p.d);
	td_pair_add_dest(&self->p, &self->dst, TD_SERVTD_ATTR_IGNORE_ALL);
	td_pair_exchange(&self->p);
	if (td_module_version() >= TD_MODULE(1, 5, 5))
		td_pair_migrate(&self->p);
	else
		check_other_attributes_are_refused(&self->p);
}

TD_TEST_F(td_pair, td_that_was_migrated_comes_back_by_the_same_migration_tds)
{
	struct td_mig_dest home;
	struct td_mig back;

	td_pair_exchange(&self->p);
	td_mig_export(&self->p.m);
	td_mig_import_rest(&self->p.d, &self->p.m, 0);
	td_vcpu_run_to_sync(self->p.d.vcpus[0], 2);
	td_mig_stream_close(&self->p.d.streams[0]);
	self->p.d.nr_streams = 0;

	/* Memory is laid out like in the first source. */
	back = (struct td_mig) {
		.src = self->p.vm, .src_vcpus = { self->p.d.vcpus[0] }, .nr_vcpus = 1, .nr_streams =
			1, .nr_entries = TDX_MIG_BUF_LIST_PAGES_MAX, .next_dst =
			td_mig_dest_create_vm(), };
	td_mig_stream_open(&back.streams[0], self->p.d.vm, 0, TDX_MIG_BUF_LIST_PAGES_MAX);
	td_migtd_bind(&self->dst, self->p.d.vm, 0);
	td_migtd_bind(&self->src, back.next_dst, 0);
	td_migtd_exchange(&self->dst, &self->src);
	td_mig_dest_create(&home, &back);
	td_mig_export(&back);
	td_mig_import_rest(&home, &back, 0);
	td_vcpu_run_to_sync(home.vcpus[0], 3);
	td_pair_run_to_done(home.vcpus[0]);
	td_mig_dest_free(&home);
	td_mig_free(&back);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
