// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams of a migration that are used at the same time: a TD that writes to its
 * memory all the time is exported over some of them and imported over others, by
 * a thread for each, and interrupted wherever that is possible.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_parallel.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"
#include "tdx_thread.h"

#define NR_VCPUS		2
#define NR_STREAMS		4
#define NR_ROUNDS		4
#define NR_RETRIES		3

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		1400UL
#define PAGES_PER_VCPU		(MEM_PAGES / NR_VCPUS)
/* Most writes of a vCPU go to that many of its pages. */
#define HOT_PAGES		48UL
/* Writes that take long enough for much to be dirty. */
#define MANY_WRITES		2000UL

/* ------------------------------------------------------ a TD that writes */

/* What the host and the guest tell each other. */
struct shared {
	u64 nr_writes[NR_VCPUS];
	u64 stop;
};

static struct shared *shared;
/* The value that each page has, where only the guest can see it. */
static u64 expected[MEM_PAGES];

static u64 *first_word(u64 page)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE);
}

static u64 *last_word(u64 page)
{
	return (u64 *)(MEM_GPA + (page + 1) * PAGE_SIZE) - 1;
}

static void guest_check(u64 page)
{
	__GUEST_ASSERT(READ_ONCE(*first_word(page)) == expected[page] &&
		       READ_ONCE(*last_word(page)) == ~expected[page],
		       "Page %lu has %lx and %lx, expected %lx", page, *first_word(page),
		       ~*last_word(page), expected[page]);
}

static void guest_write(u64 page, u64 value)
{
	WRITE_ONCE(*first_word(page), value);
	WRITE_ONCE(*last_word(page), ~value);
	expected[page] = value;
}

static void guest_writer(u64 index)
{
	const u64 first = index * PAGES_PER_VCPU;
	u64 random = index + 1, page, r;

	td_accept_pages(MEM_GPA + first * PAGE_SIZE, PAGES_PER_VCPU);
	for (page = first; page < first + PAGES_PER_VCPU; page++)
		guest_write(page, page);

	while (!READ_ONCE(shared->stop)) {
		r = td_random(&random);
		page = first + (r >> 8) % (r & 7 ? HOT_PAGES : PAGES_PER_VCPU);
		guest_check(page);
		guest_write(page, r);
		WRITE_ONCE(shared->nr_writes[index], shared->nr_writes[index] + 1);
	}

	for (page = first; page < first + PAGES_PER_VCPU; page++)
		guest_check(page);
	GUEST_DONE();
}

struct writer {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct shared *shared;
	pthread_t threads[NR_VCPUS];
};

static void ignore_signal(int sig)
{
}

static void writer_create(struct writer *w)
{
	const struct sigaction sa = { .sa_handler = ignore_signal };
	gva_t gva;
	int i;

	sigaction(SIGUSR1, &sa, NULL);

	w->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_VCPUS, MEM_PAGES, guest_writer,
			    w->vcpus);
	vm_enable_cap(w->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	gva = vm_alloc_shared(w->vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(w->vm, shared, (struct shared *)gva);
	w->shared = addr_gva2hva(w->vm, gva);
	td_add_unaccepted_memory(w->vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_set_arg(w->vcpus[i], i);
	td_launch(w->vm);
}

static void *run_until_kicked(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct ucall uc;

	do {
		if (!__vcpu_run(vcpu)) {
			TEST_ASSERT_EQ(get_ucall(vcpu, &uc), UCALL_ABORT);
			REPORT_GUEST_ASSERT(uc);
		}
		TEST_ASSERT(errno == EINTR, "KVM_RUN failed, errno %d", errno);
	} while (!READ_ONCE(vcpu->run->immediate_exit));
	return NULL;
}

/* Wait until each vCPU has written so many times since @since. */
static void wait_for_writes(struct shared *s, const u64 since[NR_VCPUS], u64 nr)
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		while (READ_ONCE(s->nr_writes[i]) - since[i] < nr)
			usleep(1000);
	}
}

static void writer_let_write(struct writer *w, u64 nr)
{
	u64 since[NR_VCPUS];
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		since[i] = READ_ONCE(w->shared->nr_writes[i]);
	wait_for_writes(w->shared, since, nr);
}

