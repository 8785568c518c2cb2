/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: what the rest of KVM's TDX code needs to know of it.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_H
#define __KVM_X86_VMX_TDX_MIG_H

#include <linux/kvm_host.h>

#include <asm/vmx.h>

#include "tdx.h"

#ifdef CONFIG_KVM_INTEL_TDX_MIG

extern bool enable_tdx_mig;

int tdx_mig_hardware_setup(const struct tdx_sys_info *sysinfo);
void tdx_mig_hardware_unsetup(void);
void tdx_mig_get_caps(struct kvm_tdx_mig_caps *caps);

int tdx_mig_vm_init(struct kvm *kvm);
void tdx_mig_vm_reclaim(struct kvm *kvm);
void tdx_mig_vm_free(struct kvm *kvm);

int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx);
bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err);
void tdx_mig_start_import(struct kvm *kvm, struct td_params *params);

bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx);
void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn);
bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err);
bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn);

int tdx_mig_unblock(struct kvm *kvm, gfn_t gfn);

bool tdx_mig_is_vcpu_cmd(u32 id);
int tdx_mig_vcpu_ioctl(struct kvm_vcpu *vcpu, struct kvm_tdx_cmd *cmd);

#else /* CONFIG_KVM_INTEL_TDX_MIG */

#define enable_tdx_mig	false

static inline int tdx_mig_hardware_setup(const struct tdx_sys_info *sysinfo) { return 0; }
static inline void tdx_mig_hardware_unsetup(void) { }
static inline void tdx_mig_get_caps(struct kvm_tdx_mig_caps *caps) { }

static inline int tdx_mig_vm_init(struct kvm *kvm) { return 0; }
static inline void tdx_mig_vm_reclaim(struct kvm *kvm) { }
static inline void tdx_mig_vm_free(struct kvm *kvm) { }

static inline int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx) { return 0; }
static inline bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err) { return false; }
static inline void tdx_mig_start_import(struct kvm *kvm, struct td_params *params) { }

static inline bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx) { return false; }
static inline void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn) { }
static inline bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err) { return false; }
static inline bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn) { return false; }

static inline int tdx_mig_unblock(struct kvm *kvm, gfn_t gfn)
{
	KVM_BUG_ON(1, kvm);
	return -EIO;
}

static inline bool tdx_mig_is_vcpu_cmd(u32 id) { return false; }
static inline int tdx_mig_vcpu_ioctl(struct kvm_vcpu *vcpu, struct kvm_tdx_cmd *cmd)
{
	return -EINVAL;
}

#endif /* CONFIG_KVM_INTEL_TDX_MIG */

/* Without CONFIG_KVM_INTEL_TDX_MIG, their users are dead code. */
enum kvm_external_wrprot_result tdx_mig_write_protect(struct kvm *kvm, const gfn_t *gfns,
						      unsigned int nr);
void tdx_mig_track(struct kvm *kvm);
int tdx_mig_begin_conversion(struct kvm *kvm, gfn_t start, gfn_t end,
			     unsigned long attributes);
void tdx_mig_end_conversion(struct kvm *kvm);
int tdx_mig_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);
int tdx_mig_set_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);

#endif /* __KVM_X86_VMX_TDX_MIG_H */
