// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures beside their limits, and the accounts that the software TDX platform
 * keeps of its calls.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_bench.h"

#define SIM_DIR	"/sys/kernel/debug/tdx_sim/"

void td_series_add(struct td_series *s, double v)
{
	/* The program is loaded into each TD, where there is no room for samples. */
	s->v = realloc(s->v, (s->nr + 1) * sizeof(*s->v));
	TEST_ASSERT(s->v, "Insufficient Memory");
	s->v[s->nr++] = v;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double td_series_median(struct td_series *s)
{
	TEST_ASSERT(s->nr, "Nothing was measured");
	qsort(s->v, s->nr, sizeof(s->v[0]), compare);
	return (s->v[(s->nr - 1) / 2] + s->v[s->nr / 2]) / 2;
}

double td_series_mean(struct td_series *s)
{
	double sum = 0;
	int i;

	TEST_ASSERT(s->nr, "Nothing was measured");
	for (i = 0; i < s->nr; i++)
		sum += s->v[i];
	return sum / s->nr;
}

double td_series_tenth(struct td_series *s)
{
	TEST_ASSERT(s->nr, "Nothing was measured");
	qsort(s->v, s->nr, sizeof(s->v[0]), compare);
	return s->v[(s->nr - 1) / 10];
}

static const char *verdict(const struct td_figure *f, double v)
{
	if (f->kind == TD_NO_LIMIT)
		return "";
	return v <= f->limit ? "reached" : "MISSED";
}

void td_figure_print_header(void)
{
	printf("%-48s %8s %-5s %-19s %3s %8s\n", "", "measured", "", "spread", "n", "limit");
}

void td_figure_print(struct td_figure *f)
{
	double v = td_series_median(&f->s);
	char limit[16] = "", spread[32];

	snprintf(spread, sizeof(spread), "%.5g..%.5g", f->s.v[0], f->s.v[f->s.nr - 1]);
	if (f->kind != TD_NO_LIMIT)
		snprintf(limit, sizeof(limit), "<= %.4g", f->limit);
	printf("%-48s %8.4g %-5s %-19s %3d %8s  %s\n", f->what, v, f->unit, spread, f->s.nr,
	       limit, verdict(f, v));
}

static void *run_job(void *arg)
{
	struct td_job *job = arg;

	pin_self_to_cpu(job->cpu);
	__atomic_sub_fetch(job->missing, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(job->missing, __ATOMIC_SEQ_CST))
		cpu_relax();

	job->fn(job->arg);
	return NULL;
}

void td_run_jobs(struct td_job *jobs, int nr)
{
	int missing = nr, i;

	for (i = 0; i < nr; i++) {
		jobs[i].missing = &missing;
		kvm_pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]);
	}
	for (i = 0; i < nr; i++)
		kvm_pthread_join(jobs[i].thread, NULL);
}

bool td_sim_has_accounts(void)
{
	return !access(SIM_DIR "leaf_cycles", R_OK);
}

FILE *td_sim_open(const char *name, const char *mode)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), SIM_DIR "%s", name);
	f = fopen(path, mode);
	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	return f;
}

void td_sim_read_calls(struct td_sim_calls *c)
{
	FILE *f = td_sim_open("leaf_cycles", "r");
	u64 calls, interrupted, irqs_off, cycles;
	unsigned int leaf;

	memset(c, 0, sizeof(*c));
	while (fscanf(f, "host %u calls=%lu interrupted=%lu irqs_off=%lu cycles=%lu\n", &leaf,
		      &calls, &interrupted, &irqs_off, &cycles) == 5) {
		TEST_ASSERT(leaf < TD_SIM_NR_LEAVES, "Leaf %u", leaf);
		c->calls[leaf] = calls;
		c->interrupted[leaf] = interrupted;
		c->irqs_off[leaf] = irqs_off;
		c->cycles[leaf] = cycles;
	}
	fclose(f);
}

u64 td_sim_calls_since(const struct td_sim_calls *before, int leaf)
{
	struct td_sim_calls now;

	td_sim_read_calls(&now);
	return now.calls[leaf] - before->calls[leaf] -
	       (now.interrupted[leaf] - before->interrupted[leaf]);
}

u64 td_sim_interrupted_since(const struct td_sim_calls *before)
{
	struct td_sim_calls now;
	u64 sum = 0;
	int i;

	td_sim_read_calls(&now);
	for (i = 0; i < TD_SIM_NR_LEAVES; i++)
		sum += now.interrupted[i] - before->interrupted[i];
	return sum;
}

void td_sim_read_trap(struct td_sim_trap *trap)
{
	FILE *f = td_sim_open("trap_cycles", "r");

	TEST_ASSERT(fscanf(f, "%lu %lu", &trap->irqs_on, &trap->irqs_off) == 2,
		    "The cost of a trap is unknown");
	fclose(f);
}

u64 td_sim_cycles_between(const struct td_sim_calls *before, const struct td_sim_calls *after,
			  const struct td_sim_trap *trap)
{
	u64 cycles = 0, calls = 0, irqs_off = 0;
	int i;

	for (i = 0; i < TD_SIM_NR_LEAVES; i++) {
		calls += after->calls[i] - before->calls[i];
		irqs_off += after->irqs_off[i] - before->irqs_off[i];
		cycles += after->cycles[i] - before->cycles[i];
	}
	return cycles + (calls - irqs_off) * trap->irqs_on + irqs_off * trap->irqs_off;
}

void td_sim_set_null_cipher(bool on)
{
	FILE *f = td_sim_open("null_cipher", "w");

	fprintf(f, "%d", on);
	TEST_ASSERT(!fclose(f), "Cannot change the cipher, errno %d (%s)", errno,
		    strerror(errno));
}

static u64 meminfo_kib(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128], format[32];
	u64 kib = 0;

	TEST_ASSERT(f, "Cannot read /proc/meminfo");
	snprintf(format, sizeof(format), "%s: %%lu", key);
	while (fgets(line, sizeof(line), f) && sscanf(line, format, &kib) != 1)
		;
	fclose(f);
	return kib;
}

static void write_sysctl(const char *path)
{
	FILE *f = fopen(path, "w");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	fprintf(f, "1");
	fclose(f);
}

/* Free pages that the lists of the CPUs hold. */
static u64 pcp_pages(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[128];
	u64 nr, sum = 0;

	TEST_ASSERT(f, "Cannot read /proc/zoneinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " count: %lu", &nr) == 1)
			sum += nr;
	}
	fclose(f);
	return sum;
}

double td_used_kib(void)
{
	/* Counters lag behind. */
	write_sysctl("/proc/sys/vm/stat_refresh");
	return (double)meminfo_kib("MemTotal") - meminfo_kib("MemFree") -
	       pcp_pages() * PAGE_SIZE / 1024 - meminfo_kib("PageTables");
}

u64 td_page_frame(const void *page)
{
	u64 entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	TEST_ASSERT(fd >= 0 && pread(fd, &entry, sizeof(entry),
				     (u64)page / PAGE_SIZE * sizeof(entry)) == sizeof(entry),
		    "Cannot read the page map, errno %d", errno);
	close(fd);
	TEST_ASSERT(entry & BIT_ULL(63), "The buffer is not mapped");
	return entry & GENMASK_ULL(54, 0);
}
