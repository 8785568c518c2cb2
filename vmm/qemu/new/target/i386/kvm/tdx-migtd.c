/*
 * The migration TD of this host, which exchanges the keys of a TD migration
 *
 * A migration TD (MigTD) is a TD itself, in a process of its own, with its own
 * VMM.  We get its VM, so that KVM can bind it to our TD, and carry its
 * messages.  The process is trusted no more than the peer is: it can make a
 * migration fail, and nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qapi/error.h"
#include "system/kvm.h"
#include "system/kvm_int.h"

#include <linux/kvm.h>
#include <poll.h>
#include <sys/un.h>

#include "tdx-migtd.h"
#include "trace.h"

/* Hosts that emulate TDX are slow. */
#define MIGTD_TIMEOUT_MS        30000
/* The process builds and starts a TD. */
#define MIGTD_START_TIMEOUT_MS  120000

#define MIGTD_BIND_RETRIES      1000
#define MIGTD_BIND_DELAY_US     1000

/*
 * The protocol: a socket of type SOCK_SEQPACKET, each packet is one struct
 * MigtdPacket, in the byte order of the host.
 *
 *      MigTD                         QEMU
 *        |---------- HELLO ----------->|    or REFUSE
 *        |<--------- HELLO ------------|
 *        |---------- READY ----------->|    with the fd of the VM, or REFUSE
 *        |                             |    KVM_TDX_SERVTD_BIND
 *        |<--------- START ------------|
 *        |---------- MESSAGE --------->|    for the peer
 *        |<--------- MESSAGE ----------|    of the peer
 *        |---------- RESULT ---------->|
 *
 * An exchange ends with one RESULT, which can come at any time after START.
 * HELLO and REFUSE begin with the same bytes in each version, those up to the
 * end of struct MigtdHello.
 */
#define MIGTD_MAGIC             0x4454474d49584454ULL   /* "TDXMIGTD" */
#define MIGTD_VERSION           1

enum {
    MIGTD_READY = 1,
    MIGTD_START = 2,
    MIGTD_MESSAGE = 3,
    MIGTD_RESULT = 4,
    MIGTD_HELLO = 5,
    MIGTD_REFUSE = 6,
};

enum {
    MIGTD_REFUSE_VERSION = 1,
    MIGTD_REFUSE_FULL = 2,
};

enum {
    MIGTD_SUCCESS = 0,
    MIGTD_INVALID_PARAMETER = 1,
    MIGTD_UNSUPPORTED = 2,
    MIGTD_OUT_OF_RESOURCE = 3,
    MIGTD_TDX_MODULE_ERROR = 4,
    MIGTD_SECURE_SESSION_ERROR = 6,
    MIGTD_POLICY_UNSATISFIED = 8,
};

typedef struct MigtdHello {
    uint64_t magic;
    uint32_t version;
    uint32_t refusal;           /* of REFUSE */
} MigtdHello;

typedef struct MigtdStart {
    uint64_t handle;
    uint64_t uuid[4];
    uint64_t is_source;
} MigtdStart;

typedef struct MigtdResult {
    uint64_t result;
    uint64_t tdx_status;
} MigtdResult;

typedef struct MigtdPacket {
    uint32_t type;
    uint32_t length;            /* of MESSAGE, otherwise 0 */
    uint64_t request_id;
    union {
        MigtdHello hello;
        MigtdStart start;
        MigtdResult result;
        uint8_t message[TDX_MIGTD_MAX_MESSAGE];
    };
} MigtdPacket;

#define MIGTD_HELLO_SIZE \
    (offsetof(MigtdPacket, hello) + sizeof(MigtdHello))

