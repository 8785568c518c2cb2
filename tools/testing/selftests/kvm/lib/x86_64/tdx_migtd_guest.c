// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration TDs in KVM selftests: the code that runs in the TD.
 *
 * It serves several migrations at once: it never waits for one peer alone.
 *
 * FOR TESTS ONLY, see tdx_migtd.h.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_migtd.h"
#include "tdx_migtd_guest.h"

/* RBX, RDI, R10 to R15. */
#define TDVMCALL_MIGTD_REGS	(BIT(3) | BIT(7) | GENMASK(15, 10))

/* Others hold a lock of the target only for a moment. */
#define MAX_BUSY_RETRIES	100000

#define MIG_VERSION_MASK	GENMASK_ULL(15, 0)

/* Known to whoever can read this file: it proves nothing about a peer. */
static const u8 test_only_secret[] = "KVM selftest migration TD, not a secret";

struct session {
	u64 request_id;
	bool is_source;
	struct td_servtd_binding target;
	/* Status of the TDX module, of the last call. */
	u64 tdx_status;
	u64 value;

	bool is_exchange;
	/* Of a key exchange: the message of the peer has still to come. */
	bool is_waiting;
	/* Another one for the same target has read its key over. */
	bool is_superseded;
	struct migtd_versions versions;
	/* What the exchange ended with, for further destinations. */
	bool has_key;
	u64 version;
	u64 key[TD_MIG_KEY_WORDS];
};

struct td_migtd_guest td_migtd_guest;

/* Key exchanges, those under way and the last ones that have ended. */
static struct session sessions[MIGTD_MAX_SESSIONS];
static u64 next_session;

static u8 report[TD_REPORT_SIZE] __aligned(TD_REPORT_SIZE);
static u8 report_data[TD_REPORT_DATA_SIZE] __aligned(TD_REPORT_DATA_SIZE);

static u64 migtd_call(u64 leaf, struct tdcall_regs *regs)
{
	u64 status;

	regs->rcx = TDVMCALL_MIGTD_REGS;
	regs->r10 = 0;
	regs->r11 = TDVMCALL_MIGTD;
	regs->r12 = leaf | MIGTD_VERSION << MIGTD_VERSION_SHIFT;
	status = tdcall(TDG_VP_VMCALL, regs);

	return status ?: regs->r10;
}

static u64 buffer_gpa(void)
{
	return td_migtd_guest.buffer_gpa | TD_SHARED_BIT;
}

static struct migtd_buffer *buffer(void)
{
	return td_migtd_guest.buffer;
}

static void buffer_put(const void *data, u32 length)
{
	buffer()->status = 0;
	buffer()->length = length;
	memcpy(buffer()->data, data, length);
}

/* Copy what the VMM left, once.  Returns its length, 0 if it is no good. */
static u32 buffer_get(void *data, u32 size)
{
	u32 length = READ_ONCE(buffer()->length);

	if (!length || length > size)
		return 0;

	memcpy(data, buffer()->data, length);
	return length;
}

static void report_status(struct session *s, enum migtd_result result, const void *data,
			  u32 length)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r14 = MIGTD_DATA_DONE | (u64)result << MIGTD_DATA_OP_SHIFT,
		.r15 = sizeof(struct migtd_buffer),
		.rbx = buffer_gpa(),
	};

	buffer_put(data, length);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_REPORT_STATUS, &regs), TDVMCALL_STATUS_SUCCESS);
}

static void report_session(struct session *s, enum migtd_result result)
{
	const struct migtd_report r = {
		.tdx_status = s->tdx_status,
		.value = s->value,
	};

	report_status(s, result, &r, sizeof(r));
}

static void migtd_send(struct session *s, const void *data, u32 length)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r14 = sizeof(struct migtd_buffer),
		.r15 = buffer_gpa(),
	};

	buffer_put(data, length);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_SEND, &regs), TDVMCALL_STATUS_SUCCESS);
}

