/*
 * Migration of the private memory of confidential guests
 *
 * The migration thread finds dirty pages.  Those that are private are
 * collected, as they are exported many at a time, either over the main channel
 * or by the threads of multifd.  With postcopy-preempt, the thread of the
 * return path exports what the destination asks for over a channel of its own.
 * What is exported goes to the socket from where it lies.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/target_page.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "system/ramblock.h"
#include "confidential-guest.h"
#include "migration.h"
#include "migration-stats.h"
#include "multifd.h"
#include "options.h"
#include "private-ram.h"
#include "qemu-file.h"
#include "ram.h"
#include "trace.h"

/*
 * At most as many bundles of revoked exports follow a mark: one for each of
 * some vCPUs, as none converts more at once.
 */
#define PRIVATE_RAM_MAX_REVOKED 16

typedef struct PrivateRAMLeft {
    RAMBlock *block;
    ram_addr_t offset;
} PrivateRAMLeft;

/* A channel whose thread finds the pages that it sends */
typedef struct PrivateRAMChannel {
    /* Pages that wait for others to be exported with */
    ConfidentialGuestPages queue;
    ram_addr_t offset[CGS_MIGRATION_MAX_PAGES];
    ConfidentialGuestBundle bundle;
} PrivateRAMChannel;

typedef struct PrivateRAM {
    PrivateRAMChannel channel[RAM_CHANNEL_MAX];

    /* The channels of multifd have been synchronised with the main one */
    bool started;
    /* A new pass over memory has begun */
    bool synced;
    /* Something was exported since the last mark */
    bool exported;

    /* Protects what follows */
    QemuMutex mutex;

    /*
     * Which pages were exported at least once, a bitmap for each RAMBlock;
     * in postcopy, which ones a channel has exported or is about to
     */
    GHashTable *sent[RAM_CHANNEL_MAX];

    /* Pages that no channel could export */
    GArray *left;
} PrivateRAM;

static PrivateRAM *private_ram;

bool private_ram_page(RAMBlock *block, ram_addr_t offset)
{
    return block->attributes && migration_confidential() &&
           !test_bit(offset / qemu_real_host_page_size(),
                     block->attributes->bitmap);
}

