// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much more two streams of a TD carry than one: the sum of the rates of both
 * while both are at work, compared with the rate of each alone.
 *
 * Each stream has a thread and a CPU of its own, which moves one bundle after the
 * other, and does not wait for the other stream.  What counts is the time of the
 * commands, without that of moving a bundle, in which a stream leaves the other one
 * alone.
 *
 * It is measured twice: with AES, and with the null cipher of the software TDX
 * platform, with which KVM and its locks weigh more.  Beside it is what two CPUs gain
 * that only copy memory of their own.
 *
 * An emulator's CPUs take half as long again for seconds on end, so a stream's rate is
 * that of its fastest tenth.  A lock that nearly every command waits for lowers it.  One
 * that only half of them wait for lowers the mean, which also depends on how fast the
 * CPUs have been, and so has a limit of its own.  There is none with the null cipher, with
 * which many commands run while the other stream moves its bundle.
 */
#include <getopt.h>
#include <linux/bitops.h>
#include <linux/sizes.h>
#include <sys/sysinfo.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_bench.h"
#include "tdx_mig_util.h"

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			BIT_ULL(30)
#define BATCH			((u64)TDX_MIG_BUF_LIST_PAGES_MAX)
#define NR_STREAMS		2
/* Bundles of a stream that are measured together. */
#define RUN			8
/* How much two streams gain at least, by their fastest tenth and by the mean. */
#define MIN_TENTH		1.9
#define MIN_MEAN		1.7
/* Pages per group: those of each stream alone, and those of all at once. */
#define GROUP			(2 * NR_STREAMS * RUN * BATCH)

enum { EXPORT, IMPORT, COPIES, NR_ROWS };

/* The times of each worker alone, and of all of them at once. */
struct row {
	const char *what;
	bool has_limit;
	struct td_series alone[NR_STREAMS];
	struct td_series together[NR_STREAMS];
};

static struct row aes_rows[NR_ROWS] = {
	[EXPORT] = { "export over 2 streams on 2 CPUs / over 1", true },
	[IMPORT] = { "import over 2 streams on 2 CPUs / over 1", true },
	[COPIES] = { "copies of 2 MiB on 2 CPUs / on 1" },
};

static struct row null_rows[NR_ROWS] = {
	[EXPORT] = { "the same export, null cipher" },
	[IMPORT] = { "the same import, null cipher" },
	[COPIES] = { "the same copies" },
};

/* A bundle on its way. */
struct wire {
	struct tdx_mig_mbmd mbmd;
	u64 gpa_list[BATCH];
	u8 mac_list[BATCH * TD_MIG_MAC_SIZE];
	u8 pages[BATCH * PAGE_SIZE];
};

/* A stream at its work, on a CPU of its own. */
struct worker {
	struct td_mig_stream *src;
	struct td_mig_stream *dst;
	struct wire *wires;
	u64 first_page;
	/* Set by the first to finish: the others no longer have company. */
	bool *over;
	struct td_series *cycles;
};

static u64 nr_guest_pages;

static void guest_code(void)
{
	td_accept_pages(MEM_GPA, nr_guest_pages);
	GUEST_SYNC(1);
}

/* Returns the cycles that it takes. */
static u64 run_cmd(struct td_mig_stream *s, u32 id)
{
	u64 hw_error, nr = BATCH, start = rdtsc();
	int ret = __td_mig_cmd_nr(s, id, &nr, &hw_error);

	start = rdtsc() - start;
	TEST_ASSERT(!ret, "Command %u failed, errno %d (%s), hw_error 0x%lx", id, errno,
		    strerror(errno), hw_error);
	TEST_ASSERT_EQ(nr, BATCH);
	return start;
}

static void count(struct worker *w, int n, u64 cycles)
{
	/* The first one has begun in company, however long it has taken. */
	if (!n || !READ_ONCE(*w->over))
		td_series_add(w->cycles, cycles);
	if (n == RUN - 1)
		WRITE_ONCE(*w->over, true);
}

