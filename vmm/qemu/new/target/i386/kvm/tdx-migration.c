/*
 * Live migration of TDs
 *
 * The TDX module of the source exports a TD in bundles, which that of the
 * destination imports; KVM has a device for each stream of them.  Migration
 * code sends memory by means of the functions in tdx_migration_ops.  All else
 * travels in a section of its own, that is the keys and the immutable state
 * before memory, and the state of the TD and its vCPUs after it.  The last
 * bundle is the start token, with which the source gives up the TD, unless the
 * destination returns an abort token.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/guest-random.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "migration/confidential.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/register.h"
#include "system/address-spaces.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/ramblock.h"
#include "system/runstate.h"
#include "cpu.h"
#include "tdx.h"
#include "tdx-mig-bundle.h"
#include "tdx-mig-stream.h"
#include "tdx-mig-vcpu.h"
#include "tdx-migration.h"
#include "tdx-migtd.h"
#include "trace.h"

#define TDX_MIG_VERSION         1
#define TDX_MIG_MAX_STREAMS     255

/*
 * Pages of revoked exports that wait for the migration thread; others ask again
 */
#define TDX_MIG_MAX_REVOKED     TDX_MIG_BUF_LIST_PAGES_MAX
#define TDX_MIG_REVOKE_US       1000

/* How long a vCPU that waits for a page may miss that it is kicked */
#define TDX_MIG_WAIT_MS         10

/* What follows in the section, as a 32 bit number. */
enum {
    TDX_MIG_SETUP = 1,
    TDX_MIG_BUNDLE,
    TDX_MIG_VCPU,
    TDX_MIG_SHARED_MAP,
    TDX_MIG_NOTIFY,
    TDX_MIG_READY,
    TDX_MIG_END,
};

/* First byte of the messages of the destination. */
enum {
    TDX_MIG_REPLY_KEY = 1,
    TDX_MIG_REPLY_READY,
    TDX_MIG_REPLY_ABORT_TOKEN,
};

typedef struct TdxMigration {
    TdxMigStream *streams;
    unsigned nr_streams;
    /* Stream contexts live as long as the TD, also those of past sessions. */
    unsigned max_streams;

    /* Source: a session of the TDX module is in progress */
    bool exporting;
    /* Source: nothing but an abort token ends it */
    bool committed;
    /* Destination: a session, in which the TD may run already */
    bool importing;
    bool running;
    /* Pages that vCPUs wait for, by GPA; protected by the mutex */
    GHashTable *missing;
    QemuCond import_cond;

    NotifierWithReturn precopy_notifier;

    /* Messages of the destination; protected by the mutex */
    QemuMutex mutex;
    QemuCond reply_cond;
    bool replies_ended;
    bool ready;
    uint8_t key[TDX_MIGTD_MAX_MESSAGE];
    size_t key_size;
    bool has_abort_token;
    uint8_t abort_token[TDX_MIG_MBMD_SIZE];

    /* Pages that the guest gives up; protected by the mutex */
    GArray *revoked;
} TdxMigration;

static TdxMigration tdx_mig;

/* A MigTD of this host that can exchange the keys of one migration. */
static TdxMigtd *tdx_mig_get_migtd(Error **errp)
{
    TdxGuest *tdx = TDX_GUEST(current_machine->cgs);
    g_autoptr(TdxMigtd) migtd = tdx_migtd_connect(tdx->migtd, errp);

    if (!migtd || !tdx_migtd_bind(migtd, errp)) {
        return NULL;
    }
    return g_steal_pointer(&migtd);
}

static void tdx_mig_close_streams(void)
{
    while (tdx_mig.nr_streams) {
        tdx_mig_stream_close(&tdx_mig.streams[--tdx_mig.nr_streams]);
    }
    g_clear_pointer(&tdx_mig.streams, g_free);
}

static bool tdx_mig_open_streams(unsigned nr, Error **errp)
{
    tdx_mig.streams = g_new0(TdxMigStream, nr);
    while (tdx_mig.nr_streams < nr) {
        if (!tdx_mig_stream_open(&tdx_mig.streams[tdx_mig.nr_streams],
                                 tdx_mig.nr_streams, errp)) {
            tdx_mig_close_streams();
            return false;
        }
        tdx_mig.nr_streams++;
        tdx_mig.max_streams = MAX(tdx_mig.max_streams, tdx_mig.nr_streams);
    }
    return true;
}

