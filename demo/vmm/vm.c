// SPDX-License-Identifier: GPL-2.0
/*
 * Set-up and tear-down of a TD: what KVM_TDX_INIT_VM and its siblings need, and
 * guest memory. Running it is in vcpu.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm_para.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "event.h"
#include "msrs.h"
#include "vm.h"

#define TD_ATTR_SEPT_VE_DISABLE	BIT(28)
#define TD_ATTR_MIGRATABLE	BIT(29)
#define XFAM_X87_SSE_AVX	0x7ULL

/* A TD sees a core crystal clock of 25 MHz; its local APIC counts with it. */
#define TD_APIC_CYCLE_NS	40

#define TD_GPA_BITS		48
#define CPUID_FEATURES		1
#define CPUID_FEATURES_ECX_X2APIC	BIT(21)
#define CPUID_EXTENDED_FEATURES	7
#define CPUID_EXTENDED_FEATURES_ECX_LA57	BIT(16)
#define CPUID_EXTENDED		0x80000000
#define CPUID_ADDRESS_SIZES	0x80000008
#define GPA_BITS_SHIFT		16
#define GPA_BITS_MASK		(0xffU << GPA_BITS_SHIFT)

/*
 * The leaves of KVM. Linux uses x2APIC without interrupt remapping only on a
 * hypervisor that it knows, and has to be told that MSIs reach all APIC ids.
 */
#define CPUID_KVM_SIGNATURE	0x40000000
#define CPUID_KVM_FEATURES	0x40000001
#define KVM_FEATURE_MSI_EXT_DEST	BIT(15)

/* Bounds the retries after a signal or contention. */
#define MAX_LOAD_RETRIES	1000

struct caps {
	struct kvm_tdx_capabilities head;
	struct kvm_cpuid_entry2 entries[VM_MAX_CPUID];
};

int tdx_try(int fd, u32 id, u32 flags, void *data, u64 *hw_error)
{
	struct kvm_tdx_cmd cmd = {
		.id = id,
		.flags = flags,
		.data = (u64)data,
	};
	int ret = ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd) ? errno : 0;

	if (hw_error)
		*hw_error = cmd.hw_error;
	return ret;
}

void tdx_command(int fd, u32 id, u32 flags, void *data, const char *what)
{
	u64 hw_error;
	int ret = tdx_try(fd, id, flags, data, &hw_error);

	if (ret)
		die("%s: %s, TDX status 0x%llx", what, strerror(ret), (unsigned long long)hw_error);
}

static int checked_ioctl(int fd, unsigned long request, void *arg, const char *what)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		die("%s: %s", what, strerror(errno));
	return ret;
}

int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/kvm: %s", strerror(errno));
	return fd;
}

static void enable_cap(const struct vm *vm, u32 cap, u64 arg, const char *what)
{
	struct kvm_enable_cap enable = { .cap = cap, .args[0] = arg };

	checked_ioctl(vm->fd, KVM_ENABLE_CAP, &enable, what);
}

struct vm *vm_create(const struct vm_ops *ops, void *priv)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int kvm = kvm_open();

	if (!vm)
		die("out of memory");

	vm->ops = ops;
	vm->priv = priv;
	pthread_mutex_init(&vm->lock, NULL);

	vm->fd = ioctl(kvm, KVM_CREATE_VM, (unsigned long)KVM_X86_TDX_VM);
	if (vm->fd < 0)
		die("KVM_CREATE_VM of a TD: %s", strerror(errno));
	close(kvm);
	return vm;
}

static const struct kvm_cpuid_entry2 *find_cpuid(const struct cpuid_list *list, u32 function,
						 u32 index)
{
	u32 i;

	for (i = 0; i < list->head.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &list->head.entries[i];

		if (entry->function == function && entry->index == index)
			return entry;
	}
	return NULL;
}

static void add_cpuid(struct cpuid_list *list, const struct kvm_cpuid_entry2 *entry)
{
	if (list->head.nent == VM_MAX_CPUID)
		die("too many CPUID leaves");
	list->head.entries[list->head.nent++] = *entry;
}

