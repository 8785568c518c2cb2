// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a migration stream refuses: sizes, offsets, wrong roles, wrong order,
 * counts and lists, each with its errno; and that it can be used afterwards.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define UNKNOWN_FLAG		BIT(31)
#define UNKNOWN_GROUP		(KVM_DEV_TDX_MIG_ATTR + 1)
#define BAD_ADDRESS		1UL
#define SMALL_NR_PAGES		16
#define LATE_GPA		0x40000000UL

#define MAP_PAGES(s)		(TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + (s)->buf_list_pages)

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

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

/* A migratable TD that stopped at its first sync. */
static struct kvm_vm *create_source(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_sync_and_done, vcpu);

	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	return vm;
}

static void run_and_free_source(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;

	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static int cmd(struct td_mig_stream *s, u32 id)
{
	u64 nr = 1;

	return __td_mig_cmd_nr(s, id, &nr, NULL);
}

/* --------------------------------------------------------------- the device */

TD_TEST(stream_is_for_tds_only)
{
	struct kvm_vm *vm = vm_create_barebones();

	TD_EXPECT_ERRNO(ENODEV, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	kvm_vm_free(vm);
}

TD_TEST(capability_tells_the_number_of_streams_before_there_is_a_vm)
{
	struct kvm_vm *vm = vm_create_barebones(), *td = td_create_barebones();
	struct kvm_tdx_capabilities *caps = td_get_capabilities(td);

	TEST_ASSERT(caps->mig.max_streams, "No streams");
	TEST_ASSERT_EQ(kvm_check_cap(KVM_CAP_X86_TDX_MIGRATION), caps->mig.max_streams);
	TEST_ASSERT_EQ(vm_check_cap(td, KVM_CAP_X86_TDX_MIGRATION), caps->mig.max_streams);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_X86_TDX_MIGRATION), 0);
	free(caps);
	kvm_vm_free(td);
	kvm_vm_free(vm);
}

TD_TEST(number_of_an_attribute_is_the_size_of_its_structure)
{
	struct kvm_dev_tdx_mig_attr attr[2] = {
		{ .version = KVM_DEV_TDX_MIG_ATTR_VERSION, .buf_list_pages = SMALL_NR_PAGES },
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;
	u64 size;

	td_mig_stream_create(&s, vm, 0);
	for (size = 0; size <= sizeof(attr); size++) {
		if (size == sizeof(attr[0]))
			continue;
		TD_EXPECT_ERRNO(ENXIO, __kvm_has_device_attr(s.fd, KVM_DEV_TDX_MIG_ATTR, size));
		TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_set(s.fd, KVM_DEV_TDX_MIG_ATTR, size,
							     attr));
		TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_get(s.fd, KVM_DEV_TDX_MIG_ATTR, size,
							     attr));
	}
	kvm_has_device_attr(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr[0]));
	kvm_device_attr_set(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr[0]), attr);
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(attributes_are_checked_and_set_once)
{
	struct kvm_dev_tdx_mig_attr attr = {};
	struct td_mig_stream s;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);

	td_mig_stream_create(&s, vm, 0);
	TD_EXPECT_ERRNO(ENXIO, __kvm_has_device_attr(s.fd, UNKNOWN_GROUP, sizeof(attr)));
	kvm_has_device_attr(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr));
	TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_get(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr),
						     &attr));

	attr.buf_list_pages = SMALL_NR_PAGES;
	TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_set(s.fd, UNKNOWN_GROUP, sizeof(attr), &attr));
	TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_set(s.fd, KVM_DEV_TDX_MIG_ATTR,
						     sizeof(attr) - 1, &attr));
	TD_EXPECT_ERRNO(ENXIO, __kvm_device_attr_set(s.fd, KVM_DEV_TDX_MIG_ATTR,
						     sizeof(attr) + 1, &attr));
	TD_EXPECT_ERRNO(EFAULT, __kvm_device_attr_set(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr),
						      (void *)BAD_ADDRESS));
	TD_EXPECT_ERRNO(EINVAL, __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION + 1,
							 SMALL_NR_PAGES));
	TD_EXPECT_ERRNO(E2BIG, __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION, 0));
	TD_EXPECT_ERRNO(E2BIG, __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION,
							TDX_MIG_BUF_LIST_PAGES_MAX + 1));

	TEST_ASSERT(!__td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION,
					      SMALL_NR_PAGES), "errno %d", errno);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION,
							 SMALL_NR_PAGES));
	attr = (struct kvm_dev_tdx_mig_attr) { .version = KVM_DEV_TDX_MIG_ATTR_VERSION + 1 };
	TD_EXPECT_ERRNO(EINVAL, __kvm_device_attr_get(s.fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr),
						      &attr));
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(one_buffer_page_is_raised_to_what_state_bundles_need)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;

	td_mig_stream_open(&s, vm, 0, 1);
	TEST_ASSERT(s.buf_list_pages > 1, "%u buffer pages", s.buf_list_pages);
	TEST_ASSERT(s.max_migs > 1, "%u streams", s.max_migs);
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

