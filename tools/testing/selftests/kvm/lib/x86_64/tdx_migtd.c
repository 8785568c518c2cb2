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

/* Calls to the VMM that one request can take: each side polls for the other. */
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

void td_migtd_create_variant(struct td_migtd *m, u64 variant)
{
	struct kvm_tdx_init_vm *init;
	struct kvm_vm *vm = td_create_uninitialized(1, 0);

	init = td_alloc_init_vm(vm, 0);
	init->mrconfigid[0] = variant;
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init);
	free(init);

	*m = (struct td_migtd) {
		.vm = vm,
		.vcpu = vm_vcpu_add(vm, 0, td_migtd_guest_code),
	};
	td_migtd_guest_prepare(vm);
	sync_global_from_guest(vm, td_migtd_guest);
	m->buffer_gpa = td_migtd_guest.buffer_gpa;
	m->buffer = addr_gpa2hva(vm, m->buffer_gpa);

	td_launch(vm);
	td_migtd_step(m, NULL);
}

void td_migtd_create(struct td_migtd *m)
{
	td_migtd_create_variant(m, 0);
}

void td_migtd_free(struct td_migtd *m)
{
	kvm_vm_free(m->vm);
	*m = (struct td_migtd) {};
}

/* -------------------------------------------------------------- hypercalls */

static void buffer_done(struct td_migtd *m, u64 op, const void *data, u32 length)
{
	memcpy(m->buffer->data, data, length);
	m->buffer->length = length;
	/* The status comes last, as the guest may poll for it. */
	WRITE_ONCE(m->buffer->status, MIGTD_DATA_DONE | op << MIGTD_DATA_OP_SHIFT);
}

static u32 buffer_length(struct td_migtd *m, u32 max)
{
	u32 length = READ_ONCE(m->buffer->length);

	TEST_ASSERT(length <= max, "The migration TD sends %u bytes, of at most %u", length, max);
	return length;
}

static void serve_wait(struct td_migtd *m)
{
	if (!m->request_length) {
		m->is_idle = true;
		return;
	}

	buffer_done(m, m->op, m->request, m->request_length);
	m->request_length = 0;
}

static void serve_report(struct td_migtd *m)
{
	const u64 status = m->vcpu->run->tdx.migtd.status;

	TEST_ASSERT_EQ(status & GENMASK(7, 0), MIGTD_DATA_DONE);
	m->result = status >> MIGTD_DATA_OP_SHIFT & GENMASK(7, 0);
	m->request_id = m->vcpu->run->tdx.migtd.request_id;
	m->report_length = buffer_length(m, sizeof(m->report_data));
	memcpy(m->report_data, m->buffer->data, m->report_length);
	m->reported = true;
}

struct td_migtd_message *td_migtd_find_message(struct td_migtd *m, u64 request_id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(m->messages); i++) {
		if (m->messages[i].length && m->messages[i].request_id == request_id)
			return &m->messages[i];
	}
	return NULL;
}

static void serve_send(struct td_migtd *m)
{
	struct td_migtd_message *msg = m->messages;

	while (msg->length) {
		msg++;
		TEST_ASSERT(msg < m->messages + ARRAY_SIZE(m->messages),
			    "A message would be lost");
	}
	msg->request_id = m->vcpu->run->tdx.migtd.request_id;
	msg->length = buffer_length(m, sizeof(msg->data));
	memcpy(msg->data, m->buffer->data, msg->length);
	buffer_done(m, 0, "", 0);
}

static void serve_receive(struct td_migtd *m, struct td_migtd *peer)
{
	const u64 request_id = m->vcpu->run->tdx.migtd.request_id;
	struct td_migtd_message *msg = &m->delivered;

	if (!msg->length || msg->request_id != request_id)
		msg = peer ? td_migtd_find_message(peer, request_id) : NULL;
	if (!msg) {
		m->is_idle = true;
		return;
	}

	buffer_done(m, 0, msg->data, msg->length);
	msg->length = 0;
}

void td_migtd_deliver(struct td_migtd *m, u64 request_id, const void *data, u32 length)
{
	struct td_migtd_message *msg = &m->delivered;

	TEST_ASSERT(!msg->length, "A message would be lost");
	TEST_ASSERT(length && length <= sizeof(msg->data), "A message of %u bytes", length);
	msg->request_id = request_id;
	msg->length = length;
	memcpy(msg->data, data, length);
}

void td_migtd_step(struct td_migtd *m, struct td_migtd *peer)
{
	struct kvm_run *run = m->vcpu->run;
	struct ucall uc;

	vcpu_run(m->vcpu);
	if (run->exit_reason == KVM_EXIT_MMIO && get_ucall(m->vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);

	TEST_ASSERT_KVM_EXIT_REASON(m->vcpu, KVM_EXIT_TDX);
	TEST_ASSERT_EQ(run->tdx.nr, TDVMCALL_MIGTD);
	TEST_ASSERT_EQ(run->tdx.migtd.ret, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	TEST_ASSERT_EQ(run->tdx.migtd.version, MIGTD_VERSION);
	TEST_ASSERT_EQ(run->tdx.migtd.gpa, m->buffer_gpa);
	TEST_ASSERT_EQ(run->tdx.migtd.size, sizeof(*m->buffer));

	m->is_idle = false;
	switch (run->tdx.migtd.leaf) {
	case MIGTD_WAIT_FOR_REQUEST:
		serve_wait(m);
		break;
	case MIGTD_REPORT_STATUS:
		serve_report(m);
		break;
	case MIGTD_SEND:
		serve_send(m);
		break;
	case MIGTD_RECEIVE:
		serve_receive(m, peer);
		break;
	default:
		TEST_FAIL("The migration TD calls leaf %u", run->tdx.migtd.leaf);
	}
	run->tdx.migtd.ret = TDVMCALL_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- requests */

static void set_request(struct td_migtd *m, enum migtd_op op, const void *data, u32 length)
{
	TEST_ASSERT(length <= sizeof(m->request), "A request of %u bytes", length);
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

	set_request(m, MIGTD_OP_START_MIGRATION, &start, sizeof(start));
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

static void run_to_message(struct td_migtd *m, u64 request_id)
{
	int i;

	for (i = 0; !td_migtd_find_message(m, request_id) && i < MAX_STEPS; i++)
		td_migtd_step(m, NULL);
	TEST_ASSERT(td_migtd_find_message(m, request_id), "No message of request %lu",
		    request_id);
}

void td_migtd_run_to_messages(struct td_migtd *src, struct td_migtd *dst, u64 request_id)
{
	td_migtd_start(src, request_id, true);
	td_migtd_start(dst, request_id, false);
	run_to_message(src, request_id);
	run_to_message(dst, request_id);
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

	set_request(m, MIGTD_OP_INSTALL_AGAIN, &again, sizeof(again));
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

	set_request(m, MIGTD_OP_ACCESS, &access, sizeof(access));
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

	set_request(m, MIGTD_OP_GET_TDREPORT, &request_id, sizeof(request_id));
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