/* What KVM supports, with x2APIC, which every TD uses, and the leaves of KVM. */
static void choose_vcpu_cpuid(const struct cpuid_list *supported, struct cpuid_list *chosen)
{
	static const char signature[12] = "KVMKVMKVM";
	struct kvm_cpuid_entry2 kvm = {
		.function = CPUID_KVM_SIGNATURE,
		.eax = CPUID_KVM_FEATURES,
	};
	u32 i;

	for (i = 0; i < supported->head.nent; i++) {
		struct kvm_cpuid_entry2 entry = supported->head.entries[i];

		if (entry.function >= CPUID_KVM_SIGNATURE && entry.function < CPUID_EXTENDED)
			continue;
		if (entry.function == CPUID_FEATURES)
			entry.ecx |= CPUID_FEATURES_ECX_X2APIC;
		add_cpuid(chosen, &entry);
	}

	memcpy(&kvm.ebx, signature, sizeof(kvm.ebx));
	memcpy(&kvm.ecx, signature + 4, sizeof(kvm.ecx));
	memcpy(&kvm.edx, signature + 8, sizeof(kvm.edx));
	add_cpuid(chosen, &kvm);
	kvm = (struct kvm_cpuid_entry2){
		.function = CPUID_KVM_FEATURES,
		.eax = KVM_FEATURE_MSI_EXT_DEST,
	};
	add_cpuid(chosen, &kvm);
}

/* Of what the TDX module lets a VMM configure, offer all that KVM supports. */
static void choose_td_cpuid(const struct caps *caps, const struct cpuid_list *supported,
			    struct cpuid_list *chosen)
{
	u32 i;

	for (i = 0; i < caps->head.cpuid.nent; i++) {
		struct kvm_cpuid_entry2 entry = caps->head.cpuid.entries[i];
		const struct kvm_cpuid_entry2 *s;

		s = find_cpuid(supported, entry.function, entry.index);
		entry.eax &= s ? s->eax : 0;
		entry.ebx &= s ? s->ebx : 0;
		entry.ecx &= s ? s->ecx : 0;
		entry.edx &= s ? s->edx : 0;
		if (entry.function == CPUID_ADDRESS_SIZES) {
			entry.eax &= ~GPA_BITS_MASK;
			entry.eax |= TD_GPA_BITS << GPA_BITS_SHIFT;
		}
		/* Four levels of paging do for a small guest. */
		if (entry.function == CPUID_EXTENDED_FEATURES && !entry.index)
			entry.ecx &= ~CPUID_EXTENDED_FEATURES_ECX_LA57;
		/* KVM looks at subleaves only if told so. */
		entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		chosen->head.entries[chosen->head.nent++] = entry;
	}
}

void vm_default_config(struct vm *vm, u64 mem_size, u32 nr_vcpus, bool migratable)
{
	struct vm_config *config = &vm->config;
	struct caps caps = { .head.cpuid.nent = VM_MAX_CPUID };
	struct cpuid_list supported = { .head.nent = VM_MAX_CPUID };
	int khz, kvm;

	tdx_command(vm->fd, KVM_TDX_CAPABILITIES, 0, &caps, "KVM_TDX_CAPABILITIES");

	config->mem_size = mem_size;
	config->nr_vcpus = nr_vcpus;
	config->attributes = TD_ATTR_SEPT_VE_DISABLE;
	if (migratable)
		config->attributes |= TD_ATTR_MIGRATABLE;
	if (config->attributes & ~caps.head.supported_attrs)
		die("this host has no %s TDs", migratable ? "migratable" : "suitable");
	config->xfam = caps.head.supported_xfam & XFAM_X87_SSE_AVX;

	khz = ioctl(vm->fd, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		die("KVM_GET_TSC_KHZ: %s", strerror(errno));
	config->tsc_khz = khz;

	kvm = kvm_open();
	checked_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &supported, "KVM_GET_SUPPORTED_CPUID");
	close(kvm);
	choose_td_cpuid(&caps, &supported, &config->td_cpuid);
	choose_vcpu_cpuid(&supported, &config->vcpu_cpuid);
}

