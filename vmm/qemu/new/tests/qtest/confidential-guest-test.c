/*
 * Where a confidential guest runs, whatever becomes of its migration
 *
 * The guest is x-confidential-guest-test, which needs no hardware, and has no
 * private memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"

#define TIMEOUT_US  (60 * G_USEC_PER_SEC)
#define POLL_US     10000

/* What the destination says, as in migration/migration.h */
#define RP_REQ_PAGES_ID     3
#define RP_CONFIDENTIAL     8

static char *tmpfs;

static QTestState *start(const char *properties, const char *options)
{
    return qtest_initf("-machine none,confidential-guest-support=guest0 "
                       "-m 256M -object x-confidential-guest-test,id=guest0%s "
                       "%s", properties, options);
}

static QTestState *start_destination(const char *properties,
                                     const char *options)
{
    g_autofree char *all = g_strdup_printf("-incoming defer %s", options);

    return start(properties, all);
}

static char *query(QTestState *qts, const char *command, const char *member)
{
    QDict *info = qtest_qmp_assert_success_ref(qts, "{ 'execute': %s }",
                                               command);
    char *value = g_strdup(qdict_get_try_str(info, member));

    qobject_unref(info);
    return value;
}

/* Wait until a member of what a command returns has a value. */
static void wait_for(QTestState *qts, const char *command, const char *member,
                     const char *value)
{
    int64_t deadline = g_get_monotonic_time() + TIMEOUT_US;

    for (;;) {
        g_autofree char *now = query(qts, command, member);

        if (now && g_str_equal(now, value)) {
            return;
        }
        if (g_get_monotonic_time() > deadline) {
            g_error("%s: %s is %s, not %s", command, member, now, value);
        }
        g_usleep(POLL_US);
    }
}

static void wait_runstate(QTestState *qts, const char *state)
{
    wait_for(qts, "query-status", "status", state);
}

static void wait_migration(QTestState *qts, const char *status)
{
    wait_for(qts, "query-migrate", "status", status);
}

/* Wait until the source knows why the last migration has failed. */
static void wait_reason(QTestState *qts, const char *part)
{
    int64_t deadline = g_get_monotonic_time() + TIMEOUT_US;

    for (;;) {
        g_autofree char *reason = query(qts, "query-migrate", "error-desc");

        if (reason && strstr(reason, part)) {
            return;
        }
        if (g_get_monotonic_time() > deadline) {
            g_error("'%s' does not say '%s'", reason, part);
        }
        g_usleep(POLL_US);
    }
}

/* A command is refused, and says why. */
static void G_GNUC_PRINTF(3, 4)
assert_refused(QTestState *qts, const char *part, const char *fmt, ...)
{
    QDict *error;
    const char *desc;
    va_list ap;

    va_start(ap, fmt);
    error = qtest_vqmp_assert_failure_ref(qts, fmt, ap);
    va_end(ap);

    desc = qdict_get_str(error, "desc");
    if (!strstr(desc, part)) {
        g_error("'%s' does not say '%s'", desc, part);
    }
    qobject_unref(error);
}

static void set_capability(QTestState *qts, const char *name, bool state)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ "
                             "{ 'capability': %s, 'state': %i } ] } }", name,
                             state);
}

/* It depends on userfaultfd, which not everybody may use. */
static bool has_postcopy(void)
{
    QTestState *qts = qtest_init("-machine none -incoming defer");
    QDict *response = qtest_qmp(qts, "{ 'execute': 'migrate-set-capabilities', "
                                "'arguments': { 'capabilities': [ { "
                                "'capability': 'postcopy-ram', "
                                "'state': true } ] } }");
    bool ret = qdict_haskey(response, "return");

    qobject_unref(response);
    qtest_quit(qts);
    return ret;
}

static void set_bandwidth(QTestState *qts, int64_t limit)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'max-bandwidth': %" PRId64
                             " } }", limit);
}

static void migrate(QTestState *from, QTestState *to)
{
    g_autofree char *uri = g_strdup_printf("unix:%s/migration", tmpfs);

    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
}

static void assert_moves(QTestState *from, QTestState *to)
{
    migrate(from, to);
    wait_migration(from, "completed");
    wait_runstate(from, "postmigrate");
    wait_runstate(to, "running");
}

static void assert_exits(QTestState *qts)
{
    qtest_set_expected_status(qts, EXIT_FAILURE);
    qtest_wait_qemu(qts);
    qtest_quit(qts);
}

