/*
 * Migration streams of a TD
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIG_STREAM_H
#define QEMU_I386_TDX_MIG_STREAM_H

#include <asm/kvm.h>

/*
 * A migration stream is a KVM device with commands, and with buffers that are
 * shared with KVM.  What a command exports or imports is a bundle: the MBMD
 * and, depending on its type, the state pages that follow, or a GPA list, the
 * MACs of its entries and the contents of its pages.
 */
typedef struct TdxMigStream {
    int fd;
    unsigned index;
    /* Number of pages in the buffer, thus of pages in a bundle */
    uint32_t nr_pages;
    size_t map_size;
    uint8_t *map;

    /* Inside the map */
    struct tdx_mig_mbmd *mbmd;
    uint64_t *gpa_list;
    uint8_t *macs;
    uint8_t *pages;
} TdxMigStream;

/* The index of a stream is the number of those that were created before. */
bool tdx_mig_stream_open(TdxMigStream *stream, unsigned index, Error **errp);
void tdx_mig_stream_close(TdxMigStream *stream);

/*
 * Issue a command, and repeat it while KVM asks for that.  @hw_error may be
 * NULL. Returns 0 or a negative errno, with an error.
 */
int tdx_mig_stream_ioctl(TdxMigStream *stream, enum kvm_tdx_mig_cmd_id cmd,
                         uint32_t flags, void *data, uint64_t *hw_error,
                         Error **errp);

static inline unsigned tdx_mig_entry_op(uint64_t entry)
{
    return (entry & TDX_MIG_GPA_ENTRY_OP_MASK) >> TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

static inline unsigned tdx_mig_entry_status(uint64_t entry)
{
    return (entry & TDX_MIG_GPA_ENTRY_STATUS_MASK) >>
           TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
}

/* Does the bundle carry the content of a page for this entry? */
static inline bool tdx_mig_entry_has_content(uint64_t entry)
{
    unsigned op = tdx_mig_entry_op(entry);

    return (op == TDX_MIG_GPA_OP_MIGRATE || op == TDX_MIG_GPA_OP_REMIGRATE) &&
           !(entry & TDX_MIG_GPA_ENTRY_PENDING);
}

#endif