/* There is no vector, so poll: false if no message is there. */
static bool migtd_receive(struct session *s, void *data, u32 size, u32 *length)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r14 = sizeof(struct migtd_buffer),
		.r15 = buffer_gpa(),
	};

	buffer_put("", 0);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_RECEIVE, &regs), TDVMCALL_STATUS_SUCCESS);
	if (!READ_ONCE(buffer()->status))
		return false;

	*length = buffer_get(data, size);
	return true;
}

/* Likewise, with the operation of the request. */
static bool wait_for_request(void *data, u32 size, u32 *length, u64 *op)
{
	struct tdcall_regs regs = {
		.r13 = sizeof(struct migtd_buffer),
		.r14 = buffer_gpa(),
	};
	u64 status;

	buffer_put("", 0);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_WAIT_FOR_REQUEST, &regs), TDVMCALL_STATUS_SUCCESS);
	status = READ_ONCE(buffer()->status);
	if (!status)
		return false;

	*length = buffer_get(data, size);
	*op = status >> MIGTD_DATA_OP_SHIFT & GENMASK(7, 0);
	return true;
}

static bool is_busy(u64 status)
{
	status &= TDX_STATUS_MASK;

	return status == TDX_OPERAND_BUSY || status == TDX_OPERAND_BUSY_HOST_PRIORITY;
}

static bool target_read(struct session *s, u64 field, u64 *value)
{
	u32 retries = 0;

	do {
		s->tdx_status = tdg_servtd_rd(s->target.handle, field, s->target.uuid, value);
	} while (is_busy(s->tdx_status) && retries++ < MAX_BUSY_RETRIES);

	return !s->tdx_status;
}

static bool target_write(struct session *s, u64 field, u64 value, u64 mask)
{
	u32 retries = 0;

	do {
		s->tdx_status = tdg_servtd_wr(s->target.handle, field, s->target.uuid, value,
					      mask);
	} while (is_busy(s->tdx_status) && retries++ < MAX_BUSY_RETRIES);

	return !s->tdx_status;
}

/* The read of the first word makes a new key, so read each word once, in order. */
static bool read_key(struct session *s, u64 key[TD_MIG_KEY_WORDS])
{
	int i;

	for (i = 0; i < TD_MIG_KEY_WORDS; i++) {
		if (!target_read(s, TD_MD_MIG_ENC_KEY + i, &key[i]))
			return false;
	}
	return true;
}

static bool write_key(struct session *s, const u64 key[TD_MIG_KEY_WORDS])
{
	int i;

	for (i = 0; i < TD_MIG_KEY_WORDS; i++) {
		if (!target_write(s, TD_MD_MIG_DEC_KEY + i, key[i], ~0ULL))
			return false;
	}
	return true;
}

static bool read_version(struct session *s, u64 field, u64 *version)
{
	struct tdcall_regs regs = { .rdx = field };

	s->tdx_status = tdcall(TDG_SYS_RD, &regs);
	*version = regs.r8;
	return !s->tdx_status;
}

static bool read_versions(struct session *s, struct migtd_versions *v)
{
	return read_version(s, SYS_MD_MIN_EXPORT_VERSION, &v->min_export) &&
	       read_version(s, SYS_MD_MAX_EXPORT_VERSION, &v->max_export) &&
	       read_version(s, SYS_MD_MIN_IMPORT_VERSION, &v->min_import) &&
	       read_version(s, SYS_MD_MAX_IMPORT_VERSION, &v->max_import);
}

/* The newest version that the source can export and the destination import. */
static bool choose_version(const struct migtd_versions *src, const struct migtd_versions *dst,
			   u64 *version)
{
	*version = min(src->max_export, dst->max_import);

	return *version >= src->min_export && *version >= dst->min_import;
}

void td_migtd_seal(const struct migtd_message *msg, u8 mac[TD_SHA384_SIZE])
{
	struct td_sha384 sha;

	td_sha384_init(&sha);
	td_sha384_update(&sha, test_only_secret, sizeof(test_only_secret));
	td_sha384_update(&sha, msg, offsetof(struct migtd_message, mac));
	td_sha384_update(&sha, test_only_secret, sizeof(test_only_secret));
	td_sha384_final(&sha, mac);
}