static void export(void *worker)
{
	struct worker *w = worker;
	u64 gpa = MEM_GPA + w->first_page * PAGE_SIZE;
	int i, n;

	for (n = 0; n < RUN; n++) {
		struct wire *wire = &w->wires[n];

		for (i = 0; i < BATCH; i++, gpa += PAGE_SIZE)
			w->src->gpa_list[i] = td_gpa_entry(gpa, TDX_MIG_GPA_OP_MIGRATE);
		count(w, n, run_cmd(w->src, KVM_TDX_MIG_EXPORT_MEM));
		wire->mbmd = *w->src->mbmd;
		memcpy(wire->gpa_list, w->src->gpa_list, sizeof(wire->gpa_list));
		memcpy(wire->mac_list, w->src->mac_list, sizeof(wire->mac_list));
		memcpy(wire->pages, w->src->buf, sizeof(wire->pages));
	}
}

static void import(void *worker)
{
	struct worker *w = worker;
	int n;

	for (n = 0; n < RUN; n++) {
		struct wire *wire = &w->wires[n];

		*w->dst->mbmd = wire->mbmd;
		memcpy(w->dst->gpa_list, wire->gpa_list, sizeof(wire->gpa_list));
		memcpy(w->dst->mac_list, wire->mac_list, sizeof(wire->mac_list));
		memcpy(w->dst->buf, wire->pages, sizeof(wire->pages));
		count(w, n, run_cmd(w->dst, KVM_TDX_MIG_IMPORT_MEM));
	}
}

/* From the next wire to this one. */
static void copy(void *worker)
{
	struct worker *w = worker;
	u64 start;
	int n;

	for (n = 0; n < RUN; n++) {
		start = rdtsc();
		memcpy(w->wires[n].pages, w->wires[(n + 1) % RUN].pages, BATCH * PAGE_SIZE);
		count(w, n, rdtsc() - start);
	}
}

/* Let @nr workers do the same at once. */
static void run(struct worker *workers, int first, int nr, void (*fn)(void *worker),
		struct td_series *cycles)
{
	struct td_job jobs[NR_STREAMS] = {};
	bool over = false;
	int i;

	for (i = 0; i < nr; i++) {
		workers[first + i].over = &over;
		workers[first + i].cycles = &cycles[first + i];
		jobs[i] = (struct td_job) {
			.fn = fn,
			.arg = &workers[first + i],
			/* CPU 0 has other things to do. */
			.cpu = first + i + 1,
		};
	}
	td_run_jobs(jobs, nr);
}

/* @page is the first of those of all workers; each has RUN bundles. */
static void send(struct worker *workers, int first, int nr, u64 page,
		 struct td_series *cycles[NR_ROWS])
{
	int i;

	for (i = 0; i < nr; i++)
		workers[first + i].first_page = page + i * RUN * BATCH;
	run(workers, first, nr, export, cycles[EXPORT]);
	run(workers, first, nr, import, cycles[IMPORT]);
	run(workers, first, nr, copy, cycles[COPIES]);
}

static void send_alone(struct worker *workers, u64 page, struct row *rows)
{
	struct td_series *cycles[NR_ROWS];
	int i;

	for (i = 0; i < NR_ROWS; i++)
		cycles[i] = rows[i].alone;
	for (i = 0; i < NR_STREAMS; i++)
		send(workers, i, 1, page + i * RUN * BATCH, cycles);
}

static void send_together(struct worker *workers, u64 page, struct row *rows)
{
	struct td_series *cycles[NR_ROWS];
	int i;

	for (i = 0; i < NR_ROWS; i++)
		cycles[i] = rows[i].together;
	send(workers, 0, NR_STREAMS, page, cycles);
}

/* What is compared is measured in a row, as the speed of CPUs varies. */
static void measure_group(struct worker *workers, u64 page, struct row *rows, bool alone_first)
{
	if (alone_first) {
		send_alone(workers, page, rows);
		send_together(workers, page + GROUP / 2, rows);
	} else {
		send_together(workers, page, rows);
		send_alone(workers, page + GROUP / 2, rows);
	}
}

