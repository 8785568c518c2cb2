/*
 * The migration session of a TD, as seen by both sides of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIG_SESSION_H
#define QEMU_I386_TDX_MIG_SESSION_H

#include "migration/qemu-file.h"
#include "system/confidential-guest-migration.h"
#include "qemu/notify.h"
#include "qemu/thread.h"
#include "tdx-mig-stream.h"
#include "tdx-migtd.h"

#define TDX_MIG_VERSION         1
#define TDX_MIG_MAX_STREAMS     255

/* How long a vCPU that waits for pages may miss that it is kicked */
#define TDX_MIG_WAIT_MS         10
/* After this time, it asks for the page once more */
#define TDX_MIG_ASK_AGAIN_US    (10 * G_USEC_PER_SEC)

/* What follows in the section, as a 32 bit number. */
enum {
    TDX_MIG_CONFIG = 1,
    TDX_MIG_SETUP,
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
    /* Followed by text */
    TDX_MIG_REPLY_ERROR,
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
    /* Destination: why it may not be the TD that was announced, or NULL */
    char *difference;
    /* Pages that vCPUs wait for, by GPA; protected by the mutex */
    GHashTable *missing;
    QemuCond import_cond;

    NotifierWithReturn precopy_notifier;
    Notifier exit_notifier;

    /* Messages of the destination; protected by the mutex */
    QemuMutex mutex;
    QemuCond reply_cond;
    bool replies_ended;
    bool ready;
    /* It has said why it gives up. */
    bool given_up;
    uint8_t key[TDX_MIGTD_MAX_MESSAGE];
    size_t key_size;
    bool has_abort_token;
    uint8_t abort_token[TDX_MIG_MBMD_SIZE];

    /* Pages that vCPUs wait to give up, by GPA; protected by the mutex */
    GHashTable *revoked;
    QemuCond revoke_cond;
} TdxMigration;

extern TdxMigration tdx_mig;

/* A MigTD of this host that can exchange the keys of one migration. */
TdxMigtd *tdx_mig_get_migtd(Error **errp);

void tdx_mig_close_streams(void);
bool tdx_mig_open_streams(unsigned nr, Error **errp);

/* tdx-mig-config.c: what source and destination have in common */
void tdx_mig_save_config(QEMUFile *f);
bool tdx_mig_load_config(QEMUFile *f, Error **errp);

/* tdx-mig-source.c: functions of the section, and of the confidential guest */
int tdx_mig_save_prepare(void *opaque, Error **errp);
int tdx_mig_save_setup(QEMUFile *f, void *opaque, Error **errp);
int tdx_mig_save_complete(QEMUFile *f, void *opaque);
int tdx_mig_precopy_notify(NotifierWithReturn *notifier, void *data,
                           Error **errp);
bool tdx_migration_export_pages(ConfidentialGuestSupport *cgs,
                                unsigned channel,
                                ConfidentialGuestPages *pages,
                                ConfidentialGuestBundle *bundle,
                                Error **errp);
bool tdx_migration_export_epoch(ConfidentialGuestSupport *cgs,
                                ConfidentialGuestBundle *bundle,
                                Error **errp);
void tdx_migration_revoke(ConfidentialGuestSupport *cgs, CPUState *cpu,
                          hwaddr gpa, uint64_t size);
bool tdx_migration_revoke_pending(ConfidentialGuestSupport *cgs);
bool tdx_migration_export_revoked(ConfidentialGuestSupport *cgs,
                                  ConfidentialGuestBundle *bundle,
                                  Error **errp);
bool tdx_migration_export_committed(ConfidentialGuestSupport *cgs);
void tdx_migration_await_verdict(ConfidentialGuestSupport *cgs);
bool tdx_migration_export_end(ConfidentialGuestSupport *cgs,
                              bool completed, Error **errp);
void tdx_migration_export_cleanup(ConfidentialGuestSupport *cgs);
void tdx_migration_reply_received(ConfidentialGuestSupport *cgs,
                                  const uint8_t *buf, size_t size);
void tdx_migration_replies_ended(ConfidentialGuestSupport *cgs);

/* tdx-mig-dest.c: likewise */
int tdx_mig_load_state(QEMUFile *f, void *opaque, int version_id);
int tdx_mig_load_cleanup(void *opaque);
void tdx_mig_exit(Notifier *notifier, void *unused);
bool tdx_migration_import(ConfidentialGuestSupport *cgs,
                          unsigned channel, size_t size,
                          ConfidentialGuestRead *read, void *opaque,
                          Error **errp);
void tdx_migration_import_failed(ConfidentialGuestSupport *cgs,
                                 const char *reason);
bool tdx_migration_import_commit(ConfidentialGuestSupport *cgs,
                                 Error **errp);
void tdx_migration_import_end(ConfidentialGuestSupport *cgs);
bool tdx_migration_import_missing(ConfidentialGuestSupport *cgs,
                                  CPUState *cpu, hwaddr gpa);

#endif
