/*
 * Live migration of TDs
 *
 * The TDX module of the source exports a TD in bundles, which that of the
 * destination imports; KVM has a device for each stream of them.  Migration
 * code sends memory by means of the functions in tdx_migration_ops.  All else
 * travels in a section of its own, that is the keys and the immutable state
 * before memory, and the state of the TD and its vCPUs after it.  The last
 * bundle is the start token, with which the source gives up the TD, unless the
 * destination returns an abort token.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "migration/misc.h"
#include "migration/register.h"
#include "system/system.h"
#include "cpu.h"
#include "tdx.h"
#include "tdx-mig-session.h"
#include "tdx-migration.h"

TdxMigration tdx_mig;

/* A MigTD of this host that can exchange the keys of one migration. */
TdxMigtd *tdx_mig_get_migtd(Error **errp)
{
    TdxGuest *tdx = TDX_GUEST(current_machine->cgs);
    g_autoptr(TdxMigtd) migtd = tdx_migtd_connect(tdx->migtd, errp);

    if (!migtd || !tdx_migtd_bind(migtd, errp)) {
        return NULL;
    }
    return g_steal_pointer(&migtd);
}

void tdx_mig_close_streams(void)
{
    while (tdx_mig.nr_streams) {
        tdx_mig_stream_close(&tdx_mig.streams[--tdx_mig.nr_streams]);
    }
    g_clear_pointer(&tdx_mig.streams, g_free);
}

bool tdx_mig_open_streams(unsigned nr, Error **errp)
{
    tdx_mig.streams = g_new0(TdxMigStream, nr);
    while (tdx_mig.nr_streams < nr) {
        if (!tdx_mig_stream_open(&tdx_mig.streams[tdx_mig.nr_streams],
                                 tdx_mig.nr_streams, errp)) {
            tdx_mig_close_streams();
            return false;
        }
        tdx_mig.nr_streams++;
        tdx_mig.max_streams = MAX(tdx_mig.max_streams, tdx_mig.nr_streams);
    }
    return true;
}

static const SaveVMHandlers tdx_mig_handlers = {
    .save_prepare = tdx_mig_save_prepare,
    .save_setup = tdx_mig_save_setup,
    .save_complete = tdx_mig_save_complete,
    .load_state = tdx_mig_load_state,
    .load_cleanup = tdx_mig_load_cleanup,
};

static bool tdx_migration_active(ConfidentialGuestSupport *cgs)
{
    return TDX_GUEST(cgs)->migtd;
}

const ConfidentialGuestMigrationOps tdx_migration_ops = {
    .active = tdx_migration_active,
    .export_pages = tdx_migration_export_pages,
    .export_epoch = tdx_migration_export_epoch,
    .revoke = tdx_migration_revoke,
    .revoke_pending = tdx_migration_revoke_pending,
    .export_revoked = tdx_migration_export_revoked,
    .export_committed = tdx_migration_export_committed,
    .await_verdict = tdx_migration_await_verdict,
    .export_end = tdx_migration_export_end,
    .export_cleanup = tdx_migration_export_cleanup,
    .reply_received = tdx_migration_reply_received,
    .replies_ended = tdx_migration_replies_ended,
    .import = tdx_migration_import,
    .import_failed = tdx_migration_import_failed,
    .import_commit = tdx_migration_import_commit,
    .import_end = tdx_migration_import_end,
    .import_missing = tdx_migration_import_missing,
};

void tdx_migration_init(void)
{
    qemu_mutex_init(&tdx_mig.mutex);
    qemu_cond_init(&tdx_mig.reply_cond);
    qemu_cond_init(&tdx_mig.import_cond);
    qemu_cond_init(&tdx_mig.revoke_cond);
    tdx_mig.missing = g_hash_table_new(NULL, NULL);
    tdx_mig.revoked = g_hash_table_new(NULL, NULL);

    /* After the handlers of memory, whose sections come first. */
    register_savevm_live("tdx", 0, TDX_MIG_VERSION, &tdx_mig_handlers, NULL);
    tdx_mig.precopy_notifier.notify = tdx_mig_precopy_notify;
    precopy_add_notifier(&tdx_mig.precopy_notifier);
    tdx_mig.exit_notifier.notify = tdx_mig_exit;
    qemu_add_exit_notifier(&tdx_mig.exit_notifier);
}
