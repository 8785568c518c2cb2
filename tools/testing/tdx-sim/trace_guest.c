// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and stores of a guest, as the Secure EPT lets them through.
 */
#include "trace.h"

#define EPT_VIOLATION	"ept_violation"

/* guest_store TD gpa v => ok|ept_violation */
static bool compile_guest_store(struct trace_step *s)
{
	if (!trace_expr_arg(s, 1, 0) || !trace_expr_arg(s, 2, 1) || !trace_expr_arg(s, 3, 2) ||
	    !trace_expect_token(s, 4, "=>"))
		return false;
	return !strcmp(s->tokens[5], EPT_VIOLATION) || trace_expect_token(s, 5, "ok");
}

/* guest_load TD gpa => v|ept_violation */
static bool compile_guest_load(struct trace_step *s)
{
	if (!trace_expr_arg(s, 1, 0) || !trace_expr_arg(s, 2, 1) || !trace_expect_token(s, 3, "=>"))
		return false;
	return !strcmp(s->tokens[4], EPT_VIOLATION) || trace_expr_arg(s, 4, 2);
}

static bool translate(struct trace_run *run, const struct trace_step *s, bool write, u8 **p)
{
	struct probe_page page;
	struct sim_td td;
	u64 tdr, gpa;

	*p = NULL;
	if (!trace_eval(run, s->expr[0], &tdr) || !trace_eval(run, s->expr[1], &gpa))
		return false;
	if (!probe_td(tdr, &td))
		return trace_bad(run, "%#llx is no TD", tdr);
	if (!probe_translate(&td, gpa, &page) || !(write ? page.writable : page.readable))
		return true;
	return trace_memory(run, page.hpa, sizeof(u64), p);
}

/* The access must fault exactly when the step says so. */
static bool check_fault(struct trace_run *run, const struct trace_step *s, const u8 *p)
{
	bool fault = !strcmp(s->tokens[s->nr_tokens - 1], EPT_VIOLATION);

	if (fault == !p)
		return true;
	return trace_fail(run, "guest access", fault ? EPT_VIOLATION : "success",
			  fault ? "success" : EPT_VIOLATION);
}

static bool run_guest_store(struct trace_run *run, const struct trace_step *s)
{
	u64 v;
	u8 *p;

	if (!translate(run, s, true, &p) || !trace_eval(run, s->expr[2], &v) ||
	    !check_fault(run, s, p))
		return false;
	if (p)
		memcpy(p, &v, sizeof(v));
	return true;
}

static bool run_guest_load(struct trace_run *run, const struct trace_step *s)
{
	u64 expected, got;
	u8 *p;

	if (!translate(run, s, false, &p) || !check_fault(run, s, p))
		return false;
	if (!p)
		return true;
	memcpy(&got, p, sizeof(got));
	return trace_eval(run, s->expr[2], &expected) &&
	       (got == expected || trace_fail_u64(run, "loaded value", expected, got));
}

const struct trace_op trace_guest_ops[] = {
	{ "guest_store", 5, 5, true, compile_guest_store, run_guest_store },
	{ "guest_load", 4, 4, true, compile_guest_load, run_guest_load },
	{ }
};