static void writer_start(struct writer *w)
{
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		kvm_pthread_create(&w->threads[i], NULL, run_until_kicked, w->vcpus[i]);
	writer_let_write(w, 1);
}

/* Stop all vCPUs, at no particular instruction. */
static void writer_stop(struct writer *w)
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		WRITE_ONCE(w->vcpus[i]->run->immediate_exit, 1);
		pthread_kill(w->threads[i], SIGUSR1);
	}
	for (i = 0; i < NR_VCPUS; i++) {
		kvm_pthread_join(w->threads[i], NULL);
		WRITE_ONCE(w->vcpus[i]->run->immediate_exit, 0);
	}
}

/* Let the guest check its memory, which has to be that of the last write. */
static void writer_finish(struct writer *w, struct kvm_vcpu *vcpus[])
{
	pthread_t threads[NR_VCPUS];
	u64 since[NR_VCPUS];
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		since[i] = READ_ONCE(w->shared->nr_writes[i]);
		threads[i] = td_vcpu_start(vcpus[i]);
	}
	wait_for_writes(w->shared, since, MANY_WRITES);
	WRITE_ONCE(w->shared->stop, 1);
	for (i = 0; i < NR_VCPUS; i++)
		kvm_pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------- parallel streams */

static u64 seed(void)
{
	u64 ret = time(NULL) * 1000003 + getpid();

	pr_info("Seed %lu\n", ret);
	return ret;
}

/* Runs until the test ends it. */
struct worker {
	pthread_t thread;
	bool stop;
	u64 random;
};

static void *send_signals(void *arg)
{
	struct worker *w = arg;

	while (!READ_ONCE(w->stop)) {
		kill(getpid(), SIGUSR1);
		usleep(200);
	}
	return NULL;
}

