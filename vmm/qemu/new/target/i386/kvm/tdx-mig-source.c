/*
 * The source of a migration of a TD
 *
 * It has keys exchanged, starts a session of the TDX module, exports memory
 * when migration code asks for it, and finally gives the TD up with the start
 * token, when the destination has confirmed that it has everything.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "qemu/main-loop.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "migration/confidential.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/ramblock.h"
#include "cpu.h"
#include "tdx.h"
#include "tdx-mig-bundle.h"
#include "tdx-mig-session.h"
#include "tdx-mig-vcpu.h"
#include "trace.h"

static bool tdx_mig_put_bundle(QEMUFile *f,
                               const ConfidentialGuestBundle *bundle,
                               Error **errp)
{
    unsigned i;

    qemu_put_be32(f, TDX_MIG_BUNDLE);
    qemu_put_be32(f, bundle->size);
    for (i = 0; i < bundle->niov; i++) {
        qemu_put_buffer_async(f, bundle->iov[i].iov_base,
                              bundle->iov[i].iov_len, false);
    }
    /* The next export overwrites it. */
    if (qemu_fflush(f)) {
        error_setg(errp, "TDX migration: the destination is gone");
        return false;
    }
    return true;
}

static bool tdx_mig_save_state(QEMUFile *f, enum kvm_tdx_mig_cmd_id cmd,
                               CPUState *cpu, Error **errp)
{
    g_autofree ConfidentialGuestBundle *bundle =
        g_new(ConfidentialGuestBundle, 1);

    if (!tdx_mig_export_state(&tdx_mig.streams[0], cmd, cpu, bundle, errp)) {
        return false;
    }
    return tdx_mig_put_bundle(f, bundle, errp);
}

/* Keys */

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

/* The section */

static void tdx_mig_reset_replies(void)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    tdx_mig.replies_ended = false;
    tdx_mig.ready = false;
    tdx_mig.given_up = false;
    tdx_mig.key_size = 0;
    tdx_mig.has_abort_token = false;
}

int tdx_mig_save_prepare(void *opaque, Error **errp)
{
    /* Before the return path is there. */
    tdx_mig_reset_replies();
    return 0;
}

int tdx_mig_save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    /* Postcopy can use the streams of multifd: they are idle by then. */
    unsigned channels = migrate_postcopy_preempt() ? 2 : 1;
    unsigned nr;
    bool ret;

    if (migrate_multifd()) {
        channels = MAX(channels, migrate_multifd_channels());
    }
    nr = MAX(channels, tdx_mig.max_streams);
    if (!tdx_mig_open_streams(nr, errp)) {
        return -EINVAL;
    }

    tdx_mig_save_config(f);
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

/* No page waits any longer: vCPUs that do ask again. */
static void tdx_mig_forget_revoked(void)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    g_hash_table_remove_all(tdx_mig.revoked);
    qemu_cond_broadcast(&tdx_mig.revoke_cond);
}

