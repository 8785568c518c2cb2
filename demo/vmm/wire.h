/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The format in which a TD travels: frames in a byte stream. Both ends are
 * little endian. What a TDX module produced is protected by it; the rest is as
 * trusted as the VMM that sent it, and is checked by the receiver.
 */
#ifndef DEMO_WIRE_H
#define DEMO_WIRE_H

#include <assert.h>
#include <linux/kvm.h>

#include "device.h"
#include "vm.h"
#include "tdx_migtd_proto.h"

#define WIRE_MAGIC		0x4d584454U
#define WIRE_VERSION		4

enum wire_type {
	/* Source to destination, in this order; frames in brackets any number of times. */
	WIRE_CONFIG = 1,
	WIRE_KEY,
	/* One of the TDX module's bundles [struct wire_bundle]. */
	WIRE_BUNDLE,
	/* Which pages of a region are shared. */
	WIRE_SHARED_MAP,
	/* [Content of shared pages.] */
	WIRE_SHARED_PAGES,
	WIRE_DEVICES,
	WIRE_VCPU,
	/* All was sent; the start token is the last bundle. */
	WIRE_END,

	/* Destination to source: a WIRE_KEY, then one of these. */
	WIRE_COMMITTED,
	/* The import failed; an MBMD with the abort token. */
	WIRE_ABORT_TOKEN,
	WIRE_NR_TYPES,
};

struct wire_header {
	u32 magic;
	u16 version;
	u16 type;
	u64 len;
};

static_assert(sizeof(struct wire_header) == 16, "layout of the stream");

struct wire_config {
	struct vm_config vm;
	u32 nr_streams;
	u32 reserved;
};

/* A message of one migration TD for the other. */
struct wire_key {
	/* The exchange, named by the source. */
	u64 request_id;
	u32 len;
	u32 reserved;
	u8 message[MIGTD_MAX_MESSAGE];
};

/* What follows the MBMD depends on its type. */
struct wire_bundle {
	u8 mbmd[TDX_MIG_MBMD_SIZE];
	/* State bundles: pages that follow; memory bundles: GPA list entries. */
	u32 nr;
	/* Memory bundles: pages of content, after the list and the MACs. */
	u32 nr_content;
	/* vCPU state bundles only. */
	u32 vcpu_id;
	u32 stream;
};

#define WIRE_MAX_LIST		512
#define WIRE_MAC_SIZE		16
#define WIRE_MAX_BUNDLE		(sizeof(struct wire_bundle) + \
				 WIRE_MAX_LIST * (sizeof(u64) + WIRE_MAC_SIZE + PAGE_SIZE))

struct wire_shared_map {
	u32 region;
	u32 reserved;
	/* One byte per page of the region. */
	u8 is_shared[];
};

#define WIRE_MAX_SHARED		64

struct wire_shared_pages {
	u32 region;
	u32 nr;
	/* Page numbers in the region. */
	u32 index[WIRE_MAX_SHARED];
	u8 pages[WIRE_MAX_SHARED][PAGE_SIZE];
};

/* KVM takes no more at once. */
#define WIRE_MAX_MSRS		255

struct wire_vcpu {
	u32 id;
	u32 nr_msrs;
	struct kvm_msr_entry msrs[WIRE_MAX_MSRS];
	struct kvm_tdx_mig_vcpu_state state;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
};

/* Return false if the other side is gone; the sum of all bytes is counted. */
bool wire_send(int fd, u32 type, const void *data, size_t len);
/* A frame in pieces: the header announces the sum of their lengths. */
bool wire_send_header(int fd, u32 type, size_t len);
bool wire_send_data(int fd, const void *data, size_t len);
u64 wire_bytes_sent(void);

struct wire_frame {
	u32 type;
	size_t len;
	u8 *data;
};

/* Receive a frame into a buffer that stays valid until the next call. */
bool wire_receive(int fd, struct wire_frame *frame);
/* The same for a frame whose type and length are known. */
bool wire_receive_fixed(int fd, u32 type, void *data, size_t len);

#endif /* DEMO_WIRE_H */
