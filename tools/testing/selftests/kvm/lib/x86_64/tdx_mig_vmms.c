// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests between two processes.
 *
 * The destination is a fork of the source, so that the memory which the guest shares
 * with its VMM, and what the library knows of the TD, are at the same addresses on both
 * sides.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_vmms.h"
#include "tdx_sim_util.h"

/* Pages of the worker: sent before the pause and in it, and left for post-copy. */
#define SENT_NR			16UL
#define LATE_NR			8UL
#define LATE_FIRST		(TD_WORKER_NR_OLD - LATE_NR)
/* Of the first ones: written after they were sent, and revoked. */
#define WRITTEN_NR		4UL
#define CANCELED_FIRST		8UL
#define CANCELED_NR		4UL
/* What vCPU 1 writes to; some of it is sent meanwhile, none of it is left for post-copy. */
#define STORM_FIRST		12UL
#define STORM_NR		16UL

/* Of this process. */
static enum td_side side;
static struct td_vmm_wire *wire;
static struct td_worker w;
static struct td_worker_thread storm;

static struct {
	struct td_mig m;
	bool is_exporting, is_paused, has_token;
} src;

static struct {
	struct td_mig m;
	struct td_mig_dest d;
	int next_bundle;
	bool is_importing, has_token, is_live, has_ended, is_aborted;
} dst;

/* -------------------------------------------------------------- the processes */

/* From now on a fork shares it.  What is private memory of the TD is elsewhere. */
static void share_memory(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	void *copy, *mem;
	size_t size;
	int ctr;

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		size = region->region.memory_size;
		copy = malloc(size);
		TEST_ASSERT(copy, "Insufficient Memory");
		memcpy(copy, region->host_mem, size);
		mem = mmap(region->host_mem, size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		TEST_ASSERT(mem == region->host_mem, "mmap() failed, errno %d", errno);
		memcpy(mem, copy, size);
		free(copy);
	}
}

/* Let go of all VMs, which a fork has inherited and cannot use. */
static void drop_vms(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[256];

	TEST_ASSERT(f, "Cannot read the mappings, errno %d", errno);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "anon_inode:") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			kvm_munmap((void *)start, end - start);
	}
	fclose(f);
	TEST_ASSERT(!syscall(__NR_close_range, STDERR_FILENO + 1, ~0U, 0),
		    "close_range() failed, errno %d", errno);
}

static void work(void)
{
	for (;;) {
		td_tracee_wait_for_work();
		wire->part->run();
	}
}

static void be_source(void)
{
	/* Destinations come and go. */
	signal(SIGCHLD, SIG_IGN);
	while (!READ_ONCE(wire->is_traced))
		usleep(100);

	td_worker_create(&w, TD_WORKER_MAX_VCPUS);
	share_memory(w.vm);
	td_mig_src_migtd();
	wire->progress = &w.shared->vcpu[1].progress;
	work();
}

static void fork_dest(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (pid)
		return;

	side = TD_DST;
	drop_vms();
	/* It is not going to run the TD of the source, but this one. */
	dst.m = src.m;
	dst.m.nr_streams = 1;
	td_mig_dst_migtd();
}

static void end(void)
{
	fflush(stdout);
	exit(0);
}

/* -------------------------------------------------------------------- vCPU 1 */

static void start_vcpu(void)
{
	wire->runner = side;
	if (wire->is_running)
		td_worker_start(&storm, &w, 1, TD_WORKER_WRITE_STORM, STORM_FIRST, STORM_NR);
}

static void stop_vcpu(void)
{
	if (storm.w)
		td_worker_stop(&storm, 1);
	storm.w = NULL;
}

/* ---------------------------------------------------------------- the source */

/* Put the bundles on the wire. */
static void *send_data(const void *data, size_t size)
{
	void *to = wire->arena + wire->arena_used;

	TEST_ASSERT(size <= TD_VMM_ARENA_SIZE - wire->arena_used, "The bundles are too large");
	wire->arena_used += size;
	return memcpy(to, data, size);
}

static void send_bundles(void)
{
	struct td_mig_bundle *b, *to;

	for (b = src.m.bundles; b < src.m.bundles + src.m.nr_bundles; b++) {
		TEST_ASSERT(wire->nr_bundles < TD_MIG_MAX_BUNDLES, "Too many bundles");
		to = &wire->bundles[wire->nr_bundles++];
		*to = *b;
		if (b->pages)
			to->pages = send_data(b->pages, b->nr * PAGE_SIZE);
		if (b->gpa_list) {
			to->gpa_list = send_data(b->gpa_list, b->nr * sizeof(*b->gpa_list));
			to->mac_list = send_data(b->mac_list, b->nr * TD_MIG_MAC_SIZE);
		}
	}
	td_mig_forget_bundles(&src.m);
}