/* The guest goes on where it was, and can move. */
static void assert_stays(QTestState *from, QTestState *to, const char *reason)
{
    wait_migration(from, "failed");
    assert_exits(to);
    wait_runstate(from, "running");
    wait_reason(from, reason);
}

static void test_moves(void)
{
    QTestState *first = start("", "");
    QTestState *second = start_destination("", "");
    QTestState *third = start_destination("", "");

    assert_moves(first, second);
    assert_refused(first, "has been migrated", "{ 'execute': 'cont' }");
    assert_moves(second, third);

    qtest_quit(first);
    qtest_quit(second);
    qtest_quit(third);
}

static void test_moves_postcopy(void)
{
    QTestState *from, *to;

    if (!has_postcopy()) {
        g_test_skip("there is no userfaultfd");
        return;
    }

    from = start("", "");
    to = start_destination("", "");
    set_capability(from, "postcopy-ram", true);
    set_capability(to, "postcopy-ram", true);
    set_bandwidth(from, 1 << 16);
    migrate(from, to);
    wait_migration(from, "active");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate-start-postcopy' }");
    set_bandwidth(from, 0);
    wait_migration(from, "completed");
    wait_runstate(to, "running");

    qtest_quit(from);
    qtest_quit(to);
}

static void check_returned(bool postcopy, const char *properties,
                           const char *from_options, const char *to_options,
                           const char *reason)
{
    QTestState *from, *to;

    if (postcopy && !has_postcopy()) {
        g_test_skip("there is no userfaultfd");
        return;
    }

    from = start("", from_options);
    to = start_destination(properties, to_options);
    if (postcopy) {
        set_capability(from, "postcopy-ram", true);
        set_capability(to, "postcopy-ram", true);
        set_bandwidth(from, 1 << 16);
    }
    migrate(from, to);
    if (postcopy) {
        wait_migration(from, "active");
        qtest_qmp_assert_success(from,
                                 "{ 'execute': 'migrate-start-postcopy' }");
        set_bandwidth(from, 0);
    }
    assert_stays(from, to, reason);

    to = start_destination("", from_options);
    if (postcopy) {
        set_capability(from, "postcopy-ram", false);
    }
    assert_moves(from, to);
    qtest_quit(from);
    qtest_quit(to);
}

static void test_device_fails(void)
{
    check_returned(false, ",fail-device=on", "", "",
                   "The destination says: load of migration failed");
}

static void test_device_fails_postcopy(void)
{
    check_returned(true, ",fail-device=on", "", "",
                   "The destination says: error while loading state for "
                   "instance 0x0 of device 'confidential-guest-test-device'");
}

static void test_commit_fails(void)
{
    check_returned(false, ",fail-commit=on", "", "",
                   "The destination says: The commit fails");
}

static void test_commit_fails_postcopy(void)
{
    check_returned(true, ",fail-commit=on", "", "",
                   "The destination says: The commit fails");
}

/* As somebody who does not share the image, see block/file-posix.c. */
static int lock_image(const char *path)
{
    struct flock lock = {
        .l_type = F_RDLCK,
        .l_whence = SEEK_SET,
        .l_start = 100,
        .l_len = 200,
    };
    int fd = open(path, O_RDWR);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    return fd;
}

static void check_disk(bool postcopy)
{
    g_autofree char *image = g_strdup_printf("%s/image", tmpfs);
    g_autofree char *locked = g_strdup_printf("%s/locked", tmpfs);
    const char *fmt = "-drive if=none,format=raw,file.locking=on,file=%s";
    g_autofree char *disk = g_strdup_printf(fmt, image);
    g_autofree char *locked_disk = g_strdup_printf(fmt, locked);
    int fd;

    g_assert_true(g_file_set_contents(image, "", 0, NULL));
    g_assert_true(g_file_set_contents(locked, "", 0, NULL));
    fd = lock_image(locked);
    check_returned(postcopy, "", disk, locked_disk, "lock");
    close(fd);
    unlink(image);
    unlink(locked);
}

static void test_disk(void)
{
    check_disk(false);
}

static void test_disk_postcopy(void)
{
    check_disk(true);
}

static void test_other_machine(void)
{
    check_returned(false, "", "", "-m 128M",
                   "The destination says: load of migration failed");
}