static void tdx_mig_put_bundle(QEMUFile *f,
                               const ConfidentialGuestBundle *bundle)
{
    unsigned i;

    qemu_put_be32(f, TDX_MIG_BUNDLE);
    qemu_put_be32(f, bundle->size);
    for (i = 0; i < bundle->niov; i++) {
        qemu_put_buffer(f, bundle->iov[i].iov_base, bundle->iov[i].iov_len);
    }
}

static bool tdx_mig_save_state(QEMUFile *f, enum kvm_tdx_mig_cmd_id cmd,
                               CPUState *cpu, Error **errp)
{
    g_autofree ConfidentialGuestBundle *bundle =
        g_new(ConfidentialGuestBundle, 1);

    if (!tdx_mig_export_state(&tdx_mig.streams[0], cmd, cpu, bundle, errp)) {
        return false;
    }
    tdx_mig_put_bundle(f, bundle);
    return true;
}

/* Source: keys */

static bool tdx_mig_wait_for_key(uint8_t *key, size_t *size)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    while (!tdx_mig.key_size && !tdx_mig.replies_ended) {
        qemu_cond_wait(&tdx_mig.reply_cond, &tdx_mig.mutex);
    }
    memcpy(key, tdx_mig.key, tdx_mig.key_size);
    *size = tdx_mig.key_size;
    return tdx_mig.key_size;
}

/* The MigTD of the destination answers once its TD is ready for the session. */
static bool tdx_mig_exchange_keys(QEMUFile *f, Error **errp)
{
    g_autoptr(TdxMigtd) migtd = tdx_mig_get_migtd(errp);
    uint8_t message[TDX_MIGTD_MAX_MESSAGE];
    uint64_t request_id;
    size_t size;

    qemu_guest_getrandom_nofail(&request_id, sizeof(request_id));
    if (!migtd ||
        !tdx_migtd_begin(migtd, request_id, true, message, &size, errp)) {
        return false;
    }
    qemu_put_be64(f, request_id);
    qemu_put_be32(f, size);
    qemu_put_buffer(f, message, size);
    if (qemu_fflush(f)) {
        error_setg(errp, "TDX migration: the destination is gone");
        return false;
    }
    if (!tdx_mig_wait_for_key(message, &size)) {
        error_setg(errp, "TDX migration: the destination does not agree on "
                   "keys");
        return false;
    }
    return tdx_migtd_end(migtd, request_id, message, size, errp);
}

/* Source: the section */

static void tdx_mig_reset_replies(void)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    tdx_mig.replies_ended = false;
    tdx_mig.ready = false;
    tdx_mig.key_size = 0;
    tdx_mig.has_abort_token = false;
    g_array_set_size(tdx_mig.revoked, 0);
}

static int tdx_mig_save_prepare(void *opaque, Error **errp)
{
    /* Before the return path is there. */
    tdx_mig_reset_replies();
    return 0;
}

static int tdx_mig_save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    unsigned nr = MAX(migrate_multifd() ? migrate_multifd_channels() : 1,
                      tdx_mig.max_streams);
    bool ret;

    if (!tdx_mig_open_streams(nr, errp)) {
        return -EINVAL;
    }

    qemu_put_be32(f, TDX_MIG_SETUP);
    qemu_put_be32(f, TDX_MIG_VERSION);
    qemu_put_be32(f, nr);
    /*
     * This takes a while; the monitor has to work, e.g. to cancel the
     * migration.
     */
    bql_unlock();
    ret = tdx_mig_exchange_keys(f, errp);
    bql_lock();
    if (!ret) {
        return -EINVAL;
    }

    if (!tdx_mig_save_state(f, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, NULL,
                            errp)) {
        return -EINVAL;
    }
    qatomic_set(&tdx_mig.exporting, true);
    qemu_put_be32(f, TDX_MIG_END);
    if (qemu_fflush(f)) {
        error_setg(errp, "TDX migration: the destination is gone");
        return -EIO;
    }
    return 0;
}

/* KVM_RUN returns at once, but completes the last exit first. */
static void tdx_mig_complete_exit(CPUState *cpu, run_on_cpu_data data)
{
    int *ret = data.host_ptr;

    qatomic_set(&cpu->kvm_run->immediate_exit, 1);
    *ret = kvm_vcpu_ioctl(cpu, KVM_RUN, 0);
    qatomic_set(&cpu->kvm_run->immediate_exit, 0);
}

static int tdx_mig_pause(Error **errp)
{
    uint64_t unused = 0;
    CPUState *cpu;
    int ret;

    CPU_FOREACH(cpu) {
        run_on_cpu(cpu, tdx_mig_complete_exit, RUN_ON_CPU_HOST_PTR(&ret));
        if (ret != -EINTR) {
            error_setg_errno(errp, ret < 0 ? -ret : EBUSY, "TDX migration: "
                             "vCPU %d has not completed its last exit",
                             cpu->cpu_index);
            return -EBUSY;
        }
    }
    return tdx_mig_stream_ioctl(&tdx_mig.streams[0], KVM_TDX_MIG_EXPORT_PAUSE,
                                0, &unused, NULL, errp);
}

