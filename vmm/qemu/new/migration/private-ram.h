/*
 * Migration of the private memory of confidential guests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_PRIVATE_RAM_H
#define QEMU_MIGRATION_PRIVATE_RAM_H

#include "qemu/typedefs.h"
#include "exec/cpu-common.h"
#include "multifd.h"

/* Can only the confidential guest read this page? */
bool private_ram_page(RAMBlock *block, ram_addr_t offset);

void private_ram_save_setup(void);
void private_ram_save_cleanup(void);

/*
 * Memory has been looked through: pages that were sent may be sent once more.
 */
void private_ram_bitmap_synced(void);

/*
 * Before pages are sent: mark the end of the last pass if there is a new one.
 */
bool private_ram_begin(QEMUFile *f, Error **errp);

/*
 * Send a page over RAM_CHANNEL_PRECOPY or RAM_CHANNEL_POSTCOPY, now or with the
 * next ones; all of them go with a flush.
 */
bool private_ram_queue(QEMUFile *f, unsigned channel, RAMBlock *block,
                       ram_addr_t offset, Error **errp);
bool private_ram_flush(QEMUFile *f, unsigned channel, Error **errp);

/* Postcopy: tell the destination, which has asked, that no page follows. */
bool private_ram_send_nothing(QEMUFile *f, unsigned channel, RAMBlock *block,
                              ram_addr_t offset, Error **errp);

/*
 * Was this page exported before, so that the destination may have it?  Once
 * postcopy has begun: since then, and over this channel?
 */
bool private_ram_was_sent(unsigned channel, RAMBlock *block,
                          ram_addr_t offset);
void private_ram_postcopy_begin(void);

/*
 * Take a page that could not be sent although the guest is stopped.  For
 * multifd, after a synchronisation.
 */
bool private_ram_next_left(RAMBlock **block, ram_addr_t *offset);

/* Channels of multifd */
int private_ram_multifd_send_prepare(MultiFDSendParams *p, Error **errp);

#endif
