// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs in KVM selftests, the host's side: creation, initial memory, launch.
 */
#include <stdint.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_util.h"

#define TD_MAX_CPUID_ENTRIES	256
#define CPUID_ADDRESS_SIZES	0x80000008
#define CPUID_GUEST_PHYS_BITS	GENMASK(23, 16)
#define MSI_ADDRESS		0xfee00000U
#define MSI_DEST_SHIFT		12

int __td_ioctl(int fd, u32 id, u32 flags, u64 data, u64 *hw_error)
{
	union {
		struct kvm_tdx_cmd c;
		unsigned long raw;
	} cmd = { .c = { .id = id, .flags = flags, .data = data } };
	int ret = kvm_do_ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd.raw);

	if (hw_error)
		*hw_error = cmd.c.hw_error;
	return ret;
}

int __td_vm_ioctl(struct kvm_vm *vm, u32 id, u32 flags, void *data, u64 *hw_error)
{
	return __td_ioctl(vm->fd, id, flags, (u64)data, hw_error);
}

void td_vm_ioctl(struct kvm_vm *vm, u32 id, u32 flags, void *data)
{
	u64 hw_error;
	int ret = __td_vm_ioctl(vm, id, flags, data, &hw_error);

	TEST_ASSERT(!ret, "TDX VM command %u failed, errno %d (%s), hw_error 0x%lx",
		    id, errno, strerror(errno), hw_error);
}

int __td_vcpu_ioctl(struct kvm_vcpu *vcpu, u32 id, u32 flags, u64 data)
{
	return __td_ioctl(vcpu->fd, id, flags, data, NULL);
}

void td_vcpu_ioctl(struct kvm_vcpu *vcpu, u32 id, u32 flags, u64 data)
{
	int ret = __td_vcpu_ioctl(vcpu, id, flags, data);

	TEST_ASSERT(!ret, "TDX vCPU command %u failed, errno %d (%s)", id, errno,
		    strerror(errno));
}

struct kvm_tdx_capabilities *td_get_capabilities(struct kvm_vm *vm)
{
	struct kvm_tdx_capabilities *caps;

	caps = calloc(1, sizeof(*caps) +
		      TD_MAX_CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	TEST_ASSERT(caps, "Insufficient Memory");

	caps->cpuid.nent = TD_MAX_CPUID_ENTRIES;
	td_vm_ioctl(vm, KVM_TDX_CAPABILITIES, 0, caps);
	return caps;
}

/*
 * Of the bits that the TDX module lets the VMM configure, those that KVM
 * supports.
 */
static void td_filter_cpuid(struct kvm_cpuid2 *dst, const struct kvm_cpuid2 *configurable)
{
	const struct kvm_cpuid2 *supported = kvm_get_supported_cpuid();
	struct kvm_cpuid_entry2 *e;
	int i, j;

	for (i = 0; i < configurable->nent; i++) {
		const struct kvm_cpuid_entry2 *mask = &configurable->entries[i];

		e = &dst->entries[dst->nent++];
		*e = (struct kvm_cpuid_entry2) {
			.function = mask->function,
			.index = mask->index,
			.flags = mask->flags,
		};

		for (j = 0; j < supported->nent; j++) {
			const struct kvm_cpuid_entry2 *s = &supported->entries[j];

			if (s->function != e->function || s->index != e->index)
				continue;

			e->flags = s->flags;
			e->eax = s->eax & mask->eax;
			e->ebx = s->ebx & mask->ebx;
			e->ecx = s->ecx & mask->ecx;
			e->edx = s->edx & mask->edx;
			break;
		}

		if (e->function == CPUID_ADDRESS_SIZES) {
			e->eax &= ~CPUID_GUEST_PHYS_BITS;
			e->eax |= TD_GPAW << (ffs(CPUID_GUEST_PHYS_BITS) - 1);
		}
	}
}

struct kvm_tdx_init_vm *td_alloc_init_vm(struct kvm_vm *vm, u64 attributes)
{
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	struct kvm_tdx_init_vm *init;

