/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TDs in KVM selftests, the host's side: creation, initial memory, launch.
 *
 * A TD is created with the common functions of the framework or, shorter, with
 * td_create(); code and data of the test binary are private memory of the TD.
 * What td_launch() adds is fixed; what the test wants to prepare in guest memory
 * has to be there before.
 */
#ifndef SELFTEST_KVM_TDX_UTIL_H
#define SELFTEST_KVM_TDX_UTIL_H

#include "kvm_util.h"
#include "processor.h"
#include "tdx_boot.h"
#include "tdx_guest.h"

#define TDX_TD_ATTR_DEBUG		BIT_ULL(0)
#define TDX_TD_ATTR_SEPT_VE_DISABLE	BIT_ULL(28)
#define TDX_TD_ATTR_MIGRATABLE		BIT_ULL(29)

/* Memory slot of the boot page. */
#define TD_SLOT_BOOT			30
/* Slots from here on hold memory that the guest accepts by itself. */
#define TD_SLOT_UNACCEPTED		31

#define TD_SHA384_SIZE			48

/* Parameters of a vCPU in the boot page. */
struct td_boot_vcpu {
	u32 cr3;
	u16 reserved0;
	struct {
		u16 limit;
		u32 base;
		u16 reserved;
	} __packed gdtr;
	struct {
		u16 limit;
		u64 base;
	} __packed idtr;
	u64 rsp;
	u64 entry;
	u64 arg;
	u64 reserved1[2];
} __packed;

kvm_static_assert(sizeof(struct td_boot_vcpu) == TD_BOOT_VCPU_SIZE);
kvm_static_assert(offsetof(struct td_boot_vcpu, cr3) == TD_BOOT_VCPU_CR3);
kvm_static_assert(offsetof(struct td_boot_vcpu, gdtr) == TD_BOOT_VCPU_GDTR);
kvm_static_assert(offsetof(struct td_boot_vcpu, idtr) == TD_BOOT_VCPU_IDTR);
kvm_static_assert(offsetof(struct td_boot_vcpu, rsp) == TD_BOOT_VCPU_RSP);
kvm_static_assert(offsetof(struct td_boot_vcpu, entry) == TD_BOOT_VCPU_ENTRY);
kvm_static_assert(offsetof(struct td_boot_vcpu, arg) == TD_BOOT_VCPU_ARG);

extern const u8 td_boot_page[];

static inline bool is_tdx_vm(struct kvm_vm *vm)
{
	return vm->type == KVM_X86_TDX_VM;
}

static inline bool kvm_has_tdx(void)
{
	return kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_TDX_VM);
}