static void *map_stream(struct td_mig_stream *s, u32 first, u32 nr, int flags)
{
	return mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, s->fd,
		    (off_t)first * PAGE_SIZE);
}

static void expect_no_map(struct td_mig_stream *s, u32 first, u32 nr, int flags)
{
	TEST_ASSERT(map_stream(s, first, nr, flags) == MAP_FAILED,
		    "Pages %u + %u of %u could be mapped", first, nr, MAP_PAGES(s));
}

TD_TEST(mappings_are_shared_and_within_bounds)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;
	u32 i, nr;
	void *p;

	td_mig_stream_create(&s, vm, 0);
	expect_no_map(&s, 0, 1, MAP_SHARED);
	kvm_free_fd(s.fd);

	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	nr = MAP_PAGES(&s);
	expect_no_map(&s, 0, nr + 1, MAP_SHARED);
	expect_no_map(&s, nr, 1, MAP_SHARED);
	expect_no_map(&s, nr - 1, 2, MAP_SHARED);
	expect_no_map(&s, UINT_MAX, 1, MAP_SHARED);
	expect_no_map(&s, 0, 1, MAP_PRIVATE);

	for (i = 0; i < nr; i++) {
		p = map_stream(&s, i, 1, MAP_SHARED);
		TEST_ASSERT(p != MAP_FAILED, "Page %u cannot be mapped, errno %d", i, errno);
		*(u64 *)(s.map + i * PAGE_SIZE) = i;
		TEST_ASSERT_EQ(*(u64 *)p, i);
		TEST_ASSERT(mremap(p, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE) == MAP_FAILED,
			    "A mapping could grow");
		kvm_munmap(p, PAGE_SIZE);
	}
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(mappings_are_not_inherited_by_fork)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;
	int status;
	pid_t pid;

	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		/* The library has a handler of its own. */
		signal(SIGSEGV, SIG_DFL);
		s.mbmd->size = 1;
		_exit(0);
	}
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		    "The child reached the buffers, status 0x%x", status);
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(mapping_outlives_the_stream)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;

	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	kvm_free_fd(s.fd);
	memset(s.map, 0xff, MAP_PAGES(&s) * PAGE_SIZE);
	kvm_munmap(s.map, MAP_PAGES(&s) * PAGE_SIZE);
	run_and_free_source(vcpu);
}

/* ----------------------------------------------------------------- commands */

