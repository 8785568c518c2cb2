// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD that rewrites all its memory as fast as it can is migrated again and
 * again, from one VM to the next, in rounds and while it runs: over a random
 * number of streams in parallel, in batches of random size, with a TDX module
 * that is interrupted at random.  Now and then a session is aborted.
 *
 * The guest finds every lost, stale or misplaced page: each vCPU goes through
 * its pages in passes, and finds in each of them what it wrote in the pass
 * before.  The number of its passes is in memory that is not migrated, too, so
 * that a TD as a whole cannot fall back either.
 *
 * Usage: tdx_mig_parallel_stress_test [-n MIGRATIONS] [-s SEED]
 * The same seed makes the same decisions, though not the same schedule.
 */
#include <getopt.h>
#include <signal.h>
#include <sys/random.h>

#include "kselftest.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_parallel.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"

#define NR_MIGRATIONS		20
#define NR_VCPUS		2

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES_PER_VCPU	512UL
#define MEM_PAGES		(NR_VCPUS * MEM_PAGES_PER_VCPU)

#define MAX_ROUNDS		3
/* One session of so many is aborted. */
#define ABORT_ONE_OF		4
/* Fewer looks for an interrupt than a page takes. */
#define MAX_INTERRUPT_EVERY	16

/* Passes after a migration until all memory has been read on the new VM. */
#define NR_CHECK_PASSES		2

#define SIM_TDS			"/sys/kernel/debug/tdx_sim/tds"
/* A migration TD on each side, and the TD itself. */
#define NR_TDS			3

#define WORDS_PER_PAGE		(PAGE_SIZE / sizeof(u64))

/* What the host and the guest tell each other, in memory that is shared. */
struct shared {
	u64 passes[NR_VCPUS];
	u64 stop;
};

static struct shared *shared;

/* -------------------------------------------------------------------- guest */

static u64 value_of(u64 page, u64 pass)
{
	return (page + 1) << 40 | pass;
}

/* The first or the last word of a page. */
static u64 *guest_word(u64 page, bool last)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE) + (last ? WORDS_PER_PAGE - 1 : 0);
}

static void guest_check_page(u64 page, u64 pass)
{
	u64 first = READ_ONCE(*guest_word(page, false));
	u64 last = READ_ONCE(*guest_word(page, true));

	__GUEST_ASSERT(first == value_of(page, pass) && last == value_of(page, pass),
		       "Page %lu, pass %lu: %lx and %lx", page, pass, first, last);
}

static void guest_write_page(u64 page, u64 pass)
{
	WRITE_ONCE(*guest_word(page, false), value_of(page, pass));
	WRITE_ONCE(*guest_word(page, true), value_of(page, pass));
}

static void guest_code(u64 index)
{
	const u64 first = index * MEM_PAGES_PER_VCPU;
	const u64 end = first + MEM_PAGES_PER_VCPU;
	u64 page, pass = 0;

	td_accept_pages(MEM_GPA + first * PAGE_SIZE, MEM_PAGES_PER_VCPU);
	for (page = first; page < end; page++)
		guest_write_page(page, pass);

	while (!READ_ONCE(shared->stop)) {
		pass++;
		for (page = first; page < end; page++) {
			guest_check_page(page, pass - 1);
			guest_write_page(page, pass);
		}
		__GUEST_ASSERT(shared->passes[index] == pass - 1, "Pass %lu after pass %lu",
			       pass, shared->passes[index]);
		WRITE_ONCE(shared->passes[index], pass);
	}

	for (page = first; page < end; page++)
		guest_check_page(page, pass);
	GUEST_DONE();
}

/* -------------------------------------------------------------------- vCPUs */

struct runner {
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	bool done;
};

static struct runner runners[NR_VCPUS];

static void *run_vcpu(void *arg)
{
	struct runner *r = arg;
	struct kvm_vcpu *vcpu = r->vcpu;
	struct ucall uc;

	while (!r->done) {
		if (__vcpu_run(vcpu)) {
			TEST_ASSERT(errno == EINTR,
				    "KVM_RUN of vCPU %u failed, errno %d (%s), exit %s, GPA 0x%llx",
				    vcpu->id, errno, strerror(errno),
				    exit_reason_str(vcpu->run->exit_reason),
				    vcpu->run->memory_fault.gpa);
			if (READ_ONCE(vcpu->run->immediate_exit))
				break;
			continue;
		}
		switch (get_ucall(vcpu, &uc)) {
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
			break;
		case UCALL_DONE:
			r->done = true;
			break;
		default:
			TEST_FAIL("Unexpected exit of vCPU %u: %s", vcpu->id,
				  exit_reason_str(vcpu->run->exit_reason));
		}
	}
	return NULL;
}

