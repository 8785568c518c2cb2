// SPDX-License-Identifier: GPL-2.0
/*
 * Events and states that no call brings about: pending interrupts, scripted
 * entropy, locks of other processors, forced fields.
 */
#include "trace.h"

#define RANDOM_LEN	32

static bool run_pend_irq(struct trace_run *run, const struct trace_step *s)
{
	u64 n;

	if (!trace_eval(run, s->expr[0], &n))
		return false;
	if (!n || n > U16_MAX)
		return trace_bad(run, "no poll has number %llu", n);
	run->irq_at = n;
	return true;
}

static bool compile_rng(struct trace_step *s)
{
	return trace_hex_arg(s, 1, RANDOM_LEN);
}

static bool run_rng(struct trace_run *run, const struct trace_step *s)
{
	machine_script_random(s->bytes);
	return true;
}

struct lock_step {
	enum probe_lock_kind kind;
	bool backward;
	bool has_arg;
	enum sim_lock_mode mode;
};

static const struct {
	const char *name;
	enum probe_lock_kind kind;
	bool has_arg;
} lock_kinds[] = {
	{ "page", PROBE_LOCK_PAGE, false },
	{ "op_state", PROBE_LOCK_OP_STATE, false },
	{ "mig", PROBE_LOCK_MIG, false },
	{ "sept_tree", PROBE_LOCK_SEPT_TREE, false },
	{ "sept_entry", PROBE_LOCK_SEPT_ENTRY, true },
	{ "migsc", PROBE_LOCK_MIGSC, true },
};

/* KIND OBJ [ARG]; "migsc TD back" names the backward stream. */
static struct lock_step *compile_lock(struct trace_step *s, unsigned int nr_after)
{
	struct lock_step *l = trace_alloc(sizeof(*l));
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lock_kinds); i++) {
		if (!strcmp(lock_kinds[i].name, s->tokens[1]))
			break;
	}
	if (i == ARRAY_SIZE(lock_kinds)) {
		trace_error(s->line, "unknown lock %s", s->tokens[1]);
		return NULL;
	}
	l->kind = lock_kinds[i].kind;
	l->has_arg = lock_kinds[i].has_arg;
	if (s->nr_tokens != 3 + l->has_arg + nr_after) {
		trace_error(s->line, "wrong number of arguments for lock %s", s->tokens[1]);
		return NULL;
	}
	if (!trace_expr_arg(s, 2, 0))
		return NULL;
	if (l->has_arg && l->kind == PROBE_LOCK_MIGSC && !strcmp(s->tokens[3], "back"))
		l->backward = true;
	else if (l->has_arg && !trace_expr_arg(s, 3, 1))
		return NULL;
	s->spec = l;
	return l;
}

static bool compile_hold(struct trace_step *s)
{
	struct lock_step *l = compile_lock(s, 1);
	const char *mode = s->tokens[s->nr_tokens - 1];

	if (!l)
		return false;
	if (!strcmp(mode, "excl")) {
		l->mode = SIM_EXCL;
	} else if (!strcmp(mode, "shared")) {
		l->mode = SIM_SHARED;
	} else {
		trace_error(s->line, "unknown lock mode %s", mode);
		return false;
	}
	return true;
}

static bool compile_release(struct trace_step *s)
{
	return compile_lock(s, 0);
}

static bool eval_lock(struct trace_run *run, const struct trace_step *s, struct probe_lock *lock)
{
	const struct lock_step *l = s->spec;

	lock->kind = l->kind;
	lock->arg = PROBE_BACKWARD_STREAM;
	return trace_eval(run, s->expr[0], &lock->object) &&
	       (!s->expr[1] || trace_eval(run, s->expr[1], &lock->arg));
}

static bool run_hold(struct trace_run *run, const struct trace_step *s)
{
	const struct lock_step *l = s->spec;
	struct probe_lock lock;

	if (!eval_lock(run, s, &lock))
		return false;
	return probe_hold(&lock, l->mode) || trace_fail(run, "lock", "free", "held or missing");
}

static bool run_release(struct trace_run *run, const struct trace_step *s)
{
	struct probe_lock lock;

	if (!eval_lock(run, s, &lock))
		return false;
	return probe_release(&lock) || trace_fail(run, "lock", "held", "free or missing");
}

static bool compile_force(struct trace_step *s)
{
	if (!probe_field_exists(s->tokens[2])) {
		trace_error(s->line, "field %s cannot be forced", s->tokens[2]);
		return false;
	}
	return trace_expr_arg(s, 1, 0) && trace_expr_arg(s, 3, 1);
}

static bool run_force(struct trace_run *run, const struct trace_step *s)
{
	struct sim_td td;
	u64 tdr, v;

	if (!trace_eval(run, s->expr[0], &tdr) || !trace_eval(run, s->expr[1], &v))
		return false;
	if (!probe_td(tdr, &td) || !probe_force(&td, s->tokens[2], v))
		return trace_bad(run, "cannot force %s of %#llx", s->tokens[2], tdr);
	return true;
}

const struct trace_op trace_state_ops[] = {
	{ "pend_irq", 1, 1, false, trace_all_exprs, run_pend_irq },
	{ "rng", 1, 1, false, compile_rng, run_rng },
	{ "hold", 3, 4, false, compile_hold, run_hold },
	{ "release", 2, 3, false, compile_release, run_release },
	{ "force", 3, 3, false, compile_force, run_force },
	{ }
};