static void measure_session(struct kvm_vm *vm, struct kvm_vcpu *vcpu, struct worker *workers,
			    u64 nr_pages, struct row *rows, bool alone_first)
{
	unsigned long *bitmap = calloc(BITS_TO_LONGS(nr_pages), sizeof(*bitmap));
	struct td_mig_dest d;
	struct td_mig m;
	u64 page;
	int i;

	TEST_ASSERT(bitmap, "Insufficient Memory");
	td_mig_init(&m, vm, &vcpu, 1, NR_STREAMS);
	td_mig_dest_create(&d, &m);
	td_mig_export_immutable(&m);
	td_mig_import(&d, &m, 0, 0);
	kvm_vm_get_dirty_log(vm, MEM_SLOT, bitmap);
	kvm_vm_clear_dirty_log(vm, MEM_SLOT, bitmap, 0, nr_pages);
	free(bitmap);

	for (i = 0; i < NR_STREAMS; i++) {
		workers[i].src = &m.streams[i];
		workers[i].dst = &d.streams[i];
	}
	for (page = 0; page < nr_pages; page += GROUP)
		measure_group(workers, page, rows, alone_first);

	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	td_mig_dest_free(&d);
}

static struct kvm_vm *create_td(struct kvm_vcpu **vcpu, u64 nr_pages)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, nr_pages, guest_code, vcpu);
	struct kvm_userspace_memory_region2 region;

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, nr_pages);
	write_guest_global(vm, nr_guest_pages, nr_pages);
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);

	region = memslot2region(vm, MEM_SLOT)->region;
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
	return vm;
}

static double gain(struct row *r, double (*of)(struct td_series *s))
{
	double sum = 0;
	int i;

	for (i = 0; i < NR_STREAMS; i++)
		sum += of(&r->alone[i]) / of(&r->together[i]);
	return sum;
}

static void print_gain(double v, double min, bool has_limit)
{
	printf(" %6.3f x", v);
	if (has_limit)
		printf(" >= %.4g %s", min, v >= min ? "reached" : "MISSED ");
	else
		printf("%15s", "");
}

static void print_rows(struct row *rows)
{
	int i, alone, together;
	struct row *r;

	for (r = rows; r < rows + NR_ROWS; r++) {
		alone = 0;
		together = 0;
		for (i = 0; i < NR_STREAMS; i++) {
			alone += r->alone[i].nr;
			together += r->together[i].nr;
		}
		printf("%-40s", r->what);
		print_gain(gain(r, td_series_tenth), MIN_TENTH, r->has_limit);
		print_gain(gain(r, td_series_mean), MIN_MEAN, r->has_limit);
		printf(" %5d %7d\n", alone, together);
	}
}

static void help(const char *name)
{
	printf("usage: %s [-m MiB] [-r repetitions]\n", name);
	exit(1);
}

int main(int argc, char *argv[])
{
	u64 mib = 64, repetitions = 24, nr_pages, i;
	struct worker workers[NR_STREAMS] = {};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	int opt;

	while ((opt = getopt(argc, argv, "m:r:")) != -1) {
		if (opt == 'm')
			mib = atoi_positive("MiB", optarg);
		else if (opt == 'r')
			repetitions = atoi_positive("repetitions", optarg);
		else
			help(argv[0]);
	}
	nr_pages = mib * SZ_1M / PAGE_SIZE;
	TEST_ASSERT(!(nr_pages % GROUP), "%lu MiB is no multiple of %lu", mib,
		    (u64)(GROUP * PAGE_SIZE / SZ_1M));

	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(get_nprocs() > NR_STREAMS);

	for (i = 0; i < NR_STREAMS; i++) {
		workers[i].wires = calloc(RUN, sizeof(*workers[i].wires));
		TEST_ASSERT(workers[i].wires, "Insufficient Memory");
	}
	vm = create_td(&vcpu, nr_pages);

	for (i = 0; i < repetitions; i++) {
		printf("repetition %lu of %lu\n", i + 1, repetitions);
		fflush(stdout);
		measure_session(vm, vcpu, workers, nr_pages, aes_rows, !(i % 2));
		td_sim_set_null_cipher(true);
		measure_session(vm, vcpu, workers, nr_pages, null_rows, !(i % 2));
		td_sim_set_null_cipher(false);
	}

	printf("\nWhat two streams of a TD of %lu MiB gain.\n\n", mib);
	printf("%-40s  %-22s  %-22s %5s %7s\n", "", "fastest tenth of calls", "mean of calls",
	       "alone", "at once");
	print_rows(aes_rows);
	print_rows(null_rows);

	kvm_vm_free(vm);
	for (i = 0; i < NR_STREAMS; i++)
		free(workers[i].wires);
	return 0;
}