void private_ram_save_setup(void)
{
    unsigned i;

    if (!migration_confidential()) {
        return;
    }

    private_ram = g_new0(PrivateRAM, 1);
    for (i = 0; i < RAM_CHANNEL_MAX; i++) {
        PrivateRAMChannel *channel = &private_ram->channel[i];

        channel->queue.offset = channel->offset;
        private_ram->sent[i] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    private_ram->left = g_array_new(false, false, sizeof(PrivateRAMLeft));
    qemu_mutex_init(&private_ram->mutex);
}

void private_ram_save_cleanup(void)
{
    unsigned i;

    if (!private_ram) {
        return;
    }

    for (i = 0; i < RAM_CHANNEL_MAX; i++) {
        g_hash_table_destroy(private_ram->sent[i]);
    }
    g_array_free(private_ram->left, true);
    qemu_mutex_destroy(&private_ram->mutex);
    g_clear_pointer(&private_ram, g_free);
}

void private_ram_bitmap_synced(void)
{
    if (private_ram) {
        private_ram->synced = true;
    }
}

static bool private_ram_put_bundle(QEMUFile *f,
                                   const ConfidentialGuestBundle *bundle,
                                   Error **errp)
{
    unsigned i;

    qemu_put_be64(f, RAM_SAVE_FLAG_PRIVATE);
    qemu_put_be32(f, bundle->size);
    for (i = 0; i < bundle->niov; i++) {
        qemu_put_buffer_async(f, bundle->iov[i].iov_base,
                              bundle->iov[i].iov_len, false);
    }
    ram_transferred_add(sizeof(uint64_t) + sizeof(uint32_t) + bundle->size);

    /* The next export overwrites it. */
    if (qemu_fflush(f)) {
        error_setg(errp, "Private memory cannot be sent");
        return false;
    }
    return true;
}

static bool private_ram_sync_channels(QEMUFile *f, Error **errp)
{
    if (multifd_ram_flush_and_sync(f) < 0) {
        error_setg(errp, "The channels of multifd cannot be synchronised");
        return false;
    }
    return true;
}

static bool private_ram_mark(QEMUFile *f, Error **errp)
{
    ConfidentialGuestBundle *bundle =
        &private_ram->channel[RAM_CHANNEL_PRECOPY].bundle;
    unsigned i;

    if (!confidential_export_epoch(bundle, errp) ||
        !private_ram_put_bundle(f, bundle, errp)) {
        return false;
    }
    private_ram->exported = false;

    /* A guest that always wants more waits for the next mark. */
    for (i = 0; i < PRIVATE_RAM_MAX_REVOKED; i++) {
        if (!confidential_export_revoked(bundle, errp)) {
            return false;
        }
        if (!bundle->size) {
            break;
        }
        private_ram->exported = true;
        if (!private_ram_put_bundle(f, bundle, errp)) {
            return false;
        }
    }
    return true;
}

bool private_ram_begin(QEMUFile *f, Error **errp)
{
    bool mark;

    /* The guest runs elsewhere: pages can be exported in any order. */
    if (!private_ram || migration_in_postcopy()) {
        return true;
    }

    mark = (private_ram->synced && private_ram->exported) ||
           confidential_revoke_pending();
    private_ram->synced = false;
    if (!mark && private_ram->started) {
        return true;
    }

    /*
     * The channels of the destination wait before the first synchronisation
     * until it is ready, and between two until the mark has been imported.
     */
    if (!private_ram_flush(f, RAM_CHANNEL_PRECOPY, errp) ||
        !private_ram_sync_channels(f, errp)) {
        return false;
    }
    private_ram->started = true;
    trace_private_ram_begin(mark);
    return !mark ||
           (private_ram_mark(f, errp) && private_ram_sync_channels(f, errp));
}

/* Called with the mutex. */
static unsigned long *private_ram_sent(unsigned channel, RAMBlock *block)
{
    GHashTable *table = private_ram->sent[channel];
    unsigned long *sent = g_hash_table_lookup(table, block);

    if (!sent) {
        sent = bitmap_new(block->max_length >> qemu_target_page_bits());
        g_hash_table_insert(table, block, sent);
    }
    return sent;
}

/* Keep what could not be exported, and account for the rest. */
static void private_ram_account(unsigned channel,
                                const ConfidentialGuestPages *pages,
                                const ConfidentialGuestBundle *bundle)
{
    unsigned i;

    stat64_add(&mig_stats.normal_pages, bundle->nr_pages);
    if (!pages->nr_left) {
        return;
    }

    QEMU_LOCK_GUARD(&private_ram->mutex);
    for (i = 0; i < pages->nr_left; i++) {
        PrivateRAMLeft left = {
            .block = pages->block,
            .offset = pages->offset[i],
        };

        g_array_append_val(private_ram->left, left);
        if (migration_in_postcopy()) {
            clear_bit(left.offset >> qemu_target_page_bits(),
                      private_ram_sent(channel, left.block));
        }
    }
}

bool private_ram_flush(QEMUFile *f, unsigned nr, Error **errp)
{
    PrivateRAMChannel *channel;
    bool ret;

    if (!private_ram || !private_ram->channel[nr].queue.nr) {
        return true;
    }

    channel = &private_ram->channel[nr];
    ret = confidential_export_pages(nr, &channel->queue, &channel->bundle,
                                    errp);
    if (ret) {
        private_ram_account(nr, &channel->queue, &channel->bundle);
        ret = private_ram_put_bundle(f, &channel->bundle, errp);
    }
    channel->queue.nr = 0;
    return ret;
}

bool private_ram_was_sent(unsigned channel, RAMBlock *block,
                          ram_addr_t offset)
{
    QEMU_LOCK_GUARD(&private_ram->mutex);
    return test_bit(offset >> qemu_target_page_bits(),
                    private_ram_sent(channel, block));
}

void private_ram_postcopy_begin(void)
{
    if (private_ram) {
        QEMU_LOCK_GUARD(&private_ram->mutex);
        g_hash_table_remove_all(private_ram->sent[RAM_CHANNEL_PRECOPY]);
    }
}

/* No more at once than a part of what the rate limit allows in a period */
static unsigned private_ram_max_pages(void)
{
    uint64_t limit = migration_rate_get();

    if (limit == RATE_LIMIT_DISABLED) {
        return CGS_MIGRATION_MAX_PAGES;
    }
    return MIN(MAX((limit / 4) >> qemu_target_page_bits(), 1),
               CGS_MIGRATION_MAX_PAGES);
}

bool private_ram_send_nothing(QEMUFile *f, unsigned nr, RAMBlock *block,
                              ram_addr_t offset, Error **errp)
{
    ConfidentialGuestPages pages = {
        .block = block,
        .offset = &offset,
        .nr = 1,
        .sent = true,
    };
    ConfidentialGuestBundle *bundle = &private_ram->channel[nr].bundle;

    return confidential_export_pages(nr, &pages, bundle, errp) &&
           private_ram_put_bundle(f, bundle, errp);
}

/*
 * The destination asks for a page after it was sent: it has it by now, or has
 * discarded it since then, and must not get it once more.
 */
static bool private_ram_send_again(QEMUFile *f, unsigned nr, RAMBlock *block,
                                   ram_addr_t offset, Error **errp)
{
    if (!private_ram_flush(f, nr, errp)) {
        return false;
    }
    /* A page that could not be exported is yet to come. */
    return !private_ram_was_sent(nr, block, offset) ||
           private_ram_send_nothing(f, nr, block, offset, errp);
}

bool private_ram_queue(QEMUFile *f, unsigned nr, RAMBlock *block,
                       ram_addr_t offset, Error **errp)
{
    ConfidentialGuestPages *queue = &private_ram->channel[nr].queue;
    bool again;

    /* Who has asked gets an answer over the preempt channel. */
    if (nr == RAM_CHANNEL_PRECOPY && migration_in_postcopy() &&
        private_ram_was_sent(RAM_CHANNEL_POSTCOPY, block, offset)) {
        return true;
    }

    if (nr == RAM_CHANNEL_PRECOPY) {
        private_ram->exported = true;
    }
    WITH_QEMU_LOCK_GUARD(&private_ram->mutex) {
        again = test_and_set_bit(offset >> qemu_target_page_bits(),
                                 private_ram_sent(nr, block));
    }
    if (migration_in_postcopy() && again) {
        return private_ram_send_again(f, nr, block, offset, errp);
    }

    if (migrate_multifd() && !migration_in_postcopy()) {
        if (!multifd_queue_private_page(block, offset)) {
            error_setg(errp, "A private page cannot be queued");
            return false;
        }
        return true;
    }

    if (queue->block != block && !private_ram_flush(f, nr, errp)) {
        return false;
    }
    queue->block = block;
    queue->offset[queue->nr++] = offset;
    return queue->nr < private_ram_max_pages() ||
           private_ram_flush(f, nr, errp);
}

bool private_ram_next_left(RAMBlock **block, ram_addr_t *offset)
{
    GArray *left;
    PrivateRAMLeft *last;

    if (!private_ram) {
        return false;
    }

    left = private_ram->left;
    QEMU_LOCK_GUARD(&private_ram->mutex);
    if (!left->len) {
        return false;
    }
    last = &g_array_index(left, PrivateRAMLeft, left->len - 1);
    *block = last->block;
    *offset = last->offset;
    g_array_set_size(left, left->len - 1);
    return true;
}

int private_ram_multifd_send_prepare(MultiFDSendParams *p, Error **errp)
{
    MultiFDPages_t *multifd_pages = &p->data->u.ram;
    g_autofree ConfidentialGuestBundle *bundle =
        g_new(ConfidentialGuestBundle, 1);
    ConfidentialGuestPages pages = {
        .block = multifd_pages->block,
        .offset = multifd_pages->offset,
        .nr = multifd_pages->num,
    };

    if (!confidential_export_pages(p->id, &pages, bundle, errp)) {
        return -1;
    }
    private_ram_account(RAM_CHANNEL_PRECOPY, &pages, bundle);

    p->iov[0].iov_base = p->packet;
    p->iov[0].iov_len = p->packet_len;
    memcpy(p->iov + 1, bundle->iov, bundle->niov * sizeof(bundle->iov[0]));
    p->iovs_num = bundle->niov + 1;
    p->next_packet_size = bundle->size;
    p->flags |= MULTIFD_FLAG_PRIVATE;
    multifd_send_fill_packet(p);
    return 0;
}