static void test_lost(void)
{
    QTestState *from = start("", "");
    QTestState *to = start_destination(",exit-commit=on", "");

    migrate(from, to);
    wait_migration(from, "failed");
    wait_runstate(from, "internal-error");
    wait_reason(from, "may run there");
    assert_exits(to);

    assert_refused(from, "elsewhere",
                   "{ 'execute': 'migrate', 'arguments': { "
                   "'uri': 'unix:/nowhere' } }");
    assert_refused(from, "Resetting", "{ 'execute': 'cont' }");
    wait_runstate(from, "internal-error");
    qtest_quit(from);
}

static void test_cancelled(void)
{
    QTestState *from = start("", "");
    QTestState *to = start_destination("", "");
    g_autofree char *reason = NULL;

    set_capability(from, "pause-before-switchover", true);
    migrate(from, to);
    wait_migration(from, "pre-switchover");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate_cancel' }");
    wait_migration(from, "cancelled");
    wait_runstate(from, "running");
    assert_exits(to);

    set_capability(from, "pause-before-switchover", false);
    to = start_destination("", "");
    assert_moves(from, to);
    qtest_quit(from);
    qtest_quit(to);
}

static void test_refused(void)
{
    static const char *const capabilities[] = {
        "xbzrle", "background-snapshot", "x-ignore-shared",
    };
    const char *command = "{ 'execute': 'migrate', "
                          "'arguments': { 'uri': %s } }";
    QTestState *qts = start("", "");
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(capabilities); i++) {
        set_capability(qts, capabilities[i], true);
        assert_refused(qts, capabilities[i], command, "unix:/nowhere");
        set_capability(qts, capabilities[i], false);
    }

    set_capability(qts, "postcopy-ram", true);
    set_capability(qts, "release-ram", true);
    assert_refused(qts, "release-ram", command, "unix:/nowhere");
    set_capability(qts, "release-ram", false);
    set_capability(qts, "postcopy-ram", false);

    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'mode': 'cpr-reboot' } }");
    assert_refused(qts, "cpr-reboot", command, "unix:/nowhere");
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'mode': 'normal' } }");

    assert_refused(qts, "over sockets", command, "file:/nowhere");
    assert_refused(qts, "over sockets", command, "exec:cat");
    wait_runstate(qts, "running");
    qtest_quit(qts);
}

/* A message on the return path: type, length, and data */
static void say(int fd, uint16_t type, const void *data, uint16_t size)
{
    g_autofree uint8_t *message = g_malloc(4 + size);

    stw_be_p(message, type);
    stw_be_p(message + 2, size);
    memcpy(message + 4, data, size);
    g_assert_cmpint(qemu_write_full(fd, message, 4 + size), ==, 4 + size);
}

static void ask_for_pages(int fd, const char *block, uint64_t start,
                          uint32_t len)
{
    size_t size = strlen(block);
    uint8_t data[13 + UINT8_MAX];

    stq_be_p(data, start);
    stl_be_p(data + 8, len);
    data[12] = size;
    memcpy(data + 13, block, size);
    say(fd, RP_REQ_PAGES_ID, data, 13 + size);
}

static void *read_all(void *opaque)
{
    int fd = GPOINTER_TO_INT(opaque);
    g_autofree uint8_t *buf = g_malloc(64 * KiB);

    while (read(fd, buf, 64 * KiB) > 0) {
        ;
    }
    return NULL;
}

/* A destination that loads nothing, and says what the test wants. */
typedef struct Fake {
    int fd;
    int peer;
    GThread *reader;
} Fake;