/* The vCPUs are stopped. */
static int tdx_mig_precopy_notify(NotifierWithReturn *notifier, void *data,
                                  Error **errp)
{
    PrecopyNotifyData *pnd = data;

    if (pnd->reason == PRECOPY_NOTIFY_COMPLETE && tdx_mig.exporting) {
        /* A guest that does not run asks again on the destination. */
        WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
            g_array_set_size(tdx_mig.revoked, 0);
        }
        return tdx_mig_pause(errp);
    }
    return 0;
}

/* Which pages are shared, block by block. */
static void tdx_mig_save_shared_map(QEMUFile *f)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        const RamBlockAttributes *attributes = block->attributes;
        size_t len = strlen(block->idstr);
        unsigned long i;

        if (!attributes) {
            continue;
        }
        qemu_put_be32(f, TDX_MIG_SHARED_MAP);
        qemu_put_byte(f, len);
        qemu_put_buffer(f, (uint8_t *)block->idstr, len);
        qemu_put_be32(f, attributes->bitmap_size);
        for (i = 0; i < BITS_TO_LONGS(attributes->bitmap_size); i++) {
            qemu_put_be64(f, attributes->bitmap[i]);
        }
    }
}

/*
 * Until the start token, the TD can run here again whatever happens.  Don't
 * give it up before the destination has imported all of it.
 */
static bool tdx_mig_wait_until_ready(QEMUFile *f, Error **errp)
{
    bool ready;

    qemu_put_be32(f, TDX_MIG_READY);
    if (qemu_fflush(f)) {
        error_setg(errp, "TDX migration: the destination is gone");
        return false;
    }

    bql_unlock();
    WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
        while (!tdx_mig.ready && !tdx_mig.has_abort_token &&
               !tdx_mig.replies_ended) {
            qemu_cond_wait(&tdx_mig.reply_cond, &tdx_mig.mutex);
        }
        ready = tdx_mig.ready && !tdx_mig.has_abort_token &&
                !tdx_mig.replies_ended;
    }
    bql_lock();
    if (!ready) {
        error_setg(errp, "TDX migration: the destination has given up");
    }
    return ready;
}

static bool tdx_mig_save_all(QEMUFile *f, Error **errp)
{
    TdxGuest *tdx = TDX_GUEST(current_machine->cgs);
    g_autofree ConfidentialGuestBundle *bundle = NULL;
    CPUState *cpu;

    qemu_put_be32(f, TDX_MIG_NOTIFY);
    qemu_put_be32(f, tdx->event_notify_vector);
    qemu_put_be32(f, tdx->event_notify_apicid);
    tdx_mig_save_shared_map(f);
    if (!tdx_mig_save_state(f, KVM_TDX_MIG_EXPORT_STATE_TD, NULL, errp)) {
        return false;
    }
    CPU_FOREACH(cpu) {
        if (!tdx_mig_save_state(f, KVM_TDX_MIG_EXPORT_STATE_VP, cpu, errp)) {
            return false;
        }
        qemu_put_be32(f, TDX_MIG_VCPU);
        qemu_put_be32(f, kvm_arch_vcpu_id(cpu));
        if (!tdx_mig_vcpu_save(f, cpu, errp)) {
            return false;
        }
    }
    if (!tdx_mig_wait_until_ready(f, errp)) {
        return false;
    }

    bundle = g_new(ConfidentialGuestBundle, 1);
    if (!tdx_mig_export_token(&tdx_mig.streams[0], true, bundle, errp)) {
        return false;
    }
    qatomic_set(&tdx_mig.committed, true);
    tdx_mig_put_bundle(f, bundle);
    qemu_put_be32(f, TDX_MIG_END);
    return true;
}

static int tdx_mig_save_complete(QEMUFile *f, void *opaque)
{
    Error *local_err = NULL;

    /* After postcopy, all that is not memory has been sent already. */
    if (qatomic_read(&tdx_mig.committed)) {
        qemu_put_be32(f, TDX_MIG_END);
        return 0;
    }

    if (!tdx_mig_save_all(f, &local_err)) {
        qemu_file_set_error_obj(f, -EINVAL, local_err);
        return -EINVAL;
    }
    return 0;
}

/* Destination: the section */