/* KVM_RUN returns at once, but completes the last exit first. */
static void tdx_mig_complete_exit(CPUState *cpu, run_on_cpu_data data)
{
    int *ret = data.host_ptr;

    /* The guest asks again where it is going to run. */
    if (cpu->kvm_exit_unhandled) {
        assert(cpu->kvm_run->exit_reason == KVM_EXIT_HYPERCALL);
        cpu->kvm_exit_unhandled = false;
        cpu->kvm_run->hypercall.ret = EAGAIN;
    }
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
int tdx_mig_precopy_notify(NotifierWithReturn *notifier, void *data,
                           Error **errp)
{
    PrecopyNotifyData *pnd = data;

    if (pnd->reason == PRECOPY_NOTIFY_COMPLETE && tdx_mig.exporting) {
        tdx_mig_forget_revoked();
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
        return false;
    }
    /* Until the lock was there, the migration could be cancelled. */
    if (qemu_file_get_error(f)) {
        error_setg(errp, "TDX migration: the connection has been shut down");
        return false;
    }
    return true;
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

    migration_confidential_commit();
    bundle = g_new(ConfidentialGuestBundle, 1);
    if (!tdx_mig_export_token(&tdx_mig.streams[0], true, bundle, errp)) {
        return false;
    }
    qatomic_set(&tdx_mig.committed, true);
    /* Whether the destination has got it, the return path tells. */
    tdx_mig_put_bundle(f, bundle, NULL);
    qemu_put_be32(f, TDX_MIG_END);
    return true;
}

int tdx_mig_save_complete(QEMUFile *f, void *opaque)
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

/* What migration code calls for memory */

bool tdx_migration_export_pages(ConfidentialGuestSupport *cgs,
                                unsigned channel,
                                ConfidentialGuestPages *pages,
                                ConfidentialGuestBundle *bundle,
                                Error **errp)
{
    assert(channel < tdx_mig.nr_streams);
    return tdx_mig_export_pages(&tdx_mig.streams[channel], pages, bundle, errp);
}

bool tdx_migration_export_epoch(ConfidentialGuestSupport *cgs,
                                ConfidentialGuestBundle *bundle,
                                Error **errp)
{
    return tdx_mig_export_token(&tdx_mig.streams[0], false, bundle, errp);
}

/* Conversions */

/* Do any pages up to @end still wait?  Called with the mutex. */
static bool tdx_mig_any_revoked(hwaddr gpa, hwaddr end)
{
    for (; gpa < end; gpa += TARGET_PAGE_SIZE) {
        if (g_hash_table_contains(tdx_mig.revoked, (gpointer)(uintptr_t)gpa)) {
            return true;
        }
    }
    return false;
}

void tdx_migration_revoke(ConfidentialGuestSupport *cgs, CPUState *cpu,
                          hwaddr gpa, uint64_t size)
{
    hwaddr page, end = gpa + size;

    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    if (!qatomic_read(&tdx_mig.exporting)) {
        /*
         * The export is being undone, or has been since KVM refused the
         * conversion.
         */
        qemu_cond_timedwait(&tdx_mig.revoke_cond, &tdx_mig.mutex, 1);
        return;
    }

    for (page = gpa; page < end; page += TARGET_PAGE_SIZE) {
        g_hash_table_add(tdx_mig.revoked, (gpointer)(uintptr_t)page);
    }
    /* Exclusive work, of which TDs have none, would have to wait. */
    while (tdx_mig_any_revoked(gpa, end) &&
           !qatomic_read(&cpu->exit_request)) {
        qemu_cond_timedwait(&tdx_mig.revoke_cond, &tdx_mig.mutex,
                            TDX_MIG_WAIT_MS);
    }
}

bool tdx_migration_revoke_pending(ConfidentialGuestSupport *cgs)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    return g_hash_table_size(tdx_mig.revoked);
}

bool tdx_migration_export_revoked(ConfidentialGuestSupport *cgs,
                                  ConfidentialGuestBundle *bundle,
                                  Error **errp)
{
    g_autofree hwaddr *gpa = g_new(hwaddr, TDX_MIG_BUF_LIST_PAGES_MAX);
    unsigned i, nr = 0;
    bool ret;

    *bundle = (ConfidentialGuestBundle) {};
    WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
        GHashTableIter iter;
        gpointer page;

        g_hash_table_iter_init(&iter, tdx_mig.revoked);
        while (nr < TDX_MIG_BUF_LIST_PAGES_MAX &&
               g_hash_table_iter_next(&iter, &page, NULL)) {
            gpa[nr++] = (uintptr_t)page;
        }
    }
    if (!nr) {
        return true;
    }

    ret = tdx_mig_export_cancel(&tdx_mig.streams[0], gpa, nr, bundle, errp);
    WITH_QEMU_LOCK_GUARD(&tdx_mig.mutex) {
        for (i = 0; i < nr; i++) {
            g_hash_table_remove(tdx_mig.revoked, (gpointer)(uintptr_t)gpa[i]);
        }
        qemu_cond_broadcast(&tdx_mig.revoke_cond);
    }
    return ret;
}

/* The end */

bool tdx_migration_export_committed(ConfidentialGuestSupport *cgs)
{
    return qatomic_read(&tdx_mig.committed);
}

/* The destination proves that it is not going to run the TD, or it is gone. */
void tdx_migration_await_verdict(ConfidentialGuestSupport *cgs)
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

bool tdx_migration_export_end(ConfidentialGuestSupport *cgs,
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
    tdx_mig_forget_revoked();
    return ret;
}

void tdx_migration_export_cleanup(ConfidentialGuestSupport *cgs)
{
    tdx_mig_close_streams();
}

void tdx_migration_reply_received(ConfidentialGuestSupport *cgs,
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
    } else if (size > 1 && buf[0] == TDX_MIG_REPLY_ERROR) {
        /* The first one counts; there may be any number of them. */
        if (!tdx_mig.given_up) {
            tdx_mig.given_up = true;
            migration_confidential_failed((const char *)buf + 1, size - 1);
        }
    } else {
        warn_report_once("TDX migration: unknown message of the destination");
    }
    qemu_cond_broadcast(&tdx_mig.reply_cond);
}

void tdx_migration_replies_ended(ConfidentialGuestSupport *cgs)
{
    QEMU_LOCK_GUARD(&tdx_mig.mutex);
    tdx_mig.replies_ended = true;
    qemu_cond_broadcast(&tdx_mig.reply_cond);
}
