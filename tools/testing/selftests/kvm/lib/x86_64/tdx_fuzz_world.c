// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise for the interface of TD migration: a program is carried out, and what has to hold
 * whatever it does.
 *
 * Each operation fails with an errno that is documented for it.  The source gets out of a
 * session until it has sent the start token, and its guest finds all its memory, unless
 * the program has taken some.  A guest that arrives never finds wrong content.
 */
#include <signal.h>

#include "processor.h"
#include "tdx_fuzz_world.h"
#include "tdx_migtd.h"

/* A guest that does not do what it is told in as many asks for a conversion in vain. */
#define MAX_EXITS	200

struct td_fuzz_world td_fuzz_world;
static struct td_fuzz_world *const world = &td_fuzz_world;

/* ------------------------------------------------------------------ verdicts */

/* NULL before and after the program. */
static __thread const struct td_fuzz_op *current_op;

static const char *what(void)
{
	static __thread char text[64];

	if (!current_op)
		return "The end";
	snprintf(text, sizeof(text), "Operation %ld, kind 0x%x",
		 current_op - world->prog->ops, current_op->kind);
	return text;
}

bool td_fuzz_check(int ret, u64 hw_error, const int *errnos)
{
	int err = errno, i;

	if (ret >= 0)
		return true;

	for (i = 0; errnos[i] && errnos[i] != err; i++)
		;
	TEST_ASSERT(errnos[i], "%s: errno %d (%s) is not documented, hw_error 0x%lx", what(), err,
		    strerror(err), hw_error);
	TEST_ASSERT(!hw_error || (err != EINVAL && err != EBUSY && err != ENXIO &&
				  err != ENOTTY && err != ENODATA),
		    "%s: errno %d (%s), but the TDX module was called: 0x%lx", what(), err,
		    strerror(err), hw_error);
	errno = err;
	return false;
}

void td_fuzz_done(void)
{
	if (current_op)
		__atomic_add_fetch(&world->nr_done[current_op->kind], 1, __ATOMIC_RELAXED);
}

/* --------------------------------------------------------------------- guest */

/* Pages that are missing are added empty after the end of an import. */
static bool may_find_anything(bool is_dst)
{
	if (world->nr_changes)
		return true;
	if (is_dst)
		return world->dst_harmed || !world->is_loaded || world->ended;
	return world->src_harmed;
}

static void complete_exit(struct kvm_vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	TD_FUZZ_CHECK(__vcpu_run(vcpu), 0, EINTR, EBUSY, EIO);
	vcpu->run->immediate_exit = 0;
}

/* Run until the guest has done @op. */
static enum td_fuzz_end run(struct kvm_vcpu *vcpu, u64 op)
{
	bool is_dst = vcpu == world->d.vcpus[0];
	struct kvm_run *run = vcpu->run;
	struct ucall uc;
	int exits;

	for (exits = 0; exits < MAX_EXITS; exits++) {
		if (!TD_FUZZ_CHECK(__vcpu_run(vcpu), 0, EINTR, EAGAIN, EBUSY, EFAULT, EIO,
				   EINVAL)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			TEST_ASSERT(errno != EFAULT ||
				    run->exit_reason == KVM_EXIT_MEMORY_FAULT,
				    "%s: KVM_RUN fails with EFAULT, exit reason %u", what(),
				    run->exit_reason);
			return TD_FUZZ_REFUSED;
		}

		switch (run->exit_reason) {
		case KVM_EXIT_HYPERCALL:
			if (is_dst)
				return TD_FUZZ_REFUSED;
			td_handle_map_gpa(vcpu);
			break;
		case KVM_EXIT_MMIO:
			switch (get_ucall(vcpu, &uc)) {
			case UCALL_SYNC:
				if (uc.args[1] == op)
					return TD_FUZZ_DONE;
				break;
			case UCALL_ABORT:
				TEST_ASSERT(may_find_anything(is_dst),
					    "%s: the guest at the %s finds: %s", what(),
					    is_dst ? "destination" : "source", uc.buffer);
				return TD_FUZZ_LOST;
			case UCALL_PRINTF:
				break;
			default:
				return TD_FUZZ_LOST;
			}
			break;
		default:
			return TD_FUZZ_LOST;
		}
	}
	/* Its TD can be paused, and what it asks for can wait. */
	if (run->exit_reason == KVM_EXIT_HYPERCALL)
		complete_exit(vcpu);
	return TD_FUZZ_REFUSED;
}

static enum td_fuzz_end run_source(void)
{
	struct td_worker_shared *shared = world->w.shared;
	enum td_fuzz_end end;

	/* It moves on from what is known of it. */
	world->has_state = false;
	/* Unless it has read that already. */
	shared->vcpu[0].op = world->op;
	shared->vcpu[0].first = world->first;
	shared->vcpu[0].nr = world->nr;
	end = run(world->w.vcpus[0], world->op);
	if (end == TD_FUZZ_DONE)
		world->is_busy = false;
	return end;
}

enum td_fuzz_end td_fuzz_tell(u64 op, u64 first, u64 nr, bool *told)
{
	enum td_fuzz_end end;

	if (world->is_busy) {
		end = run_source();
		if (end != TD_FUZZ_DONE)
			return end;
	}

	world->is_busy = true;
	world->op = op;
	world->first = first;
	world->nr = nr;
	if (told)
		*told = true;
	end = run_source();
	if (end == TD_FUZZ_DONE)
		td_fuzz_done();
	return end;
}

enum td_fuzz_end td_fuzz_run_dest(void)
{
	enum td_fuzz_end end;

