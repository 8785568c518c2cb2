/*
 * Migration bundles of a TD
 *
 * On the way, a bundle is a header with the MBMD, and what belongs to its type:
 * state pages; or a GPA list, a MAC for each entry, and the contents of those
 * pages that have one.  Memory goes to the socket from where KVM has put it,
 * and comes from there to where KVM expects it.  KVM and the TDX module check
 * what is in it; here, it is lengths that count.
 *
 * One kind of bundle does not come from the TDX module: a GPA list of pages of
 * which nothing follows, for a destination that has asked for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/ramblock.h"
#include "tdx-mig-bundle.h"
#include "trace.h"

#define TDX_MIG_PAGE_SIZE   4096
#define TDX_MIG_MAC_SIZE    16

/* A GPA list, and nothing else */
#define TDX_MIG_BUNDLE_SENT     1

typedef struct TdxMigBundleHeader {
    /* Pages of state, or entries of the GPA list */
    uint32_t nr;
    /* Pages with contents, of a memory bundle */
    uint32_t nr_content;
    /* Id of the vCPU, of its state */
    uint32_t vcpu_id;
    uint32_t flags;
    uint8_t mbmd[TDX_MIG_MBMD_SIZE];
} QEMU_PACKED TdxMigBundleHeader;

QEMU_BUILD_BUG_ON(sizeof(TdxMigBundleHeader) != 64);

/* No page is read along with the header. */
QEMU_BUILD_BUG_ON(sizeof(TdxMigBundleHeader) < CGS_MIGRATION_READ_AHEAD);

/*
 * The header lies in the page of the MBMD, behind it; KVM doesn't look there.
 */
static TdxMigBundleHeader *tdx_mig_header(TdxMigStream *stream)
{
    return (void *)((uint8_t *)stream->mbmd + TDX_MIG_PAGE_SIZE / 2);
}

static void tdx_mig_bundle_add(ConfidentialGuestBundle *bundle, void *base,
                               size_t len)
{
    struct iovec *last = bundle->iov + bundle->niov - 1;

    bundle->size += len;
    if (bundle->niov && (uint8_t *)last->iov_base + last->iov_len == base) {
        last->iov_len += len;
        return;
    }
    assert(bundle->niov < CGS_MIGRATION_MAX_IOV);
    bundle->iov[bundle->niov++] = (struct iovec) {
        .iov_base = base,
        .iov_len = len,
    };
}

static TdxMigBundleHeader *tdx_mig_bundle_start(TdxMigStream *stream,
                                                ConfidentialGuestBundle *bundle,
                                                uint32_t nr)
{
    TdxMigBundleHeader *header = tdx_mig_header(stream);

    *header = (TdxMigBundleHeader) { .nr = cpu_to_be32(nr) };
    memcpy(header->mbmd, stream->mbmd, sizeof(header->mbmd));
    bundle->niov = 0;
    bundle->size = 0;
    bundle->nr_pages = 0;
    tdx_mig_bundle_add(bundle, header, sizeof(*header));
    return header;
}

bool tdx_mig_export_state(TdxMigStream *stream, enum kvm_tdx_mig_cmd_id cmd,
                          CPUState *cpu, ConfidentialGuestBundle *bundle,
                          Error **errp)
{
    struct kvm_tdx_mig_state_vp vp = {};
    TdxMigBundleHeader *header;
    uint64_t nr = 0;
    uint32_t flags = 0;
    void *data = &nr;

    if (cpu) {
        vp.vcpu_id = kvm_arch_vcpu_id(cpu);
        flags = KVM_TDX_MIG_STATE_VP_F_VCPU_ID;
        data = &vp;
    }
    if (tdx_mig_stream_ioctl(stream, cmd, flags, data, NULL, errp)) {
        return false;
    }
    if (cpu) {
        nr = vp.nr_pages;
    }

    header = tdx_mig_bundle_start(stream, bundle, nr);
    header->vcpu_id = cpu_to_be32(vp.vcpu_id);
    tdx_mig_bundle_add(bundle, stream->pages, nr * TDX_MIG_PAGE_SIZE);
    return true;
}