static void worker_start(struct worker *w, void *(*fn)(void *))
{
	sigset_t set;

	*w = (struct worker) { .random = seed() };

	/* Signals are for the others. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kvm_pthread_create(&w->thread, NULL, fn, w);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void worker_end(struct worker *w)
{
	WRITE_ONCE(w->stop, true);
	kvm_pthread_join(w->thread, NULL);
}

/* @signals: all threads get signals, from the first bundle to the last. */
static void migrate_in_rounds(struct writer *w, int nr_streams, bool signals)
{
	struct td_mig_parallel p;
	struct worker worker;
	struct td_mig_dest d;
	struct td_mig m;
	u64 nr_exported;
	int i;

	td_mig_init(&m, w->vm, w->vcpus, NR_VCPUS, nr_streams);
	td_mig_dest_create(&d, &m);
	td_mig_parallel_init(&p, &m, &d, seed());
	td_mig_enable_log(w->vm);
	if (signals)
		worker_start(&worker, send_signals);
	td_mig_parallel_begin(&p);

	for (i = 0; i < NR_ROUNDS; i++) {
		td_mig_parallel_round(&p);
		nr_exported = td_mig_parallel_nr_exported(&p);
		writer_let_write(w, MANY_WRITES);
	}
	writer_stop(w);
	td_mig_parallel_end(&p);
	if (signals)
		worker_end(&worker);

	/* All of it once, and what was dirty again. */
	TEST_ASSERT(nr_exported >= MEM_PAGES, "%lu pages exported", nr_exported);
	for (i = 0; i < nr_streams; i++)
		TEST_ASSERT(p.pipes[i].nr_bundles, "Stream %d was not used", i);

	writer_finish(w, d.vcpus);
	td_mig_dest_free(&d);
	td_mig_free(&m);
}

TD_TEST(td_that_writes_is_migrated_over_parallel_streams)
{
	struct writer w;

	writer_create(&w);
	writer_start(&w);
	migrate_in_rounds(&w, NR_STREAMS, false);
	kvm_vm_free(w.vm);
}

/* Without the software TDX platform, there are but the host's interrupts. */
static void set_interrupt_every(u32 n)
{
	if (td_sim_is_present())
		td_sim_interrupt_every(n);
}

static void *interrupt_at_random(void *arg)
{
	struct worker *w = arg;

	while (!READ_ONCE(w->stop)) {
		set_interrupt_every(1 + td_random(&w->random) % 64);
		usleep(1000);
	}
	return NULL;
}

static void migrate_interrupted(u32 every)
{
	struct worker worker;
	struct writer w;

	writer_create(&w);
	writer_start(&w);
	if (every)
		set_interrupt_every(every);
	else
		worker_start(&worker, interrupt_at_random);
	migrate_in_rounds(&w, NR_STREAMS, false);
	if (!every)
		worker_end(&worker);
	set_interrupt_every(0);
	kvm_vm_free(w.vm);
}

TD_TEST(calls_that_are_interrupted_after_each_page_are_resumed)
{
	migrate_interrupted(1);
}

TD_TEST(calls_that_are_interrupted_after_some_pages_are_resumed)
{
	migrate_interrupted(7);
}

TD_TEST(calls_that_are_interrupted_at_random_are_resumed)
{
	migrate_interrupted(0);
}

TD_TEST(td_is_migrated_by_threads_that_get_signals_all_the_time)
{
	struct writer w;

	writer_create(&w);
	writer_start(&w);
	migrate_in_rounds(&w, NR_STREAMS, true);
	kvm_vm_free(w.vm);
}

/* --------------------------------------------------------- states of vCPUs */

/* The state of one vCPU on its way, over a stream that no other one uses. */
struct vcpu_transfer {
	pthread_t thread;
	/* Of either side. */
	struct td_mig_stream *streams;
	int stream;
	u32 vcpu_id;
	struct td_mig_bundle *bundle;
	u64 hw_error;
	int ret;
};

static void *export_vcpu(void *arg)
{
	struct vcpu_transfer *t = arg;

	t->ret = __td_mig_export_vcpu(&t->streams[t->stream], t->vcpu_id, t->bundle,
				      &t->hw_error);
	return NULL;
}

static void *import_vcpu(void *arg)
{
	struct vcpu_transfer *t = arg;

	t->ret = __td_mig_import(t->streams, t->bundle, &t->hw_error);
	return NULL;
}

/* Whatever a failure has left of the vCPU, it stays that way. */
static void *import_vcpu_again_and_again(void *arg)
{
	struct vcpu_transfer *t = arg;
	int i;

	import_vcpu(t);
	for (i = 0; t->ret && i < NR_RETRIES; i++)
		TEST_ASSERT(__td_mig_import(t->streams, t->bundle, NULL),
			    "A vCPU was imported after it was not");
	return NULL;
}

/* Do the same with all vCPUs at once, each over the stream with its number. */
static void __transfer_vcpus(struct vcpu_transfer t[NR_VCPUS], struct td_mig_stream *streams,
			     void *(*fn)(void *))
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		t[i].streams = streams;
		kvm_pthread_create(&t[i].thread, NULL, fn, &t[i]);
	}
	for (i = 0; i < NR_VCPUS; i++)
		kvm_pthread_join(t[i].thread, NULL);
}

static void transfer_vcpus(struct vcpu_transfer t[NR_VCPUS], struct td_mig_stream *streams,
			   void *(*fn)(void *))
{
	int i;

	__transfer_vcpus(t, streams, fn);
	for (i = 0; i < NR_VCPUS; i++)
		TEST_ASSERT(!t[i].ret, "vCPU %u: hw_error 0x%lx", t[i].vcpu_id, t[i].hw_error);
}

/* Stop and copy.  Returns the number of the first bundle of a vCPU. */
static int export_with_vcpus_at_once(struct td_mig *m, struct writer *w,
				     struct vcpu_transfer t[NR_VCPUS])
{
	int i, first, ret;

	writer_create(w);
	writer_start(w);
	writer_stop(w);

	td_mig_init(m, w->vm, w->vcpus, NR_VCPUS, NR_VCPUS);
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	td_mig_export_all_mem(m);
	ret = __td_mig_export_state(&m->streams[0], KVM_TDX_MIG_EXPORT_STATE_TD,
				    td_mig_next_bundle(m), NULL);
	TEST_ASSERT(!ret, "Export of TD state, errno %d", errno);

