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
#include "qemu/sockets.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "io/channel.h"
#include "io/channel-socket.h"
#include "io/channel-tls.h"
#include "system/confidential-guest-support.h"
#include "system/ramblock.h"
#include "confidential-guest.h"
#include "migration.h"
#include "options.h"
#include "postcopy-ram.h"
#include "qemu-file.h"

/* After this time, a peer of which nothing is heard is gone. */
#define CONFIDENTIAL_GONE_S     30
#define CONFIDENTIAL_IDLE_S     10
#define CONFIDENTIAL_PROBE_S    5

/* What a text of the peer may consist of */
#define CONFIDENTIAL_REASON_CHARS \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
    " !#%&'()*+,-./:;<=>@[]^_{|}~"

/* The guest may run at the destination, or its memory is lost. */
static bool confidential_lost;

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

    if (confidential_lost) {
        error_setg(errp, "The guest runs elsewhere, or is lost");
        return false;
    }
    if (migrate_get_current()->migration_thread_running) {
        error_setg(errp, "The last migration is still being undone");
        return false;
    }

    /*
     * What writes plain memory, or in an order other than that of the exports.
     */
    if (migrate_mode() != MIG_MODE_NORMAL) {
        conflict = MigMode_str(migrate_mode());
    } else if (migrate_mapped_ram()) {
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
    } else if (migrate_postcopy_ram() && migrate_release_ram()) {
        /* The destination may still return the guest. */
        conflict = "postcopy-ram and release-ram";
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

#ifdef CONFIG_LINUX
static void confidential_set_option(QIOChannel *ioc, int level, int option,
                                    int value)
{
    if (object_dynamic_cast(OBJECT(ioc), TYPE_QIO_CHANNEL_TLS)) {
        ioc = QIO_CHANNEL_TLS(ioc)->master;
    }
    /* It may be another socket than one of TCP. */
    if (object_dynamic_cast(OBJECT(ioc), TYPE_QIO_CHANNEL_SOCKET)) {
        setsockopt(QIO_CHANNEL_SOCKET(ioc)->fd, level, option, &value,
                   sizeof(value));
    }
}
#endif

/*
 * A host that has lost its power says nothing more.  Don't let a guest that has
 * been stopped wait for its answer, nor for room to send, for a quarter of an
 * hour or for ever.
 */
void confidential_watch_peer(QIOChannel *ioc, bool sends)
{
#ifdef CONFIG_LINUX
    if (!migration_confidential()) {
        return;
    }
    confidential_set_option(ioc, SOL_SOCKET, SO_KEEPALIVE, 1);
    confidential_set_option(ioc, IPPROTO_TCP, TCP_KEEPIDLE,
                            CONFIDENTIAL_IDLE_S);
    confidential_set_option(ioc, IPPROTO_TCP, TCP_KEEPINTVL,
                            CONFIDENTIAL_PROBE_S);
    confidential_set_option(ioc, IPPROTO_TCP, TCP_KEEPCNT,
                            (CONFIDENTIAL_GONE_S - CONFIDENTIAL_IDLE_S) /
                            CONFIDENTIAL_PROBE_S);
    if (sends) {
        confidential_set_option(ioc, IPPROTO_TCP, TCP_USER_TIMEOUT,
                                CONFIDENTIAL_GONE_S * 1000);
    }
#endif
}

/* As the guest cannot go on here, the destination may take its time. */
void migration_confidential_commit(void)
{
#ifdef CONFIG_LINUX
    MigrationState *s = migrate_get_current();

    QEMU_LOCK_GUARD(&s->qemu_file_lock);
    if (s->to_dst_file) {
        confidential_set_option(qemu_file_get_ioc(s->to_dst_file), IPPROTO_TCP,
                                TCP_USER_TIMEOUT, 0);
    }
#endif
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

bool migration_confidential_revoke(CPUState *cpu, hwaddr gpa, uint64_t size)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (!ops) {
        return false;
    }
    ops->revoke(cgs, cpu, gpa, size);
    return true;
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

void confidential_limit_read_ahead(QEMUFile *f)
{
    if (migration_confidential()) {
        qemu_file_set_read_ahead(f, CGS_MIGRATION_READ_AHEAD);
    }
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

/* Say to the source why, as long as it hears. */
void confidential_import_failed(const Error *err)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (ops) {
        ops->import_failed(cgs, error_get_pretty(err));
    }
}

static enum {
    CONFIDENTIAL_UNDECIDED,
    CONFIDENTIAL_COMMITTED,
    CONFIDENTIAL_RETURNED,
} confidential_verdict;

bool confidential_import_commit(bool start, Error **errp)
{
    ConfidentialGuestSupport *cgs;
    const ConfidentialGuestMigrationOps *ops = confidential_ops(&cgs);

    if (!ops) {
        return true;
    }

    /* The source can go on with a guest that would lack its disks here. */
    if ((start && !migration_block_activate(errp)) ||
        !ops->import_commit(cgs, errp)) {
        migration_block_inactivate();
        confidential_verdict = CONFIDENTIAL_RETURNED;
        return false;
    }
    confidential_verdict = CONFIDENTIAL_COMMITTED;
    return true;
}

/* Has the destination decided where the guest is going to run? */
bool confidential_import_decided(void)
{
    return confidential_verdict != CONFIDENTIAL_UNDECIDED;
}

bool confidential_import_returned(void)
{
    return confidential_verdict == CONFIDENTIAL_RETURNED;
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
