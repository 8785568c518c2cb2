// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: the destination VM.
 *
 * It has the memory slots of the source.  Private memory is its own; shared
 * memory is the source's, mapped at the same host address, so that ucalls work
 * on after the migration.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

static void td_mig_dest_add_slot(struct td_mig_dest *d, struct userspace_mem_region *region)
{
	struct kvm_userspace_memory_region2 *r = &region->region;
	sparsebit_idx_t first, last;
	int fd;

	TEST_ASSERT(d->nr_gmem_fds < TD_MIG_MAX_SLOTS, "Too many slots");
	fd = vm_create_guest_memfd(d->vm, r->memory_size, 0);
	d->gmem_fds[d->nr_gmem_fds++] = fd;
	vm_set_user_memory_region2(d->vm, r->slot, KVM_MEM_GUEST_MEMFD, r->guest_phys_addr,
				   r->memory_size, region->host_mem, fd, 0);

	if (!sparsebit_any_set(region->protected_phy_pages))
		return;
	sparsebit_for_each_set_range(region->protected_phy_pages, first, last)
		vm_mem_set_private(d->vm, first << d->vm->page_shift,
				   (last - first + 1) << d->vm->page_shift);
}

struct kvm_vm *__td_mig_dest_create_vm(u32 tsc_khz)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_init_vm *init;

	vm_ioctl(vm, KVM_SET_TSC_KHZ, (void *)(u64)tsc_khz);
	vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));
	init = td_alloc_init_vm(vm, TDX_TD_ATTR_MIGRATABLE);
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, KVM_TDX_INIT_VM_F_MIG_DEST, init);
	free(init);
	return vm;
}

struct kvm_vm *td_mig_dest_create_vm(void)
{
	return __td_mig_dest_create_vm(0);
}

void td_mig_dest_create(struct td_mig_dest *d, struct td_mig *m)
{
	struct userspace_mem_region *region;
	int i, ctr;

	*d = (struct td_mig_dest) { .vm = td_mig_next_dest(m) };

	for (i = 0; i < m->nr_vcpus; i++) {
		int n = m->reverse_vcpus ? m->nr_vcpus - 1 - i : i;

		d->vcpus[n] = __vm_vcpu_add(d->vm, m->src_vcpus[n]->id);
		vcpu_init_cpuid(d->vcpus[n], m->src_vcpus[n]->cpuid);
	}

	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node)
		td_mig_dest_add_slot(d, region);

	for (i = 0; i < m->nr_streams; i++)
		td_mig_stream_open(&d->streams[i], d->vm, i, TDX_MIG_BUF_LIST_PAGES_MAX);
	d->nr_streams = m->nr_streams;
}

void td_mig_dest_punch_hole(struct td_mig_dest *d, struct td_mig *m, gpa_t gpa, u64 size)
{
	struct userspace_mem_region *region;
	int ctr, i = 0;

	/* Slots were added in this order. */
	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
		const struct kvm_userspace_memory_region2 *r = &region->region;

		if (gpa >= r->guest_phys_addr && gpa - r->guest_phys_addr < r->memory_size) {
			kvm_fallocate(d->gmem_fds[i], FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				      gpa - r->guest_phys_addr, size);
			return;
		}
		i++;
	}
	TEST_FAIL("No slot for GPA 0x%lx", gpa);
}

void td_mig_import(struct td_mig_dest *d, struct td_mig *m, int first, int last)
{
	u64 hw_error;
	int i, ret;

	for (i = first; i <= last; i++) {
		const struct td_mig_bundle *b = &m->bundles[i];

		/* The last moment to do so, and the first one is not far. */
		if (b->import_cmd == KVM_TDX_MIG_IMPORT_TRACK && i == m->nr_bundles - 1)
			td_mig_load_vcpus(d, m);

		ret = __td_mig_import(d->streams, b, &hw_error);
		TEST_ASSERT(!ret, "Import of bundle %d, command %u: errno %d (%s), hw_error 0x%lx",
			    i, b->import_cmd, errno, strerror(errno), hw_error);
	}
}

int td_mig_import_up_to(struct td_mig_dest *d, struct td_mig *m, u32 import_cmd)
{
	int first = td_mig_find_bundle(m, import_cmd);

	td_mig_import(d, m, 0, first - 1);
	return first;
}

void td_mig_load_vcpus(struct td_mig_dest *d, struct td_mig *m)
{
	int i;

	for (i = 0; i < m->nr_vcpus; i++)
		td_mig_vcpu_load(d->vcpus[i], &m->vcpu_state[i]);
}

void td_mig_import_end(struct td_mig_dest *d)
{
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END);
}

void td_mig_import_rest(struct td_mig_dest *d, struct td_mig *m, int first)
{
	td_mig_import(d, m, first, m->nr_bundles - 1);
	td_mig_import_end(d);
}

void td_mig_return(struct td_mig *m, struct td_mig_dest *d)
{
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*m->streams[0].mbmd = *d->streams[0].mbmd;
	td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
}

void td_mig_dest_free(struct td_mig_dest *d)
{
	int i;

	for (i = 0; i < d->nr_streams; i++)
		td_mig_stream_close(&d->streams[i]);
	for (i = 0; i < d->nr_gmem_fds; i++)
		close(d->gmem_fds[i]);
	kvm_vm_free(d->vm);
	*d = (struct td_mig_dest) {};
}

void td_mig_migrate(struct td_mig *m, struct td_mig_dest *d)
{
	/* Those of a session that was aborted are gone. */
	if (m->keys_used)
		td_mig_exchange_keys(m);
	td_mig_dest_create(d, m);
	td_mig_export(m);
	td_mig_import_rest(d, m, 0);
}
