// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs with dirty rings in KVM selftests.
 */
#include <linux/bitmap.h>

#include <asm/barrier.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_dirty_ring.h"
#include "tdx_mig_util.h"

/* Initial memory of the TD: code, stacks and page tables. */
#define TD_RING_IMAGE_PAGES	1024UL

/*
 * The capability for the bitmap has to come before all memory, so the TD is
 * created in the steps of the library.
 */
struct kvm_vm *td_create_with_ring(u32 nr_entries, void *guest_code, struct kvm_vcpu **vcpu)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_TDX_VM,
	};
	struct kvm_vm *vm = ____vm_create(shape);
	int i;

	vm_enable_dirty_ring(vm, nr_entries * sizeof(struct kvm_dirty_gfn));
	vm_enable_cap(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0);
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, 0, 0, TD_RING_IMAGE_PAGES,
				    KVM_MEM_GUEST_MEMFD);
	for (i = 0; i < NR_MEM_REGIONS; i++)
		vm->memslots[i] = 0;
	kvm_vm_elf_load(vm, program_invocation_name);
	ucall_init(vm, TD_RING_IMAGE_PAGES * vm->page_size);
	kvm_arch_vm_post_create(vm, 1);

	td_init_vm(vm, TDX_TD_ATTR_MIGRATABLE);
	*vcpu = vm_vcpu_add(vm, 0, guest_code);
	td_migtd_bind(td_mig_src_migtd(), vm, 0);
	vcpu_map_dirty_ring(*vcpu);
	return vm;
}

u32 td_ring_harvest(struct td_ring *r, unsigned long *bitmap)
{
	struct kvm_dirty_gfn *gfns = vcpu_map_dirty_ring(r->vcpu), *gfn;
	u32 nr = 0;

	for (;; nr++, r->next++) {
		gfn = &gfns[r->next % r->vcpu->dirty_gfns_count];
		/* Read the entry after its flags, which KVM writes last. */
		if (smp_load_acquire(&gfn->flags) != KVM_DIRTY_GFN_F_DIRTY)
			return nr;

		TEST_ASSERT_EQ(gfn->slot, r->slot);
		TEST_ASSERT(gfn->offset < r->nr_pages, "Offset %llu", gfn->offset);
		__set_bit(gfn->offset, bitmap);
		/* KVM may use the entry again once it sees this. */
		smp_store_release(&gfn->flags, KVM_DIRTY_GFN_F_RESET);
	}
}
