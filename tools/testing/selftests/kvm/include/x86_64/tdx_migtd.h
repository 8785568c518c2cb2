/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration TDs in KVM selftests: service TDs that exchange the keys of a
 * migration, and the part of the VMM that carries their messages.
 *
 * A migration TD serves as many TDs as are bound to it, one request after another
 * or several key exchanges at once.
 *
 * The two talk as Intel's MigTD and its VMM do.  Each call names a buffer, which the
 * VMM has until it completes the call: it writes the data, then the status, and injects
 * the vector of the call.  The migration TD halts, and looks at its buffers after an
 * interrupt only.  One WaitForRequest is always outstanding, and one Send or Receive for
 * each exchange that is under way.
 *
 * FOR TESTS ONLY.  The migration TDs of this library know each other by a secret
 * that is in the source code, and do not encrypt what they send.  Real ones prove
 * by attestation what they are, and their VMM never sees a key.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_H
#define SELFTEST_KVM_TDX_MIGTD_H

#include <linux/sizes.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_migtd_proto.h"
#include "tdx_util.h"

#define TDG_SYS_RD			11

#define TDVMCALL_SERVICE		0x10005
#define TDVMCALL_MIGTD			0x10006

/* Leaves of TDG.VP.VMCALL<MigTD>. */
#define MIGTD_WAIT_FOR_REQUEST		1
#define MIGTD_REPORT_STATUS		2
#define MIGTD_SEND			3
#define MIGTD_RECEIVE			4

#define MIGTD_VERSION			1
#define MIGTD_VERSION_SHIFT		16

/* Metadata that a migration TD can access in its target, and in the system. */
#define TD_MD_MIG_DEC_KEY		0x9810000300000010ULL
#define TD_MD_MIG_ENC_KEY		0x9810000300000018ULL
#define TD_MD_MIG_VERSION		0x9810000100000020ULL
#define SYS_MD_MIN_EXPORT_VERSION	0x2000000100000001ULL
#define SYS_MD_MAX_EXPORT_VERSION	0x2000000100000002ULL
#define SYS_MD_MIN_IMPORT_VERSION	0x2000000100000003ULL
#define SYS_MD_MAX_IMPORT_VERSION	0x2000000100000004ULL

#define TDX_OPERAND_BUSY		0x8000020000000000ULL
#define TDX_OPERAND_BUSY_HOST_PRIORITY	0x8000020400000000ULL
#define TDX_METADATA_FIELD_VALUE_NOT_VALID	0xC0000C0300000000ULL
#define TDX_SERVTD_ATTR_MISMATCH	0xC0000D0200000000ULL
#define TDX_SERVTD_INFO_HASH_MISMATCH	0xC0000D0300000000ULL
#define TDX_SERVTD_NOT_BOUND		0xC0000D0500000000ULL
#define TDX_SERVTD_BOUND		0xC0000D0600000000ULL
#define TDX_TARGET_UUID_MISMATCH	0xC0000D0700000000ULL
#define TDX_TARGET_UUID_UPDATED		0xC0000D0800000000ULL

/* SERVTD_ATTR: nothing of the service TD's measurement counts. */
#define TD_SERVTD_ATTR_IGNORE_ALL	0x000007ff00000000ULL

#define TD_MIG_KEY_WORDS		4
#define TD_UUID_WORDS			4

/* Offsets in a TDREPORT. */
#define TD_REPORT_TDINFO		512
#define TD_TDINFO_SIZE			512
#define TD_REPORT_SERVTD_HASH		912

/* Vectors that the migration TD names: for requests and reports, and for messages. */
#define MIGTD_REQUEST_VECTOR		0x50
#define MIGTD_MESSAGE_VECTOR		0x52

/* The status of a buffer: 0 until the VMM is done, one way or the other. */
#define MIGTD_DATA_STATE		GENMASK_ULL(7, 0)
#define MIGTD_DATA_DONE			1ULL
#define MIGTD_DATA_NOT_DONE		2ULL
#define MIGTD_DATA_OP_SHIFT		8
/* What it is not done for, in place of an operation. */
#define MIGTD_DATA_CANCEL		3ULL
#define MIGTD_DATA_CANCELLED		(MIGTD_DATA_NOT_DONE |			\
					 MIGTD_DATA_CANCEL << MIGTD_DATA_OP_SHIFT)

/* R14 of ReportStatus: 0 is success; after a failure, bits 15:8 say why. */
#define MIGTD_REPORT_STATE		GENMASK_ULL(7, 0)
#define MIGTD_REPORT_FAILED		1ULL
#define MIGTD_REPORT_CODE_SHIFT		8

/* A buffer in shared memory, between the migration TD and its VMM. */
struct migtd_buffer {
	u64 status;
	u32 length;
	u8 data[];
} __packed;