static bool is_from_peer(struct session *s, const struct migtd_message *msg)
{
	u8 mac[TD_SHA384_SIZE];

	td_migtd_seal(msg, mac);

	return !memcmp(mac, msg->mac, sizeof(mac)) && msg->request_id == s->request_id &&
	       msg->from_source == !s->is_source;
}

/* Last comes the key, which makes the TDX module ready to migrate. */
static bool install_key(struct session *s, u64 version, const u64 key[TD_MIG_KEY_WORDS])
{
	return target_write(s, TD_MD_MIG_VERSION, version, MIG_VERSION_MASK) &&
	       write_key(s, key);
}

static enum migtd_result begin_exchange(struct session *s)
{
	struct migtd_message mine = {
		.request_id = s->request_id,
		.from_source = s->is_source,
	};

	if (!read_versions(s, &mine.versions) || !read_key(s, mine.key))
		return MIGTD_TDX_MODULE_ERROR;

	td_migtd_seal(&mine, mine.mac);
	migtd_send(s, &mine, sizeof(mine));
	s->versions = mine.versions;
	return MIGTD_SUCCESS;
}

static enum migtd_result end_exchange(struct session *s,
				      const struct migtd_message *peers, u32 length)
{
	const struct migtd_versions *src, *dst;

	if (length != sizeof(*peers) || !is_from_peer(s, peers))
		return MIGTD_SECURE_SESSION_ERROR;

	src = s->is_source ? &s->versions : &peers->versions;
	dst = s->is_source ? &peers->versions : &s->versions;
	if (!choose_version(src, dst, &s->version))
		return MIGTD_POLICY_UNSATISFIED;

	if (!install_key(s, s->version, peers->key))
		return MIGTD_TDX_MODULE_ERROR;

	memcpy(s->key, peers->key, sizeof(s->key));
	s->has_key = true;
	return MIGTD_SUCCESS;
}

/*
 * The target gets another key, for another peer.  What the peer of an older exchange
 * still sends must not replace what the new one is going to install.
 */
static void supersede_sessions(u64 handle)
{
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		if (sessions[i].is_waiting && sessions[i].target.handle == handle)
			sessions[i].is_superseded = true;
	}
}

/* Forget the oldest exchange that has ended, or that nobody can need any more. */
static struct session *new_session(void)
{
	struct session *s;
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		s = &sessions[next_session++ % MIGTD_MAX_SESSIONS];
		if (s->is_waiting && !s->is_superseded)
			continue;
		if (s->is_waiting)
			report_session(s, MIGTD_SECURE_SESSION_ERROR);
		return s;
	}
	return NULL;
}

/*
 * A message is good for the exchange that its id names.  If that were to come again,
 * so could the message.
 */
static bool is_id_known(u64 request_id)
{
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		if (sessions[i].is_exchange && sessions[i].request_id == request_id)
			return true;
	}
	return false;
}

static struct session *find_session(u64 request_id)
{
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		if (sessions[i].has_key && sessions[i].request_id == request_id)
			return &sessions[i];
	}
	return NULL;
}

static void start_migration(const u8 *data, u32 length)
{
	const struct migtd_start_migration *start = (const void *)data;
	struct session rejected = {}, *s;
	enum migtd_result result;

	if (length != sizeof(*start)) {
		report_session(&rejected, MIGTD_INVALID_PARAMETER);
		return;
	}

	rejected.request_id = start->request_id;
	if (is_id_known(start->request_id)) {
		report_session(&rejected, MIGTD_INVALID_PARAMETER);
		return;
	}

	supersede_sessions(start->target.handle);
	s = new_session();
	if (!s) {
		report_session(&rejected, MIGTD_OUT_OF_RESOURCE);
		return;
	}

	*s = (struct session) {
		.request_id = start->request_id,
		.is_source = start->is_source,
		.target = start->target,
		.is_exchange = true,
	};
	result = begin_exchange(s);
	s->is_waiting = result == MIGTD_SUCCESS;
	if (!s->is_waiting)
		report_session(s, result);
}

