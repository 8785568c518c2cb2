/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration TDs in KVM selftests: between the code in the TD and the library.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_GUEST_H
#define SELFTEST_KVM_TDX_MIGTD_GUEST_H

#include "tdx_migtd.h"

/* Addresses that the host chose for the guest. */
struct td_migtd_guest {
	struct migtd_buffer *buffer;
	gpa_t buffer_gpa;
	gpa_t report_gpa;
	gpa_t report_data_gpa;
};

extern struct td_migtd_guest td_migtd_guest;

/* Give a VM its buffers, before the launch. */
void td_migtd_guest_prepare(struct kvm_vm *vm);

void td_migtd_guest_code(void);

#endif /* SELFTEST_KVM_TDX_MIGTD_GUEST_H */
