// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration TDs in KVM selftests: the code that runs in the TD.
 *
 * It serves several migrations at once: it never waits for one peer alone.  Whatever it
 * waits for, it halts, and looks at its buffers after an interrupt only.
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

/* Beyond what the library gives a TD, and in the memory of one that is an image. */
#define BUFFERS_GPA		0xc00000UL

#define SERIAL_PORT		0x3f8

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
	/* Its message was handed to the VMM, the one of the peer has still to come. */
	bool is_waiting;
	/* Of these two, the Send is still outstanding, and not the Receive. */
	bool is_sending;
	/* No key exchange: MIGTD_OP_SWAP, with messages of this length. */
	u32 swap_length;
	/* Another one for the same target has read its key over. */
	bool is_superseded;
	struct migtd_versions versions;
	/* What the exchange ended with, for further destinations. */
	bool has_key;
	u64 version;
	u64 key[TD_MIG_KEY_WORDS];
};

struct td_migtd_guest td_migtd_guest;
char td_migtd_image_config[PAGE_SIZE] __aligned(PAGE_SIZE);

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

/* Interrupts that were not looked into yet, and whether there was any. */
static u64 request_irq, message_irq, any_irq;

static void handle_request_irq(struct ex_regs *regs)
{
	WRITE_ONCE(request_irq, 1);
	WRITE_ONCE(any_irq, 1);
	td_x2apic_eoi();
}

static void handle_message_irq(struct ex_regs *regs)
{
	WRITE_ONCE(message_irq, 1);
	WRITE_ONCE(any_irq, 1);
	td_x2apic_eoi();
}

/*
 * Interrupts are off at any other time, as the rest of the code may have something below
 * the stack pointer.
 */
static void sleep_until(const u64 *irq)
{
	td_halt_until(irq);
	cli();
}

static bool take_irq(u64 *irq)
{
	const bool taken = READ_ONCE(*irq);

	WRITE_ONCE(*irq, 0);
	return taken;
}

static struct migtd_buffer *buffer_at(u64 offset)
{
	return (struct migtd_buffer *)(td_migtd_guest.buffers + offset);
}

static u64 buffer_gpa(u64 offset)
{
	return (td_migtd_guest.buffers_gpa + offset) | TD_SHARED_BIT;
}

static u64 message_offset(struct session *s)
{
	return TD_MIGTD_MESSAGE_OFFSET(s - sessions);
}

/* Make the buffer ready for the VMM. */
static void buffer_put(u64 offset, const void *data, u32 length)
{
	struct migtd_buffer *b = buffer_at(offset);

	b->status = 0;
	b->length = length;
	memcpy(b->data, data, length);
}

static u64 buffer_state(u64 offset)
{
	return READ_ONCE(buffer_at(offset)->status) & MIGTD_DATA_STATE;
}

/* Copy what the VMM left, once.  Returns the length that it has, of which @size at most. */
static u32 buffer_get(u64 offset, void *data, u32 size)
{
	struct migtd_buffer *b = buffer_at(offset);
	u32 length = READ_ONCE(b->length);

	memcpy(data, b->data, min(length, size));
	return length;
}

static void report_status(struct session *s, enum migtd_result result, const void *data,
			  u32 length)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r15 = MIGTD_HEADER_SIZE + length,
		.rbx = buffer_gpa(TD_MIGTD_REPORT_OFFSET),
		.rdi = MIGTD_REQUEST_VECTOR,
	};

	if (result)
		regs.r14 = MIGTD_REPORT_FAILED | (u64)result << MIGTD_REPORT_CODE_SHIFT;
	buffer_put(TD_MIGTD_REPORT_OFFSET, data, length);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_REPORT_STATUS, &regs), TDVMCALL_STATUS_SUCCESS);

	do {
		sleep_until(&request_irq);
		take_irq(&request_irq);
	} while (buffer_state(TD_MIGTD_REPORT_OFFSET) != MIGTD_DATA_DONE);

	/* It may have been for a request as well. */
	WRITE_ONCE(request_irq, 1);
	WRITE_ONCE(any_irq, 1);
}