bool tdx_mig_export_token(TdxMigStream *stream, bool start,
                          ConfidentialGuestBundle *bundle, Error **errp)
{
    uint64_t flags = start ? TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE : 0;

    if (tdx_mig_stream_ioctl(stream, KVM_TDX_MIG_EXPORT_TRACK, 0, &flags, NULL,
                             errp)) {
        return false;
    }
    tdx_mig_bundle_start(stream, bundle, 0);
    return true;
}

static bool tdx_mig_export_mem(TdxMigStream *stream, uint32_t nr,
                               ConfidentialGuestBundle *bundle, Error **errp)
{
    TdxMigBundleHeader *header;
    uint32_t i, nr_content = 0;
    uint64_t count = nr;

    if (tdx_mig_stream_ioctl(stream, KVM_TDX_MIG_EXPORT_MEM, 0, &count, NULL,
                             errp)) {
        return false;
    }

    header = tdx_mig_bundle_start(stream, bundle, nr);
    tdx_mig_bundle_add(bundle, stream->gpa_list, nr * sizeof(uint64_t));
    tdx_mig_bundle_add(bundle, stream->macs, nr * TDX_MIG_MAC_SIZE);
    for (i = 0; i < nr; i++) {
        if (tdx_mig_entry_has_content(le64_to_cpu(stream->gpa_list[i]))) {
            tdx_mig_bundle_add(bundle, stream->pages + i * TDX_MIG_PAGE_SIZE,
                               TDX_MIG_PAGE_SIZE);
            nr_content++;
        }
    }
    header->nr_content = cpu_to_be32(nr_content);
    bundle->nr_pages = nr_content;
    return true;
}

/*
 * A page that is busy will be exported later.  All others that were left out
 * are not there, or KVM has marked them as dirty.
 */
static bool tdx_mig_entry_is_busy(uint64_t entry)
{
    switch (tdx_mig_entry_status(entry)) {
    case TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY:
    case TDX_MIG_GPA_STATUS_TLB_TRACKING_NOT_DONE:
    case TDX_MIG_GPA_STATUS_TD_PAGE_BUSY:
        return true;
    default:
        return false;
    }
}

static void tdx_mig_export_sent(TdxMigStream *stream, uint32_t nr,
                                ConfidentialGuestBundle *bundle)
{
    const uint64_t absent =
        (uint64_t)TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT <<
        TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
    TdxMigBundleHeader *header;
    uint32_t i;

    for (i = 0; i < nr; i++) {
        uint64_t gpa = le64_to_cpu(stream->gpa_list[i]) &
                       TDX_MIG_GPA_ENTRY_GPA_MASK;

        stream->gpa_list[i] = cpu_to_le64(gpa | absent);
    }
    header = tdx_mig_bundle_start(stream, bundle, nr);
    header->flags = cpu_to_be32(TDX_MIG_BUNDLE_SENT);
    tdx_mig_bundle_add(bundle, stream->gpa_list, nr * sizeof(uint64_t));
}

bool tdx_mig_export_pages(TdxMigStream *stream, ConfidentialGuestPages *pages,
                          ConfidentialGuestBundle *bundle, Error **errp)
{
    const uint64_t migrate =
        (uint64_t)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
    g_autofree unsigned *page_of = g_new(unsigned, pages->nr);
    unsigned i, nr = 0;
    hwaddr gpa;

    assert(pages->nr <= stream->nr_pages);
    for (i = 0; i < pages->nr; i++) {
        /* Memory that the guest cannot reach has no content. */
        if (kvm_physical_memory_addr_from_host(kvm_state, pages->block->host +
                                               pages->offset[i], &gpa)) {
            stream->gpa_list[nr] = cpu_to_le64(gpa | migrate);
            page_of[nr++] = i;
        }
    }

    pages->nr_left = 0;
    if (!nr) {
        bundle->niov = 0;
        bundle->size = 0;
        bundle->nr_pages = 0;
        return true;
    }
    if (pages->sent) {
        tdx_mig_export_sent(stream, nr, bundle);
        return true;
    }
    if (!tdx_mig_export_mem(stream, nr, bundle, errp)) {
        return false;
    }

    for (i = 0; i < nr; i++) {
        if (tdx_mig_entry_is_busy(le64_to_cpu(stream->gpa_list[i]))) {
            pages->offset[pages->nr_left++] = pages->offset[page_of[i]];
        }
    }
    trace_tdx_mig_export_pages(stream->index, nr, bundle->nr_pages,
                               pages->nr_left);
    return true;
}

