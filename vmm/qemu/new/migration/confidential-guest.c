/*
 * Migration of confidential guests
 *
 * What lies between the migration code and the machine's confidential guest,
 * whose private memory nobody but itself can read.  All functions do nothing,
 * and succeed, if there is none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "io/channel.h"
#include "system/confidential-guest-support.h"
#include "system/ramblock.h"
#include "confidential-guest.h"
#include "migration.h"
#include "options.h"
#include "postcopy-ram.h"
#include "qemu-file.h"

/* What a text of the peer may consist of */
#define CONFIDENTIAL_REASON_CHARS \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
    " !#%&'()*+,-./:;<=>@[]^_{|}~"

static bool confidential_has_huge_pages(void)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (block->attributes &&
            qemu_ram_pagesize(block) != qemu_target_page_size()) {
            return true;
        }
    }
    return false;
}

static const ConfidentialGuestMigrationOps *
confidential_ops(ConfidentialGuestSupport **cgs)
{
    const ConfidentialGuestMigrationOps *ops;

    if (!current_machine || !current_machine->cgs) {
        return NULL;
    }

    *cgs = current_machine->cgs;
    ops = CONFIDENTIAL_GUEST_SUPPORT_GET_CLASS(*cgs)->migration;
    return ops && ops->active(*cgs) ? ops : NULL;
}

bool migration_confidential(void)
{
    ConfidentialGuestSupport *cgs;

    return confidential_ops(&cgs);
}

bool confidential_check_migration(Error **errp)
{
    const char *conflict = NULL;

    if (!migration_confidential()) {
        return true;
    }

    if (migrate_get_current()->migration_thread_running) {
        error_setg(errp, "The last migration is still being undone");
        return false;
    }

    /*
     * What writes plain memory, or in an order other than that of the exports.
     */
    if (migrate_mapped_ram()) {
        conflict = "mapped-ram";
    } else if (migrate_background_snapshot()) {
        conflict = "background-snapshot";
    } else if (migrate_colo()) {
        conflict = "x-colo";
    } else if (migrate_xbzrle()) {
        conflict = "xbzrle";
    } else if (migrate_ignore_shared()) {
        conflict = "x-ignore-shared";
    } else if (migrate_rdma()) {
        conflict = "RDMA";
    } else if (migrate_multifd_compression()) {
        conflict = "multifd-compression";
    } else if (migrate_multifd() &&
               migrate_multifd_flush_after_each_section()) {
        conflict = "multifd-flush-after-each-section";
    } else if (migrate_zero_copy_send()) {
        /* The next export overwrites what may not have been sent. */
        conflict = "zero-copy-send";
    } else if (migrate_postcopy_ram() && confidential_has_huge_pages()) {
        conflict = "postcopy-ram and huge pages";
    }

    if (conflict) {
        error_setg(errp, "The private memory of a confidential guest cannot be "
                   "migrated with %s", conflict);
        return false;
    }
    return true;
}

/* What was lost with the connection is not exported once more. */
bool confidential_check_recovery(Error **errp)
{
    if (migration_confidential()) {
        error_setg(errp, "The postcopy of a confidential guest cannot be "
                   "recovered: private memory was lost with the connection");
        return false;
    }
    return true;
}

bool confidential_export_pages(unsigned channel, ConfidentialGuestPages *pages,
                               ConfidentialGuestBundle *bundle, Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    assert(ops);
    return ops->export_pages(cgs, channel, pages, bundle, errp);
}

bool confidential_export_epoch(ConfidentialGuestBundle *bundle, Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    assert(ops);
    return ops->export_epoch(cgs, bundle, errp);
}

bool migration_confidential_revoke(hwaddr gpa, uint64_t size)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    return ops && ops->revoke(cgs, gpa, size);
}

bool confidential_revoke_pending(void)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    return ops && ops->revoke_pending(cgs);
}

bool confidential_export_revoked(ConfidentialGuestBundle *bundle, Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    assert(ops);
    return ops->export_revoked(cgs, bundle, errp);
}

bool confidential_export_committed(void)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    return ops && ops->export_committed(cgs);
}

/* The guest may run at the destination, or its memory is lost. */
static bool confidential_lost;

bool confidential_guest_is_lost(void)
{
    return confidential_lost;
}