TD_TEST(malformed_commands_are_refused)
{
	union {
		struct kvm_tdx_cmd c;
		unsigned long raw;
	} c = { .c = { .id = KVM_TDX_MIG_EXPORT_PAUSE, .hw_error = 1 } };
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;
	u32 id;

	td_mig_stream_create(&s, vm, 0);
	TD_EXPECT_ERRNO(ENXIO, cmd(&s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	kvm_free_fd(s.fd);

	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	TD_EXPECT_ERRNO(EINVAL, ioctl(s.fd, KVM_MEMORY_ENCRYPT_OP, &c.raw));
	TD_EXPECT_ERRNO(EFAULT, ioctl(s.fd, KVM_MEMORY_ENCRYPT_OP, BAD_ADDRESS));
	TD_EXPECT_ERRNO(ENOTTY, cmd(&s, KVM_TDX_MIG_CMD_NR_MAX));
	TD_EXPECT_ERRNO(ENOTTY, cmd(&s, ~0U));
	for (id = 0; id < KVM_TDX_MIG_CMD_NR_MAX; id++)
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd(&s, id, UNKNOWN_FLAG, 0, NULL));
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(commands_of_the_other_side_are_refused)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_dest d;
	struct td_mig m;
	int i;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	for (i = 0; i < ARRAY_SIZE(import_cmds); i++)
		TD_EXPECT_ERRNO(EINVAL, cmd(&m.streams[0], import_cmds[i]));
	for (i = 0; i < ARRAY_SIZE(export_cmds); i++)
		TD_EXPECT_ERRNO(EINVAL, cmd(&d.streams[0], export_cmds[i]));

	td_mig_export(&m);
	td_mig_import(&d, &m, 0, m.nr_bundles - 1);
	td_mig_import_end(&d);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(commands_of_stream_0_are_refused_on_others)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig m;
	int i;

	td_mig_init(&m, vm, &vcpu, 1, 2);
	for (i = 0; i < ARRAY_SIZE(stream0_cmds); i++)
		TD_EXPECT_ERRNO(EINVAL, cmd(&m.streams[1], stream0_cmds[i]));
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

TD_TEST(nothing_but_the_immutable_state_starts_a_session)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_dest d;
	struct td_mig m;
	int i;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	for (i = 1; i < ARRAY_SIZE(export_cmds); i++)
		TD_EXPECT_ERRNO(EBUSY, cmd(&m.streams[0], export_cmds[i]));
	for (i = 1; i < ARRAY_SIZE(import_cmds); i++)
		TD_EXPECT_ERRNO(EBUSY, cmd(&d.streams[0], import_cmds[i]));
	td_mig_dest_free(&d);
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

TD_TEST(session_needs_a_key)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream s;
	u64 nr, hw_error;

	td_mig_stream_open(&s, vm, 0, SMALL_NR_PAGES);
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &nr,
					     &hw_error));
	TEST_ASSERT_EQ(hw_error, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);
	td_mig_stream_close(&s);
	run_and_free_source(vcpu);
}

TD_TEST(export_commands_keep_their_order)
{
	const u64 start_token = TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream *s;
	struct td_mig m;
	u64 nr;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	s = &m.streams[0];

	td_mig_export_immutable(&m);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_STATE_VP));
	nr = start_token;
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));
	nr = start_token | 1;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));

	td_mig_export_pause(&m);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_PAUSE));
	td_mig_export_all_mem(&m);
	td_mig_export_td_and_vcpus(&m);
	TD_EXPECT_ERRNO(ENOENT, cmd(s, KVM_TDX_MIG_EXPORT_STATE_VP));

	td_mig_export_start_token(&m);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_PAUSE));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_EXPORT_STATE_TD));
	nr = start_token;
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &nr, NULL));
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(import_commands_keep_their_order)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream *s;
	struct td_mig_dest d;
	struct td_mig m;
	int mem, td;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	s = &d.streams[0];
	mem = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD);

	td_mig_import(&d, &m, 0, mem - 1);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_STATE_VP));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_END));

	td_mig_import(&d, &m, mem, td);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_STATE_TD));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_END));
	TEST_ASSERT(__vcpu_run(d.vcpus[0]), "A TD without its vCPU state runs");

	td_mig_import(&d, &m, td + 1, m.nr_bundles - 2);
	TD_EXPECT_ERRNO(ENOENT, cmd(s, KVM_TDX_MIG_IMPORT_STATE_VP));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));

	td_mig_import(&d, &m, m.nr_bundles - 1, m.nr_bundles - 1);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(d.vcpus[0]));
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT);
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EBUSY, cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_END);
	/* From now on it is a TD like any other. */
	TD_EXPECT_ERRNO(EINVAL, cmd(s, KVM_TDX_MIG_IMPORT_END));
	TD_EXPECT_ERRNO(EINVAL, cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(memory_export_refuses_bad_counts_and_lists)
{
	const u64 migrate = (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	const u64 good = TD_BOOT_GPA | migrate;
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
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream *s;
	struct td_mig m;
	u64 nr;
	int i;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	s = &m.streams[0];
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);

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
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

TD_TEST(imports_refuse_bad_counts)
{
	const u32 cmds[] = {
		KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, KVM_TDX_MIG_IMPORT_MEM,
		KVM_TDX_MIG_IMPORT_STATE_TD, KVM_TDX_MIG_IMPORT_STATE_VP,
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream *s;
	struct td_mig_dest d;
	struct td_mig m;
	int i, at, done = 0;
	u64 nr;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	s = &d.streams[0];

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		at = td_mig_find_bundle(&m, cmds[i]);
		td_mig_import(&d, &m, done, at - 1);
		done = at;
		nr = 0;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		nr = s->buf_list_pages + 1;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		nr = BIT_ULL(32) | 1;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, cmds[i], &nr, NULL));
		TD_EXPECT_ERRNO(EFAULT, __td_mig_cmd(s, cmds[i], 0, BAD_ADDRESS, NULL));
	}

	td_mig_import(&d, &m, done, m.nr_bundles - 1);
	td_mig_import_end(&d);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(streams_are_fixed_while_a_session_is_under_way)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_stream late;
	struct td_mig m;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	td_mig_stream_create(&late, vm, 1);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_stream_set_attr(&late, KVM_DEV_TDX_MIG_ATTR_VERSION,
							SMALL_NR_PAGES));
	td_mig_stream_close(&late);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