	init = calloc(1, sizeof(*init) +
		      caps->cpuid.nent * sizeof(struct kvm_cpuid_entry2));
	TEST_ASSERT(init, "Insufficient Memory");

	init->attributes = attributes |
			   (caps->supported_attrs & TDX_TD_ATTR_SEPT_VE_DISABLE);
	td_filter_cpuid(&init->cpuid, &caps->cpuid);

	free(caps);
	return init;
}

void td_init_vm(struct kvm_vm *vm, u64 attributes)
{
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, attributes);

	td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init);
	free(init);
}

struct kvm_vm *td_create_barebones(void)
{
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_TDX_VM);

	vm_create_irqchip(vm);
	return vm;
}

struct kvm_vm *td_create_uninitialized(u32 nr_vcpus, u64 nr_extra_pages)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_TDX_VM,
	};

	TEST_ASSERT(nr_vcpus <= TD_BOOT_MAX_VCPUS, "Too many vCPUs: %u", nr_vcpus);
	return __vm_create(shape, nr_vcpus, nr_extra_pages);
}

struct kvm_vm *td_create_unbound(u64 attributes, u32 nr_vcpus, u64 nr_extra_pages,
				 void *guest_code, struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = td_create_uninitialized(nr_vcpus, nr_extra_pages);
	int i;

	td_init_vm(vm, attributes);
	for (i = 0; i < nr_vcpus; i++)
		vcpus[i] = vm_vcpu_add(vm, i, guest_code);

	return vm;
}

struct kvm_vm *__td_create(u64 attributes, u32 nr_vcpus, u64 nr_extra_pages,
			   void *guest_code, struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = td_create_unbound(attributes, nr_vcpus, nr_extra_pages,
					      guest_code, vcpus);

	if (attributes & TDX_TD_ATTR_MIGRATABLE)
		td_migtd_bind(td_mig_src_migtd(), vm, 0);

	return vm;
}

void td_init_address_properties(struct kvm_vm *vm)
{
	/* With a GPA width of 48 bits, the guest may not use 5-level paging. */
	vm->va_bits = 48;
	vm->arch.s_bit = TD_SHARED_BIT;
	vm->gpa_tag_mask = TD_SHARED_BIT;
}

static struct td_boot_vcpu *td_boot_vcpu(struct kvm_vcpu *vcpu)
{
	struct td_boot_vcpu *boot = addr_gpa2hva(vcpu->vm, TD_BOOT_GPA);

	return &boot[vcpu->id];
}

void td_arch_vm_post_create(struct kvm_vm *vm)
{
	vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TD_BOOT_GPA, TD_SLOT_BOOT,
				    TD_BOOT_SIZE / vm->page_size, KVM_MEM_GUEST_MEMFD);
	vm_phy_pages_alloc(vm, TD_BOOT_SIZE / vm->page_size, TD_BOOT_GPA, TD_SLOT_BOOT);
	virt_map(vm, TD_BOOT_GPA, TD_BOOT_GPA, TD_BOOT_SIZE / vm->page_size);
	memcpy(addr_gpa2hva(vm, TD_BOOT_GPA), td_boot_page, TD_BOOT_SIZE);

	write_guest_global(vm, td_guest, true);
	vm_install_exception_handler(vm, VE_VECTOR, td_handle_ve);
}

struct kvm_vcpu *td_vcpu_add(struct kvm_vm *vm, u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = __vm_vcpu_add(vm, vcpu_id);
	struct td_boot_vcpu *boot = td_boot_vcpu(vcpu);

	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0,
		      TD_BOOT_GPA + vcpu_id * sizeof(struct td_boot_vcpu));

	*boot = (struct td_boot_vcpu) {
		.cr3 = vm->mmu.pgd,
		.gdtr = { .limit = getpagesize() - 1, .base = vm->arch.gdt },
		.idtr = { .limit = getpagesize() - 1, .base = vm->arch.idt },
		.rsp = vm_alloc_stack(vm, DEFAULT_STACK_PGS),
	};
	return vcpu;
}

