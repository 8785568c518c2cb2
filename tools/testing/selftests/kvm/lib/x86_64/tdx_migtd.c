// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration TDs in KVM selftests: the part of the VMM.
 *
 * It starts migration TDs, binds them, and serves their hypercalls, which arrive
 * as KVM_EXIT_TDX.  FOR TESTS ONLY, see tdx_migtd.h.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_migtd.h"
#include "tdx_migtd_guest.h"

/* Steps that one request can take, not counting those of its peer. */
#define MAX_STEPS	10000

/* Parts of TDINFO, each with the bit of SERVTD_ATTR that ignores it. */
static const struct {
	u64 attribute;
	u32 offset;
	u32 size;
} tdinfo_parts[] = {
	{ BIT_ULL(32), 0, 8 },		/* ATTRIBUTES */
	{ BIT_ULL(33), 8, 8 },		/* XFAM */
	{ BIT_ULL(34), 16, 48 },	/* MRTD */
	{ BIT_ULL(35), 64, 48 },	/* MRCONFIGID */
	{ BIT_ULL(36), 112, 48 },	/* MROWNER */
	{ BIT_ULL(37), 160, 48 },	/* MROWNERCONFIG */
	{ BIT_ULL(38), 208, 48 },	/* RTMR0 to RTMR3 */
	{ BIT_ULL(39), 256, 48 },
	{ BIT_ULL(40), 304, 48 },
	{ BIT_ULL(41), 352, 48 },
	{ BIT_ULL(42), 400, 48 },	/* SERVTD_HASH */
};

void td_migtd_build(struct td_migtd *m, u64 variant, void *guest_code)
{
	struct kvm_tdx_init_vm *init;
	struct kvm_vm *vm = td_create_uninitialized(1, 0);

	init = td_alloc_init_vm(vm, 0);
	init->mrconfigid[0] = variant;
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init);
	free(init);

	*m = (struct td_migtd) {
		.vm = vm,
		.vcpu = vm_vcpu_add(vm, 0, guest_code),
	};
	m->messages = calloc(MIGTD_MAX_SESSIONS, sizeof(*m->messages));
	m->delivered = calloc(1, sizeof(*m->delivered));
	TEST_ASSERT(m->messages && m->delivered, "Insufficient Memory");
	td_migtd_guest_prepare(vm);
}

void td_migtd_create_variant(struct td_migtd *m, u64 variant)
{
	td_migtd_build(m, variant, td_migtd_guest_code);
	td_launch(m->vm);
	td_migtd_step(m, NULL);
}

void td_migtd_create(struct td_migtd *m)
{
	td_migtd_create_variant(m, 0);
}

void td_migtd_free(struct td_migtd *m)
{
	kvm_vm_free(m->vm);
	free(m->messages);
	free(m->delivered);
	*m = (struct td_migtd) {};
}

/* ------------------------------------------------------------- calls in general */

static struct migtd_buffer *get_buffer(struct kvm_vm *vm, gpa_t gpa, u64 size)
{
	u8 *start = addr_gpa2hva(vm, gpa);

	TEST_ASSERT(addr_gpa2hva(vm, gpa + size - 1) == start + size - 1,
		    "The migration TD names a buffer of 0x%lx bytes at GPA 0x%lx", size, gpa);
	return (struct migtd_buffer *)start;
}

static struct td_migtd_call get_call(struct td_migtd *m)
{
	const struct kvm_run *run = m->vcpu->run;

	return (struct td_migtd_call) {
		.is_outstanding = true,
		.request_id = run->tdx.migtd.request_id,
		.vector = run->tdx.migtd.vector,
		.buffer = get_buffer(m->vm, run->tdx.migtd.gpa, run->tdx.migtd.size),
		.size = run->tdx.migtd.size,
	};
}

