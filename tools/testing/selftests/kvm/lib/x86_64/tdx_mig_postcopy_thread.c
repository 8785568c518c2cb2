// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of a post-copy migration in KVM selftests: those that run vCPUs and
 * fetch what these miss, and those that push pages in the background.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"

#define TD_POSTCOPY_MAX_BATCH	64U

static void *td_postcopy_runner_thread(void *arg)
{
	struct td_postcopy_runner *r = arg;

	td_postcopy_run_to_done(r->p, r->vcpu, r->stream);
	return NULL;
}

void td_postcopy_start_runners(struct td_postcopy *p, struct td_postcopy_runner runners[],
			       int nr_streams)
{
	int i;

	for (i = 0; i < p->m->nr_vcpus; i++) {
		runners[i] = (struct td_postcopy_runner) {
			.p = p,
			.vcpu = p->d->vcpus[i],
			.stream = i % nr_streams,
		};
		kvm_pthread_create(&runners[i].thread, NULL, td_postcopy_runner_thread,
				   &runners[i]);
	}
}

void td_postcopy_join_runners(struct td_postcopy *p, struct td_postcopy_runner runners[])
{
	int i;

	for (i = 0; i < p->m->nr_vcpus; i++)
		kvm_pthread_join(runners[i].thread, NULL);
}

static void *td_postcopy_pusher_thread(void *arg)
{
	struct td_postcopy_pusher *p = arg;
	u32 i, n;

	for (i = 0; i < p->nr; i += n) {
		n = kvm_random_u32_in_range(&p->rng, 1, min(p->nr - i, TD_POSTCOPY_MAX_BATCH));
		td_postcopy_move(p->p, p->stream, &p->gpas[i], n);
	}
	return NULL;
}

void td_postcopy_shuffle(gpa_t *gpas, u32 nr)
{
	gpa_t gpa;
	u32 i, j;

	for (i = nr - 1; i; i--) {
		j = kvm_random_u32_in_range(&kvm_rng, 0, i);
		gpa = gpas[i];
		gpas[i] = gpas[j];
		gpas[j] = gpa;
	}
}

void td_postcopy_start_pushers(struct td_postcopy *p, struct td_postcopy_pusher pushers[],
			       int nr_pushers, u32 first_stream, gpa_t *gpas, u32 nr)
{
	u32 share = DIV_ROUND_UP(nr, nr_pushers), first;
	int i;

	for (i = 0; i < nr_pushers; i++) {
		first = min(i * share, nr);
		pushers[i] = (struct td_postcopy_pusher) {
			.p = p,
			.stream = first_stream + i,
			.gpas = gpas + first,
			.nr = min(share, nr - first),
			.rng = new_kvm_random_state(kvm_random_seed + i),
		};
		kvm_pthread_create(&pushers[i].thread, NULL, td_postcopy_pusher_thread,
				   &pushers[i]);
	}
}

void td_postcopy_join_pushers(struct td_postcopy_pusher pushers[], int nr_pushers)
{
	int i;

	for (i = 0; i < nr_pushers; i++)
		kvm_pthread_join(pushers[i].thread, NULL);
}
