// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens beside the building of a TD: leaves that need the TD for themselves
 * are executed while memory of the same VM is taken away, or userspace changes its
 * mind.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define MEASURED_SLOT	1
#define MEASURED_GPA	0x40000000UL
#define MEASURED_PAGES	16UL

/* Private pages in a file of their own, in which holes are punched. */
#define HOLES_SLOT	2
#define HOLES_GPA	0x80000000UL
#define HOLES_PAGES	192UL

struct build {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	void *mem;
	int measured_fd, holes_fd;

	pthread_t thread;
	u64 nr_holes;
	bool stop;
};

static int add_slot(struct build *b, u32 slot, gpa_t gpa, u64 nr_pages)
{
	int fd = vm_create_guest_memfd(b->vm, nr_pages * PAGE_SIZE, 0);

	vm_set_user_memory_region2(b->vm, slot, KVM_MEM_GUEST_MEMFD, gpa, nr_pages * PAGE_SIZE,
				   b->mem, fd, 0);
	vm_mem_set_private(b->vm, gpa, nr_pages * PAGE_SIZE);
	return fd;
}

static void *punch_holes(void *arg)
{
	struct build *b = arg;
	u64 page;

	for (page = 0; page < HOLES_PAGES && !READ_ONCE(b->stop); page++) {
		TEST_ASSERT(!fallocate(b->holes_fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				       page * PAGE_SIZE, PAGE_SIZE),
			    "No hole at page %lu, errno %d", page, errno);
		WRITE_ONCE(b->nr_holes, page + 1);
	}
	return NULL;
}

static void build_start(struct build *b)
{
	*b = (struct build) { .vm = td_create_barebones() };
	td_init_vm(b->vm, 0);
	b->vcpu = __vm_vcpu_add(b->vm, 0);
	vcpu_init_cpuid(b->vcpu, kvm_get_supported_cpuid());
	td_vcpu_ioctl(b->vcpu, KVM_TDX_INIT_VCPU, 0, 0);

	b->mem = kvm_mmap(HOLES_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(b->mem, 1, HOLES_PAGES * PAGE_SIZE);
	b->measured_fd = add_slot(b, MEASURED_SLOT, MEASURED_GPA, MEASURED_PAGES);
	b->holes_fd = add_slot(b, HOLES_SLOT, HOLES_GPA, HOLES_PAGES);
	td_init_mem_region(b->vcpu, HOLES_GPA, b->mem, HOLES_PAGES, 0);

	kvm_pthread_create(&b->thread, NULL, punch_holes, b);
}

static void build_end(struct build *b)
{
	WRITE_ONCE(b->stop, true);
	kvm_pthread_join(b->thread, NULL);
	close(b->measured_fd);
	close(b->holes_fd);
	kvm_vm_free(b->vm);
	kvm_munmap(b->mem, HOLES_PAGES * PAGE_SIZE);
}

TD_TEST(holes_are_punched_in_one_file_while_memory_of_another_is_measured)
{
	struct build b;
	int i, ret;

	for (i = 0; i < 5; i++) {
		build_start(&b);
		ret = __td_init_mem_region(b.vcpu, MEASURED_GPA, b.mem, MEASURED_PAGES,
					   KVM_TDX_MEASURE_MEMORY_REGION);
		TEST_ASSERT(!ret, "Round %d, after %lu holes: errno %d", i, b.nr_holes, errno);
		build_end(&b);
	}
}

TD_TEST(holes_are_punched_while_the_td_is_finalized)
{
	struct build b;
	u64 hw_error;
	u64 i;
	int ret;

	for (i = 0; i < 40; i++) {
		build_start(&b);
		while (READ_ONCE(b.nr_holes) < i % 8)
			cpu_relax();
		ret = __td_vm_ioctl(b.vm, KVM_TDX_FINALIZE_VM, 0, NULL, &hw_error);
		TEST_ASSERT(!ret, "Round %lu, after %lu holes: errno %d, hw_error 0x%lx", i,
			    b.nr_holes, errno, hw_error);
		build_end(&b);
	}
}

/* The default frequency of the VM can still be changed, but it is not the TD's. */
TD_TEST(vcpu_has_the_frequency_with_which_the_td_was_initialized)
{
	struct kvm_vm *vm = td_create_barebones();
	int khz = __vm_ioctl(vm, KVM_GET_TSC_KHZ, NULL);
	struct kvm_vcpu *vcpu;

	td_init_vm(vm, 0);
	TEST_ASSERT(khz != 1000000, "The host runs at the other frequency");
	__vm_ioctl(vm, KVM_SET_TSC_KHZ, (void *)1000000UL);
	vcpu = __vm_vcpu_add(vm, 0);
	TEST_ASSERT_EQ(__vcpu_ioctl(vcpu, KVM_GET_TSC_KHZ, NULL), khz);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());

	return test_harness_run(argc, argv);
}