bool tdx_mig_export_cancel(TdxMigStream *stream, const hwaddr *gpa, unsigned nr,
                           ConfidentialGuestBundle *bundle, Error **errp)
{
    const uint64_t cancel =
        (uint64_t)TDX_MIG_GPA_OP_CANCEL << TDX_MIG_GPA_ENTRY_OP_SHIFT;
    unsigned i;

    assert(nr && nr <= stream->nr_pages);
    for (i = 0; i < nr; i++) {
        stream->gpa_list[i] = cpu_to_le64(gpa[i] | cancel);
    }
    trace_tdx_mig_export_cancel(stream->index, nr, gpa[0]);
    return tdx_mig_export_mem(stream, nr, bundle, errp);
}

static bool tdx_mig_import_state(TdxMigStream *stream, unsigned type,
                                 uint32_t nr, uint32_t vcpu_id, Error **errp)
{
    struct kvm_tdx_mig_state_vp vp = { .nr_pages = nr, .vcpu_id = vcpu_id };
    enum kvm_tdx_mig_cmd_id cmd;
    uint64_t count = nr;

    switch (type) {
    case TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE:
        cmd = KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE;
        break;
    case TDX_MIG_MBMD_TYPE_TD_STATE:
        cmd = KVM_TDX_MIG_IMPORT_STATE_TD;
        break;
    case TDX_MIG_MBMD_TYPE_EPOCH_TOKEN:
        cmd = KVM_TDX_MIG_IMPORT_TRACK;
        break;
    case TDX_MIG_MBMD_TYPE_VP_STATE:
        return !tdx_mig_stream_ioctl(stream, KVM_TDX_MIG_IMPORT_STATE_VP,
                                     KVM_TDX_MIG_STATE_VP_F_VCPU_ID, &vp, NULL,
                                     errp);
    default:
        error_setg(errp, "TDX migration: unknown bundle of type %u", type);
        return false;
    }
    return !tdx_mig_stream_ioctl(stream, cmd, 0, &count, NULL, errp);
}

/* Pages without a gap between them are read at once. */
static bool tdx_mig_read_content(TdxMigStream *stream, uint32_t nr,
                                 uint32_t nr_content,
                                 ConfidentialGuestRead *read, void *opaque,
                                 Error **errp)
{
    uint32_t first, i = 0, found = 0;

    while (i < nr) {
        if (!tdx_mig_entry_has_content(le64_to_cpu(stream->gpa_list[i]))) {
            i++;
            continue;
        }
        first = i;
        while (i < nr &&
               tdx_mig_entry_has_content(le64_to_cpu(stream->gpa_list[i]))) {
            i++;
        }
        found += i - first;
        if (found > nr_content) {
            break;
        }
        if (!read(opaque, stream->pages + first * TDX_MIG_PAGE_SIZE,
                  (i - first) * TDX_MIG_PAGE_SIZE, errp)) {
            return false;
        }
    }

    if (found != nr_content) {
        error_setg(errp, "TDX migration: a memory bundle does not have the %u "
                   "pages that it names", nr_content);
        return false;
    }
    return true;
}

static bool tdx_mig_import_sent(TdxMigStream *stream, uint32_t nr,
                                ConfidentialGuestRead *read, void *opaque,
                                uint64_t *gpa_list, Error **errp)
{
    unsigned i;

    if (!read(opaque, stream->gpa_list, nr * sizeof(uint64_t), errp)) {
        return false;
    }
    for (i = 0; gpa_list && i < nr; i++) {
        gpa_list[i] = le64_to_cpu(stream->gpa_list[i]);
    }
    return true;
}

