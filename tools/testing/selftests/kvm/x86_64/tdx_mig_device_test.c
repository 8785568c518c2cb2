// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device of a migration stream: which VMs have one, how many of them, its
 * attributes and its mappings.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define UNKNOWN_GROUP		(KVM_DEV_TDX_MIG_ATTR + 1)
#define BAD_ADDRESS		1UL
#define SMALL_NR_PAGES		16

#define MAP_PAGES(s)		(TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + (s)->buf_list_pages)

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

TD_SRC_FIXTURE(td_src, td_mig_create_plain_src);
TD_MIG_FIXTURE(td_mig, td_mig_create_plain_src);

/* ----------------------------------------------------------- who has a stream */

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

TD_TEST(td_that_is_not_migratable_gets_no_stream)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);

	TD_EXPECT_ERRNO(EINVAL, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	TD_EXPECT_ERRNO(EINVAL, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

TD_TEST(td_that_is_not_initialized_gets_no_stream)
{
	struct kvm_vm *vm = td_create_barebones();

	TD_EXPECT_ERRNO(EINVAL, __kvm_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
	kvm_vm_free(vm);
}

TD_TEST_F(td_src, td_has_as_many_streams_as_the_host_says)
{
	struct kvm_tdx_capabilities *caps;
	struct td_mig_stream *streams;
	u32 i, nr;

	caps = td_get_capabilities(self->vm);
	nr = caps->mig.max_streams;
	free(caps);
	TEST_ASSERT(nr, "No streams");

	streams = calloc(nr, sizeof(*streams));
	TEST_ASSERT(streams, "Insufficient Memory");
	for (i = 0; i < nr; i++)
		td_mig_stream_create(&streams[i], self->vm, i);
	TD_EXPECT_ERRNO(ENOSPC, __kvm_create_device(self->vm, KVM_DEV_TYPE_TDX_MIG_STREAM));

	/* The number of one that is closed is free for another one. */
	td_mig_stream_close(&streams[0]);
	td_mig_stream_create(&streams[0], self->vm, 0);

	/* The last one makes the TDX module create all of them. */
	TEST_ASSERT(!__td_mig_stream_set_attr(&streams[nr - 1], KVM_DEV_TDX_MIG_ATTR_VERSION, 1),
		    "No attributes for stream %u, errno %d", nr - 1, errno);
	for (i = 0; i < nr; i++)
		td_mig_stream_close(&streams[i]);
	free(streams);
	td_vcpu_run_to_done(self->vcpu);
}

/* ---------------------------------------------------------------- attributes */

TD_TEST_F(td_src, number_of_an_attribute_is_the_size_of_its_structure)
{
	struct kvm_dev_tdx_mig_attr attr[2] = {
		{ .version = KVM_DEV_TDX_MIG_ATTR_VERSION, .buf_list_pages = SMALL_NR_PAGES },
	};
	struct td_mig_stream s;
	u64 size;

	td_mig_stream_create(&s, self->vm, 0);
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
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, attributes_are_checked_and_set_once)
{
	struct kvm_dev_tdx_mig_attr attr = {};
	struct td_mig_stream s;

	td_mig_stream_create(&s, self->vm, 0);
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
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, attributes_take_no_flags_and_no_bad_address)
{
	struct kvm_dev_tdx_mig_attr mig_attr = {
		.version = KVM_DEV_TDX_MIG_ATTR_VERSION,
		.buf_list_pages = SMALL_NR_PAGES,
	};
	struct kvm_device_attr attr = {
		.group = KVM_DEV_TDX_MIG_ATTR,
		.attr = sizeof(mig_attr),
		.addr = (u64)&mig_attr,
	};
	struct td_mig_stream s;

	td_mig_stream_create(&s, self->vm, 0);
	attr.flags = 1;
	TD_EXPECT_ERRNO(EINVAL, ioctl(s.fd, KVM_SET_DEVICE_ATTR, &attr));
	attr.flags = 0;
	TEST_ASSERT(!ioctl(s.fd, KVM_SET_DEVICE_ATTR, &attr), "errno %d", errno);
	attr.flags = 1;
	TD_EXPECT_ERRNO(EINVAL, ioctl(s.fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.flags = 0;
	attr.addr = BAD_ADDRESS;
	TD_EXPECT_ERRNO(EFAULT, ioctl(s.fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.addr = (u64)&mig_attr;
	TEST_ASSERT(!ioctl(s.fd, KVM_GET_DEVICE_ATTR, &attr), "errno %d", errno);
	td_mig_stream_close(&s);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, one_buffer_page_is_raised_to_what_state_bundles_need)
{
	struct td_mig_stream s;

	td_mig_stream_open(&s, self->vm, 0, 1);
	TEST_ASSERT(s.buf_list_pages > 1, "%u buffer pages", s.buf_list_pages);
	TEST_ASSERT(s.max_migs > 1, "%u streams", s.max_migs);
	td_mig_stream_close(&s);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, streams_are_fixed_while_a_session_is_under_way)
{
	struct td_mig_stream late;

	td_mig_export_immutable(&self->m);
	td_mig_stream_create(&late, self->vm, 1);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_stream_set_attr(&late, KVM_DEV_TDX_MIG_ATTR_VERSION,
							SMALL_NR_PAGES));
	td_mig_stream_close(&late);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, streams_are_fixed_while_an_import_is_under_way)
{
	struct td_mig_stream late;

	td_mig_export_immutable(&self->m);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import(&self->d, &self->m, 0, 0);
	td_mig_stream_create(&late, self->d.vm, 1);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_stream_set_attr(&late, KVM_DEV_TDX_MIG_ATTR_VERSION,
							SMALL_NR_PAGES));
	td_mig_stream_close(&late);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

/* ------------------------------------------------------------------ mappings */

static void *map_stream(struct td_mig_stream *s, u32 first, u32 nr, int flags)
{
	return mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, s->fd,
		    (off_t)first * PAGE_SIZE);
}

static void expect_no_map(int expected, struct td_mig_stream *s, u32 first, u32 nr, int flags)
{
	TEST_ASSERT(map_stream(s, first, nr, flags) == MAP_FAILED,
		    "Pages %u + %u of %u could be mapped", first, nr, MAP_PAGES(s));
	TEST_ASSERT(errno == expected, "Pages %u + %u of %u: errno %d (%s), expected %d", first,
		    nr, MAP_PAGES(s), errno, strerror(errno), expected);
}

TD_TEST_F(td_src, mappings_are_shared_and_within_bounds)
{
	struct td_mig_stream s;
	u32 i, nr;
	void *p;

	td_mig_stream_create(&s, self->vm, 0);
	expect_no_map(ENXIO, &s, 0, 1, MAP_SHARED);
	kvm_free_fd(s.fd);

	td_mig_stream_open(&s, self->vm, 0, SMALL_NR_PAGES);
	nr = MAP_PAGES(&s);
	expect_no_map(EINVAL, &s, 0, nr + 1, MAP_SHARED);
	expect_no_map(EINVAL, &s, nr, 1, MAP_SHARED);
	expect_no_map(EINVAL, &s, nr - 1, 2, MAP_SHARED);
	expect_no_map(EINVAL, &s, UINT_MAX, 1, MAP_SHARED);
	expect_no_map(EINVAL, &s, 0, 1, MAP_PRIVATE);

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
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, mappings_are_not_inherited_by_fork)
{
	struct td_mig_stream s;
	int status;
	pid_t pid;

	td_mig_stream_open(&s, self->vm, 0, SMALL_NR_PAGES);
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
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_src, mapping_outlives_the_stream)
{
	struct td_mig_stream s;

	td_mig_stream_open(&s, self->vm, 0, SMALL_NR_PAGES);
	kvm_free_fd(s.fd);
	memset(s.map, 0xff, MAP_PAGES(&s) * PAGE_SIZE);
	kvm_munmap(s.map, MAP_PAGES(&s) * PAGE_SIZE);
	td_vcpu_run_to_done(self->vcpu);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
