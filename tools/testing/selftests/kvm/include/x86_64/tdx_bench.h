/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Figures beside their limits, and the accounts that the software TDX platform
 * keeps of its calls.
 */
#ifndef SELFTEST_KVM_TDX_BENCH_H
#define SELFTEST_KVM_TDX_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "kvm_util.h"

#define TD_SIM_NR_LEAVES	128

struct td_series {
	double *v;
	int nr;
};

enum td_limit { TD_AT_MOST, TD_NO_LIMIT };

struct td_figure {
	const char *what;
	const char *unit;
	enum td_limit kind;
	double limit;
	struct td_series s;
};

void td_series_add(struct td_series *s, double v);
/* Sorts @s. */
double td_series_median(struct td_series *s);
double td_series_mean(struct td_series *s);
/* What a tenth of the values do not exceed.  Sorts @s. */
double td_series_tenth(struct td_series *s);

void td_figure_print_header(void);
/* Median, least and greatest value, the limit, and whether it is reached. */
void td_figure_print(struct td_figure *f);

/* What a thread does on a CPU of its own. */
struct td_job {
	void (*fn)(void *arg);
	void *arg;
	int cpu;
	/* Of td_run_jobs(). */
	pthread_t thread;
	int *missing;
};

/* They begin at the same time. */
void td_run_jobs(struct td_job *jobs, int nr);

/* Memory in use, apart from the page tables of this process. */
double td_used_kib(void);
/* The PFN of a page that this process has mapped. */
u64 td_page_frame(const void *page);

/* Calls of each leaf since boot, and the TSC cycles that they took. */
struct td_sim_calls {
	u64 calls[TD_SIM_NR_LEAVES];
	u64 interrupted[TD_SIM_NR_LEAVES];
	u64 irqs_off[TD_SIM_NR_LEAVES];
	u64 cycles[TD_SIM_NR_LEAVES];
};

bool td_sim_has_accounts(void);
FILE *td_sim_open(const char *name, const char *mode);
void td_sim_read_calls(struct td_sim_calls *c);
/* Calls of @leaf since @before, without those that resume one. */
u64 td_sim_calls_since(const struct td_sim_calls *before, int leaf);
/* Calls of any leaf since @before that were interrupted. */
u64 td_sim_interrupted_since(const struct td_sim_calls *before);
/* What a SEAMCALL takes on top of that: CPUs without TDX raise #UD. */
struct td_sim_trap {
	u64 irqs_on;
	u64 irqs_off;
};

void td_sim_read_trap(struct td_sim_trap *trap);
/* Cycles of all calls between @before and @after, with what their traps take. */
u64 td_sim_cycles_between(const struct td_sim_calls *before, const struct td_sim_calls *after,
			  const struct td_sim_trap *trap);
/* Bundles are copied instead of encrypted.  Not during a session. */
void td_sim_set_null_cipher(bool on);

#endif /* SELFTEST_KVM_TDX_BENCH_H */
