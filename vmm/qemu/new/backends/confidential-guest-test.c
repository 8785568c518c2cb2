/*
 * A confidential guest for tests of migration code
 *
 * It protects nothing, and has no private memory.  What it has is the protocol
 * that decides where a guest runs: the destination confirms that it has all,
 * the source gives the guest up, and only a token of the destination lets it
 * run at the source again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "migration/confidential.h"
#include "migration/qemu-file.h"
#include "migration/register.h"
#include "migration/vmstate.h"
#include "qom/object_interfaces.h"
#include "system/confidential-guest-support.h"

#define TYPE_CONFIDENTIAL_GUEST_TEST "x-confidential-guest-test"
OBJECT_DECLARE_SIMPLE_TYPE(ConfidentialGuestTest, CONFIDENTIAL_GUEST_TEST)

/* What follows in the section */
enum {
    TEST_BEGIN = 1,
    TEST_READY,
    TEST_END,
};

/* First byte of what the destination says */
enum {
    TEST_REPLY_READY = 'r',
    TEST_REPLY_TOKEN = 't',
    TEST_REPLY_ERROR = 'e',
};

struct ConfidentialGuestTest {
    ConfidentialGuestSupport parent_obj;

    /* A destination cannot load a device. */
    bool fail_device;
    /* At the commit, a destination fails, or ends without a word. */
    bool fail_commit;
    bool exit_commit;

    bool exporting;
    bool committed;
    bool importing;
    bool running;

    /* Answers of the destination; protected by the mutex */
    QemuMutex mutex;
    QemuCond cond;
    bool ready;
    bool has_token;
    bool replies_ended;
};

static bool test_active(ConfidentialGuestSupport *cgs)
{
    return true;
}

/* Source */

static int test_save_prepare(void *opaque, Error **errp)
{
    ConfidentialGuestTest *guest = opaque;

    QEMU_LOCK_GUARD(&guest->mutex);
    guest->ready = false;
    guest->has_token = false;
    guest->replies_ended = false;
    return 0;
}

static int test_save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    ConfidentialGuestTest *guest = opaque;

    guest->exporting = true;
    qemu_put_be32(f, TEST_BEGIN);
    return 0;
}

static int test_save_complete(QEMUFile *f, void *opaque)
{
    ConfidentialGuestTest *guest = opaque;
    bool ready;

    /* After postcopy, once more */
    if (guest->committed) {
        qemu_put_be32(f, TEST_END);
        return 0;
    }

    qemu_put_be32(f, TEST_READY);
    if (qemu_fflush(f)) {
        return -EIO;
    }
    bql_unlock();
    WITH_QEMU_LOCK_GUARD(&guest->mutex) {
        while (!guest->ready && !guest->replies_ended) {
            qemu_cond_wait(&guest->cond, &guest->mutex);
        }
        ready = guest->ready;
    }
    bql_lock();
    if (!ready || qemu_file_get_error(f)) {
        return -EIO;
    }

    migration_confidential_commit();
    qatomic_set(&guest->committed, true);
    qemu_put_be32(f, TEST_END);
    return 0;
}

static bool test_export_pages(ConfidentialGuestSupport *cgs, unsigned channel,
                              ConfidentialGuestPages *pages,
                              ConfidentialGuestBundle *bundle, Error **errp)
{
    g_assert_not_reached();
}

static bool test_export_nothing(ConfidentialGuestSupport *cgs,
                                ConfidentialGuestBundle *bundle, Error **errp)
{
    bundle->niov = 0;
    bundle->size = 0;
    bundle->nr_pages = 0;
    return true;
}

static void test_revoke(ConfidentialGuestSupport *cgs, CPUState *cpu,
                        hwaddr gpa, uint64_t size)
{
    g_assert_not_reached();
}

static bool test_revoke_pending(ConfidentialGuestSupport *cgs)
{
    return false;
}

static bool test_export_committed(ConfidentialGuestSupport *cgs)
{
    return qatomic_read(&CONFIDENTIAL_GUEST_TEST(cgs)->committed);
}