	pthread_mutex_lock(&world->guest_lock);
	world->w.shared->vcpu[0].op = TD_WORKER_CHECK;
	end = run(world->d.vcpus[0], TD_WORKER_CHECK);
	if (end == TD_FUZZ_DONE)
		td_fuzz_done();
	pthread_mutex_unlock(&world->guest_lock);
	return end;
}

/* --------------------------------------------------------------------- world */

static void list_slots(void)
{
	struct userspace_mem_region *region;
	sparsebit_idx_t first, last;
	int ctr;

	hash_for_each(world->w.vm->regions.slot_hash, ctr, region, slot_node) {
		if (region->region.slot == TD_WORKER_SLOT ||
		    !sparsebit_any_set(region->protected_phy_pages))
			continue;
		sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
			for (; first <= last; first++) {
				TEST_ASSERT(world->nr_slot_pages < TD_FUZZ_MAX_SLOT_PAGES,
					    "The TD has too many pages");
				world->slot_list[world->nr_slot_pages++] =
					td_gpa_entry(first << world->w.vm->page_shift,
						     TDX_MIG_GPA_OP_MIGRATE);
			}
		}
	}
}

static void create(const struct td_fuzz_prog *p, struct td_fuzz_cover *cover, u64 *nr_done)
{
	u64 page;

	*world = (struct td_fuzz_world) {
		.guest_lock = PTHREAD_MUTEX_INITIALIZER,
		.bundle_lock = PTHREAD_MUTEX_INITIALIZER,
		.src_migtd = td_mig_src_migtd(),
		.prog = p,
		.cover = cover,
		.nr_done = nr_done,
	};

	td_worker_create(&world->w, 1);
	for (page = 0; page < TD_WORKER_NR_OLD; page++)
		world->is_accepted[page] = true;
	list_slots();
	td_mig_init(&world->m, world->w.vm, world->w.vcpus, 1, TD_FUZZ_NR_STREAMS);
	td_mig_dest_create(&world->d, &world->m);
}

/*
 * Get the TD back, as far as the program has left a way.  After the start token, it is
 * the destination that lets the source go on, unless it has taken the TD itself.
 */
static bool get_source_back(void)
{
	struct td_mig_stream *src = &world->m.streams[0], *dst = &world->d.streams[0];
	u64 hw_error = 0;
	int ret;

	ret = __td_mig_cmd_nr(src, KVM_TDX_MIG_EXPORT_ABORT, NULL, &hw_error);
	if (ret && errno == EBUSY)
		return true;
	if (ret && world->token_sent) {
		if (__td_mig_cmd_nr(dst, KVM_TDX_MIG_IMPORT_ABORT, NULL, NULL))
			return false;
		*src->mbmd = *dst->mbmd;
		ret = __td_mig_cmd_nr(src, KVM_TDX_MIG_EXPORT_ABORT, NULL, &hw_error);
		/* It may be the token of a session that was, or of one that was made up. */
		if (ret && world->has_lied)
			return false;
	}
	TEST_ASSERT(ret || !world->committed, "The source has a TD that the destination has, too");
	TEST_ASSERT(!ret, "EXPORT_ABORT: errno %d (%s), hw_error 0x%lx", errno, strerror(errno),
		    hw_error);
	return true;
}

static void settle(void)
{
	enum td_fuzz_end end;

	if (!world->src_harmed && get_source_back()) {
		pthread_mutex_lock(&world->guest_lock);
		end = td_fuzz_tell(TD_WORKER_CHECK, 0, 0, NULL);
		pthread_mutex_unlock(&world->guest_lock);
		TEST_ASSERT(end == TD_FUZZ_DONE, "The guest does not run on, %d, exit reason %u",
			    end, world->w.vcpus[0]->run->exit_reason);
	}

	/* Pages may be missing, but what is there is right. */
	if (world->committed)
		td_fuzz_run_dest();
}

static void destroy(void)
{
	td_mig_dest_free(&world->d);
	td_mig_free(&world->m);
	td_worker_free(&world->w);
}

/* ------------------------------------------------------------------- threads */

static void on_signal(int sig)
{
}

static void *do_thread(void *arg)
{
	const struct td_fuzz_prog *p = world->prog;
	u64 thread = (u64)arg, i, before = 0;

	/* They send signals to each other. */
	while (!world->are_there)
		sched_yield();

	td_fuzz_cover_begin();
	for (i = 0; i < p->nr; i++) {
		if (p->ops[i].thread != thread) {
			if (!p->ops[i].thread)
				before = i + 1;
			continue;
		}
		if (!thread)
			world->begun = i + 1;
		while (world->begun < before)
			sched_yield();
		current_op = &p->ops[i];
		td_fuzz_do(current_op);
		td_fuzz_cover_drain(world->cover);
	}
	current_op = NULL;
	/* What comes after the last one of this thread. */
	if (!thread)
		world->begun = p->nr;
	td_fuzz_cover_end(world->cover);
	/* Others may still send it a signal. */
	pthread_barrier_wait(&world->all_done);
	return NULL;
}

void td_fuzz_run(const struct td_fuzz_prog *p, struct td_fuzz_cover *cover,
		 u64 nr_done[TD_FUZZ_NR_KINDS])
{
	struct sigaction action = { .sa_handler = on_signal };
	u64 i;

	TEST_ASSERT(!sigaction(SIGUSR1, &action, NULL), "sigaction() failed");
	create(p, cover, nr_done);
	pthread_barrier_init(&world->all_done, NULL, TD_FUZZ_NR_THREADS);
	for (i = 0; i < TD_FUZZ_NR_THREADS; i++)
		kvm_pthread_create(&world->threads[i], NULL, do_thread, (void *)i);
	world->are_there = true;
	for (i = 0; i < TD_FUZZ_NR_THREADS; i++)
		kvm_pthread_join(world->threads[i], NULL);
	settle();
	destroy();
}