	first = m->nr_bundles;
	for (i = 0; i < NR_VCPUS; i++)
		t[i] = (struct vcpu_transfer) {
			.stream = i,
			.vcpu_id = w->vcpus[i]->id,
			.bundle = td_mig_next_bundle(m),
		};
	transfer_vcpus(t, m->streams, export_vcpu);
	for (i = 0; i < NR_VCPUS; i++) {
		TEST_ASSERT_EQ(t[i].bundle->stream, (u32)i);
		td_mig_vcpu_save(w->vcpus[i], &m->vcpu_state[i]);
	}
	td_mig_export_start_token(m);
	return first;
}

TD_TEST(states_of_vcpus_go_over_all_streams_at_once)
{
	struct vcpu_transfer t[NR_VCPUS];
	struct td_mig_dest d;
	struct writer w;
	struct td_mig m;
	int first;

	first = export_with_vcpus_at_once(&m, &w, t);
	td_mig_dest_create(&d, &m);
	td_mig_import(&d, &m, 0, first - 1);
	transfer_vcpus(t, d.streams, import_vcpu);
	td_mig_import_rest(&d, &m, first + NR_VCPUS);

	writer_finish(&w, d.vcpus);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(w.vm);
}

/* One of the vCPUs may come before the failure, after it, or in the midst of it. */
TD_TEST(vcpu_is_imported_or_not_while_the_import_of_another_fails)
{
	struct vcpu_transfer t[NR_VCPUS];
	struct td_mig_bundle corrupt;
	struct td_mig_dest d;
	struct writer w;
	struct td_mig m;
	int first, round;

	first = export_with_vcpus_at_once(&m, &w, t);
	td_mig_bundle_copy(&corrupt, t[1].bundle);
	corrupt.mbmd.mac[0] ^= 1;
	t[1].bundle = &corrupt;

	for (round = 0; round < NR_ROUNDS; round++) {
		td_mig_dest_create(&d, &m);
		td_mig_import(&d, &m, 0, first - 1);
		__transfer_vcpus(t, d.streams, import_vcpu_again_and_again);
		TEST_ASSERT(t[1].ret, "A bundle that is corrupt was imported");
		TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_TRACK));
		td_mig_dest_free(&d);
	}

	td_mig_bundle_free(&corrupt);
	td_mig_free(&m);
	kvm_vm_free(w.vm);
}

/* Long to convert, far from all memory slots. */
#define FAR_GPA			BIT_ULL(40)
#define FAR_SIZE		BIT_ULL(33)

static void *convert_far_memory(void *vm)
{
	vm_mem_set_private(vm, FAR_GPA, FAR_SIZE);
	return NULL;
}

/* A page over stream 0. */
struct mem_export {
	struct td_mig_stream *stream;
	pid_t tid;
	int ret;
	bool done;
};

static void *export_page(void *arg)
{
	struct mem_export *e = arg;
	u64 entry = td_gpa_entry(MEM_GPA, TDX_MIG_GPA_OP_MIGRATE);
	struct td_mig_bundle b;

	WRITE_ONCE(e->tid, kvm_gettid());
	e->ret = __td_mig_export_mem(e->stream, &entry, 1, &b, NULL);
	WRITE_ONCE(e->done, true);
	if (!e->ret)
		td_mig_bundle_free(&b);
	return NULL;
}

/*
 * A conversion keeps one stream waiting in the midst of its command.  Another stream gets
 * the state of a vCPU meanwhile, which it could not if it had to wait for the first.
 */