static void start_vcpus(struct kvm_vcpu *vcpus[])
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		vcpus[i]->run->immediate_exit = 0;
		runners[i].vcpu = vcpus[i];
		kvm_pthread_create(&runners[i].thread, NULL, run_vcpu, &runners[i]);
	}
}

/* Wherever they are. */
static void stop_vcpus(void)
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		WRITE_ONCE(runners[i].vcpu->run->immediate_exit, 1);
		pthread_kill(runners[i].thread, SIGUSR1);
	}
	for (i = 0; i < NR_VCPUS; i++)
		kvm_pthread_join(runners[i].thread, NULL);
}

static void wait_for_passes(struct shared *s, u64 nr)
{
	u64 start[NR_VCPUS];
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		start[i] = READ_ONCE(s->passes[i]);
	for (i = 0; i < NR_VCPUS; i++) {
		while (READ_ONCE(s->passes[i]) < start[i] + nr)
			usleep(1000);
	}
}

/* --------------------------------------------------------------- migrations */

/* What all migrations together have done. */
struct totals {
	u64 sessions;
	u64 aborts;
	u64 rounds;
	u64 bundles;
	u64 pages;
	u64 refused;
	u64 unblocks;
	u64 resumes;
	u64 retries;
};

static struct totals totals;
static u64 random_state;

/* 1 to @max */
static u64 random_up_to(u64 max)
{
	return 1 + td_random(&random_state) % max;
}

static struct kvm_vm *create_td(struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_VCPUS, MEM_PAGES,
					guest_code, vcpus);
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	int i;

	write_guest_global(vm, shared, (struct shared *)gva);
	shared = addr_gva2hva(vm, gva);

	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	return vm;
}

static void randomize_interrupts(void)
{
	if (td_sim_is_present())
		td_sim_interrupt_every(random_up_to(MAX_INTERRUPT_EVERY));
}

/* Use some of the streams. */
static void begin_session(struct td_mig_parallel *p, struct td_mig *m,
			  struct td_mig_dest *d)
{
	m->nr_streams = random_up_to(TD_MIG_MAX_STREAMS);
	td_mig_parallel_init(p, m, d, td_random(&random_state));
	td_mig_parallel_begin(p);
}

static void send_rounds(struct td_mig_parallel *p, u64 nr)
{
	while (nr--) {
		randomize_interrupts();
		totals.refused += td_mig_parallel_round(p);
		totals.rounds++;
	}
}

static void count_session(struct td_mig_parallel *p)
{
	int i;

	totals.sessions++;
	totals.pages += td_mig_parallel_nr_exported(p);
	for (i = 0; i < p->m->nr_streams; i++)
		totals.bundles += p->pipes[i].nr_bundles;
}

static void count_vm(struct kvm_vm *vm)
{
	totals.unblocks += vm_get_stat(vm, tdx_mig_unblockw);
	totals.resumes += vm_get_stat(vm, tdx_mig_resumes);
	totals.retries += vm_get_stat(vm, tdx_mig_retries);
}

/* A session that comes to nothing, with the TD running all the time or paused. */
static void migrate_in_vain(struct td_mig *m)
{
	struct td_mig_parallel p;
	struct td_mig_dest d;

	td_mig_dest_create(&d, m);
	begin_session(&p, m, &d);
	send_rounds(&p, random_up_to(MAX_ROUNDS));
	td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	count_session(&p);
	totals.aborts++;

	m->nr_streams = TD_MIG_MAX_STREAMS;
	td_mig_dest_free(&d);
	while (m->nr_bundles)
		td_mig_bundle_free(&m->bundles[--m->nr_bundles]);
	td_mig_exchange_keys(m);
}

/* The destination is the source of the next migration. */
static void take_over(struct td_mig *m, struct td_mig_dest *d)
{
	struct userspace_mem_regions *from = &m->src->regions, *to = &d->vm->regions;
	struct userspace_mem_region *region;
	struct hlist_node *node;
	int i = 0, ctr;

	/* In the order in which the destination got its own. */
	hash_for_each(from->slot_hash, ctr, region, slot_node) {
		kvm_free_fd(region->region.guest_memfd);
		region->region.guest_memfd = d->gmem_fds[i++];
		region->region.flags = KVM_MEM_GUEST_MEMFD;
	}
	TEST_ASSERT_EQ(i, d->nr_gmem_fds);

	hash_for_each_safe(from->slot_hash, ctr, node, region, slot_node) {
		hash_del(&region->slot_node);
		hash_add(to->slot_hash, &region->slot_node, region->region.slot);
	}
	to->gpa_tree = from->gpa_tree;
	to->hva_tree = from->hva_tree;
	from->gpa_tree = RB_ROOT;
	from->hva_tree = RB_ROOT;

	for (i = 0; i < d->nr_streams; i++)
		td_mig_stream_close(&d->streams[i]);
	kvm_vm_free(m->src);
}

