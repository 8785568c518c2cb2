/*
 * The destination of a migration of a TD
 *
 * It imports what the source has exported, in the order in which it comes.
 * Until it commits to the TD, it can return it with an abort token.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/coroutine.h"
#include "qemu/error-report.h"
#include "block/thread-pool.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "migration/confidential.h"
#include "system/address-spaces.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/ramblock.h"
#include "cpu.h"
#include "tdx.h"
#include "tdx-mig-bundle.h"
#include "tdx-mig-session.h"
#include "tdx-mig-vcpu.h"
#include "trace.h"

/* Without it, all that the source learns is that the connection has ended. */
void tdx_migration_import_failed(ConfidentialGuestSupport *cgs,
                                 const char *reason)
{
    g_autofree uint8_t *reply = g_malloc(CGS_MIGRATION_MAX_REPLY);
    size_t len = MIN(strlen(reason), CGS_MIGRATION_MAX_REPLY - 1);

    reply[0] = TDX_MIG_REPLY_ERROR;
    memcpy(reply + 1, reason, len);
    migration_confidential_reply(reply, 1 + len);
}

static void tdx_mig_tell_source(Error *err)
{
    tdx_migration_import_failed(current_machine->cgs, error_get_pretty(err));
}

typedef struct TdxMigSetup {
    uint64_t request_id;
    uint32_t nr_streams;
    uint32_t message_size;
    uint8_t message[TDX_MIGTD_MAX_MESSAGE];
    size_t reply_size;
    uint8_t reply[1 + TDX_MIGTD_MAX_MESSAGE];
    Error *err;
} TdxMigSetup;

/* The source gets an answer only to a message that was good. */
static int tdx_mig_answer_setup(void *opaque)
{
    TdxMigSetup *setup = opaque;
    g_autoptr(TdxMigtd) migtd = tdx_mig_get_migtd(&setup->err);

    if (!migtd || !tdx_mig_open_streams(setup->nr_streams, &setup->err) ||
        !tdx_migtd_begin(migtd, setup->request_id, false, setup->reply + 1,
                         &setup->reply_size, &setup->err) ||
        !tdx_migtd_end(migtd, setup->request_id, setup->message,
                       setup->message_size, &setup->err)) {
        return -EINVAL;
    }
    return 0;
}

static bool coroutine_mixed_fn tdx_mig_load_setup_record(QEMUFile *f,
                                                         Error **errp)
{
    g_autofree TdxMigSetup *setup = g_new0(TdxMigSetup, 1);
    uint32_t version = qemu_get_be32(f);
    int ret;

    setup->nr_streams = qemu_get_be32(f);
    setup->request_id = qemu_get_be64(f);
    setup->message_size = qemu_get_be32(f);
    if (version != TDX_MIG_VERSION || !setup->nr_streams ||
        setup->nr_streams > TDX_MIG_MAX_STREAMS || !setup->message_size ||
        setup->message_size > sizeof(setup->message) || tdx_mig.streams ||
        qemu_get_buffer(f, setup->message, setup->message_size) !=
        setup->message_size) {
        error_setg(errp, "TDX migration: bad setup, version %u, %u streams",
                   version, setup->nr_streams);
        return false;
    }

    /* It may take a while; the monitor has to work. */
    ret = qemu_in_coroutine() ?
          thread_pool_submit_co(tdx_mig_answer_setup, setup) :
          tdx_mig_answer_setup(setup);
    if (ret) {
        error_propagate(errp, setup->err);
        return false;
    }

    tdx_mig.importing = true;
    setup->reply[0] = TDX_MIG_REPLY_KEY;
    if (migration_confidential_reply(setup->reply, 1 + setup->reply_size)) {
        error_setg(errp, "TDX migration: there is no return path to the "
                   "source");
        return false;
    }
    return true;
}

static bool tdx_mig_read_file(void *opaque, void *buf, size_t size,
                              Error **errp)
{
    if (qemu_get_buffer_direct(opaque, buf, size) != size) {
        error_setg(errp, "TDX migration: the stream ends in a bundle");
        return false;
    }
    return true;
}

