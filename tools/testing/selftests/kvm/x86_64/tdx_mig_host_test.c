// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does with its CPUs, its modules and its memory while a TD is migrated, on
 * either side.
 */
#include <dirent.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_fail.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* Pages of the worker: sent before the pause and in it, and left for post-copy. */
#define SENT_NR			16UL
#define LATE_NR			8UL
#define LATE_FIRST		(TD_WORKER_NR_OLD - LATE_NR)
/* What a vCPU writes to meanwhile. */
#define STORM_FIRST		24UL
#define STORM_NR		8UL

/* ------------------------------------------------------------------------ CPUs */

#define CPU_ONLINE		"/sys/devices/system/cpu/cpu%d/online"

static void set_online(int cpu, bool online)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), CPU_ONLINE, cpu);
	f = fopen(path, "w");
	TEST_ASSERT(f && fputs(online ? "1" : "0", f) >= 0 && !fclose(f),
		    "CPU %d cannot be set %s, errno %d (%s)", cpu, online ? "online" : "offline",
		    errno, strerror(errno));
}

/* CPUs that programs may use and that can go. */
static void get_cpus(cpu_set_t *cpus)
{
	char path[64];
	int cpu;

	kvm_sched_getaffinity(0, sizeof(*cpus), cpus);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		snprintf(path, sizeof(path), CPU_ONLINE, cpu);
		if (CPU_ISSET(cpu, cpus) && access(path, W_OK))
			CPU_CLR(cpu, cpus);
	}
}

static bool has_cpus(void)
{
	cpu_set_t cpus;

	get_cpus(&cpus);
	return CPU_COUNT(&cpus) > 1;
}

/* One after another of them goes and comes back. */
struct outage {
	cpu_set_t cpus;
	int cpu;
};

/*
 * Take away the CPU on which the calling thread runs, and with which @nr_vcpus are
 * associated, and maybe others.
 */
static void lose_cpu(struct outage *o, unsigned int nr_vcpus)
{
	u64 before = td_sim_count_leaf(TDH_VP_FLUSH);

	TEST_ASSERT_EQ(sched_getcpu(), o->cpu);
	/* If it has but the one, the thread may end up anywhere. */
	kvm_sched_setaffinity(0, sizeof(o->cpus), &o->cpus);
	set_online(o->cpu, false);
	TEST_ASSERT(td_sim_count_leaf(TDH_VP_FLUSH) - before >= nr_vcpus,
		    "%lu vCPUs were flushed, of %u", td_sim_count_leaf(TDH_VP_FLUSH) - before,
		    nr_vcpus);
	TEST_ASSERT(sched_getcpu() != o->cpu, "CPU %d is not gone", o->cpu);
}

/* It is back, and the calling thread runs there. */
static void get_cpu_back(struct outage *o)
{
	cpu_set_t one;

	set_online(o->cpu, true);
	CPU_ZERO(&one);
	CPU_SET(o->cpu, &one);
	kvm_sched_setaffinity(0, sizeof(one), &one);
}

static void begin_outages(struct outage *o)
{
	*o = (struct outage) {};
	get_cpus(&o->cpus);
	while (!CPU_ISSET(o->cpu, &o->cpus))
		o->cpu++;
	/* No vCPU is associated with it from before. */
	set_online(o->cpu, false);
	get_cpu_back(o);
}

static void end_outages(struct outage *o)
{
	kvm_sched_setaffinity(0, sizeof(o->cpus), &o->cpus);
}

/* Each CPU goes once, and with it whoever runs there. */
static void lose_each_cpu(void)
{
	cpu_set_t cpus;
	int cpu;

	get_cpus(&cpus);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;
		set_online(cpu, false);
		set_online(cpu, true);
	}
}

TD_WORKER_FIXTURE(td_worker, 2);

static void export_state(struct td_mig *m, u32 id)
{
	u64 hw_error;
	int ret = __td_mig_export_state(&m->streams[0], id, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Command %u: errno %d (%s), hw_error 0x%lx", id, errno, strerror(errno),
		    hw_error);
}

