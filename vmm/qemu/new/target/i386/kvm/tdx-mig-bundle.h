/*
 * Migration bundles of a TD
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIG_BUNDLE_H
#define QEMU_I386_TDX_MIG_BUNDLE_H

#include "exec/hwaddr.h"
#include "hw/core/cpu.h"
#include "system/confidential-guest-migration.h"
#include "tdx-mig-stream.h"

/*
 * Functions that export leave the bundle in the buffers of the stream.  They
 * return false with an error if the session cannot continue.
 */
bool tdx_mig_export_state(TdxMigStream *stream, enum kvm_tdx_mig_cmd_id cmd,
                          CPUState *cpu, ConfidentialGuestBundle *bundle,
                          Error **errp);
bool tdx_mig_export_token(TdxMigStream *stream, bool start,
                          ConfidentialGuestBundle *bundle, Error **errp);
bool tdx_mig_export_pages(TdxMigStream *stream, ConfidentialGuestPages *pages,
                          ConfidentialGuestBundle *bundle, Error **errp);
bool tdx_mig_export_cancel(TdxMigStream *stream, const hwaddr *gpa, unsigned nr,
                           ConfidentialGuestBundle *bundle, Error **errp);

/*
 * Import a bundle of any type, of which nothing has been read yet.  If
 * @gpa_list is not NULL, return the @nr entries of a memory bundle, of
 * TDX_MIG_BUF_LIST_PAGES_MAX.
 */
bool tdx_mig_import_bundle(TdxMigStream *stream, size_t size,
                           ConfidentialGuestRead *read, void *opaque,
                           uint64_t *gpa_list, unsigned *nr, Error **errp);

#endif
