/*
 * Migration of what only a confidential guest's technology can move
 *
 * The host cannot read the private memory of some confidential guests.
 * Firmware or a processor mode exports and imports it in an encrypted form
 * instead, and wants to know when the guest's memory has been looked through
 * once more.  Migration code treats what is exported as opaque.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_CONFIDENTIAL_GUEST_MIGRATION_H
#define QEMU_CONFIDENTIAL_GUEST_MIGRATION_H

#include "exec/cpu-common.h"
#include "exec/hwaddr.h"
#include "hw/core/cpu.h"
#include "qemu/iov.h"

typedef struct ConfidentialGuestSupport ConfidentialGuestSupport;

/* Pages of one bundle at most, and pieces of memory in which it may lie. */
#define CGS_MIGRATION_MAX_PAGES     512
#define CGS_MIGRATION_MAX_IOV       (CGS_MIGRATION_MAX_PAGES + 4)

/*
 * No more bytes than this are buffered ahead of what is wanted of a file.  If a
 * bundle starts with as many that are no pages, no page of it is copied.
 */
#define CGS_MIGRATION_READ_AHEAD    64

/*
 * Private pages of one RAMBlock, each of them once.  Of those that could not be
 * exported for the moment, the first @nr_left offsets tell when the export has
 * returned.
 */
typedef struct ConfidentialGuestPages {
    RAMBlock *block;
    ram_addr_t *offset;
    unsigned nr;
    /* All that the destination can get was sent; export no content. */
    bool sent;
    unsigned nr_left;
} ConfidentialGuestPages;

/* Where a bundle lies until the next export over the same channel. */
typedef struct ConfidentialGuestBundle {
    struct iovec iov[CGS_MIGRATION_MAX_IOV];
    unsigned niov;
    size_t size;
    unsigned nr_pages;
} ConfidentialGuestBundle;

/*
 * Read exactly @size bytes of an incoming bundle; returns false with an error.
 */
typedef bool ConfidentialGuestRead(void *opaque, void *buf, size_t size,
                                   Error **errp);

/**
 * struct ConfidentialGuestMigrationOps:
 *
 * Channels are numbered from 0; the main channel is 0, and so is the first one
 * of multifd: they never carry bundles at the same time.  Functions for
 * distinct channels may be called in parallel, except where stated otherwise.
 */
typedef struct ConfidentialGuestMigrationOps {
    /*
     * Is the private memory of this guest migrated by these functions?  The
     * answer does not change once the machine has been created.
     */
    bool (*active)(ConfidentialGuestSupport *cgs);

    /* Source */

    /**
     * @export_pages: Export private pages.
     *
     * Pages that the guest does not have, or that are being written, are left
     * out silently: the dirty bitmap has those that must be sent later.
     *
     * Returns false with an error if the migration cannot continue.
     */
    bool (*export_pages)(ConfidentialGuestSupport *cgs, unsigned channel,
                         ConfidentialGuestPages *pages,
                         ConfidentialGuestBundle *bundle, Error **errp);

    /**
     * @export_epoch: Mark the end of a pass over memory.
     *
     * A page is exported at most once between two marks.  All bundles that were
     * exported before must be imported before, and no others.  On channel 0,
     * while no other channel exports.
     */
    bool (*export_epoch)(ConfidentialGuestSupport *cgs,
                         ConfidentialGuestBundle *bundle, Error **errp);

    /**
     * @revoke: The guest wants to make private memory shared that was exported.
     *
     * Wait until the export has been revoked, the migration has ended, or the
     * vCPU is wanted elsewhere; it tries to convert the memory again.  The
     * migration may have ended before.  Called from the thread of the vCPU,
     * without the BQL.
     */
    void (*revoke)(ConfidentialGuestSupport *cgs, CPUState *cpu, hwaddr gpa,
                   uint64_t size);

    /* Does the guest wait for pages whose export is to be revoked? */
    bool (*revoke_pending)(ConfidentialGuestSupport *cgs);

    /**
     * @export_revoked: Revoke the export of pages that the guest gives up.
     *
     * Called after a mark, on channel 0, while no other channel exports.  The
     * bundle is empty if nothing is left to be revoked.
     */
    bool (*export_revoked)(ConfidentialGuestSupport *cgs,
                           ConfidentialGuestBundle *bundle, Error **errp);

    /* Does only the destination decide where the guest is going to run? */
    bool (*export_committed)(ConfidentialGuestSupport *cgs);

    /* Wait until the destination has decided, or is gone.  Without the BQL. */
    void (*await_verdict)(ConfidentialGuestSupport *cgs);

    /**
     * @export_end: The migration has ended, successfully or not.
     *
     * Called before the guest is resumed if it has not succeeded, without the
     * BQL. Returns false with an error if the guest may not run here any more.
     */
    bool (*export_end)(ConfidentialGuestSupport *cgs, bool completed,
                       Error **errp);

    /* No channel exports any more, and no bundle is being sent. */
    void (*export_cleanup)(ConfidentialGuestSupport *cgs);

    /*
     * The destination has sent a message with migration_confidential_reply().
     */
    void (*reply_received)(ConfidentialGuestSupport *cgs, const uint8_t *buf,
                           size_t size);

    /* The destination will not send any more messages. */
    void (*replies_ended)(ConfidentialGuestSupport *cgs);

    /* Destination */

    /**
     * @import: Import a bundle of @size bytes, whatever is in it.
     *
     * Returns false with an error if the migration cannot continue.
     */
    bool (*import)(ConfidentialGuestSupport *cgs, unsigned channel, size_t size,
                   ConfidentialGuestRead *read, void *opaque, Error **errp);

    /* The migration has failed here.  Tell the source why. */
    void (*import_failed)(ConfidentialGuestSupport *cgs, const char *reason);

    /**
     * @import_commit: The guest is going to run here.
     *
     * After it has returned true the guest cannot run on the source any more.
     * What is missing of its memory, for postcopy, can still be imported.
     */
    bool (*import_commit)(ConfidentialGuestSupport *cgs, Error **errp);

    /* All has been imported.  No vCPU runs. */
    void (*import_end)(ConfidentialGuestSupport *cgs);

    /**
     * @import_missing: Postcopy: wait for a page of private memory.
     *
     * Called by a vCPU that needs it, or is going to give it up.  Returns true
     * when it has been imported, or the source has told that there is none, and
     * false if the vCPU has something else to do.
     */
    bool (*import_missing)(ConfidentialGuestSupport *cgs, CPUState *cpu,
                           hwaddr gpa);
} ConfidentialGuestMigrationOps;

#endif