/* vCPU 0 on the CPU that is about to go. */
static void check_and_lose_cpu(struct td_worker *w, struct outage *o)
{
	get_cpu_back(o);
	td_worker_check(w);
	lose_cpu(o, 1);
}

TD_TEST_F(td_worker, cpu_of_a_vcpu_goes_offline_during_an_export)
{
	struct td_worker *w = &self->w;
	struct td_mig *m = &self->m;
	struct outage o;
	int i;

	td_mig_init(m, w->vm, w->vcpus, w->nr_vcpus, 1);
	td_worker_log(w, true);
	begin_outages(&o);

	/* Each command runs elsewhere than the vCPU did. */
	check_and_lose_cpu(w, &o);
	td_mig_export_immutable(m);
	check_and_lose_cpu(w, &o);
	td_worker_precopy(w, m, 0, SENT_NR);
	check_and_lose_cpu(w, &o);
	td_mig_export_pause(m);
	get_cpu_back(&o);
	td_mig_export_all_mem(m);
	export_state(m, KVM_TDX_MIG_EXPORT_STATE_TD);

	/* The export of its state associates a vCPU, and so does a look at it. */
	for (i = 0; i < w->nr_vcpus; i++) {
		export_state(m, KVM_TDX_MIG_EXPORT_STATE_VP);
		lose_cpu(&o, 1);
		get_cpu_back(&o);
	}
	for (i = 0; i < w->nr_vcpus; i++) {
		td_mig_vcpu_save(w->vcpus[i], &m->vcpu_state[i]);
		lose_cpu(&o, 1);
		get_cpu_back(&o);
	}
	td_mig_export_start_token(m);
	end_outages(&o);
	td_worker_import(w, m);
}

TD_TEST_F(td_worker, cpu_of_a_vcpu_goes_offline_before_the_abort_of_an_export)
{
	struct td_worker *w = &self->w;
	struct outage o;

	td_worker_begin(w, &self->m, 1);
	begin_outages(&o);
	td_worker_precopy(w, &self->m, 0, SENT_NR);
	check_and_lose_cpu(w, &o);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	check_and_lose_cpu(w, &o);
	get_cpu_back(&o);
	end_outages(&o);
	td_mig_free(&self->m);
	td_worker_migrate(w, 1);
}

TD_TEST_F(td_worker, cpu_of_a_vcpu_goes_offline_during_an_import)
{
	struct td_mig_dest *d = &self->d;
	struct td_worker *w = &self->w;
	struct td_mig *m = &self->m;
	int first, i;
	struct outage o;

	td_worker_begin(w, m, 1);
	td_worker_precopy(w, m, 0, SENT_NR);
	td_worker_export_rest(m, false);
	td_mig_dest_create(d, m);
	first = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_VP);

	begin_outages(&o);
	for (i = 0; i < m->nr_bundles - 1; i++) {
		td_mig_import(d, m, i, i);
		lose_cpu(&o, i >= first);
		/* The next command is the first one on a CPU that is new. */
		get_cpu_back(&o);
	}
	/* With the local APICs, the MSRs and so on. */
	td_mig_import(d, m, i, i);
	lose_cpu(&o, w->nr_vcpus);
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	get_cpu_back(&o);
	td_worker_run(w, d->vcpus[0], 0, TD_WORKER_WRITE, 0, SENT_NR);
	lose_cpu(&o, 1);
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END);
	get_cpu_back(&o);
	td_worker_run(w, d->vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	lose_cpu(&o, 1);
	get_cpu_back(&o);
	end_outages(&o);
}