static void report_session(struct session *s, enum migtd_result result)
{
	const struct migtd_report r = {
		.tdx_status = s->tdx_status,
		.value = s->value,
	};

	report_status(s, result, &r, sizeof(r));
}

/* What is sent is in the buffer of the session already. */
static void call_send(struct session *s, u32 length)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r14 = MIGTD_HEADER_SIZE + length,
		.r15 = buffer_gpa(message_offset(s)),
		.rbx = MIGTD_MESSAGE_VECTOR,
	};

	s->is_waiting = true;
	s->is_sending = true;
	GUEST_ASSERT_EQ(migtd_call(MIGTD_SEND, &regs), TDVMCALL_STATUS_SUCCESS);
}

static void migtd_send(struct session *s, const void *data, u32 length)
{
	buffer_put(message_offset(s), data, length);
	call_send(s, length);
}

static void migtd_receive(struct session *s)
{
	struct tdcall_regs regs = {
		.r13 = s->request_id,
		.r14 = MIGTD_MESSAGE_BUFFER_SIZE,
		.r15 = buffer_gpa(message_offset(s)),
		.rbx = MIGTD_MESSAGE_VECTOR,
	};

	s->is_sending = false;
	buffer_put(message_offset(s), "", 0);
	GUEST_ASSERT_EQ(migtd_call(MIGTD_RECEIVE, &regs), TDVMCALL_STATUS_SUCCESS);
}

static u64 __wait_for_request(void)
{
	struct tdcall_regs regs = {
		.r13 = PAGE_SIZE,
		.r14 = buffer_gpa(TD_MIGTD_WAIT_OFFSET),
		.r15 = MIGTD_REQUEST_VECTOR,
	};

	buffer_put(TD_MIGTD_WAIT_OFFSET, "", 0);
	return migtd_call(MIGTD_WAIT_FOR_REQUEST, &regs);
}