static bool tdx_mig_load_setup_record(QEMUFile *f, Error **errp)
{
    uint8_t message[TDX_MIGTD_MAX_MESSAGE];
    uint8_t reply[1 + TDX_MIGTD_MAX_MESSAGE] = { TDX_MIG_REPLY_KEY };
    g_autoptr(TdxMigtd) migtd = NULL;
    uint32_t version = qemu_get_be32(f);
    uint32_t nr = qemu_get_be32(f);
    uint64_t request_id = qemu_get_be64(f);
    uint32_t size = qemu_get_be32(f);
    size_t reply_size;

    if (version != TDX_MIG_VERSION || !nr || nr > TDX_MIG_MAX_STREAMS ||
        !size || size > sizeof(message) || tdx_mig.streams ||
        qemu_get_buffer(f, message, size) != size) {
        error_setg(errp, "TDX migration: bad setup, version %u, %u streams",
                   version, nr);
        return false;
    }

    /* The source gets an answer only to a message that was good. */
    migtd = tdx_mig_get_migtd(errp);
    if (!migtd || !tdx_mig_open_streams(nr, errp) ||
        !tdx_migtd_begin(migtd, request_id, false, reply + 1, &reply_size,
                         errp) ||
        !tdx_migtd_end(migtd, request_id, message, size, errp)) {
        return false;
    }
    tdx_mig.importing = true;
    if (migration_confidential_reply(reply, 1 + reply_size)) {
        error_setg(errp, "TDX migration: there is no return path to the "
                   "source");
        return false;
    }
    return true;
}

static bool tdx_mig_read_file(void *opaque, void *buf, size_t size,
                              Error **errp)
{
    if (qemu_get_buffer(opaque, buf, size) != size) {
        error_setg(errp, "TDX migration: the stream ends in a bundle");
        return false;
    }
    return true;
}

static bool tdx_mig_load_bundle(QEMUFile *f, Error **errp)
{
    uint32_t size = qemu_get_be32(f);

    if (!tdx_mig.importing) {
        error_setg(errp, "TDX migration: a bundle without a session");
        return false;
    }
    return tdx_mig_import_bundle(&tdx_mig.streams[0], size, tdx_mig_read_file,
                                 f, NULL, NULL, errp);
}

static bool tdx_mig_load_vcpu(QEMUFile *f, Error **errp)
{
    uint32_t id = qemu_get_be32(f);
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (kvm_arch_vcpu_id(cpu) == id) {
            return tdx_mig_vcpu_load(f, cpu, errp);
        }
    }
    error_setg(errp, "TDX migration: there is no vCPU with id %u", id);
    return false;
}

/*
 * A block may be mapped in several pieces; convert as much of one as possible.
 */
static bool tdx_mig_convert(RAMBlock *block, unsigned long first,
                            unsigned long nr, Error **errp)
{
    uint64_t page_size = qemu_real_host_page_size();
    unsigned long last, end = first + nr;
    hwaddr gpa, next;

    while (first < end) {
        if (!kvm_physical_memory_addr_from_host(kvm_state, block->host +
                                                first * page_size, &gpa)) {
            first++;
            continue;
        }
        for (last = first + 1; last < end; last++) {
            if (!kvm_physical_memory_addr_from_host(kvm_state, block->host +
                                                    last * page_size, &next) ||
                next != gpa + (last - first) * page_size) {
                break;
            }
        }
        if (kvm_convert_memory(gpa, (last - first) * page_size, false)) {
            error_setg(errp, "TDX migration: memory at 0x%" HWADDR_PRIx
                       " cannot be made shared", gpa);
            return false;
        }
        first = last;
    }
    return true;
}

static bool tdx_mig_load_shared_map(QEMUFile *f, Error **errp)
{
    g_autofree unsigned long *bitmap = NULL;
    unsigned long first, last, i;
    char idstr[256];
    uint32_t nr_pages;
    RAMBlock *block;
    int len;

    len = qemu_get_byte(f);
    if (qemu_get_buffer(f, (uint8_t *)idstr, len) != len) {
        error_setg(errp, "TDX migration: the stream ends in the shared map");
        return false;
    }
    idstr[len] = '\0';
    nr_pages = qemu_get_be32(f);

    RCU_READ_LOCK_GUARD();
    block = qemu_ram_block_by_name(idstr);
    if (!block || !block->attributes ||
        block->attributes->bitmap_size != nr_pages) {
        error_setg(errp, "TDX migration: RAM block '%s' has no %u private "
                   "pages", idstr, nr_pages);
        return false;
    }

    bitmap = bitmap_new(nr_pages);
    for (i = 0; i < BITS_TO_LONGS(nr_pages); i++) {
        bitmap[i] = qemu_get_be64(f);
    }

    for (first = find_first_bit(bitmap, nr_pages); first < nr_pages;
         first = find_next_bit(bitmap, nr_pages, last)) {
        last = find_next_zero_bit(bitmap, nr_pages, first);
        if (!tdx_mig_convert(block, first, last - first, errp)) {
            return false;
        }
    }
    return true;
}