static void fake_start(Fake *fake)
{
    int pair[2];

    g_assert_cmpint(qemu_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    fake->fd = pair[0];
    fake->peer = pair[1];
    fake->reader = g_thread_new("reader", read_all, GINT_TO_POINTER(fake->fd));
}

static void fake_end(Fake *fake)
{
    g_thread_join(fake->reader);
    close(fake->fd);
}

/* The migration is slow until set_bandwidth() is called. */
static void migrate_to_fake(QTestState *from, Fake *fake)
{
    set_bandwidth(from, 64 * KiB);
    qtest_qmp_fds_assert_success(from, &fake->peer, 1, "{ 'execute': 'getfd', "
                                 "'arguments': { 'fdname': 'migration' } }");
    close(fake->peer);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': 'fd:migration' } }");
}

/* A destination asks for pages before the guest can run there. */
static void check_early_request(QTestState *from, bool at_once)
{
    Fake fake;

    fake_start(&fake);
    if (at_once) {
        ask_for_pages(fake.fd, "ram", -4 * KiB, 8 * KiB);
    }
    migrate_to_fake(from, &fake);
    if (!at_once) {
        wait_migration(from, "active");
        ask_for_pages(fake.fd, "ram", -4 * KiB, 8 * KiB);
    }
    set_bandwidth(from, 0);
    wait_migration(from, "failed");
    wait_runstate(from, "running");
    wait_reason(from, "pages before postcopy");
    fake_end(&fake);
}

static void test_request_precopy(void)
{
    QTestState *from = start("", "");
    QTestState *to = start_destination("", "");

    check_early_request(from, true);
    check_early_request(from, false);
    assert_moves(from, to);
    qtest_quit(from);
    qtest_quit(to);
}

/* A destination asks for what is no memory, and has returned the guest. */
static void check_request(QTestState *from, const char *block, uint64_t start,
                          uint32_t len, const char *reason)
{
    Fake fake;

    fake_start(&fake);
    migrate_to_fake(from, &fake);
    wait_migration(from, "active");
    say(fake.fd, RP_CONFIDENTIAL, "r", 1);
    say(fake.fd, RP_CONFIDENTIAL, "t", 1);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate-start-postcopy' }");
    set_bandwidth(from, 0);
    wait_migration(from, "postcopy-device");
    ask_for_pages(fake.fd, block, start, len);
    wait_migration(from, "failed");
    wait_runstate(from, "running");
    wait_reason(from, reason);
    fake_end(&fake);
}

static void test_request_postcopy(void)
{
    QTestState *from = start("", "");

    set_capability(from, "postcopy-ram", true);
    check_request(from, "ram", -4 * KiB, 8 * KiB, "overrun");
    check_request(from, "ram", 256 * MiB - 4 * KiB, 8 * KiB, "overrun");
    check_request(from, "ram", 256 * MiB, 0, "overrun");
    check_request(from, "nothing", 0, 4 * KiB, "no block");
    qtest_quit(from);
}

/* Not only confidential guests have these. */
static void test_parameters(void)
{
    QTestState *from = start("", "");
    QTestState *to = start_destination("", "");
    QTestState *both[] = { from, to };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(both); i++) {
        set_capability(both[i], "multifd", true);
    }
    set_bandwidth(from, 1 << 12);
    migrate(from, to);
    wait_migration(from, "active");
    wait_migration(to, "active");
    for (i = 0; i < ARRAY_SIZE(both); i++) {
        assert_refused(both[i], "multifd-channels",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'multifd-channels': 200 } }");
        assert_refused(both[i], "mode",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'mode': 'cpr-reboot' } }");
        assert_refused(both[i], "in progress",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': [ "
                       "{ 'capability': 'multifd', 'state': false } ] } }");
    }
    set_bandwidth(from, 0);
    wait_migration(from, "completed");
    wait_runstate(to, "running");
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'multifd-channels': 200 } }");

    qtest_quit(from);
    qtest_quit(to);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    tmpfs = g_dir_make_tmp("confidential-guest-test-XXXXXX", NULL);
    g_assert_nonnull(tmpfs);

    qtest_add_func("/confidential-guest/moves", test_moves);
    qtest_add_func("/confidential-guest/moves/postcopy", test_moves_postcopy);
    qtest_add_func("/confidential-guest/device-fails", test_device_fails);
    qtest_add_func("/confidential-guest/device-fails/postcopy",
                   test_device_fails_postcopy);
    qtest_add_func("/confidential-guest/commit-fails", test_commit_fails);
    qtest_add_func("/confidential-guest/commit-fails/postcopy",
                   test_commit_fails_postcopy);
    qtest_add_func("/confidential-guest/disk", test_disk);
    qtest_add_func("/confidential-guest/disk/postcopy", test_disk_postcopy);
    qtest_add_func("/confidential-guest/other-machine", test_other_machine);
    qtest_add_func("/confidential-guest/lost", test_lost);
    qtest_add_func("/confidential-guest/cancelled", test_cancelled);
    qtest_add_func("/confidential-guest/refused", test_refused);
    qtest_add_func("/confidential-guest/request/precopy",
                   test_request_precopy);
    qtest_add_func("/confidential-guest/request/postcopy",
                   test_request_postcopy);
    qtest_add_func("/confidential-guest/parameters", test_parameters);

    ret = g_test_run();
    rmdir(tmpfs);
    g_free(tmpfs);
    return ret;
}