QEMU_BUILD_BUG_ON(sizeof(MigtdPacket) != 272);
QEMU_BUILD_BUG_ON(offsetof(MigtdPacket, length) != 4);
QEMU_BUILD_BUG_ON(offsetof(MigtdPacket, request_id) != 8);
QEMU_BUILD_BUG_ON(offsetof(MigtdPacket, message) != 16);
QEMU_BUILD_BUG_ON(offsetof(MigtdHello, version) != 8);
QEMU_BUILD_BUG_ON(sizeof(MigtdHello) != 16);
QEMU_BUILD_BUG_ON(offsetof(MigtdStart, uuid) != 8);
QEMU_BUILD_BUG_ON(offsetof(MigtdStart, is_source) != 40);
QEMU_BUILD_BUG_ON(sizeof(MigtdStart) != 48);
QEMU_BUILD_BUG_ON(sizeof(MigtdResult) != 16);

struct TdxMigtd {
    char *path;
    int fd;
    int vm_fd;
    /* Why the MigTD is gone, NULL as long as it is not */
    char *gone;

    bool is_bound;
    uint64_t handle;
    uint64_t uuid[4];
};

static void migtd_close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void G_GNUC_PRINTF(2, 3)
migtd_lose(TdxMigtd *migtd, const char *fmt, ...)
{
    va_list ap;

    if (migtd->gone) {
        return;
    }

    va_start(ap, fmt);
    migtd->gone = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    trace_tdx_migtd_gone(migtd->gone);

    migtd_close_fd(&migtd->fd);
    migtd_close_fd(&migtd->vm_fd);
    migtd->is_bound = false;
}

static bool migtd_set_gone(TdxMigtd *migtd, Error **errp)
{
    error_setg(errp, "the migration TD is gone: %s", migtd->gone);
    return false;
}

/* ------------------------------------------------------------------ packets */

static int64_t migtd_deadline(int timeout_ms)
{
    return g_get_monotonic_time() + (int64_t)timeout_ms * 1000;
}

static bool migtd_wait(TdxMigtd *migtd, short events, int64_t deadline,
                       Error **errp)
{
    struct pollfd pfd = { .fd = migtd->fd, .events = events };
    int64_t left;
    int r;

    do {
        left = MAX(deadline - g_get_monotonic_time(), 0);
        r = poll(&pfd, 1, DIV_ROUND_UP(left, 1000));
    } while (r < 0 && errno == EINTR);

    if (r < 0) {
        error_setg_errno(errp, errno, "cannot wait for the migration TD");
        return false;
    }
    if (!r) {
        error_setg(errp, "the migration TD does not answer");
        return false;
    }
    return true;
}

static bool migtd_send(TdxMigtd *migtd, const MigtdPacket *packet,
                       int64_t deadline, Error **errp)
{
    ssize_t n;

    for (;;) {
        n = RETRY_ON_EINTR(send(migtd->fd, packet, sizeof(*packet),
                                MSG_NOSIGNAL | MSG_DONTWAIT));
        if (n == sizeof(*packet)) {
            return true;
        }
        if (n >= 0 || errno != EAGAIN) {
            migtd_lose(migtd, "it takes no packet: %s",
                       strerror(n < 0 ? errno : EMSGSIZE));
            return migtd_set_gone(migtd, errp);
        }
        if (!migtd_wait(migtd, POLLOUT, deadline, errp)) {
            return false;
        }
    }
}

/*
 * Receive a packet of any size; what is beyond *packet is lost.  With @vm_fd,
 * take the file that may come with it.  Returns the size, or -1 on error.
 */
static ssize_t migtd_receive_any(TdxMigtd *migtd, MigtdPacket *packet,
                                 int *vm_fd, int64_t deadline, Error **errp)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {};
    struct iovec iov = { .iov_base = packet, .iov_len = sizeof(*packet) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
    };
    struct cmsghdr *head;
    ssize_t n;

    memset(packet, 0, sizeof(*packet));
    do {
        if (!migtd_wait(migtd, POLLIN, deadline, errp)) {
            return -1;
        }
        /* No room for more than one file: the kernel closes the others. */
        msg.msg_control = vm_fd ? &control : NULL;
        msg.msg_controllen = vm_fd ? CMSG_LEN(sizeof(int)) : 0;
        n = RETRY_ON_EINTR(recvmsg(migtd->fd, &msg, MSG_CMSG_CLOEXEC |
                                   MSG_TRUNC | MSG_DONTWAIT));
    } while (n < 0 && errno == EAGAIN);

    if (n <= 0) {
        migtd_lose(migtd, "%s", n ? strerror(errno) :
                                    "it has closed the connection");
        migtd_set_gone(migtd, errp);
        return -1;
    }

    head = vm_fd ? CMSG_FIRSTHDR(&msg) : NULL;
    if (head && head->cmsg_level == SOL_SOCKET &&
        head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(vm_fd, CMSG_DATA(head), sizeof(*vm_fd));
    }
    return n;
}