static bool tdx_mig_load_notify(QEMUFile *f)
{
    TdxGuest *tdx = TDX_GUEST(current_machine->cgs);

    QEMU_LOCK_GUARD(&tdx->lock);
    tdx->event_notify_vector = qemu_get_be32(f);
    tdx->event_notify_apicid = qemu_get_be32(f);
    return true;
}

static bool tdx_mig_load_ready(Error **errp)
{
    const uint8_t reply = TDX_MIG_REPLY_READY;

    if (migration_confidential_reply(&reply, sizeof(reply))) {
        error_setg(errp, "TDX migration: there is no return path to the "
                   "source");
        return false;
    }
    return true;
}

static bool tdx_mig_load_record(QEMUFile *f, uint32_t record, Error **errp)
{
    switch (record) {
    case TDX_MIG_NOTIFY:
        return tdx_mig_load_notify(f);
    case TDX_MIG_READY:
        return tdx_mig_load_ready(errp);
    case TDX_MIG_SETUP:
        return tdx_mig_load_setup_record(f, errp);
    case TDX_MIG_BUNDLE:
        return tdx_mig_load_bundle(f, errp);
    case TDX_MIG_VCPU:
        return tdx_mig_load_vcpu(f, errp);
    case TDX_MIG_SHARED_MAP:
        return tdx_mig_load_shared_map(f, errp);
    default:
        error_setg(errp, "TDX migration: unknown record %u", record);
        return false;
    }
}

static int tdx_mig_load_state(QEMUFile *f, void *opaque, int version_id)
{
    Error *local_err = NULL;
    uint32_t record;
    int ret;

    for (;;) {
        record = qemu_get_be32(f);
        ret = qemu_file_get_error(f);
        if (ret || record == TDX_MIG_END) {
            return ret;
        }
        if (!tdx_mig_load_record(f, record, &local_err)) {
            qemu_file_set_error_obj(f, -EINVAL, error_copy(local_err));
            error_report_err(local_err);
            return -EINVAL;
        }
    }
}

/* Let the source have its TD back, if it does not run here. */
static void tdx_mig_abort_import(void)
{
    uint8_t reply[1 + TDX_MIG_MBMD_SIZE] = { TDX_MIG_REPLY_ABORT_TOKEN };
    Error *local_err = NULL;
    uint64_t unused = 0;

    if (tdx_mig_stream_ioctl(&tdx_mig.streams[0], KVM_TDX_MIG_IMPORT_ABORT, 0,
                             &unused, NULL, &local_err)) {
        /* Without a session, e.g., the source doesn't need a token. */
        warn_report_err(local_err);
        return;
    }
    memcpy(reply + 1, tdx_mig.streams[0].mbmd, TDX_MIG_MBMD_SIZE);
    migration_confidential_reply(reply, sizeof(reply));
}

/* The channels of multifd have ended, and the return path is still open. */
static int tdx_mig_load_cleanup(void *opaque)
{
    if (tdx_mig.importing && !tdx_mig.running) {
        tdx_mig_abort_import();
    }
    tdx_mig.importing = false;
    tdx_mig_close_streams();
    return 0;
}

static const SaveVMHandlers tdx_mig_handlers = {
    .save_prepare = tdx_mig_save_prepare,
    .save_setup = tdx_mig_save_setup,
    .save_complete = tdx_mig_save_complete,
    .load_state = tdx_mig_load_state,
    .load_cleanup = tdx_mig_load_cleanup,
};

/* Source: what migration code calls for memory */

static bool tdx_migration_active(ConfidentialGuestSupport *cgs)
{
    return TDX_GUEST(cgs)->migtd;
}

static bool tdx_migration_export_pages(ConfidentialGuestSupport *cgs,
                                       unsigned channel,
                                       ConfidentialGuestPages *pages,
                                       ConfidentialGuestBundle *bundle,
                                       Error **errp)
{
    assert(channel < tdx_mig.nr_streams);
    return tdx_mig_export_pages(&tdx_mig.streams[channel], pages, bundle, errp);
}

static bool tdx_migration_export_epoch(ConfidentialGuestSupport *cgs,
                                       ConfidentialGuestBundle *bundle,
                                       Error **errp)
{
    return tdx_mig_export_token(&tdx_mig.streams[0], false, bundle, errp);
}