static void wait_for_request(void)
{
	GUEST_ASSERT_EQ(__wait_for_request(), TDVMCALL_STATUS_SUCCESS);
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

static void start_migration(struct session *rejected, const u8 *data, u32 length)
{
	const struct migtd_start_migration *start = (const void *)data;
	static const u8 zeroes[sizeof(start->reserved)];
	enum migtd_result result;
	struct session *s;

	if (length != sizeof(*start) || memcmp(start->reserved, zeroes, sizeof(zeroes)) ||
	    start->is_source > 1 || is_id_known(start->request_id)) {
		report_session(rejected, MIGTD_INVALID_PARAMETER);
		return;
	}

	supersede_sessions(start->target.handle);
	s = new_session();
	if (!s) {
		report_session(rejected, MIGTD_OUT_OF_RESOURCE);
		return;
	}

	*s = (struct session) {
		.request_id = start->request_id,
		.is_source = start->is_source,
		.target = start->target,
		.is_exchange = true,
	};
	result = begin_exchange(s);
	if (result != MIGTD_SUCCESS)
		report_session(s, result);
}

static void swap_messages(struct session *rejected, const u8 *data, u32 length)
{
	const struct migtd_swap *swap = (const void *)data;
	struct migtd_buffer *b;
	struct session *s;
	u32 i;

	s = length == sizeof(*swap) && swap->length && swap->length <= MIGTD_MAX_PAYLOAD ?
		new_session() : NULL;
	if (!s) {
		report_session(rejected, MIGTD_INVALID_PARAMETER);
		return;
	}

	*s = (struct session) {
		.request_id = swap->request_id,
		.swap_length = swap->length,
	};
	buffer_put(message_offset(s), "", 0);
	b = buffer_at(message_offset(s));
	b->length = s->swap_length;
	for (i = 0; i < s->swap_length; i++)
		b->data[i] = migtd_swap_byte(s->request_id, i);
	call_send(s, s->swap_length);
}

static enum migtd_result end_swap(struct session *s)
{
	const struct migtd_buffer *b = buffer_at(message_offset(s));
	u32 i;

	if (READ_ONCE(b->length) != s->swap_length)
		return MIGTD_SECURE_SESSION_ERROR;
	for (i = 0; i < s->swap_length; i++) {
		if (READ_ONCE(b->data[i]) != migtd_swap_byte(s->request_id, i))
			return MIGTD_SECURE_SESSION_ERROR;
	}
	return MIGTD_SUCCESS;
}

static enum migtd_result end_session(struct session *s)
{
	struct migtd_message peers = {};
	u32 length;

	if (s->swap_length)
		return end_swap(s);

	length = buffer_get(message_offset(s), &peers, sizeof(peers));
	return s->is_superseded ? MIGTD_SECURE_SESSION_ERROR : end_exchange(s, &peers, length);
}

static void look_at_session(struct session *s)
{
	const u64 status = READ_ONCE(buffer_at(message_offset(s))->status);

	if (status == MIGTD_DATA_CANCELLED) {
		s->is_waiting = false;
		report_session(s, MIGTD_CANCELLED);
	} else if ((status & MIGTD_DATA_STATE) != MIGTD_DATA_DONE) {
		/* The interrupt was for another one. */
		return;
	} else if (s->is_sending) {
		migtd_receive(s);
	} else {
		s->is_waiting = false;
		report_session(s, end_session(s));
	}
}

static void install_key_again(struct session *s, const u8 *data, u32 length)
{
	const struct migtd_install_again *again = (const void *)data;
	const struct session *from = NULL;

	if (length == sizeof(*again)) {
		s->target = again->target;
		from = find_session(again->from_request_id);
	}
	if (!from)
		report_session(s, MIGTD_INVALID_PARAMETER);
	else if (!install_key(s, from->version, from->key))
		report_session(s, MIGTD_TDX_MODULE_ERROR);
	else
		report_session(s, MIGTD_SUCCESS);
}

static void access_target(struct session *s, const u8 *data, u32 length)
{
	const struct migtd_access *access = (const void *)data;
	bool done = false;
	u64 i;

	if (length != sizeof(*access)) {
		report_session(s, MIGTD_INVALID_PARAMETER);
		return;
	}

	s->target = access->target;
	if (access->is_write)
		done = target_write(s, access->field, access->value, access->mask);
	for (i = 0; i < access->nr_reads; i++)
		done = target_read(s, access->field, &s->value);
	report_session(s, done ? MIGTD_SUCCESS : MIGTD_TDX_MODULE_ERROR);
}

/* Report a part of the TDREPORT. */
static void get_report(struct session *s, const u8 *data, u32 length, u32 offset, u32 size)
{
	const struct migtd_get_report *get = (const void *)data;

	if (length != sizeof(s->request_id) && length != sizeof(*get)) {
		report_session(s, MIGTD_INVALID_PARAMETER);
		return;
	}

	memset(report_data, 0, sizeof(report_data));
	if (length == sizeof(*get))
		memcpy(report_data, get->report_data, sizeof(report_data));
	s->tdx_status = tdg_mr_report(td_migtd_guest.report_gpa, td_migtd_guest.report_data_gpa,
				      0);
	if (s->tdx_status)
		report_session(s, MIGTD_TDX_MODULE_ERROR);
	else
		report_status(s, MIGTD_SUCCESS, report + offset, size);
}

static void serve_request(struct session *s, u64 status, const u8 *data, u32 length)
{
	if ((status & MIGTD_DATA_STATE) != MIGTD_DATA_DONE) {
		report_session(s, MIGTD_VMM_ERROR);
		return;
	}

	switch (status >> MIGTD_DATA_OP_SHIFT & GENMASK(7, 0)) {
	case MIGTD_OP_START_MIGRATION:
		start_migration(s, data, length);
		break;
	case MIGTD_OP_GET_TDREPORT:
		get_report(s, data, length, 0, sizeof(report));
		break;
	case MIGTD_OP_GET_MIGTD_DATA:
		get_report(s, data, length, TD_REPORT_TDINFO, TD_TDINFO_SIZE);
		break;
	case MIGTD_OP_ACCESS:
		access_target(s, data, length);
		break;
	case MIGTD_OP_INSTALL_AGAIN:
		install_key_again(s, data, length);
		break;
	case MIGTD_OP_SWAP:
		swap_messages(s, data, length);
		break;
	default:
		/* Like a MigTD that was built without rebinding and without a log. */
		report_session(s, MIGTD_UNSUPPORTED_OPERATION);
	}
}

static void look_at_request(void)
{
	const u64 status = READ_ONCE(buffer_at(TD_MIGTD_WAIT_OFFSET)->status);
	u8 data[MIGTD_MAX_REQUEST];
	struct session s = {};
	u32 length;

	/* The interrupt was for a report. */
	if (!status)
		return;

	length = buffer_get(TD_MIGTD_WAIT_OFFSET, data, sizeof(data));
	if (length >= sizeof(s.request_id))
		memcpy(&s.request_id, data, sizeof(s.request_id));
	wait_for_request();
	serve_request(&s, status, data, length);
}

static void serve(void)
{
	int i;

	for (;;) {
		sleep_until(&any_irq);
		take_irq(&any_irq);

		if (take_irq(&request_irq))
			look_at_request();
		if (!take_irq(&message_irq))
			continue;

		for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
			if (sessions[i].is_waiting)
				look_at_session(&sessions[i]);
		}
	}
}