TD_TEST(page_listed_twice_is_not_imported)
{
	struct td_mig_bundle *b;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_dest d;
	struct td_mig m;
	int mem;
	u64 gpa;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	mem = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_MEM);
	td_mig_import(&d, &m, 0, mem - 1);

	b = &m.bundles[mem];
	gpa = b->gpa_list[1];
	b->gpa_list[1] = b->gpa_list[0];
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(d.streams, b, NULL));
	b->gpa_list[1] = gpa;

	td_mig_import(&d, &m, mem, m.nr_bundles - 1);
	td_mig_import_end(&d);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ----------------------------------------- memory that goes away on the way */

static void guest_accept_after_sync(void)
{
	GUEST_SYNC(1);
	td_accept_pages(LATE_GPA, 1);
	GUEST_DONE();
}

TD_TEST(removed_page_cancels_the_export_and_the_source_goes_on)
{
	struct kvm_pre_fault_memory range = { .gpa = LATE_GPA, .size = PAGE_SIZE };
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 1, guest_accept_after_sync,
					&vcpu);
	struct td_mig m;

	td_add_unaccepted_memory(vm, TD_SLOT_UNACCEPTED, LATE_GPA, 1);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	while (range.size)
		vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);
	td_mig_export_all_mem(&m);
	vm_guest_mem_punch_hole(vm, LATE_GPA, PAGE_SIZE);
	TD_EXPECT_ERRNO(ECANCELED, cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(ECANCELED, cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_MEM));
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

TD_TEST(removed_pages_end_the_import)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_source(&vcpu);
	struct td_mig_dest d;
	struct td_mig m;
	struct stat st;
	int i, td;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	td = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD);
	td_mig_import(&d, &m, 0, td - 1);

	for (i = 0; i < d.nr_gmem_fds; i++) {
		TEST_ASSERT(!fstat(d.gmem_fds[i], &st), "fstat() failed, errno %d", errno);
		kvm_fallocate(d.gmem_fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      st.st_size);
	}
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &m.bundles[td], NULL));
	TD_EXPECT_ERRNO(EIO, cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_END));
	TEST_ASSERT(__vcpu_run(d.vcpus[0]), "A TD without its memory runs");

	/* The source takes the TD back. */
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*m.streams[0].mbmd = *d.streams[0].mbmd;
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	run_and_free_source(vcpu);
}

/* ------------------------------------------------------------ the two sides */

TD_TEST(td_that_is_not_migratable_gets_no_stream)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);

	TD_EXPECT_ERRNO(EINVAL, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	TD_EXPECT_ERRNO(EINVAL, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	run_and_free_source(vcpu);
}

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
