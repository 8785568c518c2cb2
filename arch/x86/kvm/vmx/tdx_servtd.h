/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Service TDs: binding them to the TDs that they serve, and their hypercalls.
 */
#ifndef __KVM_X86_VMX_TDX_SERVTD_H
#define __KVM_X86_VMX_TDX_SERVTD_H

#include <linux/kvm_host.h>

#ifdef CONFIG_KVM_INTEL_TDX_MIG

bool tdx_servtd_is_vm_cmd(u32 id);
int tdx_servtd_vm_ioctl(struct kvm *kvm, struct kvm_tdx_cmd *cmd);

int tdx_servtd_handle_service(struct kvm_vcpu *vcpu);
int tdx_servtd_handle_migtd(struct kvm_vcpu *vcpu);

#if IS_ENABLED(CONFIG_KUNIT)
int tdx_servtd_errno(u64 err);
#endif

#else /* CONFIG_KVM_INTEL_TDX_MIG */

static inline bool tdx_servtd_is_vm_cmd(u32 id) { return false; }
static inline int tdx_servtd_vm_ioctl(struct kvm *kvm, struct kvm_tdx_cmd *cmd)
{
	return -EINVAL;
}

static inline int tdx_servtd_handle_service(struct kvm_vcpu *vcpu) { return 1; }
static inline int tdx_servtd_handle_migtd(struct kvm_vcpu *vcpu) { return 1; }

#endif /* CONFIG_KVM_INTEL_TDX_MIG */

#endif /* __KVM_X86_VMX_TDX_SERVTD_H */
