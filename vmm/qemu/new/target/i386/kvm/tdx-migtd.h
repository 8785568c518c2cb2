/*
 * The migration TD of this host, which exchanges the keys of a TD migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIGTD_H
#define QEMU_I386_TDX_MIGTD_H

/* Bytes of a message between two migration TDs */
#define TDX_MIGTD_MAX_MESSAGE 256

/*
 * A connection to a process that runs a migration TD (MigTD) for us, for as
 * long as the connection exists.
 *
 * All calls block, but not for ever: half a minute, and two more to connect.
 * After an error, the next attempt can use the same connection, unless the
 * MigTD is gone.  If it is, all further calls fail, and it takes a new
 * connection and a new binding to go on.  The TD that it was bound to is not
 * affected.
 */
typedef struct TdxMigtd TdxMigtd;

/**
 * tdx_migtd_connect: get a MigTD, from the process that listens on a socket
 * @path: of the socket
 * @errp: pointer to a NULL-initialized error object
 *
 * Returns: the MigTD, ready to be bound, or NULL on error
 */
TdxMigtd *tdx_migtd_connect(const char *path, Error **errp);

/**
 * tdx_migtd_free: close the connection, which is the end of the MigTD
 * @migtd: may be NULL
 */
void tdx_migtd_free(TdxMigtd *migtd);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TdxMigtd, tdx_migtd_free)

/**
 * tdx_migtd_is_gone: did the process close the connection, or break the rules?
 * @migtd: the MigTD
 */
bool tdx_migtd_is_gone(TdxMigtd *migtd);

/**
 * tdx_migtd_bind: bind the MigTD to our TD
 * @migtd: the MigTD
 * @errp: pointer to a NULL-initialized error object
 *
 * A MigTD is bound once, and serves this TD alone.
 *
 * The first binding of a TD has to be made between KVM_TDX_INIT_VM and
 * KVM_TDX_FINALIZE_VM, or KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE on a destination.
 * After that, it can be bound to any other MigTD with the same measurement,
 * which takes the place of the old one, except while it is paused by an export,
 * or imported.  Between key exchanges, a TD needs no MigTD.
 *
 * As an import changes the UUID of a TD, a MigTD that was bound before an
 * import is of no use for the next migration: connect and bind again.
 *
 * Returns: true on success
 */
bool tdx_migtd_bind(TdxMigtd *migtd, Error **errp);

/**
 * tdx_migtd_begin: begin a key exchange
 * @migtd: a MigTD that is bound
 * @request_id: the same on both sides, chosen at random for each exchange
 * @is_source: whether our TD is going to be exported
 * @message: for the MigTD of the peer; TDX_MIGTD_MAX_MESSAGE bytes
 * @len: bytes in @message, at least 1
 * @errp: pointer to a NULL-initialized error object
 *
 * This makes an older exchange fail that has not ended.
 *
 * Returns: true on success
 */
bool tdx_migtd_begin(TdxMigtd *migtd, uint64_t request_id, bool is_source,
                     uint8_t *message, size_t *len, Error **errp);

/**
 * tdx_migtd_end: end the key exchange that was begun last
 * @migtd: the MigTD
 * @request_id: that of tdx_migtd_begin()
 * @peer_message: what the MigTD of the peer has sent
 * @len: bytes in @peer_message
 * @errp: pointer to a NULL-initialized error object
 *
 * On success, our TD has the key, and one migration session can be started.
 *
 * Returns: true on success
 */
bool tdx_migtd_end(TdxMigtd *migtd, uint64_t request_id,
                   const uint8_t *peer_message, size_t len, Error **errp);

#endif /* QEMU_I386_TDX_MIGTD_H */