static void open_source(void)
{
	wire->nr_bundles = 0;
	wire->arena_used = 0;
	wire->request_id++;
	td_mig_open(&src.m, w.vm, w.vcpus, w.nr_vcpus, 1);
}

static void bind_source(void)
{
	td_migtd_bind(td_mig_src_migtd(), w.vm, 0);
}

static void log_writes(void)
{
	td_worker_log(&w, true);
}

static void start_session(void)
{
	td_mig_export_immutable(&src.m);
	src.is_exporting = true;
	send_bundles();
}

static void send_first_epoch(void)
{
	td_worker_precopy(&w, &src.m, 0, STORM_FIRST);
	/* Some of these may have been written again. */
	td_worker_clear_log(&w, STORM_FIRST, SENT_NR - STORM_FIRST);
	td_worker_export(&src.m, TDX_MIG_GPA_OP_MIGRATE, STORM_FIRST, SENT_NR - STORM_FIRST);
	td_mig_export_track(&src.m);
	send_bundles();
}

static void write_again(void)
{
	td_worker_do(&w, TD_WORKER_WRITE, 0, WRITTEN_NR);
}

static void send_cancels(void)
{
	td_worker_cancel(&src.m, CANCELED_FIRST, CANCELED_NR);
	td_mig_export_track(&src.m);
	send_bundles();
}

static void send_last_epoch(void)
{
	td_worker_precopy(&w, &src.m, 0, WRITTEN_NR);
	td_worker_precopy(&w, &src.m, CANCELED_FIRST, CANCELED_NR);
	send_bundles();
}

static void pause_source(void)
{
	td_mig_export_pause(&src.m);
	src.is_paused = true;
}

static void send_memory(void)
{
	td_worker_export(&src.m, TDX_MIG_GPA_OP_MIGRATE, 0, LATE_FIRST);
	td_mig_export_other_slots(&src.m, TD_WORKER_SLOT);
	send_bundles();
}

static void send_state(void)
{
	td_mig_export_td_and_vcpus(&src.m);
	memcpy(wire->vcpu_states, src.m.vcpu_state, sizeof(wire->vcpu_states));
	send_bundles();
}

static void send_start_token(void)
{
	td_mig_export_start_token(&src.m);
	src.has_token = true;
	wire->is_source_lost = true;
	send_bundles();
}

static void send_late_memory(void)
{
	td_worker_export(&src.m, TDX_MIG_GPA_OP_MIGRATE, LATE_FIRST, LATE_NR);
	send_bundles();
}

static void abort_source(void)
{
	*src.m.streams[0].mbmd = wire->abort_token;
	td_mig_cmd(&src.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	src.is_exporting = false;
	src.is_paused = false;
	src.has_token = false;
	wire->is_source_lost = false;
}

static void expect_not_runnable(struct kvm_vcpu *vcpu)
{
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(vcpu));
}

/*
 * There is no destination any more.  The session goes on, or is aborted; what is illegal
 * stays so.
 */
static void survive_source(void)
{
	struct td_mig_stream *s = &src.m.streams[0];

	TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
	if (!src.is_exporting) {
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_ABORT));
	} else if (!src.is_paused) {
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_TD));
		td_mig_export_track(&src.m);
	} else {
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
		expect_not_runnable(w.vcpus[0]);
	}
	if (src.has_token) {
		/* What is there is no token of the destination. */
		TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_ABORT));
		expect_not_runnable(w.vcpus[0]);
		td_mig_free(&src.m);
		return;
	}

	if (src.is_exporting)
		td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	/* Also if it is stopped, it can run. */
	if (!storm.w)
		start_vcpu();
	if (storm.w)
		td_worker_wait(&storm, 1);
	stop_vcpu();
	td_worker_check(&w);
	td_mig_free(&src.m);
	src.is_exporting = false;
	src.is_paused = false;
}

/* ----------------------------------------------------------- the destination */

static void create_dest(void)
{
	dst.m.next_dst = td_mig_dest_create_vm();
	td_migtd_bind(td_mig_dst_migtd(), dst.m.next_dst, 0);
	td_mig_dest_create(&dst.d, &dst.m);
}