/* Source: conversions */

static bool tdx_mig_is_revoked(hwaddr page)
{
    unsigned i;

    for (i = 0; i < tdx_mig.revoked->len; i++) {
        if (g_array_index(tdx_mig.revoked, hwaddr, i) == page) {
            return true;
        }
    }
    return false;
}

static bool tdx_migration_revoke(ConfidentialGuestSupport *cgs, hwaddr gpa,
                                 uint64_t size)
{
    hwaddr page, end = gpa + size;

    /*
     * Without a session, the export is being undone, or has been since KVM
     * refused the conversion.
     */
    if (qatomic_read(&tdx_mig.exporting)) {
        QEMU_LOCK_GUARD(&tdx_mig.mutex);
        for (page = gpa; page < end; page += TARGET_PAGE_SIZE) {
            if (tdx_mig.revoked->len >= TDX_MIG_MAX_REVOKED) {
                break;
            }
            if (!tdx_mig_is_revoked(page)) {
                g_array_append_val(tdx_mig.revoked, page);
            }
        }
    }

    /* The guest, or its vCPU, asks at once. */
    g_usleep(TDX_MIG_REVOKE_US);
    return true;
}

static bool tdx_migration_revoke_pending(ConfidentialGuestSupport *cgs)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    return tdx_mig.revoked->len;
}

static bool tdx_migration_export_revoked(ConfidentialGuestSupport *cgs,
                                         ConfidentialGuestBundle *bundle,
                                         Error **errp)
{
    g_autofree hwaddr *gpa = g_new(hwaddr, TDX_MIG_BUF_LIST_PAGES_MAX);
    unsigned nr = 0;

    *bundle = (ConfidentialGuestBundle) {};
    WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
        GArray *revoked = tdx_mig.revoked;

        nr = revoked->len;
        memcpy(gpa, revoked->data, nr * sizeof(*gpa));
        g_array_set_size(revoked, 0);
    }
    return !nr || tdx_mig_export_cancel(&tdx_mig.streams[0], gpa, nr, bundle,
                                        errp);
}

/* Source: the end */

static bool tdx_migration_export_committed(ConfidentialGuestSupport *cgs)
{
    return qatomic_read(&tdx_mig.committed);
}

/* The destination proves that it is not going to run the TD, or it is gone. */
static void tdx_migration_await_verdict(ConfidentialGuestSupport *cgs)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    while (!tdx_mig.has_abort_token && !tdx_mig.replies_ended) {
        qemu_cond_wait(&tdx_mig.reply_cond, &tdx_mig.mutex);
    }
}

static bool tdx_mig_get_abort_token(Error **errp)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    if (!tdx_mig.has_abort_token) {
        error_setg(errp, "TDX migration: the destination has all of the TD and "
                   "has not returned it: it may run there");
        return false;
    }
    memcpy(tdx_mig.streams[0].mbmd, tdx_mig.abort_token,
           sizeof(tdx_mig.abort_token));
    return true;
}

static bool tdx_migration_export_end(ConfidentialGuestSupport *cgs,
                                     bool completed, Error **errp)
{
    uint64_t unused = 0;
    bool ret = true;

    trace_tdx_migration_export_end(completed, tdx_mig.committed);
    if (tdx_mig.exporting && !completed) {
        ret = (!tdx_mig.committed || tdx_mig_get_abort_token(errp)) &&
              !tdx_mig_stream_ioctl(&tdx_mig.streams[0],
                                    KVM_TDX_MIG_EXPORT_ABORT, 0, &unused, NULL,
                                    errp);
    }
    qatomic_set(&tdx_mig.exporting, false);
    qatomic_set(&tdx_mig.committed, false);
    return ret;
}

static void tdx_migration_export_cleanup(ConfidentialGuestSupport *cgs)
{
    tdx_mig_close_streams();
}

static void tdx_migration_reply_received(ConfidentialGuestSupport *cgs,
                                         const uint8_t *buf, size_t size)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    if (size > 1 && buf[0] == TDX_MIG_REPLY_KEY &&
        size - 1 <= sizeof(tdx_mig.key)) {
        memcpy(tdx_mig.key, buf + 1, size - 1);
        tdx_mig.key_size = size - 1;
    } else if (size == 1 && buf[0] == TDX_MIG_REPLY_READY) {
        tdx_mig.ready = true;
    } else if (size == 1 + TDX_MIG_MBMD_SIZE &&
               buf[0] == TDX_MIG_REPLY_ABORT_TOKEN) {
        memcpy(tdx_mig.abort_token, buf + 1, TDX_MIG_MBMD_SIZE);
        tdx_mig.has_abort_token = true;
    } else {
        warn_report("TDX migration: unknown message of the destination");
    }
    qemu_cond_broadcast(&tdx_mig.reply_cond);
}