static void write_buffer(struct td_migtd_call *call, u64 status, const void *data, u32 length)
{
	TEST_ASSERT(MIGTD_HEADER_SIZE + length <= call->size, "%u bytes for a buffer of %lu",
		    length, call->size);
	memcpy(call->buffer->data, data, length);
	call->buffer->length = length;
	/* The migration TD can look at any time. */
	barrier();
	WRITE_ONCE(call->buffer->status, status);
}

/* The buffer is the migration TD's own again. */
static void inject(struct td_migtd *m, struct td_migtd_call *call)
{
	call->is_outstanding = false;
	td_signal_msi(m->vcpu, call->vector);
}

static void complete(struct td_migtd *m, struct td_migtd_call *call, u64 status,
		     const void *data, u32 length)
{
	write_buffer(call, status, data, length);
	inject(m, call);
}

/* Complete a call that hands something in, now or later. */
static void acknowledge(struct td_migtd *m, struct td_migtd_call *call)
{
	if (m->is_late) {
		TEST_ASSERT(!m->handed_in.is_outstanding, "A call would be forgotten");
		m->handed_in = *call;
		return;
	}
	complete(m, call, MIGTD_DATA_DONE, "", 0);
}

/* What the migration TD hands in. */
static u32 read_length(struct td_migtd_call *call, u32 max)
{
	const u32 length = READ_ONCE(call->buffer->length);

	TEST_ASSERT(length <= max && MIGTD_HEADER_SIZE + length <= call->size,
		    "The migration TD sends %u bytes, of at most %u, in a buffer of %lu", length,
		    max, call->size);
	return length;
}

/* -------------------------------------------------------------- hypercalls */

bool td_migtd_decode_status(u64 status, enum migtd_result *result)
{
	const u64 code = status >> MIGTD_REPORT_CODE_SHIFT;

	*result = code;
	if (status & MIGTD_REPORT_STATE)
		return (status & MIGTD_REPORT_STATE) == MIGTD_REPORT_FAILED && code &&
		       code <= GENMASK(7, 0);
	return !code;
}

static struct td_migtd_call *find_receive(struct td_migtd *m, bool is_outstanding,
					  u64 request_id)
{
	struct td_migtd_call *call;

	for (call = m->receives; call < m->receives + ARRAY_SIZE(m->receives); call++) {
		if (call->is_outstanding == is_outstanding &&
		    (!is_outstanding || call->request_id == request_id))
			return call;
	}
	return NULL;
}

struct td_migtd_call *td_migtd_find_receive(struct td_migtd *m, u64 request_id)
{
	return find_receive(m, true, request_id);
}

static void serve_wait(struct td_migtd *m, struct td_migtd_call *call)
{
	TEST_ASSERT_EQ(call->request_id, 0UL);
	TEST_ASSERT(!m->wait.is_outstanding, "The migration TD waits for two requests at once");
	m->wait = *call;
}

static u64 *find_request(struct td_migtd *m, u64 request_id)
{
	int i;

	for (i = 0; i < m->nr_under_way; i++) {
		if (m->under_way[i] == request_id)
			return &m->under_way[i];
	}
	return NULL;
}

/* The migration TD can use its buffer for another request now. */
static void end_request(struct td_migtd *m, u64 request_id)
{
	struct td_migtd_call *receive = td_migtd_find_receive(m, request_id);
	u64 *request = find_request(m, request_id);

	TEST_ASSERT(request, "The migration TD reports request %lu, which it has not got",
		    request_id);
	*request = m->under_way[--m->nr_under_way];
	/* A request with an id that is in use ends before the one that it belongs to. */
	if (receive && !find_request(m, request_id))
		receive->is_outstanding = false;
}

static void serve_report(struct td_migtd *m, struct td_migtd_call *call)
{
	const u64 status = m->vcpu->run->tdx.migtd.status;

	TEST_ASSERT(td_migtd_decode_status(status, &m->result), "ReportStatus with 0x%lx", status);
	end_request(m, call->request_id);

	m->request_id = call->request_id;
	m->report_length = read_length(call, sizeof(m->report_data));
	memcpy(m->report_data, call->buffer->data, m->report_length);
	m->reported = true;
	acknowledge(m, call);
}