static void receive_bundles(void)
{
	const struct td_mig_bundle *b;
	u64 hw_error;

	for (; dst.next_bundle < wire->nr_bundles; dst.next_bundle++) {
		b = &wire->bundles[dst.next_bundle];
		TEST_ASSERT(!__td_mig_import(dst.d.streams, b, &hw_error),
			    "Import of bundle %d, command %u: errno %d (%s), hw_error 0x%lx",
			    dst.next_bundle, b->import_cmd, errno, strerror(errno), hw_error);
	}
}

static void receive_start(void)
{
	receive_bundles();
	dst.is_importing = true;
}

static void load_vcpus(void)
{
	int i;

	for (i = 0; i < w.nr_vcpus; i++)
		td_mig_vcpu_load(dst.d.vcpus[i], &wire->vcpu_states[i]);
}

static void receive_start_token(void)
{
	receive_bundles();
	dst.has_token = true;
}

static void commit(void)
{
	td_mig_cmd(&dst.d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	dst.is_live = true;
	memcpy(w.vcpus, dst.d.vcpus, sizeof(w.vcpus));
}

static void abort_dest(void)
{
	td_mig_cmd(&dst.d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	wire->abort_token = *dst.d.streams[0].mbmd;
	dst.is_aborted = true;
}

static void end_import(void)
{
	td_mig_cmd(&dst.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	dst.has_ended = true;
}

static void check_dest(void)
{
	td_worker_check(&w);
}

/* There is no source any more.  From the start token on, the TD may run here. */
static void survive_dest(void)
{
	struct td_mig_stream *s = &dst.d.streams[0];

	/* Nothing yet, as the VM is there as a whole or not at all. */
	if (!dst.d.nr_streams)
		return;

	TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(s, KVM_TDX_MIG_EXPORT_ABORT));
	if (dst.is_aborted) {
		expect_not_runnable(dst.d.vcpus[0]);
		TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	} else if (!dst.has_token) {
		expect_not_runnable(dst.d.vcpus[0]);
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
		if (!dst.is_importing) {
			TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
		} else {
			td_mig_cmd(s, KVM_TDX_MIG_IMPORT_ABORT);
			TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_TRACK));
		}
	} else {
		if (!dst.is_live)
			commit();
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
		stop_vcpu();
		td_worker_do(&w, TD_WORKER_WRITE, 0, SENT_NR);
		if (!dst.has_ended)
			end_import();
		td_worker_do(&w, TD_WORKER_WRITE, 0, SENT_NR);
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_END));
	}
	td_mig_dest_free(&dst.d);
}

/* ------------------------------------------------------------- key exchange */

static void send_message(struct td_migtd *m)
{
	const u64 id = wire->request_id;
	struct td_migtd_message *msg;

	td_migtd_start(m, id, side == TD_SRC);
	td_migtd_run_to_message(m, id);
	msg = td_migtd_find_message(m, id);
	wire->messages[side] = *msg;
	msg->length = 0;
}

static void receive_message(struct td_migtd *m)
{
	const struct td_migtd_message *msg = &wire->messages[!side];

	td_migtd_deliver(m, wire->request_id, msg->data, msg->length);
	td_migtd_run_to_report(m, NULL, wire->request_id);
	TEST_ASSERT(m->result == MIGTD_SUCCESS, "Side %d: result %u, TDX status 0x%lx", side,
		    m->result, m->report.tdx_status);
}

static void begin_exchange_at_source(void)
{
	send_message(td_mig_src_migtd());
}

static void begin_exchange_at_dest(void)
{
	send_message(td_mig_dst_migtd());
}

static void end_exchange_at_source(void)
{
	receive_message(td_mig_src_migtd());
}

static void end_exchange_at_dest(void)
{
	receive_message(td_mig_dst_migtd());
}

/* ------------------------------------------------------------------ the parts */