static bool migtd_receive(TdxMigtd *migtd, MigtdPacket *packet, int *vm_fd,
                          int64_t deadline, Error **errp)
{
    ssize_t n = migtd_receive_any(migtd, packet, vm_fd, deadline, errp);

    if (n < 0) {
        return false;
    }
    if (n != sizeof(*packet) || packet->length > sizeof(packet->message)) {
        migtd_lose(migtd, "it sends a packet that is not valid");
        return migtd_set_gone(migtd, errp);
    }
    return true;
}

/* The next packet of this exchange; those of older ones come too late. */
static bool migtd_receive_of(TdxMigtd *migtd, uint64_t request_id,
                             MigtdPacket *packet, int64_t deadline,
                             Error **errp)
{
    for (;;) {
        if (!migtd_receive(migtd, packet, NULL, deadline, errp)) {
            return false;
        }
        if (packet->request_id == request_id) {
            return true;
        }
        trace_tdx_migtd_dropped(packet->type, packet->request_id);
        if (g_get_monotonic_time() > deadline) {
            error_setg(errp, "the migration TD does not answer");
            return false;
        }
    }
}

/* --------------------------------------------------------------- connection */

static bool migtd_open(TdxMigtd *migtd, Error **errp)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval timeout = { .tv_sec = MIGTD_TIMEOUT_MS / 1000 };

    if (strlen(migtd->path) >= sizeof(addr.sun_path)) {
        error_setg(errp, "the path of the migration TD's socket is too long");
        return false;
    }
    pstrcpy(addr.sun_path, sizeof(addr.sun_path), migtd->path);

    migtd->fd = qemu_socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (migtd->fd < 0) {
        error_setg_errno(errp, errno, "cannot create a socket");
        return false;
    }

    /* It limits how long connect() waits for a place in the queue. */
    setsockopt(migtd->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (RETRY_ON_EINTR(connect(migtd->fd, (struct sockaddr *)&addr,
                               sizeof(addr))) < 0) {
        error_setg_errno(errp, errno, "cannot connect to the migration TD");
        return false;
    }
    return true;
}

static bool migtd_set_refused(const MigtdHello *refuse, Error **errp)
{
    switch (refuse->refusal) {
    case MIGTD_REFUSE_VERSION:
        error_setg(errp, "it does not speak version %d of the protocol",
                   MIGTD_VERSION);
        break;
    case MIGTD_REFUSE_FULL:
        error_setg(errp, "it has as many clients as it can have");
        break;
    default:
        error_setg(errp, "it refuses, for reason %u", refuse->refusal);
    }
    return false;
}

/* Agree on a version, and get the VM. */
static bool migtd_meet(TdxMigtd *migtd, Error **errp)
{
    const MigtdPacket hello = {
        .type = MIGTD_HELLO,
        .hello.magic = MIGTD_MAGIC,
        .hello.version = MIGTD_VERSION,
    };
    int64_t deadline = migtd_deadline(MIGTD_TIMEOUT_MS);
    MigtdPacket packet;
    ssize_t n;

    n = migtd_receive_any(migtd, &packet, NULL, deadline, errp);
    if (n < 0) {
        return false;
    }
    if (n < MIGTD_HELLO_SIZE || packet.hello.magic != MIGTD_MAGIC) {
        error_setg(errp, "it is no migration TD");
        return false;
    }
    if (packet.hello.version != MIGTD_VERSION) {
        error_setg(errp, "it speaks version %u of the protocol, not %d",
                   packet.hello.version, MIGTD_VERSION);
        return false;
    }
    if (packet.type == MIGTD_REFUSE) {
        return migtd_set_refused(&packet.hello, errp);
    }
    if (packet.type != MIGTD_HELLO || n != sizeof(packet)) {
        error_setg(errp, "it does not stick to the protocol");
        return false;
    }

    deadline = migtd_deadline(MIGTD_START_TIMEOUT_MS);
    if (!migtd_send(migtd, &hello, deadline, errp) ||
        !migtd_receive(migtd, &packet, &migtd->vm_fd, deadline, errp)) {
        return false;
    }
    if (packet.type == MIGTD_REFUSE) {
        return migtd_set_refused(&packet.hello, errp);
    }
    if (packet.type != MIGTD_READY || migtd->vm_fd < 0) {
        error_setg(errp, "it does not stick to the protocol");
        return false;
    }
    return true;
}

