/*
 * Live migration of TDs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIGRATION_H
#define QEMU_I386_TDX_MIGRATION_H

#include "system/confidential-guest-migration.h"

extern const ConfidentialGuestMigrationOps tdx_migration_ops;

/* Once the machine has been created: take part in migrations. */
void tdx_migration_init(void);

#endif