static bool tdx_mig_load_bundle(QEMUFile *f, Error **errp)
{
    ERRP_GUARD();
    uint32_t size = qemu_get_be32(f);

    if (!tdx_mig.importing) {
        error_setg(errp, "TDX migration: a bundle without a session");
        return false;
    }
    if (!tdx_mig_import_bundle(&tdx_mig.streams[0], size, tdx_mig_read_file, f,
                               NULL, NULL, errp)) {
        if (tdx_mig.difference) {
            error_prepend(errp, "%s; ", tdx_mig.difference);
        }
        return false;
    }
    /* The TD is what it was announced to be. */
    g_clear_pointer(&tdx_mig.difference, g_free);
    return true;
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
    size_t size;
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
    size = BITS_TO_LONGS(nr_pages) * sizeof(bitmap[0]);
    if (qemu_get_buffer(f, (uint8_t *)bitmap, size) != size) {
        error_setg(errp, "TDX migration: the stream ends in the shared map");
        return false;
    }
    for (i = 0; i < BITS_TO_LONGS(nr_pages); i++) {
        bitmap[i] = be64_to_cpu(bitmap[i]);
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
    case TDX_MIG_CONFIG:
        return tdx_mig_load_config(f, errp);
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

int tdx_mig_load_state(QEMUFile *f, void *opaque, int version_id)
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
            tdx_mig_tell_source(local_err);
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

/*
 * QEMU is told to end.  If it has all of the TD, the source waits for its
 * verdict.
 */
void tdx_mig_exit(Notifier *notifier, void *unused)
{
    if (tdx_mig.importing && !tdx_mig.running) {
        tdx_mig_abort_import();
    }
}

/* The channels of multifd have ended, and the return path is still open. */
int tdx_mig_load_cleanup(void *opaque)
{
    if (tdx_mig.importing && !tdx_mig.running) {
        tdx_mig_abort_import();
    }
    g_clear_pointer(&tdx_mig.difference, g_free);
    tdx_mig.importing = false;
    tdx_mig_close_streams();
    return 0;
}

/* Pages that come after the TD, on demand */

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

/* Returns false if there is no private memory for which one could ask. */
static bool tdx_mig_request(hwaddr gpa)
{
    MemoryRegionSection section = memory_region_find(get_system_memory(), gpa,
                                                     TARGET_PAGE_SIZE);
    RAMBlock *block = NULL;
    ram_addr_t offset;

    if (!section.mr) {
        return false;
    }
    if (memory_region_is_ram(section.mr)) {
        block = qemu_ram_block_from_host(memory_region_get_ram_ptr(section.mr) +
                                         section.offset_within_region, false,
                                         &offset);
        if (block && !block->attributes) {
            block = NULL;
        }
    }
    if (block) {
        trace_tdx_migration_request(gpa);
        /* If the connection is lost, nobody answers. */
        migration_confidential_request(block, offset);
    }
    memory_region_unref(section.mr);
    return block;
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
    } while (ret == -EAGAIN || ret == -EINTR);
    trace_tdx_migration_add_page(gpa, ret);
}

bool tdx_migration_import_missing(ConfidentialGuestSupport *cgs,
                                  CPUState *cpu, hwaddr gpa)
{
    TdxMigMissing missing;
    int64_t asked = 0;
    bool found;

    gpa &= TARGET_PAGE_MASK;
    qemu_mutex_lock(&tdx_mig.mutex);
    if (!tdx_mig.running) {
        qemu_mutex_unlock(&tdx_mig.mutex);
        return true;
    }
    if (tdx_mig_get_missing(gpa) == TDX_MIG_WAITING) {
        /* Another vCPU has asked for it, or this one before it was kicked. */
        asked = g_get_monotonic_time();
    } else if (tdx_mig_get_missing(gpa) == TDX_MIG_PRESENT) {
        tdx_mig_set_missing(gpa, TDX_MIG_WAITING);
    }

    while (tdx_mig_get_missing(gpa) == TDX_MIG_WAITING) {
        if (!asked || g_get_monotonic_time() - asked > TDX_MIG_ASK_AGAIN_US) {
            asked = g_get_monotonic_time();
            qemu_mutex_unlock(&tdx_mig.mutex);
            found = tdx_mig_request(gpa);
            qemu_mutex_lock(&tdx_mig.mutex);
            if (!found) {
                tdx_mig_set_missing(gpa, TDX_MIG_PRESENT);
            }
            continue;
        }
        if (qatomic_read(&cpu->exit_request)) {
            break;
        }
        qemu_cond_timedwait(&tdx_mig.import_cond, &tdx_mig.mutex,
                            TDX_MIG_WAIT_MS);
    }
    missing = tdx_mig_get_missing(gpa);
    if (missing == TDX_MIG_ABSENT) {
        tdx_mig_set_missing(gpa, TDX_MIG_PRESENT);
    }
    qemu_mutex_unlock(&tdx_mig.mutex);

    if (missing == TDX_MIG_ABSENT) {
        tdx_mig_add_page(cpu, gpa);
    }
    return missing != TDX_MIG_WAITING;
}

/* What migration code calls */

bool tdx_migration_import(ConfidentialGuestSupport *cgs,
                          unsigned channel, size_t size,
                          ConfidentialGuestRead *read, void *opaque,
                          Error **errp)
{
    ERRP_GUARD();
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
        tdx_mig_tell_source(*errp);
        return false;
    }
    tdx_mig_arrived(gpa_list, nr);
    return true;
}

bool tdx_migration_import_commit(ConfidentialGuestSupport *cgs,
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
void tdx_migration_import_end(ConfidentialGuestSupport *cgs)
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
