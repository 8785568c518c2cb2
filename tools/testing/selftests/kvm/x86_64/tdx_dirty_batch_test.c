// SPDX-License-Identifier: GPL-2.0-only
/*
 * One KVM_CLEAR_DIRTY_LOG blocks more pages than the TDX module blocks in one go.  In
 * between, pages that were blocked before are exported over a stream, which the TDX
 * module refuses until the TLB entries of those that have just been blocked are gone.
 */
#include <linux/bitmap.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
/* Pages that are blocked at first and sent one by one, and those that are blocked then. */
#define NR_SENT			256UL
#define NR_BLOCKED		2048UL
#define NR_PAGES		(NR_SENT + NR_BLOCKED)

static u64 *guest_page(u64 page)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE);
}

static void guest_fill_and_check(void)
{
	u64 page;

	td_accept_pages(MEM_GPA, NR_PAGES);
	for (page = 0; page < NR_PAGES; page++)
		*guest_page(page) = page + 1;
	GUEST_SYNC(1);
	for (page = 0; page < NR_PAGES; page++)
		GUEST_ASSERT_EQ(*guest_page(page), page + 1);
	GUEST_DONE();
}

static struct kvm_vm *create_large_src(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, NR_PAGES,
					guest_fill_and_check, vcpu);

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, NR_PAGES);
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	return vm;
}

TD_MIG_FIXTURE(large_td, create_large_src);

/* Clear the bits that are set in @word, and that repeats itself. */
static void clear_log(struct kvm_vm *vm, u64 first, u64 nr, unsigned long word)
{
	unsigned long bitmap[NR_PAGES / BITS_PER_LONG];
	u64 i;

	for (i = 0; i < nr / BITS_PER_LONG; i++)
		bitmap[i] = word;
	kvm_vm_clear_dirty_log(vm, MEM_SLOT, bitmap, first, nr);
}

struct sender {
	struct td_mig_stream *stream;
	u64 nr_sent;
	bool may_go_on;
};

static void *send_one_by_one(void *arg)
{
	struct sender *s = arg;
	struct td_mig_bundle b;
	u64 page, entry, hw_error;
	int ret;

	for (page = 0; page < NR_SENT; page++) {
		entry = td_gpa_entry(MEM_GPA + page * PAGE_SIZE, TDX_MIG_GPA_OP_MIGRATE);
		ret = __td_mig_export_mem(s->stream, &entry, 1, &b, &hw_error);
		TEST_ASSERT(!ret, "Page %lu: errno %d (%s), hw_error 0x%lx", page, errno,
			    strerror(errno), hw_error);
		TEST_ASSERT(td_gpa_entry_op(b.gpa_list[0]) == TDX_MIG_GPA_OP_MIGRATE,
			    "Page %lu: entry 0x%lx", page, b.gpa_list[0]);
		td_mig_bundle_free(&b);
		WRITE_ONCE(s->nr_sent, page + 1);
		while (!READ_ONCE(s->may_go_on))
			;
	}
	return NULL;
}

TD_TEST_F(large_td, pages_are_exported_while_others_are_blocked)
{
	struct sender s = { .stream = self->m.streams };
	pthread_t thread;

	vm_mem_region_set_flags(self->vm, MEM_SLOT, KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES);
	td_mig_export_immutable(&self->m);
	clear_log(self->vm, 0, NR_SENT, ~0UL);

	kvm_pthread_create(&thread, NULL, send_one_by_one, &s);
	while (!READ_ONCE(s.nr_sent))
		;
	/* Who waits for mmu_lock gets it before the next pages are blocked. */
	WRITE_ONCE(s.may_go_on, true);
	/* Of such words, no number makes what the TDX module blocks in one go. */
	clear_log(self->vm, NR_SENT, NR_BLOCKED, ~1UL);
	kvm_pthread_join(thread, NULL);

	td_mig_cmd(self->m.streams, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return test_harness_run(argc, argv);
}