void td_migtd_guest_code(void)
{
	td_x2apic_enable();
	wait_for_request();
	serve();
}

/* On the serial port, which nobody but a VMM with a PC has. */
static void say(const char *text)
{
	while (*text)
		tdvmcall_io_write(SERIAL_PORT, 1, *text++);
}

static void __noreturn halt(void)
{
	for (;;)
		tdvmcall_hlt(true);
}

void td_migtd_guest_image_code(void)
{
	struct td_vp_info info;

	td_migtd_image_config[sizeof(td_migtd_image_config) - 1] = '\0';
	say(td_migtd_image_config);
	if (tdg_vp_info(&info) || info.gpaw != TD_GPAW) {
		say("tdx_migtd: needs a GPA width of 48 bits\n");
		halt();
	}

	td_map_gpa(td_migtd_guest.buffers_gpa | TD_SHARED_BIT, TD_MIGTD_BUFFERS_SIZE);
	td_x2apic_enable();
	if (__wait_for_request() == TDVMCALL_STATUS_SUCCESS) {
		say("tdx_migtd: waiting for requests\n");
		serve();
	}

	say("tdx_migtd: up, but the VMM has no requests\n");
	halt();
}

/* They take more than the memory of a TD has left, and a slot of their own. */
static gva_t alloc_buffers(struct kvm_vm *vm)
{
	const u32 slot = vm->memslots[MEM_REGION_TEST_DATA];
	gva_t gva;

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, BUFFERS_GPA, TD_SLOT_UNACCEPTED,
				    TD_MIGTD_BUFFERS_SIZE / PAGE_SIZE, 0);
	vm->memslots[MEM_REGION_TEST_DATA] = TD_SLOT_UNACCEPTED;
	gva = vm_alloc_shared(vm, TD_MIGTD_BUFFERS_SIZE, KVM_UTIL_MIN_VADDR,
			      MEM_REGION_TEST_DATA);
	vm->memslots[MEM_REGION_TEST_DATA] = slot;
	return gva;
}

void td_migtd_guest_prepare(struct kvm_vm *vm)
{
	struct td_migtd_guest *g = addr_gva2hva(vm, (gva_t)&td_migtd_guest);
	gva_t gva = alloc_buffers(vm);

	*g = (struct td_migtd_guest) {
		.buffers = (u8 *)gva,
		.buffers_gpa = addr_gva2gpa(vm, gva),
		.report_gpa = addr_gva2gpa(vm, (gva_t)report),
		.report_data_gpa = addr_gva2gpa(vm, (gva_t)report_data),
	};
	vm_install_exception_handler(vm, MIGTD_REQUEST_VECTOR, handle_request_irq);
	vm_install_exception_handler(vm, MIGTD_MESSAGE_VECTOR, handle_message_irq);
}