struct kvm_vcpu *td_vcpu_add_uninitialized(struct kvm_vm *vm, u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = __vm_vcpu_add(vm, vcpu_id);

	/* The first one in the list builds the TD. */
	list_move_tail(&vcpu->list, &vm->vcpus);
	return vcpu;
}

void td_vcpu_set_entry_point(struct kvm_vcpu *vcpu, void *guest_code)
{
	td_boot_vcpu(vcpu)->entry = (u64)guest_code;
}

void td_vcpu_set_arg(struct kvm_vcpu *vcpu, u64 arg)
{
	td_boot_vcpu(vcpu)->arg = arg;
}

void *td_get_ucall(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 uc;

	if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write ||
	    run->mmio.phys_addr != TD_UCALL_GPA || run->mmio.len != sizeof(uc))
		return NULL;

	memcpy(&uc, run->mmio.data, sizeof(uc));
	return (void *)uc;
}

void td_add_unaccepted_memory(struct kvm_vm *vm, u32 slot, gpa_t gpa, u64 nr_pages)
{
	TEST_ASSERT(slot >= TD_SLOT_UNACCEPTED, "Slot %u is part of the initial memory", slot);

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, gpa, slot, nr_pages,
				    KVM_MEM_GUEST_MEMFD);
	vm_phy_pages_alloc(vm, nr_pages, gpa, slot);
	vm_mem_set_private(vm, gpa, nr_pages * vm->page_size);
	virt_map(vm, gpa, gpa, nr_pages);
}

gva_t td_map_shared_alias(struct kvm_vm *vm, gpa_t gpa)
{
	gva_t gva = vm_unused_gva_gap(vm, vm->page_size, KVM_UTIL_MIN_VADDR);

	virt_pg_map(vm, gva, gpa);
	*vm_get_pte(vm, gva) |= vm->arch.s_bit;
	return gva;
}

int __td_init_mem_region(struct kvm_vcpu *vcpu, gpa_t gpa, void *source,
			 u64 nr_pages, u32 flags)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (u64)source,
		.gpa = gpa,
		.nr_pages = nr_pages,
	};
	int ret;

	/* KVM keeps the progress in @region. */
	do {
		ret = __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_MEM_REGION, flags, (u64)&region);
	} while (ret && (errno == EINTR || errno == EAGAIN));

	return ret;
}

void td_init_mem_region(struct kvm_vcpu *vcpu, gpa_t gpa, void *source,
			u64 nr_pages, u32 flags)
{
	int ret = __td_init_mem_region(vcpu, gpa, source, nr_pages, flags);

	TEST_ASSERT(!ret, "KVM_TDX_INIT_MEM_REGION failed, GPA 0x%lx, errno %d (%s)",
		    gpa, errno, strerror(errno));
}

static void td_add_region(struct kvm_vm *vm, struct userspace_mem_region *region,
			  struct td_sha384 *sha)
{
	struct kvm_vcpu *vcpu = list_first_entry(&vm->vcpus, struct kvm_vcpu, list);
	sparsebit_idx_t first, last, pfn;

	if (!sparsebit_any_set(region->protected_phy_pages))
		return;

	sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
		const gpa_t gpa = first << vm->page_shift;
		const u64 nr_pages = last - first + 1;

		vm_mem_set_private(vm, gpa, nr_pages * vm->page_size);
		td_init_mem_region(vcpu, gpa, addr_gpa2hva(vm, gpa), nr_pages,
				   sha ? KVM_TDX_MEASURE_MEMORY_REGION : 0);
		for (pfn = first; sha && pfn <= last; pfn++)
			td_measure_page(sha, pfn << vm->page_shift,
					addr_gpa2hva(vm, pfn << vm->page_shift));
	}
}