/* On a machine without the platform, who would not give them back is TDX. */
static void check_leaks(void)
{
	char line[512];
	int nr = 0;
	FILE *f = fopen(SIM_TDS, "r");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		nr++;
	fclose(f);
	TEST_ASSERT(nr == NR_TDS, "%d TDs exist after a migration", nr);
}

static struct kvm_vm *migrate(struct kvm_vm *vm, struct kvm_vcpu *vcpus[])
{
	static struct td_mig m;
	static struct td_mig_parallel p;
	struct td_mig_dest d;

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_mig_enable_log(vm);

	/* A TD keeps its stream contexts, so the destination needs as many. */
	td_mig_init(&m, vm, vcpus, NR_VCPUS, TD_MIG_MAX_STREAMS);
	m.nr_entries = random_up_to(TDX_MIG_BUF_LIST_PAGES_MAX);
	if (random_up_to(ABORT_ONE_OF) == 1)
		migrate_in_vain(&m);

	td_mig_dest_create(&d, &m);
	begin_session(&p, &m, &d);
	send_rounds(&p, random_up_to(MAX_ROUNDS));

	stop_vcpus();
	randomize_interrupts();
	td_mig_parallel_end(&p);
	count_session(&p);
	count_vm(vm);
	count_vm(d.vm);

	m.nr_streams = TD_MIG_MAX_STREAMS;
	td_mig_free(&m);
	take_over(&m, &d);
	check_leaks();
	memcpy(vcpus, d.vcpus, NR_VCPUS * sizeof(*vcpus));
	start_vcpus(vcpus);
	return d.vm;
}

static void ignore_signal(int sig)
{
}

static void print_help(const char *name)
{
	printf("usage: %s [-n MIGRATIONS] [-s SEED]\n", name);
	exit(KSFT_FAIL);
}

int main(int argc, char *argv[])
{
	const struct sigaction sa = { .sa_handler = ignore_signal };
	u64 i, nr_migrations = NR_MIGRATIONS, seed = 0;
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm;
	struct shared *s;
	int opt;

	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	while ((opt = getopt(argc, argv, "n:s:")) != -1) {
		if (opt == 'n')
			nr_migrations = strtoull(optarg, NULL, 0);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else
			print_help(argv[0]);
	}
	/* 0 is not the start of any sequence. */
	while (!seed)
		TEST_ASSERT_EQ(getrandom(&seed, sizeof(seed), 0), sizeof(seed));

	ksft_print_header();
	ksft_set_plan(1);
	ksft_print_msg("%lu migrations, seed 0x%lx\n", nr_migrations, seed);
	random_state = seed;
	sigaction(SIGUSR1, &sa, NULL);

	vm = create_td(vcpus);
	s = shared;
	start_vcpus(vcpus);
	wait_for_passes(s, 1);
	for (i = 1; i <= nr_migrations; i++) {
		vm = migrate(vm, vcpus);
		wait_for_passes(s, NR_CHECK_PASSES);
		ksft_print_msg("migration %lu, passes %lu and %lu\n", i, s->passes[0],
			       s->passes[1]);
	}

	WRITE_ONCE(s->stop, 1);
	for (i = 0; i < NR_VCPUS; i++) {
		kvm_pthread_join(runners[i].thread, NULL);
		TEST_ASSERT(runners[i].done, "vCPU %lu has not come to its end", i);
	}
	if (td_sim_is_present())
		td_sim_interrupt_every(0);
	kvm_vm_free(vm);

	ksft_print_msg("%lu sessions, %lu aborted, %lu rounds\n", totals.sessions,
		       totals.aborts, totals.rounds);
	ksft_print_msg("%lu bundles, %lu pages, %lu refused\n", totals.bundles, totals.pages,
		       totals.refused);
	ksft_print_msg("%lu writes to sent pages, %lu interruptions, %lu retries\n",
		       totals.unblocks, totals.resumes, totals.retries);
	TEST_ASSERT(totals.pages > nr_migrations * MEM_PAGES, "%lu pages sent", totals.pages);
	TEST_ASSERT(totals.unblocks, "The guest did not write while it was migrated");
	TEST_ASSERT(!td_sim_is_present() || totals.resumes, "Nothing was interrupted");
	ksft_test_result_pass("memory_survives_%lu_migrations\n", nr_migrations);
	ksft_finished();
}
