/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A migration stream of KVM: the device, its buffers and its commands.
 */
#ifndef DEMO_STREAM_H
#define DEMO_STREAM_H

#include "vm.h"

struct stream {
	int fd;
	u32 index;
	/* Buffer pages, thus the number of pages that fit into a memory bundle. */
	u32 nr_pages;
	size_t map_size;
	u8 *map;
	/* Inside of the map. */
	struct tdx_mig_mbmd *mbmd;
	u64 *gpa_list;
	u8 *macs;
	u8 *pages;
};

/* Streams get their index in order of creation. */
void stream_create(struct stream *stream, const struct vm *vm, u32 index);
void stream_destroy(struct stream *stream);

/*
 * Issue a command and repeat it while the driver asks for that; return 0 or an
 * errno. @data as in the interface of the driver.
 */
int stream_try(const struct stream *stream, u32 id, u32 flags, void *data, u64 *hw_error);
void stream_command(const struct stream *stream, u32 id, u32 flags, void *data, const char *what);

static inline u32 gpa_entry_op(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_OP_MASK) >> TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

static inline u32 gpa_entry_status(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_STATUS_MASK) >> TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
}

/* True if the bundle carries content for the entry. */
static inline bool gpa_entry_has_content(u64 entry)
{
	u32 op = gpa_entry_op(entry);

	return (op == TDX_MIG_GPA_OP_MIGRATE || op == TDX_MIG_GPA_OP_REMIGRATE) &&
	       !(entry & TDX_MIG_GPA_ENTRY_PENDING);
}

#endif /* DEMO_STREAM_H */