/* The call has to fail with this errno. */
#define TD_EXPECT_ERRNO(_errno, _call)						\
do {										\
	const int __expected = (_errno);					\
	int __ret = (_call);							\
										\
	TEST_ASSERT(__ret == -1 && errno == __expected,				\
		    "%s returned %d, errno %d (%s), expected %s",		\
		    #_call, __ret, errno, strerror(errno), #_errno);		\
} while (0)

/*
 * Sub-commands of KVM_MEMORY_ENCRYPT_OP.  The plain functions assert success,
 * those with underscores return -1 with errno; @hw_error may be NULL.
 */
int __td_ioctl(int fd, u32 id, u32 flags, u64 data, u64 *hw_error);
int __td_vm_ioctl(struct kvm_vm *vm, u32 id, u32 flags, void *data, u64 *hw_error);
void td_vm_ioctl(struct kvm_vm *vm, u32 id, u32 flags, void *data);
int __td_vcpu_ioctl(struct kvm_vcpu *vcpu, u32 id, u32 flags, u64 data);
void td_vcpu_ioctl(struct kvm_vcpu *vcpu, u32 id, u32 flags, u64 data);

/* The caller frees what these two return. */
struct kvm_tdx_capabilities *td_get_capabilities(struct kvm_vm *vm);
struct kvm_tdx_init_vm *td_alloc_init_vm(struct kvm_vm *vm, u64 attributes);

/* A VM of type TDX with an interrupt chip and nothing else. */
struct kvm_vm *td_create_barebones(void);

/*
 * A TD with the test binary in its memory, before KVM_TDX_INIT_VM; room for
 * @nr_vcpus.  @nr_extra_pages is the number of pages to be mapped in slots that
 * the test adds.
 */
struct kvm_vm *td_create_uninitialized(u32 nr_vcpus, u64 nr_extra_pages);

/*
 * Create a TD with @nr_vcpus initialized vCPUs that start at @guest_code.
 * @attributes are added to those that TDs of the library have anyway.  A TD with
 * MIGRATABLE is bound to the migration TD for sources, unless the test does that
 * itself.
 */
struct kvm_vm *__td_create(u64 attributes, u32 nr_vcpus, u64 nr_extra_pages,
			   void *guest_code, struct kvm_vcpu *vcpus[]);
struct kvm_vm *td_create_unbound(u64 attributes, u32 nr_vcpus, u64 nr_extra_pages,
				 void *guest_code, struct kvm_vcpu *vcpus[]);

static inline struct kvm_vm *td_create(u32 nr_vcpus, void *guest_code,
				       struct kvm_vcpu *vcpus[])
{
	return __td_create(0, nr_vcpus, 0, guest_code, vcpus);
}

static inline struct kvm_vm *td_create_with_one_vcpu(struct kvm_vcpu **vcpu,
						     void *guest_code)
{
	return td_create(1, guest_code, vcpu);
}

void td_init_vm(struct kvm_vm *vm, u64 attributes);
/* A vCPU that stays without KVM_TDX_INIT_VCPU, or whose turn has not come. */
struct kvm_vcpu *td_vcpu_add_uninitialized(struct kvm_vm *vm, u32 vcpu_id);
/* The value that the vCPU's entry point gets as first argument. */
void td_vcpu_set_arg(struct kvm_vcpu *vcpu, u64 arg);

/*
 * Add a slot of private memory that is not part of the initial image, mapped
 * one to one; the guest has to accept it.
 */
void td_add_unaccepted_memory(struct kvm_vm *vm, u32 slot, gpa_t gpa, u64 nr_pages);
/* Map @gpa a second time, as shared memory.  Before the launch only. */
gva_t td_map_shared_alias(struct kvm_vm *vm, gpa_t gpa);

int __td_init_mem_region(struct kvm_vcpu *vcpu, gpa_t gpa, void *source,
			 u64 nr_pages, u32 flags);
void td_init_mem_region(struct kvm_vcpu *vcpu, gpa_t gpa, void *source,
			u64 nr_pages, u32 flags);

/*
 * Add all protected pages to the TD and make it runnable.  With @mrtd, measure
 * them, and return what the TD's MRTD has to be.
 */
void __td_launch(struct kvm_vm *vm, u8 mrtd[TD_SHA384_SIZE]);

static inline void td_launch(struct kvm_vm *vm)
{
	__td_launch(vm, NULL);
}

/*
 * Do what the guest asked for with MapGPA, in KVM_EXIT_HYPERCALL.  If KVM refuses
 * that, since memory of an export is to be shared, let the guest ask again.
 */
void td_handle_map_gpa(struct kvm_vcpu *vcpu);
/* How often that was so, in this process. */
u64 td_nr_refused_conversions(void);
int __td_mem_set_shared(struct kvm_vm *vm, gpa_t gpa, u64 size);
/*
 * Run until the next ucall, which is returned, and handle MapGPA on the way.
 */
u64 td_vcpu_run(struct kvm_vcpu *vcpu, struct ucall *uc);
void td_vcpu_run_to_sync(struct kvm_vcpu *vcpu, u64 stage);
void td_vcpu_run_to_done(struct kvm_vcpu *vcpu);
/* KVM_PRE_FAULT_MEMORY, to its end. */
int __td_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size);
void td_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size);
/* Returns how many vCPUs got it. */
int __td_signal_msi(struct kvm_vm *vm, u32 apic_id, u8 vector);
void td_signal_msi(struct kvm_vcpu *vcpu, u8 vector);
/* A TD of its own comes and goes: what went before has left the host usable. */
void td_run_another(void);
/* td_vcpu_run_to_done() in a thread of its own, for the caller to join. */
pthread_t td_vcpu_start(struct kvm_vcpu *vcpu);

/* Running hash over the initial memory of a TD. */
struct td_sha384 {
	u64 state[8];
	u64 nr_bytes;
	u8 block[128];
};

void td_sha384_init(struct td_sha384 *sha);
void td_sha384_update(struct td_sha384 *sha, const void *data, size_t len);
void td_sha384_final(struct td_sha384 *sha, u8 digest[TD_SHA384_SIZE]);
/* What TDH.MEM.PAGE.ADD and 16 x TDH.MR.EXTEND of a page do to the MRTD. */
void td_measure_page(struct td_sha384 *sha, gpa_t gpa, const void *page);

/* Parts that the framework calls for VMs of type TDX. */
void td_init_address_properties(struct kvm_vm *vm);
void td_arch_vm_post_create(struct kvm_vm *vm);
struct kvm_vcpu *td_vcpu_add(struct kvm_vm *vm, u32 vcpu_id);
void td_vcpu_set_entry_point(struct kvm_vcpu *vcpu, void *guest_code);
void *td_get_ucall(struct kvm_vcpu *vcpu);

#endif /* SELFTEST_KVM_TDX_UTIL_H */