static bool tdx_mig_import_mem(TdxMigStream *stream, uint32_t nr,
                               uint32_t nr_content, ConfidentialGuestRead *read,
                               void *opaque, uint64_t *gpa_list, Error **errp)
{
    uint64_t count = nr;
    unsigned i;

    if (!read(opaque, stream->gpa_list, nr * sizeof(uint64_t), errp) ||
        !read(opaque, stream->macs, nr * TDX_MIG_MAC_SIZE, errp) ||
        !tdx_mig_read_content(stream, nr, nr_content, read, opaque, errp)) {
        return false;
    }
    /* KVM returns in the list of the stream what became of each page. */
    for (i = 0; gpa_list && i < nr; i++) {
        gpa_list[i] = le64_to_cpu(stream->gpa_list[i]);
    }
    trace_tdx_mig_import_mem(stream->index, nr, nr_content);
    return !tdx_mig_stream_ioctl(stream, KVM_TDX_MIG_IMPORT_MEM, 0, &count,
                                 NULL, errp);
}

bool tdx_mig_import_bundle(TdxMigStream *stream, size_t size,
                           ConfidentialGuestRead *read, void *opaque,
                           uint64_t *gpa_list, unsigned *nr_entries,
                           Error **errp)
{
    TdxMigBundleHeader header;
    uint32_t nr, nr_content;
    size_t expected;
    unsigned type;
    bool sent;

    if (gpa_list) {
        *nr_entries = 0;
    }

    /* Nothing was there to be exported. */
    if (!size) {
        return true;
    }
    if (size < sizeof(header)) {
        error_setg(errp, "TDX migration: a bundle has only %zu bytes", size);
        return false;
    }
    if (!read(opaque, &header, sizeof(header), errp)) {
        return false;
    }

    memcpy(stream->mbmd, header.mbmd, sizeof(header.mbmd));
    type = stream->mbmd->mb_type;
    nr = be32_to_cpu(header.nr);
    nr_content = be32_to_cpu(header.nr_content);
    sent = header.flags == cpu_to_be32(TDX_MIG_BUNDLE_SENT);
    if (header.flags && !sent) {
        error_setg(errp, "TDX migration: a bundle has flags 0x%x",
                   be32_to_cpu(header.flags));
        return false;
    }
    if (nr > stream->nr_pages || nr > TDX_MIG_BUF_LIST_PAGES_MAX ||
        nr_content > nr || (!nr && type == TDX_MIG_MBMD_TYPE_MEM)) {
        error_setg(errp, "TDX migration: a bundle of %u pages, of %u at most",
                   nr, stream->nr_pages);
        return false;
    }

    expected = sizeof(header);
    if (sent) {
        expected += nr * sizeof(uint64_t);
    } else if (type == TDX_MIG_MBMD_TYPE_MEM) {
        expected += nr * (sizeof(uint64_t) + TDX_MIG_MAC_SIZE) +
                    nr_content * TDX_MIG_PAGE_SIZE;
    } else {
        expected += nr * TDX_MIG_PAGE_SIZE;
    }
    if (size != expected) {
        error_setg(errp, "TDX migration: a bundle has %zu bytes, not %zu", size,
                   expected);
        return false;
    }

    if (sent || type == TDX_MIG_MBMD_TYPE_MEM) {
        if (!(sent ?
              tdx_mig_import_sent(stream, nr, read, opaque, gpa_list, errp) :
              tdx_mig_import_mem(stream, nr, nr_content, read, opaque, gpa_list,
                                 errp))) {
            return false;
        }
        if (gpa_list) {
            *nr_entries = nr;
        }
        return true;
    }
    if (nr && !read(opaque, stream->pages, nr * TDX_MIG_PAGE_SIZE, errp)) {
        return false;
    }
    return tdx_mig_import_state(stream, type, nr, be32_to_cpu(header.vcpu_id),
                                errp);
}