static void test_await_verdict(ConfidentialGuestSupport *cgs)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(cgs);

    QEMU_LOCK_GUARD(&guest->mutex);
    while (!guest->has_token && !guest->replies_ended) {
        qemu_cond_wait(&guest->cond, &guest->mutex);
    }
}

static bool test_export_end(ConfidentialGuestSupport *cgs, bool completed,
                            Error **errp)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(cgs);
    bool ret = true;

    if (guest->committed && !completed && !guest->has_token) {
        error_setg(errp, "It may run there");
        ret = false;
    }
    guest->exporting = false;
    qatomic_set(&guest->committed, false);
    return ret;
}

static void test_export_cleanup(ConfidentialGuestSupport *cgs)
{
    assert(!CONFIDENTIAL_GUEST_TEST(cgs)->exporting);
}

static void test_reply_received(ConfidentialGuestSupport *cgs,
                                const uint8_t *buf, size_t size)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(cgs);

    QEMU_LOCK_GUARD(&guest->mutex);
    switch (size ? buf[0] : 0) {
    case TEST_REPLY_READY:
        guest->ready = true;
        break;
    case TEST_REPLY_TOKEN:
        guest->has_token = true;
        break;
    case TEST_REPLY_ERROR:
        migration_confidential_failed((const char *)buf + 1, size - 1);
        break;
    default:
        g_assert_not_reached();
    }
    qemu_cond_broadcast(&guest->cond);
}

static void test_replies_ended(ConfidentialGuestSupport *cgs)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(cgs);

    QEMU_LOCK_GUARD(&guest->mutex);
    guest->replies_ended = true;
    qemu_cond_broadcast(&guest->cond);
}

/* Destination */

static void test_reply(uint8_t reply)
{
    migration_confidential_reply(&reply, sizeof(reply));
}

static int test_load_state(QEMUFile *f, void *opaque, int version_id)
{
    ConfidentialGuestTest *guest = opaque;
    uint32_t record = qemu_get_be32(f);

    if (record == TEST_BEGIN) {
        guest->importing = true;
        return 0;
    }
    if (record == TEST_READY) {
        test_reply(TEST_REPLY_READY);
        record = qemu_get_be32(f);
    }
    return record == TEST_END ? 0 : -EINVAL;
}

static int test_load_cleanup(void *opaque)
{
    ConfidentialGuestTest *guest = opaque;

    if (guest->importing && !guest->running) {
        test_reply(TEST_REPLY_TOKEN);
    }
    guest->importing = false;
    return 0;
}

static bool test_import(ConfidentialGuestSupport *cgs, unsigned channel,
                        size_t size, ConfidentialGuestRead *read, void *opaque,
                        Error **errp)
{
    error_setg(errp, "There is no private memory");
    return false;
}

static void test_import_failed(ConfidentialGuestSupport *cgs,
                               const char *reason)
{
    g_autofree char *reply = g_strdup_printf("%c%s", TEST_REPLY_ERROR, reason);

    migration_confidential_reply((uint8_t *)reply,
                                 MIN(strlen(reply), CGS_MIGRATION_MAX_REPLY));
}

static bool test_import_commit(ConfidentialGuestSupport *cgs, Error **errp)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(cgs);

    if (guest->exit_commit) {
        _exit(EXIT_FAILURE);
    }
    if (guest->fail_commit) {
        error_setg(errp, "The commit fails");
        return false;
    }
    guest->running = true;
    return true;
}

static void test_import_end(ConfidentialGuestSupport *cgs)
{
    CONFIDENTIAL_GUEST_TEST(cgs)->importing = false;
}

static bool test_import_missing(ConfidentialGuestSupport *cgs, CPUState *cpu,
                                hwaddr gpa)
{
    return true;
}