const struct td_vmm_part td_vmm_migration[] = {
	{ TD_SRC, open_source, TDH_MIG_STREAM_CREATE },
	{ TD_SRC, fork_dest, .is_quiet = true },
	{ TD_DST, create_dest, TDH_MIG_STREAM_CREATE },
	{ TD_SRC, bind_source, TDH_SERVTD_BIND },
	{ TD_SRC, begin_exchange_at_source, .is_quiet = true },
	{ TD_DST, begin_exchange_at_dest, .is_quiet = true },
	{ TD_SRC, end_exchange_at_source, .is_quiet = true },
	{ TD_DST, end_exchange_at_dest, .is_quiet = true },
	{ TD_SRC, start_vcpu, .is_quiet = true },
	{ TD_SRC, log_writes },
	{ TD_SRC, start_session, TDH_EXPORT_STATE_IMMUTABLE },
	{ TD_DST, receive_start, TDH_IMPORT_STATE_IMMUTABLE },
	{ TD_SRC, send_first_epoch, TDH_EXPORT_MEM },
	{ TD_DST, receive_bundles, TDH_IMPORT_MEM },
	{ TD_SRC, write_again, .is_quiet = true },
	{ TD_SRC, send_cancels, TDH_EXPORT_MEM },
	{ TD_DST, receive_bundles, TDH_IMPORT_MEM },
	{ TD_SRC, send_last_epoch, TDH_EXPORT_TRACK },
	{ TD_DST, receive_bundles, TDH_IMPORT_TRACK },
	{ TD_SRC, stop_vcpu, .is_quiet = true },
	{ TD_SRC, pause_source, TDH_EXPORT_PAUSE },
	{ TD_SRC, send_memory, TDH_EXPORT_MEM },
	{ TD_DST, receive_bundles, TDH_IMPORT_MEM },
	{ TD_SRC, send_state, TDH_EXPORT_STATE_VP },
	{ TD_DST, receive_bundles, TDH_IMPORT_STATE_VP },
	{ TD_DST, load_vcpus },
	{ TD_SRC, send_start_token, TDH_EXPORT_TRACK },
	{ TD_DST, receive_start_token, TDH_IMPORT_TRACK },
	{ TD_DST, commit, TDH_IMPORT_COMMIT, .is_commit = true },
	{ TD_DST, start_vcpu, .is_quiet = true },
	{ TD_SRC, send_late_memory, TDH_EXPORT_MEM },
	{ TD_DST, receive_bundles, TDH_IMPORT_MEM },
	{ TD_DST, stop_vcpu, .is_quiet = true },
	{ TD_DST, end_import, TDH_IMPORT_END },
	{}
};

const struct td_vmm_part td_vmm_abort[] = {
	{ TD_DST, abort_dest, TDH_IMPORT_ABORT },
	{ TD_SRC, abort_source, TDH_EXPORT_ABORT },
	{}
};

const struct td_vmm_part td_vmm_survive[TD_NR_SIDES] = {
	{ TD_SRC, survive_source, .is_quiet = true },
	{ TD_DST, survive_dest, .is_quiet = true },
};

const struct td_vmm_part td_vmm_check = { TD_DST, check_dest, .is_quiet = true };

/* ------------------------------------------------------------------- the test */

void td_vmms_init(struct td_vmms *v)
{
	*v = (struct td_vmms) {};
	v->wire = kvm_mmap(sizeof(*v->wire), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1);
	wire = v->wire;
	/* Destinations survive their source. */
	TEST_ASSERT(!prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl() failed, errno %d", errno);
}

static void expect_idle(struct td_tracee *t)
{
	enum td_stop stop = td_tracee_wait(t);

	TEST_ASSERT(stop == TD_STOP_IDLE, "Stop %d, status 0x%x", stop, t->status);
}

void td_vmms_start(struct td_vmms *v, bool is_running)
{
	pid_t pid;

	wire->is_traced = false;
	wire->is_running = is_running;
	wire->is_source_lost = false;

	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid)
		be_source();

	td_tracee_seize(&v->sides[TD_SRC], pid);
	WRITE_ONCE(wire->is_traced, true);
	expect_idle(&v->sides[TD_SRC]);
}

static void begin(struct td_tracee *t, const struct td_vmm_part *part, bool at_syscalls)
{
	wire->part = part;
	t->at_syscalls = at_syscalls;
	td_tracee_resume(t);
}

void td_vmms_begin(struct td_vmms *v, const struct td_vmm_part *part)
{
	begin(&v->sides[part->side], part, true);
}

void td_vmms_do(struct td_vmms *v, const struct td_vmm_part *part)
{
	struct td_tracee *t = &v->sides[part->side];
	enum td_stop stop;

	begin(t, part, false);
	stop = td_tracee_wait(t);
	if (stop == TD_STOP_FORK) {
		td_tracee_adopt(&v->sides[TD_DST], t);
		expect_idle(&v->sides[TD_DST]);
		td_tracee_resume(t);
		stop = td_tracee_wait(t);
	}
	TEST_ASSERT(stop == TD_STOP_IDLE, "Stop %d, status 0x%x", stop, t->status);
}

void td_vmms_end(struct td_vmms *v, enum td_side which)
{
	static const struct td_vmm_part part = { .run = end };

	wire->part = &part;
	td_tracee_expect_end(&v->sides[which]);
}