TdxMigtd *tdx_migtd_connect(const char *path, Error **errp)
{
    ERRP_GUARD();
    g_autoptr(TdxMigtd) migtd = g_new0(TdxMigtd, 1);

    migtd->path = g_strdup(path);
    migtd->fd = -1;
    migtd->vm_fd = -1;
    if (!migtd_open(migtd, errp) || !migtd_meet(migtd, errp)) {
        error_prepend(errp, "%s: ", path);
        return NULL;
    }

    trace_tdx_migtd_connected(path);
    return g_steal_pointer(&migtd);
}

void tdx_migtd_free(TdxMigtd *migtd)
{
    if (!migtd) {
        return;
    }

    migtd_close_fd(&migtd->fd);
    migtd_close_fd(&migtd->vm_fd);
    g_free(migtd->gone);
    g_free(migtd->path);
    g_free(migtd);
}

bool tdx_migtd_is_gone(TdxMigtd *migtd)
{
    struct pollfd pfd = { .fd = migtd->fd };

    if (!migtd->gone && RETRY_ON_EINTR(poll(&pfd, 1, 0)) > 0) {
        migtd_lose(migtd, "it has closed the connection");
    }
    return migtd->gone;
}

/* ------------------------------------------------------------------ binding */

bool tdx_migtd_bind(TdxMigtd *migtd, Error **errp)
{
    ERRP_GUARD();
    struct kvm_tdx_servtd_bind bind = {
        .type = KVM_TDX_SERVTD_TYPE_MIGTD,
    };
    struct kvm_tdx_cmd cmd;
    int retries = 0;
    int r;

    if (tdx_migtd_is_gone(migtd)) {
        return migtd_set_gone(migtd, errp);
    }
    if (migtd->is_bound) {
        error_setg(errp, "the migration TD is bound already");
        return false;
    }

    /* Others contend for locks of the TDX module, for a moment. */
    bind.servtd_fd = migtd->vm_fd;
    for (;;) {
        cmd = (struct kvm_tdx_cmd) {
            .id = KVM_TDX_SERVTD_BIND,
            .data = (uintptr_t)&bind,
        };
        r = kvm_vm_ioctl(kvm_state, KVM_MEMORY_ENCRYPT_OP, &cmd);
        if ((r != -EAGAIN && r != -EINTR) || retries++ == MIGTD_BIND_RETRIES) {
            break;
        }
        g_usleep(MIGTD_BIND_DELAY_US);
    }

    if (r < 0) {
        error_setg_errno(errp, -r, "KVM_TDX_SERVTD_BIND failed, "
                         "hw_error 0x%" PRIx64, (uint64_t)cmd.hw_error);
        if (r == -EPERM) {
            error_append_hint(errp, "The measurement of the migration TD "
                              "differs from the one that the TD was first "
                              "bound to.\n");
        } else if (tdx_migtd_is_gone(migtd)) {
            error_append_hint(errp, "The migration TD is gone: %s.\n",
                              migtd->gone);
        }
        return false;
    }

    migtd->is_bound = true;
    migtd->handle = bind.handle;
    memcpy(migtd->uuid, bind.target_uuid, sizeof(migtd->uuid));
    trace_tdx_migtd_bound(migtd->handle);

    /*
     * KVM does not need it any more.  If the MigTD dies, its VM would keep its
     * HKID for as long as we have the fd.
     */
    migtd_close_fd(&migtd->vm_fd);
    return true;
}

