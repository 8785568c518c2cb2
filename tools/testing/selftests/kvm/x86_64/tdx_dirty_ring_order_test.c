// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the dirty log of private memory needs: manual protection, and a bitmap
 * beside the dirty rings, if there are any.  Userspace can ask for all of this in
 * any order, and must not get one without the other.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define MEM_SLOT		1
#define MEM_GPA			0x40000000UL

#define RING_SIZE		(4096 * sizeof(struct kvm_dirty_gfn))

enum step {
	ENABLE_RING,
	ENABLE_BITMAP,
	ENABLE_MANUAL,
	ADD_SLOT,
	LOG_SLOT,
	NR_STEPS,
};

static const char * const step_names[] = { "ring", "bitmap", "manual", "slot", "log" };

/* What has been done to a VM. */
struct setup {
	struct kvm_vm *vm;
	struct kvm_userspace_memory_region2 region;
	bool done[NR_STEPS];
};

static int set_slot(struct setup *s, u32 flags)
{
	s->region.flags = KVM_MEM_GUEST_MEMFD | flags;
	return __vm_ioctl(s->vm, KVM_SET_USER_MEMORY_REGION2, &s->region);
}

static int do_step(struct setup *s, enum step step)
{
	switch (step) {
	case ENABLE_RING:
		return __vm_enable_cap(s->vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
				       RING_SIZE);
	case ENABLE_BITMAP:
		return __vm_enable_cap(s->vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0);
	case ENABLE_MANUAL:
		return __vm_enable_cap(s->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				       KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	case ADD_SLOT:
		/* As it is, if it is there. */
		return set_slot(s, s->done[LOG_SLOT] ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	default:
		/* Adds the slot, if it is not. */
		return set_slot(s, KVM_MEM_LOG_DIRTY_PAGES);
	}
}

static bool may_do(const struct setup *s, enum step step)
{
	switch (step) {
	case ENABLE_RING:
		return !s->done[LOG_SLOT];
	case ENABLE_BITMAP:
		return s->done[ENABLE_RING] && !s->done[ADD_SLOT];
	case LOG_SLOT:
		return s->done[ENABLE_MANUAL] &&
		       (!s->done[ENABLE_RING] || s->done[ENABLE_BITMAP]);
	default:
		return true;
	}
}

static void setup_create(struct setup *s)
{
	*s = (struct setup) { .vm = td_create_barebones() };
	td_init_vm(s->vm, TDX_TD_ATTR_MIGRATABLE);
	s->region = (struct kvm_userspace_memory_region2) {
		.slot = MEM_SLOT,
		.guest_phys_addr = MEM_GPA,
		.memory_size = PAGE_SIZE,
		.userspace_addr = MEM_GPA,
		.guest_memfd = vm_create_guest_memfd(s->vm, PAGE_SIZE, 0),
	};
}

static void setup_free(struct setup *s)
{
	kvm_free_fd(s->region.guest_memfd);
	kvm_vm_free(s->vm);
}

static void try_order(const enum step *order)
{
	struct setup s;
	int i, ret;

	setup_create(&s);
	for (i = 0; i < NR_STEPS; i++) {
		const bool ok = may_do(&s, order[i]);

		ret = do_step(&s, order[i]);
		TEST_ASSERT(ok ? !ret : ret == -1 && errno == EINVAL,
			    "Step %s after %s, %s, %s, %s: returned %d, errno %d",
			    step_names[order[i]], i > 0 ? step_names[order[0]] : "-",
			    i > 1 ? step_names[order[1]] : "-",
			    i > 2 ? step_names[order[2]] : "-",
			    i > 3 ? step_names[order[3]] : "-", ret, errno);
		if (!ok)
			continue;
		s.done[order[i]] = true;
		if (order[i] == LOG_SLOT)
			s.done[ADD_SLOT] = true;
	}
	setup_free(&s);
}

static void try_orders(enum step *order, int nr)
{
	enum step tmp;
	int i;

	if (nr == NR_STEPS) {
		try_order(order);
		return;
	}
	for (i = nr; i < NR_STEPS; i++) {
		tmp = order[nr];
		order[nr] = order[i];
		order[i] = tmp;
		try_orders(order, nr + 1);
		order[i] = order[nr];
		order[nr] = tmp;
	}
}

TD_TEST(ring_without_bitmap_and_log_exclude_each_other_in_any_order)
{
	enum step order[] = { ENABLE_RING, ENABLE_BITMAP, ENABLE_MANUAL, ADD_SLOT, LOG_SLOT };

	try_orders(order, 0);
}

TD_TEST(what_a_logged_slot_needs_stays_until_the_log_is_off)
{
	struct setup s;

	setup_create(&s);
	TEST_ASSERT(!do_step(&s, ENABLE_MANUAL) && !do_step(&s, LOG_SLOT), "errno %d", errno);
	TD_EXPECT_ERRNO(EINVAL, __vm_enable_cap(s.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0));
	TD_EXPECT_ERRNO(EINVAL, do_step(&s, ENABLE_RING));

	vm_enable_cap(s.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);

	TEST_ASSERT(!set_slot(&s, 0), "errno %d", errno);
	TEST_ASSERT(!do_step(&s, ENABLE_RING), "errno %d", errno);
	TD_EXPECT_ERRNO(EINVAL, do_step(&s, LOG_SLOT));
	vm_enable_cap(s.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0);

	/* Without memory, nothing stands in the way of a bitmap. */
	s.region.memory_size = 0;
	TEST_ASSERT(!set_slot(&s, 0), "errno %d", errno);
	s.region.memory_size = PAGE_SIZE;
	TEST_ASSERT(!do_step(&s, ENABLE_BITMAP) && !do_step(&s, ENABLE_MANUAL) &&
		    !do_step(&s, LOG_SLOT), "errno %d", errno);
	setup_free(&s);
}

TD_TEST(other_vms_have_no_bitmap_beside_the_ring)
{
	struct kvm_vm *vm = td_create_barebones();

	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 1);
	kvm_vm_free(vm);

	vm = vm_create_barebones();
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
	vm_enable_dirty_ring(vm, RING_SIZE);
	TD_EXPECT_ERRNO(EINVAL, __vm_enable_cap(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0));
	kvm_vm_free(vm);
	TEST_ASSERT_EQ(kvm_check_cap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL));

	return test_harness_run(argc, argv);
}