struct td_migtd_message *td_migtd_find_message(struct td_migtd *m, u64 request_id)
{
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		if (m->messages[i].length && m->messages[i].request_id == request_id)
			return &m->messages[i];
	}
	return NULL;
}

static void serve_send(struct td_migtd *m, struct td_migtd_call *call)
{
	struct td_migtd_message *msg = m->messages;

	while (msg->length) {
		msg++;
		TEST_ASSERT(msg < m->messages + MIGTD_MAX_SESSIONS, "A message would be lost");
	}
	msg->request_id = call->request_id;
	msg->length = read_length(call, sizeof(msg->data));
	memcpy(msg->data, call->buffer->data, msg->length);
	acknowledge(m, call);
}

static void serve_receive(struct td_migtd *m, struct td_migtd_call *call)
{
	struct td_migtd_call *slot = find_receive(m, false, 0);

	TEST_ASSERT_EQ(call->size, (u64)MIGTD_MESSAGE_BUFFER_SIZE);
	TEST_ASSERT(slot && !td_migtd_find_receive(m, call->request_id),
		    "The migration TD receives twice for request %lu", call->request_id);
	*slot = *call;
}

static void serve_call(struct td_migtd *m)
{
	struct kvm_run *run = m->vcpu->run;
	struct td_migtd_call call;
	struct ucall uc;

	if (run->exit_reason == KVM_EXIT_MMIO && get_ucall(m->vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);

	TEST_ASSERT_KVM_EXIT_REASON(m->vcpu, KVM_EXIT_TDX);
	TEST_ASSERT_EQ(run->tdx.nr, TDVMCALL_MIGTD);
	TEST_ASSERT_EQ(run->tdx.migtd.ret, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	TEST_ASSERT_EQ(run->tdx.migtd.version, MIGTD_VERSION);
	TEST_ASSERT(run->tdx.migtd.vector, "The migration TD wants no interrupt");

	call = get_call(m);
	switch (run->tdx.migtd.leaf) {
	case MIGTD_WAIT_FOR_REQUEST:
		serve_wait(m, &call);
		break;
	case MIGTD_REPORT_STATUS:
		serve_report(m, &call);
		break;
	case MIGTD_SEND:
		serve_send(m, &call);
		break;
	case MIGTD_RECEIVE:
		serve_receive(m, &call);
		break;
	default:
		TEST_FAIL("The migration TD calls leaf %u", run->tdx.migtd.leaf);
	}
	run->tdx.migtd.ret = TDVMCALL_STATUS_SUCCESS;
}

static void complete_receive(struct td_migtd *m, struct td_migtd_call *call,
			     struct td_migtd *peer)
{
	struct td_migtd_message *msg = m->delivered;

	if (!msg->length || msg->request_id != call->request_id)
		msg = peer ? td_migtd_find_message(peer, call->request_id) : NULL;
	if (!msg)
		return;

	complete(m, call, MIGTD_DATA_DONE, msg->data, msg->length);
	msg->length = 0;
}

void td_migtd_complete(struct td_migtd *m, struct td_migtd *peer)
{
	int i;

	if (m->handed_in.is_outstanding)
		complete(m, &m->handed_in, MIGTD_DATA_DONE, "", 0);

	if (m->wait.is_outstanding && m->request_length) {
		td_migtd_write_request(m, MIGTD_DATA_DONE | m->op << MIGTD_DATA_OP_SHIFT,
				       m->request, m->request_length);
		td_migtd_inject_request(m);
		m->request_length = 0;
	}

	for (i = 0; i < ARRAY_SIZE(m->receives); i++) {
		if (m->receives[i].is_outstanding)
			complete_receive(m, &m->receives[i], peer);
	}
}

bool td_migtd_is_idle(struct td_migtd *m)
{
	u32 nr_receives = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(m->receives); i++)
		nr_receives += m->receives[i].is_outstanding;

	return m->wait.is_outstanding && nr_receives == m->nr_under_way;
}

void td_migtd_step(struct td_migtd *m, struct td_migtd *peer)
{
	td_migtd_complete(m, peer);
	if (td_migtd_is_idle(m))
		return;

	vcpu_run(m->vcpu);
	serve_call(m);
}

bool td_migtd_step_or_sleep(struct td_migtd *m)
{
	td_migtd_complete(m, NULL);
	if (__vcpu_run(m->vcpu)) {
		TEST_ASSERT(errno == EINTR, "KVM_RUN failed, errno %d", errno);
		return false;
	}

	serve_call(m);
	return true;
}

void td_migtd_deliver(struct td_migtd *m, u64 request_id, const void *data, u32 length)
{
	struct td_migtd_message *msg = m->delivered;

	TEST_ASSERT(!msg->length, "A message would be lost");
	TEST_ASSERT(length && length <= sizeof(msg->data), "A message of %u bytes", length);
	msg->request_id = request_id;
	msg->length = length;
	memcpy(msg->data, data, length);
}

void td_migtd_write_request(struct td_migtd *m, u64 status, const void *data, u32 length)
{
	TEST_ASSERT(m->wait.is_outstanding, "The migration TD waits for no request");
	write_buffer(&m->wait, status, data, length);
}

void td_migtd_inject_request(struct td_migtd *m)
{
	u64 request_id = 0;

	TEST_ASSERT(m->nr_under_way < ARRAY_SIZE(m->under_way), "Too many requests");
	if (m->wait.buffer->length >= sizeof(request_id))
		memcpy(&request_id, m->wait.buffer->data, sizeof(request_id));
	m->under_way[m->nr_under_way++] = request_id;
	inject(m, &m->wait);
}

void td_migtd_cancel(struct td_migtd *m, u64 request_id, u64 status)
{
	struct td_migtd_call *call = td_migtd_find_receive(m, request_id);

	TEST_ASSERT(call, "The migration TD receives nothing for request %lu", request_id);
	complete(m, call, status, "", 0);
}

/* ---------------------------------------------------------------- requests */

void td_migtd_request(struct td_migtd *m, u64 op, const void *data, u32 length)
{
	TEST_ASSERT(length && length <= sizeof(m->request), "A request of %u bytes", length);
	m->op = op;
	memcpy(m->request, data, length);
	m->request_length = length;
	m->reported = false;
}

static void run_to_report(struct td_migtd *m)
{
	int i;

	for (i = 0; !m->reported && i < MAX_STEPS; i++)
		td_migtd_step(m, NULL);
	TEST_ASSERT(m->reported, "The migration TD does not answer");
}

void td_migtd_start(struct td_migtd *m, u64 request_id, bool is_source)
{
	struct migtd_start_migration start = {
		.request_id = request_id,
		.is_source = is_source,
		.target = m->target,
	};

	td_migtd_request(m, MIGTD_OP_START_MIGRATION, &start, sizeof(start));
}

static bool has_ended(struct td_migtd *m, u64 request_id)
{
	return m->reported && m->request_id == request_id;
}

void td_migtd_run_to_report(struct td_migtd *m, struct td_migtd *peer, u64 request_id)
{
	int i;

	for (i = 0; !has_ended(m, request_id) && i < MAX_STEPS; i++)
		td_migtd_step(m, peer);
	TEST_ASSERT(has_ended(m, request_id), "Request %lu does not end", request_id);
}

void td_migtd_run_to_message(struct td_migtd *m, u64 request_id)
{
	int i;

	for (i = 0; !td_migtd_find_message(m, request_id) && i < MAX_STEPS; i++)
		td_migtd_step(m, NULL);
	TEST_ASSERT(td_migtd_find_message(m, request_id),
		    "No message of request %lu, %s result %u, TDX status 0x%lx", request_id,
		    m->reported ? "but" : "nor", m->result, m->report.tdx_status);
}

void td_migtd_run_to_messages(struct td_migtd *src, struct td_migtd *dst, u64 request_id)
{
	td_migtd_start(src, request_id, true);
	td_migtd_start(dst, request_id, false);
	td_migtd_run_to_message(src, request_id);
	td_migtd_run_to_message(dst, request_id);
}

u64 td_migtd_exchange(struct td_migtd *src, struct td_migtd *dst)
{
	/* Tests that choose an id choose a small one. */
	static u64 request_id = BIT_ULL(32);
	int i;

	request_id++;
	td_migtd_start(src, request_id, true);
	td_migtd_start(dst, request_id, false);

	/* Older exchanges of the same targets can end meanwhile. */
	for (i = 0; i < MAX_STEPS; i++) {
		if (has_ended(src, request_id) && has_ended(dst, request_id))
			break;
		if (!has_ended(src, request_id))
			td_migtd_step(src, dst);
		if (!has_ended(dst, request_id))
			td_migtd_step(dst, src);
	}

	TEST_ASSERT(i < MAX_STEPS, "The key exchange does not end");
	TEST_ASSERT(src->result == MIGTD_SUCCESS, "Source: result %u, TDX status 0x%lx",
		    src->result, src->report.tdx_status);
	TEST_ASSERT(dst->result == MIGTD_SUCCESS, "Destination: result %u, TDX status 0x%lx",
		    dst->result, dst->report.tdx_status);
	return request_id;
}

void td_migtd_install_again(struct td_migtd *m, u64 from_request_id)
{
	struct migtd_install_again again = {
		.target = m->target,
		.from_request_id = from_request_id,
	};

	td_migtd_request(m, MIGTD_OP_INSTALL_AGAIN, &again, sizeof(again));
	run_to_report(m);
	TEST_ASSERT(m->result == MIGTD_SUCCESS, "Result %u, TDX status 0x%lx", m->result,
		    m->report.tdx_status);
}

static u64 access_target(struct td_migtd *m, bool is_write, u64 nr_reads, u64 field,
			 u64 *value)
{
	struct migtd_access access = {
		.target = m->target,
		.field = field,
		.value = *value,
		.mask = ~0ULL,
		.is_write = is_write,
		.nr_reads = nr_reads,
	};

	td_migtd_request(m, MIGTD_OP_ACCESS, &access, sizeof(access));
	run_to_report(m);
	TEST_ASSERT_EQ(m->report_length, sizeof(m->report));
	*value = m->report.value;

	return m->report.tdx_status;
}

u64 td_migtd_read(struct td_migtd *m, u64 field, u64 *value)
{
	*value = 0;
	return access_target(m, false, 1, field, value);
}

void td_migtd_poll(struct td_migtd *m, u64 field, u64 nr_reads)
{
	u64 value = 0;

	access_target(m, false, nr_reads, field, &value);
}

u64 td_migtd_write(struct td_migtd *m, u64 field, u64 value)
{
	return access_target(m, true, 0, field, &value);
}

void td_migtd_info_hash(struct td_migtd *m, u64 attributes, u8 hash[TD_SHA384_SIZE])
{
	const u64 request_id = 0;
	struct td_sha384 sha;
	u8 *tdinfo;
	int i;

	td_migtd_request(m, MIGTD_OP_GET_TDREPORT, &request_id, sizeof(request_id));
	run_to_report(m);
	TEST_ASSERT_EQ(m->result, MIGTD_SUCCESS);
	TEST_ASSERT_EQ(m->report_length, TD_REPORT_SIZE);

	tdinfo = m->report_data + TD_REPORT_TDINFO;
	for (i = 0; i < ARRAY_SIZE(tdinfo_parts); i++) {
		if (attributes & tdinfo_parts[i].attribute)
			memset(tdinfo + tdinfo_parts[i].offset, 0, tdinfo_parts[i].size);
	}

	td_sha384_init(&sha);
	td_sha384_update(&sha, tdinfo, TD_TDINFO_SIZE);
	td_sha384_final(&sha, hash);
}

void td_servtd_hash(const u8 info_hash[TD_SHA384_SIZE], u64 attributes,
		    u8 hash[TD_SHA384_SIZE])
{
	const u16 type = KVM_TDX_SERVTD_TYPE_MIGTD;
	struct td_sha384 sha;

	td_sha384_init(&sha);
	td_sha384_update(&sha, info_hash, TD_SHA384_SIZE);
	td_sha384_update(&sha, &type, sizeof(type));
	td_sha384_update(&sha, &attributes, sizeof(attributes));
	td_sha384_final(&sha, hash);
}

/* ---------------------------------------------------------------- bindings */

int __td_servtd_bind(int target_fd, struct kvm_tdx_servtd_bind *bind, u64 *hw_error)
{
	int ret;

	do {
		ret = __td_ioctl(target_fd, KVM_TDX_SERVTD_BIND, 0, (u64)bind, hw_error);
	} while (ret && errno == EAGAIN);

	return ret;
}

void td_migtd_set_target(struct td_migtd *m, const struct kvm_tdx_servtd_bind *bind)
{
	m->target.handle = bind->handle;
	memcpy(m->target.uuid, bind->target_uuid, sizeof(m->target.uuid));
}

int __td_migtd_bind(struct td_migtd *m, struct kvm_vm *target, u64 attributes, u64 *hw_error)
{
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = m->vm->fd,
		.type = KVM_TDX_SERVTD_TYPE_MIGTD,
		.attributes = attributes,
	};
	int ret = __td_servtd_bind(target->fd, &bind, hw_error);

	if (ret)
		return ret;

	td_migtd_set_target(m, &bind);
	return 0;
}

