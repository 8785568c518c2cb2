// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which commands a migration stream refuses: wrong roles, wrong order, counts and
 * lists, each with its errno; and that it can be used afterwards.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define UNKNOWN_FLAG		BIT(31)
#define BAD_ADDRESS		1UL
#define SMALL_NR_PAGES		16
#define LATE_GPA		0x40000000UL
#define NO_VCPU			1000

static const u32 export_cmds[] = {
	KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, KVM_TDX_MIG_EXPORT_MEM, KVM_TDX_MIG_EXPORT_TRACK,
	KVM_TDX_MIG_EXPORT_PAUSE, KVM_TDX_MIG_EXPORT_STATE_TD, KVM_TDX_MIG_EXPORT_STATE_VP,
	KVM_TDX_MIG_EXPORT_ABORT,
};

static const u32 import_cmds[] = {
	KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, KVM_TDX_MIG_IMPORT_MEM, KVM_TDX_MIG_IMPORT_TRACK,
	KVM_TDX_MIG_IMPORT_STATE_TD, KVM_TDX_MIG_IMPORT_STATE_VP, KVM_TDX_MIG_IMPORT_COMMIT,
	KVM_TDX_MIG_IMPORT_END, KVM_TDX_MIG_IMPORT_ABORT,
};

static const u32 stream0_cmds[] = {
	KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, KVM_TDX_MIG_EXPORT_TRACK,
	KVM_TDX_MIG_EXPORT_STATE_TD,
};

static void guest_accept_after_sync(void)
{
	GUEST_SYNC(1);
	td_accept_pages(LATE_GPA, 1);
	GUEST_DONE();
}

TD_SRC_FIXTURE(td_src, td_mig_create_plain_src);
TD_MIG_FIXTURE(td_mig, td_mig_create_plain_src);
TD_MIG_FIXTURE_VARIANTS(td_mig_streams, td_mig_create_plain_src);
TD_MIG_VARIANT(td_mig_streams, two_streams, 2);
TD_MIG_VARIANT(td_mig_streams, four_streams, 4);
TD_WORKER_FIXTURE(td_worker, 1);

/* ----------------------------------------------------------------- commands */

TD_TEST_F(td_src, malformed_commands_are_refused)
{
	union {
		struct kvm_tdx_cmd c;
		unsigned long raw;
	} c = { .c = { .id = KVM_TDX_MIG_EXPORT_PAUSE, .hw_error = 1 } };
	struct td_mig_stream s;
	u32 id;

	td_mig_stream_create(&s, self->vm, 0);
	TD_EXPECT_ERRNO(ENXIO, td_mig_try_cmd(&s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	kvm_free_fd(s.fd);

	td_mig_stream_open(&s, self->vm, 0, SMALL_NR_PAGES);
	TD_EXPECT_ERRNO(EINVAL, ioctl(s.fd, KVM_MEMORY_ENCRYPT_OP, &c.raw));
	TD_EXPECT_ERRNO(EFAULT, ioctl(s.fd, KVM_MEMORY_ENCRYPT_OP, BAD_ADDRESS));
	TD_EXPECT_ERRNO(ENOTTY, td_mig_try_cmd(&s, KVM_TDX_MIG_CMD_NR_MAX));
	TD_EXPECT_ERRNO(ENOTTY, td_mig_try_cmd(&s, ~0U));
	TD_EXPECT_ERRNO(ENOTTY, ioctl(s.fd, KVM_MEMORY_ENCRYPT_REG_REGION, &c.raw));
	for (id = 0; id < KVM_TDX_MIG_CMD_NR_MAX; id++)
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd(&s, id, UNKNOWN_FLAG, 0, NULL));
	td_mig_stream_close(&s);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, commands_of_the_other_side_are_refused)
{
	int i;

	td_mig_dest_create(&self->d, &self->m);
	for (i = 0; i < ARRAY_SIZE(import_cmds); i++)
		TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(&self->m.streams[0], import_cmds[i]));
	for (i = 0; i < ARRAY_SIZE(export_cmds); i++)
		TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(&self->d.streams[0], export_cmds[i]));

	td_mig_export(&self->m);
	td_mig_import_rest(&self->d, &self->m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig_streams, commands_of_stream_0_are_refused_on_others)
{
	int i, j;

	for (i = 1; i < variant->nr_streams; i++) {
		for (j = 0; j < ARRAY_SIZE(stream0_cmds); j++)
			TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(&self->m.streams[i],
							       stream0_cmds[j]));
	}
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, nothing_but_the_immutable_state_starts_a_session)
{
	int i;

	td_mig_dest_create(&self->d, &self->m);
	for (i = 1; i < ARRAY_SIZE(export_cmds); i++)
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->m.streams[0], export_cmds[i]));
	for (i = 1; i < ARRAY_SIZE(import_cmds); i++)
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->d.streams[0], import_cmds[i]));
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, session_needs_a_key)
{
	struct td_mig_stream s;
	u64 nr, hw_error;

	td_mig_stream_open(&s, self->vm, 0, SMALL_NR_PAGES);
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &nr,
					     &hw_error));
	TEST_ASSERT_EQ(hw_error, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);
	td_mig_stream_close(&s);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST(td_that_is_not_finalized_is_not_exported)
{
	struct td_mig_stream s;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_accept_after_sync, &vcpu);
	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	td_mig_stream_close(&s);
	kvm_vm_free(vm);
}