static void poll_peer(struct session *s)
{
	struct migtd_message peers = {};
	u32 length;

	if (!migtd_receive(s, &peers, sizeof(peers), &length))
		return;

	s->is_waiting = false;
	report_session(s, s->is_superseded ? MIGTD_SECURE_SESSION_ERROR :
					     end_exchange(s, &peers, length));
}

static void install_key_again(const u8 *data, u32 length)
{
	const struct migtd_install_again *again = (const void *)data;
	const struct session *from;
	struct session s = {};

	if (length == sizeof(*again)) {
		s.request_id = again->request_id;
		s.target = again->target;
	}
	from = length == sizeof(*again) ? find_session(again->from_request_id) : NULL;
	if (!from)
		report_session(&s, MIGTD_INVALID_PARAMETER);
	else if (!install_key(&s, from->version, from->key))
		report_session(&s, MIGTD_TDX_MODULE_ERROR);
	else
		report_session(&s, MIGTD_SUCCESS);
}

static void access_target(const u8 *data, u32 length)
{
	const struct migtd_access *access = (const void *)data;
	struct session s = {};
	bool done = false;
	u64 i;

	if (length != sizeof(*access)) {
		report_session(&s, MIGTD_INVALID_PARAMETER);
		return;
	}

	s.request_id = access->request_id;
	s.target = access->target;
	if (access->is_write)
		done = target_write(&s, access->field, access->value, access->mask);
	for (i = 0; i < access->nr_reads; i++)
		done = target_read(&s, access->field, &s.value);
	report_session(&s, done ? MIGTD_SUCCESS : MIGTD_TDX_MODULE_ERROR);
}

static void get_tdreport(const u8 *data, u32 length)
{
	struct session s = {};

	if (length != sizeof(s.request_id)) {
		report_session(&s, MIGTD_INVALID_PARAMETER);
		return;
	}

	memcpy(&s.request_id, data, sizeof(s.request_id));
	s.tdx_status = tdg_mr_report(td_migtd_guest.report_gpa, td_migtd_guest.report_data_gpa,
				     0);
	if (s.tdx_status)
		report_session(&s, MIGTD_TDX_MODULE_ERROR);
	else
		report_status(&s, MIGTD_SUCCESS, report, sizeof(report));
}

static void serve_request(u64 op, const u8 *data, u32 length)
{
	struct session unknown = {};

	switch (op) {
	case MIGTD_OP_START_MIGRATION:
		start_migration(data, length);
		break;
	case MIGTD_OP_GET_TDREPORT:
		get_tdreport(data, length);
		break;
	case MIGTD_OP_ACCESS:
		access_target(data, length);
		break;
	case MIGTD_OP_INSTALL_AGAIN:
		install_key_again(data, length);
		break;
	default:
		report_session(&unknown, MIGTD_UNSUPPORTED);
	}
}

void td_migtd_guest_code(void)
{
	u8 data[MIGTD_MAX_REQUEST];
	u32 length;
	u64 op;
	int i;

	for (;;) {
		if (wait_for_request(data, sizeof(data), &length, &op))
			serve_request(op, data, length);

		for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
			if (sessions[i].is_waiting)
				poll_peer(&sessions[i]);
		}
	}
}

void td_migtd_guest_prepare(struct kvm_vm *vm)
{
	struct td_migtd_guest *g = addr_gva2hva(vm, (gva_t)&td_migtd_guest);
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);

	*g = (struct td_migtd_guest) {
		.buffer = (struct migtd_buffer *)gva,
		.buffer_gpa = addr_gva2gpa(vm, gva),
		.report_gpa = addr_gva2gpa(vm, (gva_t)report),
		.report_data_gpa = addr_gva2gpa(vm, (gva_t)report_data),
	};
}