static void tdx_migration_replies_ended(ConfidentialGuestSupport *cgs)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    tdx_mig.replies_ended = true;
    qemu_cond_broadcast(&tdx_mig.reply_cond);
}

/* Destination: pages that come after the TD, on demand */

typedef enum TdxMigMissing {
    TDX_MIG_PRESENT,        /* or nobody waits for it */
    TDX_MIG_WAITING,
    TDX_MIG_ABSENT,         /* the source does not have it either */
} TdxMigMissing;

static TdxMigMissing tdx_mig_get_missing(hwaddr gpa)
{
    return GPOINTER_TO_INT(g_hash_table_lookup(tdx_mig.missing,
                                               (gpointer)(uintptr_t)gpa));
}

static void tdx_mig_set_missing(hwaddr gpa, TdxMigMissing value)
{
    if (value == TDX_MIG_PRESENT) {
        g_hash_table_remove(tdx_mig.missing, (gpointer)(uintptr_t)gpa);
    } else {
        g_hash_table_insert(tdx_mig.missing, (gpointer)(uintptr_t)gpa,
                            GINT_TO_POINTER(value));
    }
}

/* A page that the source could not export for the moment will be sent again. */
static bool tdx_mig_entry_is_absent(uint64_t entry)
{
    unsigned status = tdx_mig_entry_status(entry);

    return tdx_mig_entry_op(entry) == TDX_MIG_GPA_OP_NOP &&
           (status == TDX_MIG_GPA_STATUS_SEPT_WALK_FAILED ||
            status == TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
}

static void tdx_mig_arrived(const uint64_t *gpa_list, unsigned nr)
{
    unsigned i;

    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    for (i = 0; i < nr; i++) {
        hwaddr gpa = gpa_list[i] & TDX_MIG_GPA_ENTRY_GPA_MASK;

        if (tdx_mig_get_missing(gpa) != TDX_MIG_WAITING) {
            continue;
        }
        if (tdx_mig_entry_is_absent(gpa_list[i])) {
            tdx_mig_set_missing(gpa, TDX_MIG_ABSENT);
        } else if (tdx_mig_entry_op(gpa_list[i]) != TDX_MIG_GPA_OP_NOP) {
            tdx_mig_set_missing(gpa, TDX_MIG_PRESENT);
        }
    }
    qemu_cond_broadcast(&tdx_mig.import_cond);
}

static void tdx_mig_request(hwaddr gpa)
{
    MemoryRegionSection section = memory_region_find(get_system_memory(), gpa,
                                                     TARGET_PAGE_SIZE);
    ram_addr_t offset;
    RAMBlock *block;

    if (!section.mr) {
        return;
    }
    if (memory_region_is_ram(section.mr)) {
        block = qemu_ram_block_from_host(memory_region_get_ram_ptr(section.mr) +
                                         section.offset_within_region, false,
                                         &offset);
        trace_tdx_migration_request(gpa);
        /* Without a connection, another one may be made; ask again then. */
        migration_confidential_request(block, offset);
    }
    memory_region_unref(section.mr);
}

/*
 * The guest gets a page that it has to accept, as it would have on the source.
 */
static void tdx_mig_add_page(CPUState *cpu, hwaddr gpa)
{
    struct kvm_pre_fault_memory mem = { .gpa = gpa, .size = TARGET_PAGE_SIZE };
    int ret;

    do {
        ret = kvm_vcpu_ioctl(cpu, KVM_PRE_FAULT_MEMORY, &mem);
    } while (ret == -EAGAIN);
    trace_tdx_migration_add_page(gpa, ret);
}

static void tdx_migration_import_missing(ConfidentialGuestSupport *cgs,
                                         CPUState *cpu, hwaddr gpa)
{
    TdxMigMissing missing;

    gpa &= TARGET_PAGE_MASK;
    qemu_mutex_lock(&tdx_mig.mutex);
    while (tdx_mig.running && !qatomic_read(&cpu->exit_request) &&
           tdx_mig_get_missing(gpa) != TDX_MIG_ABSENT) {
        bool requested = tdx_mig_get_missing(gpa) == TDX_MIG_WAITING;

        tdx_mig_set_missing(gpa, TDX_MIG_WAITING);
        qemu_mutex_unlock(&tdx_mig.mutex);
        if (!requested) {
            tdx_mig_request(gpa);
        }
        qemu_mutex_lock(&tdx_mig.mutex);

        while (tdx_mig_get_missing(gpa) == TDX_MIG_WAITING &&
               !qatomic_read(&cpu->exit_request)) {
            qemu_cond_timedwait(&tdx_mig.import_cond, &tdx_mig.mutex,
                                TDX_MIG_WAIT_MS);
        }
        if (tdx_mig_get_missing(gpa) == TDX_MIG_PRESENT) {
            break;
        }
    }
    missing = tdx_mig_get_missing(gpa);
    if (missing == TDX_MIG_ABSENT) {
        tdx_mig_set_missing(gpa, TDX_MIG_PRESENT);
    }
    qemu_mutex_unlock(&tdx_mig.mutex);

    if (missing == TDX_MIG_ABSENT) {
        tdx_mig_add_page(cpu, gpa);
    }
}

/* Destination: what migration code calls */

static bool tdx_migration_import(ConfidentialGuestSupport *cgs,
                                 unsigned channel, size_t size,
                                 ConfidentialGuestRead *read, void *opaque,
                                 Error **errp)
{
    g_autofree uint64_t *gpa_list = NULL;
    unsigned nr = 0;

    if (!tdx_mig.importing || channel >= tdx_mig.nr_streams) {
        error_setg(errp, "TDX migration: a bundle for stream %u of %u", channel,
                   tdx_mig.nr_streams);
        return false;
    }

    gpa_list = g_new(uint64_t, TDX_MIG_BUF_LIST_PAGES_MAX);
    if (!tdx_mig_import_bundle(&tdx_mig.streams[channel], size, read, opaque,
                               gpa_list, &nr, errp)) {
        return false;
    }
    tdx_mig_arrived(gpa_list, nr);
    return true;
}

static bool tdx_migration_import_commit(ConfidentialGuestSupport *cgs,
                                        Error **errp)
{
    uint64_t unused = 0;

    if (!tdx_mig.importing) {
        error_setg(errp, "TDX migration: the source has no TD to migrate");
        return false;
    }
    if (tdx_mig_stream_ioctl(&tdx_mig.streams[0], KVM_TDX_MIG_IMPORT_COMMIT, 0,
                             &unused, NULL, errp)) {
        return false;
    }

    tdx_mig.running = true;
    return true;
}

/* The TD is here, whether the session can be ended in order or not. */
static void tdx_migration_import_end(ConfidentialGuestSupport *cgs)
{
    Error *local_err = NULL;
    uint64_t unused = 0;

    tdx_mig.importing = false;
    WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
        tdx_mig.running = false;
        g_hash_table_remove_all(tdx_mig.missing);
        qemu_cond_broadcast(&tdx_mig.import_cond);
    }
    if (tdx_mig_stream_ioctl(&tdx_mig.streams[0], KVM_TDX_MIG_IMPORT_END, 0,
                             &unused, NULL, &local_err)) {
        warn_report_err(local_err);
    }
}

