/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration TDs in KVM selftests: between the code in the TD and the library.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_GUEST_H
#define SELFTEST_KVM_TDX_MIGTD_GUEST_H

#include "tdx_migtd.h"

struct migtd_versions {
	u64 min_export;
	u64 max_export;
	u64 min_import;
	u64 max_import;
};

/* What two migration TDs tell each other, each once. */
struct migtd_message {
	u64 request_id;
	u64 from_source;
	struct migtd_versions versions;
	u64 key[TD_MIG_KEY_WORDS];
	u8 mac[TD_SHA384_SIZE];
};

/* The code that authenticates a message, FOR TESTS ONLY. */
void td_migtd_seal(const struct migtd_message *msg, u8 mac[TD_SHA384_SIZE]);

/*
 * Shared memory: a page for WaitForRequest, one for ReportStatus, and what each session
 * sends from and receives to.
 */
#define TD_MIGTD_WAIT_OFFSET		0
#define TD_MIGTD_REPORT_OFFSET		PAGE_SIZE
#define TD_MIGTD_MESSAGE_OFFSET(_i)	(2 * PAGE_SIZE + (u64)(_i) * MIGTD_MESSAGE_BUFFER_SIZE)
#define TD_MIGTD_BUFFERS_SIZE		TD_MIGTD_MESSAGE_OFFSET(MIGTD_MAX_SESSIONS)

/* Addresses that the host chose for the guest. */
struct td_migtd_guest {
	u8 *buffers;
	gpa_t buffers_gpa;
	gpa_t report_gpa;
	gpa_t report_data_gpa;
};

extern struct td_migtd_guest td_migtd_guest;

/* Of an image: text that its configuration volume has. */
extern char td_migtd_image_config[PAGE_SIZE];

/* Give a VM its buffers, before the launch. */
void td_migtd_guest_prepare(struct kvm_vm *vm);

void td_migtd_guest_code(void);
/* The same, for a VMM that knows nothing but the image and may serve no calls. */
void td_migtd_guest_image_code(void);

#endif /* SELFTEST_KVM_TDX_MIGTD_GUEST_H */