static const ConfidentialGuestMigrationOps test_migration_ops = {
    .active = test_active,
    .export_pages = test_export_pages,
    .export_epoch = test_export_nothing,
    .revoke = test_revoke,
    .revoke_pending = test_revoke_pending,
    .export_revoked = test_export_nothing,
    .export_committed = test_export_committed,
    .await_verdict = test_await_verdict,
    .export_end = test_export_end,
    .export_cleanup = test_export_cleanup,
    .reply_received = test_reply_received,
    .replies_ended = test_replies_ended,
    .import = test_import,
    .import_failed = test_import_failed,
    .import_commit = test_import_commit,
    .import_end = test_import_end,
    .import_missing = test_import_missing,
};

static int test_device_post_load(void *opaque, int version_id)
{
    ConfidentialGuestTest *guest = opaque;

    return guest->fail_device ? -EINVAL : 0;
}

/* In postcopy, what is not memory is loaded last. */
static const VMStateDescription vmstate_test_device = {
    .name = "confidential-guest-test-device",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = test_device_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_END_OF_LIST()
    }
};

static const SaveVMHandlers test_handlers = {
    .save_prepare = test_save_prepare,
    .save_setup = test_save_setup,
    .save_complete = test_save_complete,
    .load_state = test_load_state,
    .load_cleanup = test_load_cleanup,
};

/* The object */

static bool test_get_fail_device(Object *obj, Error **errp)
{
    return CONFIDENTIAL_GUEST_TEST(obj)->fail_device;
}

static void test_set_fail_device(Object *obj, bool value, Error **errp)
{
    CONFIDENTIAL_GUEST_TEST(obj)->fail_device = value;
}

static bool test_get_fail_commit(Object *obj, Error **errp)
{
    return CONFIDENTIAL_GUEST_TEST(obj)->fail_commit;
}

static void test_set_fail_commit(Object *obj, bool value, Error **errp)
{
    CONFIDENTIAL_GUEST_TEST(obj)->fail_commit = value;
}

static bool test_get_exit_commit(Object *obj, Error **errp)
{
    return CONFIDENTIAL_GUEST_TEST(obj)->exit_commit;
}

static void test_set_exit_commit(Object *obj, bool value, Error **errp)
{
    CONFIDENTIAL_GUEST_TEST(obj)->exit_commit = value;
}

static void test_complete(UserCreatable *uc, Error **errp)
{
    register_savevm_live("confidential-guest-test", 0, 1, &test_handlers, uc);
    vmstate_register(NULL, 0, &vmstate_test_device, uc);
    CONFIDENTIAL_GUEST_SUPPORT(uc)->ready = true;
}

static void test_instance_init(Object *obj)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(obj);

    qemu_mutex_init(&guest->mutex);
    qemu_cond_init(&guest->cond);
}

static void test_instance_finalize(Object *obj)
{
    ConfidentialGuestTest *guest = CONFIDENTIAL_GUEST_TEST(obj);

    vmstate_unregister(NULL, &vmstate_test_device, guest);
    unregister_savevm(NULL, "confidential-guest-test", guest);
    qemu_cond_destroy(&guest->cond);
    qemu_mutex_destroy(&guest->mutex);
}

static void test_class_init(ObjectClass *oc, const void *data)
{
    CONFIDENTIAL_GUEST_SUPPORT_CLASS(oc)->migration = &test_migration_ops;
    USER_CREATABLE_CLASS(oc)->complete = test_complete;

    object_class_property_add_bool(oc, "fail-device", test_get_fail_device,
                                   test_set_fail_device);
    object_class_property_add_bool(oc, "fail-commit", test_get_fail_commit,
                                   test_set_fail_commit);
    object_class_property_add_bool(oc, "exit-commit", test_get_exit_commit,
                                   test_set_exit_commit);
}

static const TypeInfo test_info = {
    .name = TYPE_CONFIDENTIAL_GUEST_TEST,
    .parent = TYPE_CONFIDENTIAL_GUEST_SUPPORT,
    .instance_size = sizeof(ConfidentialGuestTest),
    .instance_init = test_instance_init,
    .instance_finalize = test_instance_finalize,
    .class_init = test_class_init,
    .interfaces = (const InterfaceInfo[]) {
        { TYPE_USER_CREATABLE },
        { }
    },
};

static void test_register_types(void)
{
    type_register_static(&test_info);
}

type_init(test_register_types);
