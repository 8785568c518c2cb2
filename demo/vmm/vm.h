/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM that is a TD: its memory and its vCPUs.
 */
#ifndef DEMO_VM_H
#define DEMO_VM_H

#include <pthread.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "common.h"

#define VM_MAX_VCPUS		8
#define VM_MAX_REGIONS		2
#define VM_MAX_CPUID		256

/* kvm_cpuid2 with room for all its entries. */
struct cpuid_list {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[VM_MAX_CPUID];
};

/* What source and destination have to agree on. */
struct vm_config {
	u64 mem_size;
	u64 attributes;
	u64 xfam;
	u32 nr_vcpus;
	u32 tsc_khz;
	/* For KVM_TDX_INIT_VM: what can be configured in the TDX module. */
	struct cpuid_list td_cpuid;
	/* For KVM_SET_CPUID2: what KVM has to know. */
	struct cpuid_list vcpu_cpuid;
};

/* A range of guest memory; private and shared pages have distinct backing. */
struct mem_region {
	u64 gpa;
	u64 nr_pages;
	u8 *shared;
	int memfd;
	/* One per page; protected by vm->lock. */
	bool *is_shared;
};

struct vm;

struct vcpu {
	struct vm *vm;
	u32 id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
};

/* Device model; called with vm->lock held. */
struct vm_ops {
	/* Return true if the guest has reset the machine. */
	bool (*pio_write)(struct vm *vm, u16 port, u32 size, u32 val);
	u32 (*pio_read)(struct vm *vm, u16 port, u32 size);
	void (*mmio_write)(struct vm *vm, u64 gpa, u32 size, u64 val);
	u64 (*mmio_read)(struct vm *vm, u64 gpa, u32 size);
	/* A call that KVM forwards; without this one, they are not supported. */
	void (*tdx_call)(struct vm *vm, struct vcpu *vcpu);
};

struct vm {
	struct vm_config config;
	const struct vm_ops *ops;
	void *priv;
	int fd;
	u32 nr_regions;
	struct mem_region regions[VM_MAX_REGIONS];
	u32 nr_vcpus;
	struct vcpu vcpus[VM_MAX_VCPUS];
	/* Protects memory conversion, the device model and the flags below. */
	pthread_mutex_t lock;
	/* vCPU threads have to leave KVM_RUN and end. */
	bool stopping;
	/* The guest has reset the machine or died. */
	bool ended;
};

/* The file descriptor of /dev/kvm. */
int kvm_open(void);

/* Create a TD that is still empty; a destination takes its config from the wire. */
struct vm *vm_create(const struct vm_ops *ops, void *priv);
void vm_default_config(struct vm *vm, u64 mem_size, u32 nr_vcpus, bool migratable);
void vm_init_td(struct vm *vm, u32 flags);
void vm_add_region(struct vm *vm, u64 gpa, u64 size);
void vm_create_vcpus(struct vm *vm);
/* Not for a destination. The vCPU starts with @arg in RCX. */
void vm_init_vcpu(struct vcpu *vcpu, u64 arg);
void vm_finalize(struct vm *vm);
void vm_destroy(struct vm *vm);

/* Add initial private memory. */
void vm_load_run(struct vm *vm, u64 gpa, const void *pages, u64 nr_pages, bool measure);
/* The same; pages that hold only zeros are not measured. */
void vm_load_pages(struct vm *vm, u64 gpa, const void *pages, u64 nr_pages);

/* Convert [gpa, gpa + size); return 0 or -errno, -EAGAIN while a migration forbids it. */
int vm_convert(struct vm *vm, u64 gpa, u64 size, bool to_private);

/* Memory that is shared from end to end, or NULL; vm->lock is held. */
void *vm_shared(struct vm *vm, u64 gpa, u64 size);

/* Run all vCPUs, each in a thread of its own. */
void vm_start(struct vm *vm);
/* Stop all vCPUs, with their last exits completed. */
void vm_stop(struct vm *vm);

/* Sub-commands of KVM_MEMORY_ENCRYPT_OP; the first returns 0 or an errno. */
int tdx_try(int fd, u32 id, u32 flags, void *data, u64 *hw_error);
void tdx_command(int fd, u32 id, u32 flags, void *data, const char *what);

#endif /* DEMO_VM_H */