TD_TEST_F(td_mig, export_commands_keep_their_order)
{
	const u64 start_token = TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	struct td_mig_stream *s = &self->m.streams[0];
	u64 nr;

	td_mig_export_immutable(&self->m);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_VP));
	nr = start_token;
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));
	nr = start_token | 1;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));

	td_mig_export_pause(&self->m);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_PAUSE));
	td_mig_export_all_mem(&self->m);
	td_mig_export_td_and_vcpus(&self->m);
	TD_EXPECT_ERRNO(ENOENT, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_VP));

	td_mig_export_start_token(&self->m);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_PAUSE));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_TD));
	nr = start_token;
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));
}

TD_TEST_F(td_mig, import_commands_keep_their_order)
{
	struct td_mig_stream *s;
	int mem, td;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	s = &self->d.streams[0];
	mem = td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_STATE_TD);

	td_mig_import(&self->d, &self->m, 0, mem - 1);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_STATE_VP));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_END));

	td_mig_import(&self->d, &self->m, mem, td);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_STATE_TD));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_END));
	TEST_ASSERT(__vcpu_run(self->d.vcpus[0]), "A TD without its vCPU state runs");

	td_mig_import(&self->d, &self->m, td + 1, self->m.nr_bundles - 2);
	TD_EXPECT_ERRNO(ENOENT, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_STATE_VP));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));

	td_mig_import(&self->d, &self->m, self->m.nr_bundles - 1, self->m.nr_bundles - 1);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->d.vcpus[0]));
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_END);
	/* From now on it is a TD like any other. */
	TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_END));
	TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, memory_export_refuses_bad_counts_and_lists)
{
	const u64 good = td_gpa_entry(TD_BOOT_GPA, TDX_MIG_GPA_OP_MIGRATE);
	const u64 bad[] = {
		good | TDX_MIG_GPA_ENTRY_LEVEL_MASK,
		good | TDX_MIG_GPA_ENTRY_TYPE_MASK,
		good | TDX_MIG_GPA_ENTRY_STATUS_MASK,
		good | TD_SHARED_BIT,
		good | BIT_ULL(51),
		good | BIT_ULL(54),
		good | BIT_ULL(63),
	};
	struct td_mig_bundle b;
	struct td_mig_stream *s = &self->m.streams[0];
	u64 nr;
	int i;

	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);

	nr = 0;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_MEM, &nr, NULL));
	nr = s->buf_list_pages + 1;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_MEM, &nr, NULL));
	nr = BIT_ULL(32) | 1;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_MEM, &nr, NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(s, KVM_TDX_MIG_EXPORT_MEM, 0, BAD_ADDRESS, NULL));

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		TD_EXPECT_ERRNO(EINVAL, __td_mig_export_mem(s, &bad[i], 1, &b, NULL));

	TEST_ASSERT(!__td_mig_export_mem(s, &good, 1, &b, NULL), "errno %d", errno);
	TEST_ASSERT_EQ(b.gpa_list[0], good);
	td_mig_bundle_free(&b);

	/* Sent in this epoch already: the entry comes back as one that was not exported. */
	TEST_ASSERT(!__td_mig_export_mem(s, &good, 1, &b, NULL), "errno %d", errno);
	TEST_ASSERT_EQ(b.gpa_list[0], TD_BOOT_GPA |
		       (u64)TDX_MIG_GPA_STATUS_SKIPPED <<
		       TDX_MIG_GPA_ENTRY_STATUS_SHIFT);
	td_mig_bundle_free(&b);

	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, imports_refuse_bad_counts)
{
	const u32 cmds[] = {
		KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, KVM_TDX_MIG_IMPORT_MEM,
		KVM_TDX_MIG_IMPORT_STATE_TD, KVM_TDX_MIG_IMPORT_STATE_VP,
	};
	struct td_mig_stream *s;
	int i, at, done = 0;
	u64 nr;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	s = &self->d.streams[0];

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		at = td_mig_find_bundle(&self->m, cmds[i]);
		td_mig_import(&self->d, &self->m, done, at - 1);
		done = at;
		nr = 0;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		nr = s->buf_list_pages + 1;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		nr = BIT_ULL(32) | 1;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(s, cmds[i], 0, BAD_ADDRESS, NULL));
	}

	td_mig_import_rest(&self->d, &self->m, done);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, page_listed_twice_is_not_imported)
{
	struct td_mig_bundle *b;
	int mem;
	u64 gpa;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	mem = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_MEM);

	b = &self->m.bundles[mem];
	gpa = b->gpa_list[1];
	b->gpa_list[1] = b->gpa_list[0];
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->d.streams, b, NULL));
	b->gpa_list[1] = gpa;

	td_mig_import_rest(&self->d, &self->m, mem);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, result_that_cannot_be_written_is_reported)
{
	TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(&self->m.streams[0],
					     KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, 0, BAD_ADDRESS,
					     NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_TRACK, 0,
					     BAD_ADDRESS, NULL));
	/* The first of them has started the session. */
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