TD_TEST_F(td_worker, cpus_go_offline_while_the_guest_runs)
{
	struct td_worker *w = &self->w;
	struct td_mig *m = &self->m;
	struct td_worker_thread storm;

	td_worker_start(&storm, w, 1, TD_WORKER_WRITE_STORM, STORM_FIRST, STORM_NR);
	td_worker_begin(w, m, 1);
	lose_each_cpu();
	td_worker_wait(&storm, 1);
	td_worker_clear_log(w, STORM_FIRST, STORM_NR);
	lose_each_cpu();
	td_worker_export(m, TDX_MIG_GPA_OP_MIGRATE, STORM_FIRST, STORM_NR);
	lose_each_cpu();
	td_mig_export_track(m);
	td_worker_wait(&storm, 1);
	td_worker_stop(&storm, 1);

	td_mig_export_pause(m);
	td_worker_export(m, TDX_MIG_GPA_OP_MIGRATE, 0, LATE_FIRST);
	td_mig_export_other_slots(m, TD_WORKER_SLOT);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
	td_mig_dest_create(&self->d, m);
	td_mig_import(&self->d, m, 0, m->nr_bundles - 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);

	/* The guest runs at the destination, and lacks pages. */
	memcpy(w->vcpus, self->d.vcpus, sizeof(w->vcpus));
	td_worker_start(&storm, w, 1, TD_WORKER_WRITE_STORM, STORM_FIRST, STORM_NR);
	lose_each_cpu();
	td_worker_wait(&storm, 1);
	td_worker_export(m, TDX_MIG_GPA_OP_MIGRATE, LATE_FIRST, LATE_NR);
	td_mig_import(&self->d, m, m->nr_bundles - 1, m->nr_bundles - 1);
	lose_each_cpu();
	td_worker_wait(&storm, 1);
	td_worker_stop(&storm, 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_worker_check(w);
}

/* --------------------------------------------------------------------- modules */

static int unload_kvm(void)
{
	return syscall(__NR_delete_module, "kvm_intel", O_NONBLOCK);
}

static int count_users_of_kvm(void)
{
	FILE *f = fopen("/sys/module/kvm_intel/refcnt", "r");
	int nr;

	TEST_ASSERT(f && fscanf(f, "%d", &nr) == 1, "Cannot read refcnt of kvm_intel");
	fclose(f);
	return nr;
}

/* Close all files but those of a kind, by the name of their inode. */
static void close_files_but(const char *kind)
{
	unsigned long start, end;
	struct dirent *entry;
	char path[64], name[256];
	ssize_t len;
	FILE *f;
	DIR *dir;

	f = fopen("/proc/self/maps", "r");
	TEST_ASSERT(f, "Cannot read the mappings, errno %d", errno);
	while (fgets(name, sizeof(name), f)) {
		if (strstr(name, "anon_inode:") && !(kind && strstr(name, kind)) &&
		    sscanf(name, "%lx-%lx", &start, &end) == 2)
			kvm_munmap((void *)start, end - start);
	}
	fclose(f);

	dir = opendir("/proc/self/fd");
	TEST_ASSERT(dir, "Cannot read the files, errno %d", errno);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%.16s", entry->d_name);
		len = readlink(path, name, sizeof(name) - 1);
		name[max(len, 0L)] = '\0';
		if (strstr(name, "kvm") && !(kind && strstr(name, kind)))
			close(atoi(entry->d_name));
	}
	closedir(dir);
}

/* A session on both sides. */
static void migrate_half(void)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_begin(&w, &m, 1);
	td_worker_export_rest(&m, false);
	td_mig_dest_create(&d, &m);
	td_mig_import_up_to(&d, &m, KVM_TDX_MIG_IMPORT_STATE_VP);
}

TD_TEST(kvm_is_not_unloaded_as_long_as_there_is_a_file_of_a_td_that_is_migrated)
{
	const char *const kinds[] = { "kvm-vm", "kvm-vcpu", "kvm-gmem", "kvm-tdx-mig-stream" };
	int before = count_users_of_kvm(), i, status;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		fflush(stdout);
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
		if (!pid) {
			migrate_half();
			close_files_but(kinds[i]);
			TEST_ASSERT(count_users_of_kvm() > before, "No file of %s", kinds[i]);
			TD_EXPECT_ERRNO(EWOULDBLOCK, unload_kvm());
			close_files_but(NULL);
			TEST_ASSERT_EQ(count_users_of_kvm(), before);
			_exit(0);
		}
		TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
		TEST_ASSERT(!status, "%s: status 0x%x", kinds[i], status);
		TEST_ASSERT_EQ(count_users_of_kvm(), before);
	}
}