void __td_launch(struct kvm_vm *vm, u8 mrtd[TD_SHA384_SIZE])
{
	struct userspace_mem_region *region;
	struct td_sha384 sha;
	int ctr;

	td_sha384_init(&sha);

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		if (region->region.slot < TD_SLOT_UNACCEPTED)
			td_add_region(vm, region, mrtd ? &sha : NULL);
	}

	td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL);
	vm->arch.is_pt_protected = true;

	if (mrtd)
		td_sha384_final(&sha, mrtd);
}

static u64 nr_refused_conversions;

u64 td_nr_refused_conversions(void)
{
	return __atomic_load_n(&nr_refused_conversions, __ATOMIC_RELAXED);
}

int __td_mem_set_shared(struct kvm_vm *vm, gpa_t gpa, u64 size)
{
	struct kvm_memory_attributes attr = {
		.address = gpa,
		.size = size,
	};

	return __vm_ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, &attr);
}

void td_handle_map_gpa(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_vm *vm = vcpu->vm;
	gpa_t gpa = run->hypercall.args[0];
	u64 size = run->hypercall.args[1] * vm->page_size;

	TEST_ASSERT_EQ(run->exit_reason, KVM_EXIT_HYPERCALL);
	TEST_ASSERT_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);

	if (run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED) {
		vm_mem_set_private(vm, gpa, size);
	} else {
		if (__td_mem_set_shared(vm, gpa, size)) {
			/* Exported: the guest asks again until the VMM has done its part. */
			TEST_ASSERT_EQ(errno, EBUSY);
			__atomic_add_fetch(&nr_refused_conversions, 1, __ATOMIC_RELAXED);
			run->hypercall.ret = EAGAIN;
			return;
		}
		vm_guest_mem_punch_hole(vm, gpa, size);
	}
	run->hypercall.ret = 0;
}

u64 td_vcpu_run(struct kvm_vcpu *vcpu, struct ucall *uc)
{
	struct kvm_run *run = vcpu->run;
	u64 cmd;

	for (;;) {
		vcpu_run(vcpu);
		if (run->exit_reason == KVM_EXIT_HYPERCALL) {
			td_handle_map_gpa(vcpu);
			continue;
		}

		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		cmd = get_ucall(vcpu, uc);
		if (cmd == UCALL_ABORT)
			REPORT_GUEST_ASSERT(*uc);
		if (cmd != UCALL_PRINTF)
			return cmd;
		REPORT_GUEST_PRINTF(*uc);
	}
}

void td_vcpu_run_to_sync(struct kvm_vcpu *vcpu, u64 stage)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_SYNC);
	TEST_ASSERT_EQ(uc.args[1], stage);
}

void td_vcpu_run_to_done(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_DONE);
}

int __td_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	int ret;

	do {
		ret = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
	} while (range.size && (!ret || errno == EINTR || errno == EAGAIN));

	return ret;
}

void td_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size)
{
	int ret = __td_pre_fault(vcpu, gpa, size);

	TEST_ASSERT(!ret, "vCPU %u, GPA 0x%lx: errno %d (%s)", vcpu->id, gpa, errno,
		    strerror(errno));
}

int __td_signal_msi(struct kvm_vm *vm, u32 apic_id, u8 vector)
{
	struct kvm_msi msi = {
		.address_lo = MSI_ADDRESS | apic_id << MSI_DEST_SHIFT,
		.data = vector,
	};

	return __vm_ioctl(vm, KVM_SIGNAL_MSI, &msi);
}

void td_signal_msi(struct kvm_vcpu *vcpu, u8 vector)
{
	int ret = __td_signal_msi(vcpu->vm, vcpu->id, vector);

	TEST_ASSERT(ret == 1, "KVM_SIGNAL_MSI returned %d, errno %d", ret, errno);
}

static void td_guest_done(void)
{
	GUEST_DONE();
}

void td_run_another(void)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, td_guest_done);

	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void *td_vcpu_thread(void *vcpu)
{
	td_vcpu_run_to_done(vcpu);
	return NULL;
}

pthread_t td_vcpu_start(struct kvm_vcpu *vcpu)
{
	pthread_t thread;

	kvm_pthread_create(&thread, NULL, td_vcpu_thread, vcpu);
	return thread;
}