/* --------------------------------------------------------------------- vCPUs */

static int cmd_vcpu(struct td_mig_stream *s, u32 id, u32 vcpu_id, u64 nr_pages, u32 reserved)
{
	struct kvm_tdx_mig_state_vp vp = {
		.nr_pages = nr_pages,
		.vcpu_id = vcpu_id,
		.reserved = reserved,
	};

	return __td_mig_cmd(s, id, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, (u64)&vp, NULL);
}

TD_TEST_F(td_worker, vcpu_in_kvm_run_keeps_the_td_from_being_paused)
{
	struct td_worker_thread t;

	td_worker_begin(&self->w, &self->m, 1);
	td_worker_start(&t, &self->w, 0, TD_WORKER_WRITE_STORM, 0, TD_WORKER_NR_OLD);
	td_worker_wait(&t, 2);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE));
	td_worker_stop(&t, 1);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_mig, vcpu_that_is_exported_by_name_has_to_exist)
{
	struct td_mig_stream *s = &self->m.streams[0];

	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	TD_EXPECT_ERRNO(ENOENT, cmd_vcpu(s, KVM_TDX_MIG_EXPORT_STATE_VP, NO_VCPU, 0, 0));
	TD_EXPECT_ERRNO(EINVAL, cmd_vcpu(s, KVM_TDX_MIG_EXPORT_STATE_VP, self->vcpu->id, 0, 1));
	TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(s, KVM_TDX_MIG_EXPORT_STATE_VP,
					     KVM_TDX_MIG_STATE_VP_F_VCPU_ID, BAD_ADDRESS, NULL));
	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, vcpu_that_is_imported_by_name_exists_and_has_no_state)
{
	const u32 id = self->vcpu->id;
	struct td_mig_stream *s;
	struct td_mig_bundle *b;
	int at;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	at = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_STATE_VP);
	b = &self->m.bundles[at];
	s = td_mig_load_bundle(self->d.streams, b);
	TD_EXPECT_ERRNO(ENOENT, cmd_vcpu(s, b->import_cmd, NO_VCPU, b->nr, 0));
	TD_EXPECT_ERRNO(EINVAL, cmd_vcpu(s, b->import_cmd, id, b->nr, 1));
	TD_EXPECT_ERRNO(EINVAL, cmd_vcpu(s, b->import_cmd, id, 0, 0));
	TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(s, b->import_cmd, KVM_TDX_MIG_STATE_VP_F_VCPU_ID,
					     BAD_ADDRESS, NULL));
	TEST_ASSERT(!cmd_vcpu(s, b->import_cmd, id, b->nr, 0), "errno %d", errno);
	TD_EXPECT_ERRNO(EEXIST, cmd_vcpu(s, b->import_cmd, id, b->nr, 0));

	td_mig_import_rest(&self->d, &self->m, at + 1);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, vcpu_without_x2apic_is_not_imported)
{
	int at;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	at = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_STATE_VP);
	vcpu_clear_cpuid_feature(self->d.vcpus[0], X86_FEATURE_X2APIC);
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->d.streams, &self->m.bundles[at], NULL));
	vcpu_set_cpuid_feature(self->d.vcpus[0], X86_FEATURE_X2APIC);
	td_mig_import_rest(&self->d, &self->m, at);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, import_needs_a_vcpu)
{
	const struct td_mig_bundle *b;
	struct td_mig_stream s;
	struct kvm_vm *dst;

	td_mig_export_immutable(&self->m);
	dst = td_mig_next_dest(&self->m);
	td_mig_stream_open(&s, dst, 0, TDX_MIG_BUF_LIST_PAGES_MAX);
	b = &self->m.bundles[0];
	TD_EXPECT_ERRNO(ENOENT, __td_mig_import(&s, b, NULL));

	/* That is all that it lacks. */
	vcpu_init_cpuid(__vm_vcpu_add(dst, self->vcpu->id), self->vcpu->cpuid);
	TEST_ASSERT(!__td_mig_import(&s, b, NULL), "errno %d (%s)", errno, strerror(errno));
	td_mig_stream_close(&s);
	kvm_vm_free(dst);
}