void vm_init_td(struct vm *vm, u32 flags)
{
	const struct vm_config *config = &vm->config;
	struct {
		struct kvm_tdx_init_vm head;
		struct kvm_cpuid_entry2 entries[VM_MAX_CPUID];
	} init = {
		.head.attributes = config->attributes,
		.head.xfam = config->xfam,
		.head.cpuid.nent = config->td_cpuid.head.nent,
	};

	memcpy(init.head.cpuid.entries, config->td_cpuid.head.entries,
	       config->td_cpuid.head.nent * sizeof(struct kvm_cpuid_entry2));

	if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS) < (int)config->nr_vcpus)
		die("a TD cannot have %u vCPUs here", config->nr_vcpus);
	enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 0, "KVM_CAP_SPLIT_IRQCHIP");
	enable_cap(vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, TD_APIC_CYCLE_NS,
		   "KVM_CAP_X86_APIC_BUS_CYCLES_NS");
	enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
		   "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE,
		   "KVM_CAP_EXIT_HYPERCALL");
	checked_ioctl(vm->fd, KVM_SET_TSC_KHZ, (void *)(unsigned long)config->tsc_khz,
		      "KVM_SET_TSC_KHZ");

	tdx_command(vm->fd, KVM_TDX_INIT_VM, flags, &init, "KVM_TDX_INIT_VM");
}

/* Memory that was exported stays private until the TD is on the other side. */
static int set_private(const struct vm *vm, u64 gpa, u64 size, bool private)
{
	struct kvm_memory_attributes attr = {
		.address = gpa,
		.size = size,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	if (!ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &attr))
		return 0;
	if (errno != EBUSY)
		die("KVM_SET_MEMORY_ATTRIBUTES: %s", strerror(errno));
	return -EAGAIN;
}

void vm_add_region(struct vm *vm, u64 gpa, u64 size)
{
	struct mem_region *region = &vm->regions[vm->nr_regions];
	struct kvm_create_guest_memfd memfd = { .size = size };
	struct kvm_userspace_memory_region2 slot = {
		.slot = vm->nr_regions,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
	};

	if (vm->nr_regions == VM_MAX_REGIONS)
		die("too many memory regions");

	region->gpa = gpa;
	region->nr_pages = size >> PAGE_SHIFT;
	region->is_shared = calloc(region->nr_pages, sizeof(*region->is_shared));
	region->shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!region->is_shared || region->shared == MAP_FAILED)
		die("out of memory");

	region->memfd = checked_ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &memfd,
				      "KVM_CREATE_GUEST_MEMFD");
	slot.guest_memfd = region->memfd;
	slot.userspace_addr = (u64)region->shared;
	checked_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot, "KVM_SET_USER_MEMORY_REGION2");
	vm->nr_regions++;
	set_private(vm, gpa, size, true);
}

int vm_convert(struct vm *vm, u64 gpa, u64 size, bool to_private)
{
	int ret;
	u32 i;

	for (i = 0; i < vm->nr_regions; i++) {
		struct mem_region *region = &vm->regions[i];
		u64 offset = gpa - region->gpa;
		u64 page;

		if (gpa < region->gpa || offset >= region->nr_pages << PAGE_SHIFT)
			continue;
		if (size > (region->nr_pages << PAGE_SHIFT) - offset)
			return -EINVAL;

		ret = set_private(vm, gpa, size, to_private);
		if (ret)
			return ret;
		/* Each page has one backing at a time; free the other one. */
		if (to_private)
			madvise(region->shared + offset, size, MADV_DONTNEED);
		else if (fallocate(region->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   offset, size))
			die("punch a hole into guest memory: %s", strerror(errno));
		for (page = offset >> PAGE_SHIFT; page < (offset + size) >> PAGE_SHIFT; page++)
			region->is_shared[page] = !to_private;
		return 0;
	}
	/* Device memory is always shared. */
	return to_private ? -EINVAL : 0;
}