/* ------------------------------------------------------------- key exchange */

static bool migtd_set_result(const MigtdResult *result, Error **errp)
{
    switch (result->result) {
    case MIGTD_SUCCESS:
        return true;
    case MIGTD_POLICY_UNSATISFIED:
        error_setg(errp, "the hosts have no version of the TD migration "
                   "protocol in common");
        break;
    case MIGTD_SECURE_SESSION_ERROR:
        error_setg(errp, "the message is not from the migration TD of the "
                   "peer, or a newer key exchange has begun");
        break;
    case MIGTD_TDX_MODULE_ERROR:
        error_setg(errp, "the migration TD cannot access its target, TDX "
                   "status 0x%" PRIx64, result->tdx_status);
        break;
    case MIGTD_OUT_OF_RESOURCE:
        error_setg(errp, "too many key exchanges are under way");
        break;
    default:
        error_setg(errp, "the migration TD refuses, result %" PRIu64,
                   result->result);
    }
    return false;
}

static bool migtd_set_unexpected(TdxMigtd *migtd, Error **errp)
{
    migtd_lose(migtd, "it sends a packet that nobody expects");
    return migtd_set_gone(migtd, errp);
}

bool tdx_migtd_begin(TdxMigtd *migtd, uint64_t request_id, bool is_source,
                     uint8_t *message, size_t *len, Error **errp)
{
    int64_t deadline = migtd_deadline(MIGTD_TIMEOUT_MS);
    MigtdPacket packet = {
        .type = MIGTD_START,
        .request_id = request_id,
        .start.handle = migtd->handle,
        .start.is_source = is_source,
    };

    if (tdx_migtd_is_gone(migtd)) {
        return migtd_set_gone(migtd, errp);
    }
    if (!migtd->is_bound) {
        error_setg(errp, "the migration TD is not bound");
        return false;
    }

    memcpy(packet.start.uuid, migtd->uuid, sizeof(packet.start.uuid));
    if (!migtd_send(migtd, &packet, deadline, errp) ||
        !migtd_receive_of(migtd, request_id, &packet, deadline, errp)) {
        return false;
    }

    if (packet.type == MIGTD_RESULT && packet.result.result) {
        trace_tdx_migtd_result(request_id, packet.result.result,
                               packet.result.tdx_status);
        return migtd_set_result(&packet.result, errp);
    }
    if (packet.type != MIGTD_MESSAGE || !packet.length) {
        return migtd_set_unexpected(migtd, errp);
    }

    trace_tdx_migtd_message(request_id, is_source, packet.length);
    memcpy(message, packet.message, packet.length);
    *len = packet.length;
    return true;
}

bool tdx_migtd_end(TdxMigtd *migtd, uint64_t request_id,
                   const uint8_t *peer_message, size_t len, Error **errp)
{
    int64_t deadline = migtd_deadline(MIGTD_TIMEOUT_MS);
    MigtdPacket packet = {
        .type = MIGTD_MESSAGE,
        .length = len,
        .request_id = request_id,
    };

    if (tdx_migtd_is_gone(migtd)) {
        return migtd_set_gone(migtd, errp);
    }
    if (!len || len > sizeof(packet.message)) {
        error_setg(errp, "the message of the peer's migration TD has a "
                   "length that is not valid");
        return false;
    }

    memcpy(packet.message, peer_message, len);
    if (!migtd_send(migtd, &packet, deadline, errp) ||
        !migtd_receive_of(migtd, request_id, &packet, deadline, errp)) {
        return false;
    }
    if (packet.type != MIGTD_RESULT) {
        return migtd_set_unexpected(migtd, errp);
    }

    trace_tdx_migtd_result(request_id, packet.result.result,
                           packet.result.tdx_status);
    return migtd_set_result(&packet.result, errp);
}