#define MIGTD_HEADER_SIZE		sizeof(struct migtd_buffer)
/* What is received; what is sent is as long as its data. */
#define MIGTD_MESSAGE_BUFFER_SIZE	SZ_64K
#define MIGTD_MAX_PAYLOAD		(MIGTD_MESSAGE_BUFFER_SIZE - MIGTD_HEADER_SIZE)
#define MIGTD_MAX_REPORT		2048
#define MIGTD_MAX_REQUEST		256

/* What WaitForRequest returns in bits 15:8 of the status. */
enum migtd_op {
	MIGTD_OP_START_MIGRATION	= 1,
	MIGTD_OP_REBINDING		= 2,
	MIGTD_OP_GET_TDREPORT		= 3,
	MIGTD_OP_ENABLE_LOG_AREA	= 4,
	MIGTD_OP_GET_MIGTD_DATA		= 5,
	/* Test only: one access to a field of the target. */
	MIGTD_OP_ACCESS			= 0xf0,
	/* Test only: the key of an exchange that has ended, for another target. */
	MIGTD_OP_INSTALL_AGAIN		= 0xf1,
	/* Test only: send a message of any length, and expect one like it. */
	MIGTD_OP_SWAP			= 0xf2,
};

/* What a migration TD has to know of a target: results of KVM_TDX_SERVTD_BIND. */
struct td_servtd_binding {
	u64 uuid[TD_UUID_WORDS];
	u64 handle;
};

/* Every request starts with its id. */
struct migtd_start_migration {
	u64 request_id;
	u8 is_source;
	u8 reserved[7];
	struct td_servtd_binding target;
} __packed;

kvm_static_assert(sizeof(struct migtd_start_migration) == 56);

struct migtd_access {
	u64 request_id;
	struct td_servtd_binding target;
	u64 field;
	u64 value;
	u64 mask;
	u64 is_write;
	/* How often to read it, the last time counts. */
	u64 nr_reads;
} __packed;

struct migtd_install_again {
	u64 request_id;
	struct td_servtd_binding target;
	u64 from_request_id;
} __packed;

/* Of MIGTD_OP_GET_TDREPORT and MIGTD_OP_GET_MIGTD_DATA; the second field is optional. */
struct migtd_get_report {
	u64 request_id;
	u8 report_data[TD_REPORT_DATA_SIZE];
} __packed;

struct migtd_swap {
	u64 request_id;
	u64 length;
} __packed;

/* Byte @i of a message of MIGTD_OP_SWAP. */
static inline u8 migtd_swap_byte(u64 request_id, u32 i)
{
	return request_id + i + i / PAGE_SIZE;
}

/* Data of ReportStatus: status of the TDX module, and what was read. */
struct migtd_report {
	u64 tdx_status;
	u64 value;
} __packed;

/* A message on its way, length 0 if there is none. */
struct td_migtd_message {
	u64 request_id;
	u32 length;
	u8 data[MIGTD_MAX_PAYLOAD];
};

/* A call that the VMM has not completed yet. */
struct td_migtd_call {
	bool is_outstanding;
	u64 request_id;
	u32 vector;
	struct migtd_buffer *buffer;
	u64 size;
};

/* A migration TD, as its VMM sees it. */
struct td_migtd {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;

	/* Its WaitForRequest, and its calls of Receive, one for each request. */
	struct td_migtd_call wait;
	struct td_migtd_call receives[MIGTD_MAX_SESSIONS];
	/* Requests that it has got and has not reported yet, and one that it may refuse. */
	u64 under_way[MIGTD_MAX_SESSIONS + 2];
	u32 nr_under_way;

	/* Complete calls of Send and ReportStatus in the next step, and not at once. */
	bool is_late;
	struct td_migtd_call handed_in;

	/* The target of the next request: the one that was bound last. */
	struct td_servtd_binding target;

	/* The request that the migration TD gets next, length 0 if none. */
	u64 op;
	u8 request[MIGTD_MAX_REQUEST];
	u32 request_length;

	/* MIGTD_MAX_SESSIONS messages that were sent, until the peer receives them. */
	struct td_migtd_message *messages;
	/* A message of a peer that is not in this process. */
	struct td_migtd_message *delivered;

	/* How the last request ended. */
	bool reported;
	u64 request_id;
	enum migtd_result result;
	u32 report_length;
	union {
		struct migtd_report report;
		u8 report_data[MIGTD_MAX_REPORT];
	};
};

/* A migration TD before its launch; the measurement differs for each @variant. */
void td_migtd_build(struct td_migtd *m, u64 variant, void *guest_code);
/* Build a migration TD and run it to its first WaitForRequest. */
void td_migtd_create(struct td_migtd *m);
/* One whose measurement differs for each @variant. */
void td_migtd_create_variant(struct td_migtd *m, u64 variant);
void td_migtd_free(struct td_migtd *m);

/* SERVTD_INFO_HASH: ask the migration TD for its report and hash it. */
void td_migtd_info_hash(struct td_migtd *m, u64 attributes, u8 hash[TD_SHA384_SIZE]);
/* SERVTD_HASH of a TD with one migration TD. */
void td_servtd_hash(const u8 info_hash[TD_SHA384_SIZE], u64 attributes,
		    u8 hash[TD_SHA384_SIZE]);