void td_migtd_bind(struct td_migtd *m, struct kvm_vm *target, u64 attributes)
{
	u64 hw_error;
	int ret = __td_migtd_bind(m, target, attributes, &hw_error);

	TEST_ASSERT(!ret, "KVM_TDX_SERVTD_BIND failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

int __td_servtd_prebind(struct kvm_vm *target, const u8 info_hash[TD_SHA384_SIZE],
			u64 attributes, u64 *hw_error)
{
	struct kvm_tdx_servtd_prebind prebind = {
		.type = KVM_TDX_SERVTD_TYPE_MIGTD,
		.attributes = attributes,
	};
	int ret;

	memcpy(prebind.info_hash, info_hash, sizeof(prebind.info_hash));
	do {
		ret = __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind, hw_error);
	} while (ret && errno == EAGAIN);

	return ret;
}

u64 td_migtd_access(struct td_migtd *m, const struct td_servtd_binding *binding)
{
	u64 version;

	m->target = *binding;
	return td_migtd_read(m, TD_MD_MIG_VERSION, &version);
}

bool td_migtd_can_access(struct td_migtd *m)
{
	u64 version;

	return !td_migtd_read(m, TD_MD_MIG_VERSION, &version);
}

static void *poll_target(void *arg)
{
	struct td_migtd_poller *p = arg;

	do {
		td_migtd_poll(p->m, TD_MD_MIG_VERSION, p->nr_reads);
		WRITE_ONCE(p->nr_polls, p->nr_polls + 1);
	} while (!READ_ONCE(p->stop));
	return NULL;
}

void td_migtd_poller_start(struct td_migtd_poller *p, struct td_migtd *m, u64 nr_reads)
{
	*p = (struct td_migtd_poller) { .m = m, .nr_reads = nr_reads };
	kvm_pthread_create(&p->thread, NULL, poll_target, p);
}

void td_migtd_poller_wait(struct td_migtd_poller *p, u64 nr)
{
	while (READ_ONCE(p->nr_polls) < nr)
		usleep(100);
}

void td_migtd_poller_stop(struct td_migtd_poller *p)
{
	WRITE_ONCE(p->stop, true);
	kvm_pthread_join(p->thread, NULL);
}
