/*
 * Migration streams of a TD
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "tdx-mig-stream.h"
#include "trace.h"

#include <sys/ioctl.h>

/*
 * KVM itself retries what contends with another command; the caller would see
 * -EAGAIN only in pathological cases, which must not last forever.
 */
#define TDX_MIG_MAX_RETRIES 100000
#define TDX_MIG_RETRY_US    100

#define TDX_MIG_PAGE_SIZE   4096

static const char *tdx_mig_cmd_name(enum kvm_tdx_mig_cmd_id cmd)
{
    static const char *const names[] = {
        [KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE] = "EXPORT_STATE_IMMUTABLE",
        [KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE] = "IMPORT_STATE_IMMUTABLE",
        [KVM_TDX_MIG_EXPORT_MEM] = "EXPORT_MEM",
        [KVM_TDX_MIG_IMPORT_MEM] = "IMPORT_MEM",
        [KVM_TDX_MIG_EXPORT_TRACK] = "EXPORT_TRACK",
        [KVM_TDX_MIG_IMPORT_TRACK] = "IMPORT_TRACK",
        [KVM_TDX_MIG_EXPORT_PAUSE] = "EXPORT_PAUSE",
        [KVM_TDX_MIG_EXPORT_STATE_TD] = "EXPORT_STATE_TD",
        [KVM_TDX_MIG_IMPORT_STATE_TD] = "IMPORT_STATE_TD",
        [KVM_TDX_MIG_EXPORT_STATE_VP] = "EXPORT_STATE_VP",
        [KVM_TDX_MIG_IMPORT_STATE_VP] = "IMPORT_STATE_VP",
        [KVM_TDX_MIG_EXPORT_ABORT] = "EXPORT_ABORT",
        [KVM_TDX_MIG_IMPORT_END] = "IMPORT_END",
        [KVM_TDX_MIG_IMPORT_COMMIT] = "IMPORT_COMMIT",
        [KVM_TDX_MIG_IMPORT_ABORT] = "IMPORT_ABORT",
    };

    QEMU_BUILD_BUG_ON(ARRAY_SIZE(names) != KVM_TDX_MIG_CMD_NR_MAX);
    return names[cmd];
}

int tdx_mig_stream_ioctl(TdxMigStream *stream, enum kvm_tdx_mig_cmd_id cmd,
                         uint32_t flags, void *data, uint64_t *hw_error,
                         Error **errp)
{
    struct kvm_tdx_cmd tdx_cmd;
    unsigned retries = 0;
    int ret;

    do {
        if (retries) {
            g_usleep(TDX_MIG_RETRY_US);
        }
        tdx_cmd = (struct kvm_tdx_cmd) {
            .id = cmd,
            .flags = flags,
            .data = (uintptr_t)data,
        };
        ret = ioctl(stream->fd, KVM_MEMORY_ENCRYPT_OP, &tdx_cmd) ? -errno : 0;
    } while ((ret == -EAGAIN || ret == -EINTR) &&
             retries++ < TDX_MIG_MAX_RETRIES);

    trace_tdx_mig_stream_ioctl(stream->index, tdx_mig_cmd_name(cmd), ret,
                               tdx_cmd.hw_error);
    if (hw_error) {
        *hw_error = tdx_cmd.hw_error;
    }
    if (ret) {
        error_setg_errno(errp, -ret, "TDX migration: %s failed, TDX status 0x%"
                         PRIx64, tdx_mig_cmd_name(cmd),
                         (uint64_t)tdx_cmd.hw_error);
    }
    return ret;
}

static bool tdx_mig_stream_map(TdxMigStream *stream, Error **errp)
{
    struct kvm_dev_tdx_mig_attr attr = {
        .version = KVM_DEV_TDX_MIG_ATTR_VERSION,
        .buf_list_pages = TDX_MIG_BUF_LIST_PAGES_MAX,
    };
    struct kvm_device_attr dev_attr = {
        .group = KVM_DEV_TDX_MIG_ATTR,
        .attr = sizeof(attr),
        .addr = (uintptr_t)&attr,
    };

    if (ioctl(stream->fd, KVM_SET_DEVICE_ATTR, &dev_attr) ||
        ioctl(stream->fd, KVM_GET_DEVICE_ATTR, &dev_attr)) {
        error_setg_errno(errp, errno, "TDX migration: stream %u cannot be "
                         "set up", stream->index);
        return false;
    }

    stream->nr_pages = attr.buf_list_pages;
    stream->map_size = (TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET +
                        (size_t)stream->nr_pages) * TDX_MIG_PAGE_SIZE;
    stream->map = mmap(NULL, stream->map_size, PROT_READ | PROT_WRITE,
                       MAP_SHARED, stream->fd, 0);
    if (stream->map == MAP_FAILED) {
        stream->map = NULL;
        error_setg_errno(errp, errno, "TDX migration: the buffers of stream %u "
                         "cannot be mapped", stream->index);
        return false;
    }

    stream->mbmd = (void *)(stream->map +
                            TDX_MIG_STREAM_MBMD_MAP_OFFSET * TDX_MIG_PAGE_SIZE);
    stream->gpa_list = (void *)(stream->map +
                                TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET *
                                TDX_MIG_PAGE_SIZE);
    stream->macs = stream->map +
                   TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET * TDX_MIG_PAGE_SIZE;
    stream->pages = stream->map +
                    TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET * TDX_MIG_PAGE_SIZE;
    return true;
}

bool tdx_mig_stream_open(TdxMigStream *stream, unsigned index, Error **errp)
{
    int fd = kvm_create_device(kvm_state, KVM_DEV_TYPE_TDX_MIG_STREAM, false);

    if (fd < 0) {
        error_setg_errno(errp, -fd, "TDX migration: stream %u cannot be "
                         "created", index);
        return false;
    }

    *stream = (TdxMigStream) { .fd = fd, .index = index };
    if (!tdx_mig_stream_map(stream, errp)) {
        tdx_mig_stream_close(stream);
        return false;
    }
    return true;
}

void tdx_mig_stream_close(TdxMigStream *stream)
{
    if (stream->map) {
        munmap(stream->map, stream->map_size);
        stream->map = NULL;
    }
    close(stream->fd);
    stream->fd = -1;
}