/*
 * Bind and prebind, for the slot 0.  Those with underscores return -1 with errno;
 * @hw_error may be NULL.
 */
int __td_servtd_bind(int target_fd, struct kvm_tdx_servtd_bind *bind, u64 *hw_error);
void td_migtd_set_target(struct td_migtd *m, const struct kvm_tdx_servtd_bind *bind);
int __td_migtd_bind(struct td_migtd *m, struct kvm_vm *target, u64 attributes,
		    u64 *hw_error);
void td_migtd_bind(struct td_migtd *m, struct kvm_vm *target, u64 attributes);
int __td_servtd_prebind(struct kvm_vm *target, const u8 info_hash[TD_SHA384_SIZE],
			u64 attributes, u64 *hw_error);

/* R14 of ReportStatus.  Returns false if it is neither a success nor a failure. */
bool td_migtd_decode_status(u64 status, enum migtd_result *result);

/*
 * Complete the calls that can be completed: with the next request, and with messages,
 * which come from td_migtd_deliver() and, if it is not NULL, from @peer.
 */
void td_migtd_complete(struct td_migtd *m, struct td_migtd *peer);
/* Is there nothing that the migration TD can do until the VMM completes a call? */
bool td_migtd_is_idle(struct td_migtd *m);
/*
 * Complete what can be completed, then run the migration TD until it calls its VMM,
 * unless it would sleep for ever.
 */
void td_migtd_step(struct td_migtd *m, struct td_migtd *peer);
/* The same, but sleep with the migration TD.  Returns false if a signal ends that. */
bool td_migtd_step_or_sleep(struct td_migtd *m);

/* Complete the outstanding WaitForRequest with anything, with an interrupt or without. */
void td_migtd_write_request(struct td_migtd *m, u64 status, const void *data, u32 length);
void td_migtd_inject_request(struct td_migtd *m);
/* The outstanding Receive of a request, NULL if there is none. */
struct td_migtd_call *td_migtd_find_receive(struct td_migtd *m, u64 request_id);
/* Cancel it, with what its status says. */
void td_migtd_cancel(struct td_migtd *m, u64 request_id, u64 status);

/* Hand in a message of the peer, after the last one was taken. */
void td_migtd_deliver(struct td_migtd *m, u64 request_id, const void *data, u32 length);

/* Have a request ready for the next WaitForRequest. */
void td_migtd_request(struct td_migtd *m, u64 op, const void *data, u32 length);
/* Ask for a key exchange; td_migtd_step() does the rest. */
void td_migtd_start(struct td_migtd *m, u64 request_id, bool is_source);
/* The message that @m has sent for a request, NULL if there is none. */
struct td_migtd_message *td_migtd_find_message(struct td_migtd *m, u64 request_id);
/* Run @m until it has sent its message of an exchange that was started. */
void td_migtd_run_to_message(struct td_migtd *m, u64 request_id);
/* Start an exchange, and run both until each of them has sent its message. */
void td_migtd_run_to_messages(struct td_migtd *src, struct td_migtd *dst, u64 request_id);
/* Run @m until it reports the end of this exchange, whatever else it reports. */
void td_migtd_run_to_report(struct td_migtd *m, struct td_migtd *peer, u64 request_id);
/*
 * A whole key exchange between the targets of @src and @dst.  Returns its request
 * id.
 */
u64 td_migtd_exchange(struct td_migtd *src, struct td_migtd *dst);
/* Give the target the key that an earlier exchange gave to another one. */
void td_migtd_install_again(struct td_migtd *m, u64 from_request_id);

/* One access to the bound target; returns the status of the TDX module. */
u64 td_migtd_read(struct td_migtd *m, u64 field, u64 *value);
u64 td_migtd_write(struct td_migtd *m, u64 field, u64 value);
/* Read a field again and again, without a stop at the VMM. */
void td_migtd_poll(struct td_migtd *m, u64 field, u64 nr_reads);
/* Read a field that every binding gives access to: of this target, or the last one. */
u64 td_migtd_access(struct td_migtd *m, const struct td_servtd_binding *binding);
bool td_migtd_can_access(struct td_migtd *m);

/* A thread in which a migration TD polls its target, and does nothing else. */
struct td_migtd_poller {
	struct td_migtd *m;
	/* Reads in a row, without a stop at the VMM. */
	u64 nr_reads;
	u64 nr_polls;
	bool stop;
	pthread_t thread;
};

void td_migtd_poller_start(struct td_migtd_poller *p, struct td_migtd *m, u64 nr_reads);
/* Wait until it has polled @nr times. */
void td_migtd_poller_wait(struct td_migtd_poller *p, u64 nr);
void td_migtd_poller_stop(struct td_migtd_poller *p);

#endif /* SELFTEST_KVM_TDX_MIGTD_H */