/* ---------------------------------------------------------------------- memory */

/* More pages than any command takes. */
#define MAX_LIMIT		4096U
#define STACK_SIZE		(16 * PAGE_SIZE)

/* The system calls alone have to run out of memory, and not what is around them. */
static void touch_memory(void)
{
	u8 stack[STACK_SIZE];

	memset(stack, 0, sizeof(stack));
	asm volatile("" : : "r" (stack) : "memory");
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall() failed, errno %d", errno);
}

static bool is_too_little(const char *what, int ret, unsigned int limit)
{
	if (ret >= 0)
		return false;

	TEST_ASSERT(errno == ENOMEM, "%s with %u pages: errno %d (%s)", what, limit, errno,
		    strerror(errno));
	TEST_ASSERT(limit < MAX_LIMIT, "%s has not enough with %u pages", what, limit);
	return true;
}

/*
 * Make a system call with no memory, then with some more, until there is enough of it.
 * Returns how often there was not.
 */
#define WITH_LITTLE_MEMORY(_call)						\
({										\
	unsigned int limit = 0, nr_failed = 0;					\
	int ret;								\
										\
	for (;;) {								\
		td_fail_limit_pages(limit);					\
		ret = (_call);							\
		td_fail_unlimit_pages();					\
		if (!is_too_little(#_call, ret, limit))				\
			break;							\
		limit = 2 * limit + 1;						\
		nr_failed++;							\
	}									\
	nr_failed;								\
})

static unsigned int open_with_little_memory(struct td_mig_stream *s, struct kvm_vm *vm)
{
	unsigned int nr;

	nr = WITH_LITTLE_MEMORY(__td_mig_stream_create(s, vm, 0));
	nr += WITH_LITTLE_MEMORY(__td_mig_stream_set_attr(s, KVM_DEV_TDX_MIG_ATTR_VERSION,
							  TDX_MIG_BUF_LIST_PAGES_MAX));
	s->buf_list_pages = TDX_MIG_BUF_LIST_PAGES_MAX;
	nr += WITH_LITTLE_MEMORY(__td_mig_stream_map(s));
	return nr;
}

static unsigned int do_with_little_memory(struct td_mig_stream *s, u32 id, u64 value)
{
	u64 nr_pages = value;

	return WITH_LITTLE_MEMORY(__td_mig_cmd_nr(s, id, &nr_pages, NULL));
}

static unsigned int export_with_little_memory(struct td_mig_stream *s, u64 first, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++)
		s->gpa_list[i] = td_gpa_entry(td_worker_gpa(first + i), TDX_MIG_GPA_OP_MIGRATE);
	return do_with_little_memory(s, KVM_TDX_MIG_EXPORT_MEM, nr);
}

TD_TEST_F(td_worker, export_goes_on_when_there_is_memory_again)
{
	struct td_mig_stream *s = &self->m.streams[0];
	struct td_worker *w = &self->w;
	unsigned int nr_opens, nr = 0;

	self->m.src = w->vm;
	touch_memory();
	nr_opens = open_with_little_memory(s, w->vm);
	self->m.nr_streams = 1;
	TEST_ASSERT(nr_opens, "There was enough memory for a stream");
	td_mig_exchange_keys(&self->m);

	nr += WITH_LITTLE_MEMORY(__td_worker_log(w, true));
	nr += do_with_little_memory(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, 0);
	nr += WITH_LITTLE_MEMORY(__td_worker_clear_log(w, 0, SENT_NR));
	nr += export_with_little_memory(s, 0, SENT_NR);
	nr += do_with_little_memory(s, KVM_TDX_MIG_EXPORT_TRACK, 0);
	nr += do_with_little_memory(s, KVM_TDX_MIG_EXPORT_PAUSE, 0);
	nr += export_with_little_memory(s, 0, TD_WORKER_NR_PAGES);
	nr += do_with_little_memory(s, KVM_TDX_MIG_EXPORT_STATE_TD, 0);
	nr += do_with_little_memory(s, KVM_TDX_MIG_EXPORT_STATE_VP, 0);
	printf("# %u times too little memory for a stream, %u for the rest\n", nr_opens, nr);

	/* The way back needs none. */
	TEST_ASSERT(!do_with_little_memory(s, KVM_TDX_MIG_EXPORT_ABORT, 0),
		    "An abort takes memory");
	td_mig_free(&self->m);
	td_worker_check(w);
	td_worker_migrate(w, 1);
}

TD_TEST_F(td_worker, import_goes_on_when_there_is_memory_again)
{
	unsigned int nr_opens, nr_mem = 0, nr_rest = 0, nr, i;
	struct td_mig_dest *d = &self->d;
	struct td_worker *w = &self->w;
	const struct td_mig_bundle *b;
	struct td_mig_stream *s;

	td_worker_begin(w, &self->m, 1);
	td_worker_precopy(w, &self->m, 0, SENT_NR);
	td_worker_export_rest(&self->m, false);

	self->m.nr_streams = 0;
	td_mig_dest_create(d, &self->m);
	self->m.nr_streams = 1;
	touch_memory();
	nr_opens = open_with_little_memory(&d->streams[0], d->vm);
	d->nr_streams = 1;

	for (i = 0; i < self->m.nr_bundles; i++) {
		b = &self->m.bundles[i];
		if (i == self->m.nr_bundles - 1)
			td_mig_load_vcpus(d, &self->m);
		s = td_mig_load_bundle(d->streams, b);
		nr = do_with_little_memory(s, b->import_cmd, b->nr);
		if (b->import_cmd == KVM_TDX_MIG_IMPORT_MEM)
			nr_mem += nr;
		else
			nr_rest += nr;
	}
	nr_rest += do_with_little_memory(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT, 0);
	nr_rest += do_with_little_memory(&d->streams[0], KVM_TDX_MIG_IMPORT_END, 0);
	printf("# %u times too little memory for a stream, %u for pages, %u for the rest\n",
	       nr_opens, nr_mem, nr_rest);
	TEST_ASSERT(nr_opens && nr_mem, "There was enough memory");
	td_worker_run(w, d->vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

TD_TEST_F(td_worker, import_that_runs_out_of_memory_can_be_given_up_without_any)
{
	struct td_mig_dest *d = &self->d;
	struct td_worker *w = &self->w;
	struct td_mig_stream *s;
	int next, ret, err;
	u64 nr;

	td_worker_begin(w, &self->m, 1);
	td_worker_precopy(w, &self->m, 0, SENT_NR);
	td_worker_export_rest(&self->m, false);
	td_mig_dest_create(d, &self->m);
	touch_memory();

	next = td_mig_import_up_to(d, &self->m, KVM_TDX_MIG_IMPORT_MEM);
	s = td_mig_load_bundle(d->streams, &self->m.bundles[next]);
	nr = self->m.bundles[next].nr;
	td_fail_limit_pages(0);
	ret = __td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_MEM, &nr, NULL);
	err = errno;
	td_fail_unlimit_pages();
	TEST_ASSERT(ret && err == ENOMEM, "Import returned %d, errno %d", ret, err);
	TEST_ASSERT(!do_with_little_memory(s, KVM_TDX_MIG_IMPORT_ABORT, 0),
		    "An abort takes memory");

	*self->m.streams[0].mbmd = *s->mbmd;
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_dest_free(d);
	td_mig_free(&self->m);
	td_worker_check(w);
	td_worker_migrate(w, 1);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(td_sim_is_present() && td_fail_is_present());
	TEST_REQUIRE(has_cpus());

	return test_harness_run(argc, argv);
}