/* ----------------------------------------- memory that goes away on the way */

static struct kvm_vm *create_src_with_pending_page(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 1, guest_accept_after_sync,
					vcpu);

	td_add_unaccepted_memory(vm, TD_SLOT_UNACCEPTED, LATE_GPA, 1);
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	td_pre_fault(*vcpu, LATE_GPA, PAGE_SIZE);
	return vm;
}

TD_MIG_FIXTURE_VARIANTS(pending_page, create_src_with_pending_page);
TD_MIG_VARIANT(pending_page, one_stream, 1);
TD_MIG_VARIANT(pending_page, two_streams, 2);

TD_TEST_F(pending_page, removed_page_cancels_the_export_and_the_source_goes_on)
{
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	td_mig_export_all_mem(&self->m);
	vm_guest_mem_punch_hole(self->vm, LATE_GPA, PAGE_SIZE);
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0],
						  KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_MEM));
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, removed_pages_end_the_import)
{
	struct stat st;
	int i, td;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_STATE_TD);

	for (i = 0; i < self->d.nr_gmem_fds; i++) {
		TEST_ASSERT(!fstat(self->d.gmem_fds[i], &st), "fstat() failed, errno %d", errno);
		kvm_fallocate(self->d.gmem_fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      st.st_size);
	}
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, &self->m.bundles[td], NULL));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END));
	TEST_ASSERT(__vcpu_run(self->d.vcpus[0]), "A TD without its memory runs");

	/* The source takes the TD back. */
	td_mig_return(&self->m, &self->d);
	td_vcpu_run_to_done(self->vcpu);
}

/* ------------------------------------------------------------ the two sides */

TD_TEST(destination_is_migratable_and_is_not_built_by_hand)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);
	struct kvm_vcpu *vcpu;

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_INIT_VM, KVM_TDX_INIT_VM_F_MIG_DEST,
					      init, NULL));
	init->attributes |= TDX_TD_ATTR_MIGRATABLE;
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, KVM_TDX_INIT_VM_F_MIG_DEST, init);
	free(init);

	vcpu = __vm_vcpu_add(vm, 0);
	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL));
	TEST_ASSERT(__vcpu_run(vcpu), "A destination without a TD runs");
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