const ConfidentialGuestMigrationOps tdx_migration_ops = {
    .active = tdx_migration_active,
    .export_pages = tdx_migration_export_pages,
    .export_epoch = tdx_migration_export_epoch,
    .revoke = tdx_migration_revoke,
    .revoke_pending = tdx_migration_revoke_pending,
    .export_revoked = tdx_migration_export_revoked,
    .export_committed = tdx_migration_export_committed,
    .await_verdict = tdx_migration_await_verdict,
    .export_end = tdx_migration_export_end,
    .export_cleanup = tdx_migration_export_cleanup,
    .reply_received = tdx_migration_reply_received,
    .replies_ended = tdx_migration_replies_ended,
    .import = tdx_migration_import,
    .import_commit = tdx_migration_import_commit,
    .import_end = tdx_migration_import_end,
    .import_missing = tdx_migration_import_missing,
};

void tdx_migration_init(void)
{
    qemu_mutex_init(&tdx_mig.mutex);
    qemu_cond_init(&tdx_mig.reply_cond);
    qemu_cond_init(&tdx_mig.import_cond);
    tdx_mig.missing = g_hash_table_new(NULL, NULL);
    tdx_mig.revoked = g_array_new(false, false, sizeof(hwaddr));

    /* After the handlers of memory, whose sections come first. */
    register_savevm_live("tdx", 0, TDX_MIG_VERSION, &tdx_mig_handlers, NULL);
    tdx_mig.precopy_notifier.notify = tdx_mig_precopy_notify;
    precopy_add_notifier(&tdx_mig.precopy_notifier);
}