/* Of all errors, this one is to be known first.  Takes @err. */
static void confidential_put_first(MigrationState *s, Error *err)
{
    QEMU_LOCK_GUARD(&s->error_mutex);
    if (s->error) {
        error_prepend(&s->error, "%s; ", error_get_pretty(err));
        error_free(err);
    } else {
        s->error = err;
    }
}

/* In the migration thread, without the BQL as it may take a while. */
void confidential_export_end(void)
{
    MigrationState *s = migrate_get_current();
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);
    Error *local_err = NULL;

    confidential_lost = false;
    if (!ops) {
        return;
    }
    if (s->state == MIGRATION_STATUS_COMPLETED) {
        ops->export_end(cgs, true, &error_abort);
        return;
    }

    /* Nothing more is sent, so the destination has to answer. */
    if (ops->export_committed(cgs)) {
        if (s->to_dst_file) {
            qio_channel_shutdown(qemu_file_get_ioc(s->to_dst_file),
                                 QIO_CHANNEL_SHUTDOWN_WRITE, NULL);
        }
        ops->await_verdict(cgs);
    }
    if (!ops->export_end(cgs, false, &local_err)) {
        confidential_lost = true;
        error_report_err(error_copy(local_err));
        confidential_put_first(s, local_err);
    }
}

void confidential_export_cleanup(void)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->export_cleanup(cgs);
    }
}

void confidential_reply_received(const uint8_t *buf, size_t size)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->reply_received(cgs, buf, size);
    }
}

void confidential_replies_ended(void)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->replies_ended(cgs);
    }
}

/* That is the cause of whatever has been noticed here in the meantime. */
void migration_confidential_failed(const char *reason, size_t size)
{
    g_autofree char *text = g_strndup(reason, size);
    Error *err = NULL;

    error_setg(&err, "The destination says: %s",
               g_strcanon(text, CONFIDENTIAL_REASON_CHARS, '?'));
    confidential_put_first(migrate_get_current(), err);
}

int migration_confidential_reply(const uint8_t *buf, size_t size)
{
    assert(size <= CGS_MIGRATION_MAX_REPLY);
    return migrate_send_rp_confidential(migration_incoming_get_current(), buf,
                                        size);
}

static bool confidential_import(unsigned channel, size_t size,
                                ConfidentialGuestRead *read, void *opaque,
                                Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (!ops) {
        error_setg(errp, "This machine has no confidential guest that can be "
                   "migrated");
        return false;
    }
    return ops->import(cgs, channel, size, read, opaque, errp);
}

static bool confidential_read_file(void *opaque, void *buf, size_t size,
                                   Error **errp)
{
    QEMUFile *f = opaque;

    if (qemu_get_buffer_direct(f, buf, size) != size) {
        error_setg(errp, "The stream ends inside a bundle");
        return false;
    }
    return true;
}

bool confidential_import_from_file(QEMUFile *f, unsigned channel,
                                   Error **errp)
{
    return confidential_import(channel, qemu_get_be32(f),
                               confidential_read_file, f, errp);
}

static bool confidential_read_channel(void *opaque, void *buf, size_t size,
                                      Error **errp)
{
    QIOChannel *ioc = opaque;

    return !qio_channel_read_all(ioc, buf, size, errp);
}

bool confidential_import_from_channel(QIOChannel *ioc, unsigned channel,
                                      size_t size, Error **errp)
{
    return confidential_import(channel, size, confidential_read_channel, ioc,
                               errp);
}

static bool confidential_decided;

bool confidential_import_commit(Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    confidential_decided = true;
    return !ops || ops->import_commit(cgs, errp);
}

/* Has the destination tried to commit to the guest? */
bool confidential_import_decided(void)
{
    return confidential_decided;
}

void confidential_import_end(void)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->import_end(cgs);
    }
}

void migration_confidential_missing(CPUState *cpu, hwaddr gpa)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->import_missing(cgs, cpu, gpa);
    }
}

bool migration_confidential_complete(CPUState *cpu, hwaddr gpa, uint64_t size)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);
    uint64_t done;

    if (!ops || postcopy_state_get() != POSTCOPY_INCOMING_RUNNING) {
        return true;
    }
    for (done = 0; done < size; done += qemu_target_page_size()) {
        if (!ops->import_missing(cgs, cpu, gpa + done)) {
            return false;
        }
    }
    return true;
}

int migration_confidential_request(RAMBlock *block, ram_addr_t offset)
{
    return migrate_send_rp_message_req_pages(migration_incoming_get_current(),
                                             block, offset);
}