void *vm_shared(struct vm *vm, u64 gpa, u64 size)
{
	u32 i;

	for (i = 0; i < vm->nr_regions; i++) {
		const struct mem_region *region = &vm->regions[i];
		u64 region_size = region->nr_pages << PAGE_SHIFT;
		u64 offset = gpa - region->gpa;
		u64 page;

		if (gpa < region->gpa || offset >= region_size || size > region_size - offset)
			continue;
		for (page = offset >> PAGE_SHIFT; page << PAGE_SHIFT < offset + size; page++) {
			if (!region->is_shared[page])
				return NULL;
		}
		return region->shared + offset;
	}
	return NULL;
}

static size_t kvm_run_size(void)
{
	int kvm = kvm_open();
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	close(kvm);
	if (size < (int)sizeof(struct kvm_run))
		die("KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
	return size;
}

void vm_create_vcpus(struct vm *vm)
{
	size_t run_size = kvm_run_size();

	while (vm->nr_vcpus < vm->config.nr_vcpus) {
		struct vcpu *vcpu = &vm->vcpus[vm->nr_vcpus];

		vcpu->vm = vm;
		vcpu->id = vm->nr_vcpus++;
		vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->id);
		if (vcpu->fd < 0)
			die("KVM_CREATE_VCPU: %s", strerror(errno));
		vcpu->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED)
			die("mmap of a vCPU: %s", strerror(errno));

		checked_ioctl(vcpu->fd, KVM_SET_CPUID2, &vm->config.vcpu_cpuid, "KVM_SET_CPUID2");
	}
	msrs_find(&vm->vcpus[0]);
}

void vm_init_vcpu(struct vcpu *vcpu, u64 arg)
{
	tdx_command(vcpu->fd, KVM_TDX_INIT_VCPU, 0, (void *)arg, "KVM_TDX_INIT_VCPU");
}

static bool page_is_zero(const u8 *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

void vm_load_run(struct vm *vm, u64 gpa, const void *pages, u64 nr_pages, bool measure)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (u64)pages,
		.gpa = gpa,
		.nr_pages = nr_pages,
	};
	u32 flags = measure ? KVM_TDX_MEASURE_MEMORY_REGION : 0;
	u32 retries;
	int ret = EAGAIN;

	/* KVM writes back how far it got. */
	for (retries = 0; retries < MAX_LOAD_RETRIES && (ret == EAGAIN || ret == EINTR); retries++)
		ret = tdx_try(vm->vcpus[0].fd, KVM_TDX_INIT_MEM_REGION, flags, &region, NULL);
	if (ret)
		die("KVM_TDX_INIT_MEM_REGION at 0x%llx: %s", (unsigned long long)region.gpa,
		    strerror(ret));
}

void vm_load_pages(struct vm *vm, u64 gpa, const void *pages, u64 nr_pages)
{
	const u8 *p = pages;
	u64 start, end;

	for (start = 0; start < nr_pages; start = end) {
		bool zero = page_is_zero(p + start * PAGE_SIZE);

		for (end = start + 1; end < nr_pages; end++) {
			if (page_is_zero(p + end * PAGE_SIZE) != zero)
				break;
		}
		vm_load_run(vm, gpa + start * PAGE_SIZE, p + start * PAGE_SIZE, end - start, !zero);
	}
}

void vm_finalize(struct vm *vm)
{
	tdx_command(vm->fd, KVM_TDX_FINALIZE_VM, 0, NULL, "KVM_TDX_FINALIZE_VM");
}

void vm_destroy(struct vm *vm)
{
	size_t run_size = kvm_run_size();
	u32 i;

	for (i = 0; i < vm->nr_vcpus; i++) {
		munmap(vm->vcpus[i].run, run_size);
		close(vm->vcpus[i].fd);
	}
	for (i = 0; i < vm->nr_regions; i++) {
		close(vm->regions[i].memfd);
		munmap(vm->regions[i].shared, vm->regions[i].nr_pages << PAGE_SHIFT);
		free(vm->regions[i].is_shared);
	}
	close(vm->fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}
