// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of a TD's shared memory, which the dirty log splits: they come back
 * when it is switched off, while private memory has none, whatever it was before.
 */
#include <linux/bitmap.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

/* Two ranges of a slot, each of which a huge page could map. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define PRIVATE_GPA		0x40000000UL
#define SHARED_GPA		(PRIVATE_GPA + SZ_2M)
#define SHARED_LAST_GPA		(SHARED_GPA + SZ_2M - PAGE_SIZE)
#define MEM_SIZE		(2UL * SZ_2M)
#define MEM_PAGES		(MEM_SIZE / PAGE_SIZE)
#define FIRST_SHARED		(SZ_2M / PAGE_SIZE)

#define PRIVATE_VALUE		0x0123456789abcdefUL
#define SHARED_VALUE		0xfedcba9876543210UL

/* The stages, by the log at the end of each. */
enum {
	LOG_IS_NEW,
	LOG_IS_ON,
	LOG_IS_OFF,
};

/* The first page of what is private in the end, while it is shared. */
static u64 *shared_for_a_while;
/* The first and the last page of the other range. */
static u64 *shared[2];

static void guest_write(u64 stage)
{
	int i;

	WRITE_ONCE(*(u64 *)PRIVATE_GPA, PRIVATE_VALUE + stage);
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		WRITE_ONCE(*shared[i], SHARED_VALUE + stage + i);
}

static void guest_check(u64 stage)
{
	int i;

	GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)PRIVATE_GPA), PRIVATE_VALUE + stage);
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		GUEST_ASSERT_EQ(READ_ONCE(*shared[i]), SHARED_VALUE + stage + i);
}

static void guest_code(void)
{
	u64 stage;

	/* A page that is shared among private ones needs a page table, which stays. */
	td_map_gpa(PRIVATE_GPA | TD_SHARED_BIT, PAGE_SIZE);
	WRITE_ONCE(*shared_for_a_while, SHARED_VALUE);
	td_map_gpa(PRIVATE_GPA, PAGE_SIZE);
	td_accept_pages(PRIVATE_GPA, 1);

	td_map_gpa(SHARED_GPA | TD_SHARED_BIT, SZ_2M);

	for (stage = LOG_IS_NEW; stage <= LOG_IS_OFF; stage++) {
		guest_write(stage);
		GUEST_SYNC(stage);
		guest_check(stage);
	}
	GUEST_DONE();
}

static struct kvm_vm *create_td(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES, guest_code, vcpu);

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);

	/* Unlike other memory of TDs, this is aligned for huge pages, on the host, too. */
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS_THP, PRIVATE_GPA, MEM_SLOT,
				    MEM_PAGES, KVM_MEM_GUEST_MEMFD);
	vm_phy_pages_alloc(vm, MEM_PAGES, PRIVATE_GPA, MEM_SLOT);
	vm_mem_set_private(vm, PRIVATE_GPA, MEM_SIZE);
	virt_map(vm, PRIVATE_GPA, PRIVATE_GPA, MEM_PAGES);

	write_guest_global(vm, shared_for_a_while,
			   (u64 *)td_map_shared_alias(vm, PRIVATE_GPA));
	write_guest_global(vm, shared[0], (u64 *)td_map_shared_alias(vm, SHARED_GPA));
	write_guest_global(vm, shared[1], (u64 *)td_map_shared_alias(vm, SHARED_LAST_GPA));
	td_launch(vm);
	return vm;
}

static void set_log(struct kvm_vm *vm, bool enable)
{
	vm_mem_region_set_flags(vm, MEM_SLOT, KVM_MEM_GUEST_MEMFD |
				(enable ? KVM_MEM_LOG_DIRTY_PAGES : 0));
}

/* All pages are dirty at first, and a huge page is split when it is clean. */
static void clear_log(struct kvm_vm *vm)
{
	DECLARE_BITMAP(dirty, MEM_PAGES);

	kvm_vm_get_dirty_log(vm, MEM_SLOT, dirty);
	TEST_ASSERT(test_bit(FIRST_SHARED, dirty), "Shared memory is clean at first");
	kvm_vm_clear_dirty_log(vm, MEM_SLOT, dirty, 0, MEM_PAGES);
}

static void check_log(struct kvm_vm *vm)
{
	DECLARE_BITMAP(dirty, MEM_PAGES);
	u64 page;

	kvm_vm_get_dirty_log(vm, MEM_SLOT, dirty);
	for (page = FIRST_SHARED; page < MEM_PAGES; page++)
		TEST_ASSERT(test_bit(page, dirty) ==
			    (page == FIRST_SHARED || page == MEM_PAGES - 1),
			    "Page %lu is %s", page, test_bit(page, dirty) ? "dirty" : "clean");
}

/* The host sees what the guest has shared. */
static void check_shared(struct kvm_vm *vm, u64 stage)
{
	TEST_ASSERT_EQ(*(u64 *)addr_gpa2hva(vm, SHARED_GPA), SHARED_VALUE + stage);
	TEST_ASSERT_EQ(*(u64 *)addr_gpa2hva(vm, SHARED_LAST_GPA), SHARED_VALUE + stage + 1);
}

TD_TEST(shared_memory_alone_gets_huge_pages_back_when_the_log_is_switched_off)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(&vcpu);

	td_vcpu_run_to_sync(vcpu, LOG_IS_NEW);
	check_shared(vm, LOG_IS_NEW);
	TEST_ASSERT_EQ(vm_get_stat(vm, pages_2m), 1);

	set_log(vm, true);
	clear_log(vm);
	td_vcpu_run_to_sync(vcpu, LOG_IS_ON);
	check_shared(vm, LOG_IS_ON);
	check_log(vm);
	TEST_ASSERT_EQ(vm_get_stat(vm, pages_2m), 0);

	set_log(vm, false);
	TEST_ASSERT_EQ(vm_get_stat(vm, pages_2m), 1);
	td_vcpu_run_to_sync(vcpu, LOG_IS_OFF);
	check_shared(vm, LOG_IS_OFF);
	TEST_ASSERT_EQ(vm_get_stat(vm, pages_2m), 1);

	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(thp_configured());

	return test_harness_run(argc, argv);
}
