/*
 * Migration of confidential guests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_CONFIDENTIAL_GUEST_H
#define QEMU_MIGRATION_CONFIDENTIAL_GUEST_H

#include "io/channel.h"
#include "migration/confidential.h"
#include "system/confidential-guest-migration.h"

/* Refuse what private memory cannot be combined with. */
bool confidential_check_migration(Error **errp);
bool confidential_check_recovery(Error **errp);

/* Notice if the peer is gone; @sends: even while something is being sent. */
void confidential_watch_peer(QIOChannel *ioc, bool sends);

/* Source; see struct ConfidentialGuestMigrationOps */
bool confidential_export_pages(unsigned channel, ConfidentialGuestPages *pages,
                               ConfidentialGuestBundle *bundle, Error **errp);
bool confidential_export_epoch(ConfidentialGuestBundle *bundle, Error **errp);
bool confidential_revoke_pending(void);
bool confidential_export_revoked(ConfidentialGuestBundle *bundle, Error **errp);
bool confidential_export_committed(void);
void confidential_export_end(void);
bool confidential_guest_is_lost(void);
void confidential_export_cleanup(void);
void confidential_reply_received(const uint8_t *buf, size_t size);
void confidential_replies_ended(void);

/* Destination */
void confidential_limit_read_ahead(QEMUFile *f);
bool confidential_import_from_file(QEMUFile *f, unsigned channel,
                                   Error **errp);
bool confidential_import_from_channel(QIOChannel *ioc, unsigned channel,
                                      size_t size, Error **errp);
void confidential_import_failed(const Error *err);
/*
 * Let the source give up the guest, which is started here if @start is set;
 * disks are activated then.  If that fails, the guest is returned.
 */
bool confidential_import_commit(bool start, Error **errp);
bool confidential_import_decided(void);
bool confidential_import_returned(void);
void confidential_import_end(void);

#endif