TD_TEST(state_of_a_vcpu_does_not_wait_for_memory_on_another_stream)
{
	pthread_t converter, exporter;
	struct mem_export e = {};
	struct td_mig_bundle b;
	struct writer w;
	struct td_mig m;
	u64 hw_error;
	bool done;
	int ret;

	writer_create(&w);
	writer_start(&w);
	writer_stop(&w);
	td_mig_init(&m, w.vm, w.vcpus, NR_VCPUS, 2);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);

	kvm_pthread_create(&converter, NULL, convert_far_memory, w.vm);
	/* The conversion may have to begin first. */
	do {
		e = (struct mem_export) { .stream = &m.streams[0] };
		kvm_pthread_create(&exporter, NULL, export_page, &e);
		td_wait_for_sleep(&e.tid);
		done = READ_ONCE(e.done);
		if (done)
			kvm_pthread_join(exporter, NULL);
	} while (done);

	ret = __td_mig_export_vcpu(&m.streams[1], w.vcpus[0]->id, &b, &hw_error);
	TEST_ASSERT(!ret, "errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT(!READ_ONCE(e.done), "The vCPU has waited for the memory");
	td_mig_bundle_free(&b);

	kvm_pthread_join(exporter, NULL);
	TEST_ASSERT(!e.ret, "The memory was not exported");
	kvm_pthread_join(converter, NULL);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	writer_finish(&w, w.vcpus);
	td_mig_free(&m);
	kvm_vm_free(w.vm);
}

/* ---------------------------------------------------------------- signals */

/* Pages that the TD may have, exported or not: the abort looks at all of them. */
static u64 nr_pages(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	u64 nr = 0;
	int bucket;

	hash_for_each(vm->regions.slot_hash, bucket, region, slot_node)
		nr += region->region.memory_size / PAGE_SIZE;
	return nr;
}

TD_TEST(abort_gets_on_however_many_signals_there_are)
{
	unsigned int nr_eintr = 0, nr_pieces;
	struct td_mig_parallel p;
	struct worker worker;
	struct writer w;
	struct td_mig m;
	int ret;

	writer_create(&w);
	writer_start(&w);
	td_mig_init(&m, w.vm, w.vcpus, NR_VCPUS, 1);
	td_mig_parallel_init(&p, &m, NULL, seed());
	td_mig_enable_log(w.vm);
	td_mig_parallel_begin(&p);
	td_mig_parallel_round(&p);
	writer_stop(&w);

	set_interrupt_every(1);
	worker_start(&worker, send_signals);
	do {
		ret = __td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, 0, 0, NULL);
		nr_eintr += !!ret;
		TEST_ASSERT(!ret || errno == EINTR, "Abort, errno %d", errno);
	} while (ret);
	worker_end(&worker);
	set_interrupt_every(0);

	/* Not more often than there are pieces. */
	nr_pieces = nr_pages(w.vm) / TDX_MIG_BUF_LIST_PAGES_MAX + 1;
	TEST_ASSERT(nr_eintr <= nr_pieces, "%u interruptions, %u pieces", nr_eintr, nr_pieces);

	writer_finish(&w, w.vcpus);
	td_mig_free(&m);
	kvm_vm_free(w.vm);
}

/* Tell the parent that the command is about to begin, and never return. */
static void run_until_killed(int ready, bool abort)
{
	struct td_mig_parallel p;
	struct td_mig_dest d;
	struct writer w;
	struct td_mig m;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	writer_create(&w);
	writer_start(&w);
	td_mig_init(&m, w.vm, w.vcpus, NR_VCPUS, NR_STREAMS);
	if (!abort)
		td_mig_dest_create(&d, &m);
	td_mig_parallel_init(&p, &m, abort ? NULL : &d, seed());
	td_mig_enable_log(w.vm);
	td_mig_parallel_begin(&p);

	if (abort)
		td_mig_parallel_round(&p);
	TEST_ASSERT_EQ(write(ready, "", 1), 1);
	if (abort)
		td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	else
		td_mig_parallel_round(&p);
	for (;;)
		pause();
}

static void kill_within_command(bool abort)
{
	int fds[2], status;
	pid_t pid;
	char c;

	TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid)
		run_until_killed(fds[1], abort);

	close(fds[1]);
	TEST_ASSERT(read(fds[0], &c, 1) == 1, "The child has failed");
	close(fds[0]);
	kill(pid, SIGKILL);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status), "The child ended by itself");
}

TD_TEST(process_can_be_killed_within_a_long_command)
{
	struct writer w;

	set_interrupt_every(1);
	kill_within_command(false);
	kill_within_command(true);
	set_interrupt_every(0);

	writer_create(&w);
	writer_start(&w);
	migrate_in_rounds(&w, 1, false);
	kvm_vm_free(w.vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return test_harness_run(argc, argv);
}
