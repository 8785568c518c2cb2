// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of the host (SEAMCALL) and of guests (TDCALL), guest loads and stores.
 */
#include "trace.h"
#include "leaves.h"

#define RAX_VERSION_SHIFT	16
/* TDMR.INIT may do as little as one PAMT entry in a call. */
#define MAX_REPEATS		BIT(20)
#define EXIT_REASON_EPT_VIOLATION	48
#define EXIT_REASON_MASK	GENMASK_ULL(31, 0)

#define CROSS_TD_PREFIX		"exit:cross_td:"

static const struct reg_name {
	const char *name;
	enum sim_reg reg;
} reg_names[] = {
	{ "rcx", RCX }, { "rdx", RDX }, { "r8", R8 }, { "r9", R9 },
	{ "r10", R10 }, { "r11", R11 }, { "r12", R12 }, { "r13", R13 },
};

static const struct leaf_name {
	const char *name;
	u64 leaf;
} host_leaves[] = {
	{ "VP.ENTER", LEAF_VP_ENTER },
	{ "MNG.ADDCX", LEAF_MNG_ADDCX },
	{ "MEM.PAGE.ADD", LEAF_MEM_PAGE_ADD },
	{ "MEM.SEPT.ADD", LEAF_MEM_SEPT_ADD },
	{ "VP.ADDCX", LEAF_VP_ADDCX },
	{ "MEM.PAGE.RELOCATE", LEAF_MEM_PAGE_RELOCATE },
	{ "MEM.PAGE.AUG", LEAF_MEM_PAGE_AUG },
	{ "MEM.RANGE.BLOCK", LEAF_MEM_RANGE_BLOCK },
	{ "MNG.KEY.CONFIG", LEAF_MNG_KEY_CONFIG },
	{ "MNG.CREATE", LEAF_MNG_CREATE },
	{ "VP.CREATE", LEAF_VP_CREATE },
	{ "MNG.RD", LEAF_MNG_RD },
	{ "MEM.RD", LEAF_MEM_RD },
	{ "MNG.WR", LEAF_MNG_WR },
	{ "MEM.WR", LEAF_MEM_WR },
	{ "MEM.PAGE.DEMOTE", LEAF_MEM_PAGE_DEMOTE },
	{ "MR.EXTEND", LEAF_MR_EXTEND },
	{ "MR.FINALIZE", LEAF_MR_FINALIZE },
	{ "VP.FLUSH", LEAF_VP_FLUSH },
	{ "MNG.VPFLUSHDONE", LEAF_MNG_VPFLUSHDONE },
	{ "MNG.KEY.FREEID", LEAF_MNG_KEY_FREEID },
	{ "MNG.INIT", LEAF_MNG_INIT },
	{ "VP.INIT", LEAF_VP_INIT },
	{ "MEM.PAGE.PROMOTE", LEAF_MEM_PAGE_PROMOTE },
	{ "PHYMEM.PAGE.RDMD", LEAF_PHYMEM_PAGE_RDMD },
	{ "MEM.SEPT.RD", LEAF_MEM_SEPT_RD },
	{ "VP.RD", LEAF_VP_RD },
	{ "MNG.KEY.RECLAIMID", LEAF_MNG_KEY_RECLAIMID },
	{ "PHYMEM.PAGE.RECLAIM", LEAF_PHYMEM_PAGE_RECLAIM },
	{ "MEM.PAGE.REMOVE", LEAF_MEM_PAGE_REMOVE },
	{ "MEM.SEPT.REMOVE", LEAF_MEM_SEPT_REMOVE },
	{ "SYS.KEY.CONFIG", LEAF_SYS_KEY_CONFIG },
	{ "SYS.INFO", LEAF_SYS_INFO },
	{ "SYS.INIT", LEAF_SYS_INIT },
	{ "SYS.RD", LEAF_SYS_RD },
	{ "SYS.LP.INIT", LEAF_SYS_LP_INIT },
	{ "SYS.TDMR.INIT", LEAF_SYS_TDMR_INIT },
	{ "SYS.RDALL", LEAF_SYS_RDALL },
	{ "MEM.TRACK", LEAF_MEM_TRACK },
	{ "MEM.RANGE.UNBLOCK", LEAF_MEM_RANGE_UNBLOCK },
	{ "PHYMEM.CACHE.WB", LEAF_PHYMEM_CACHE_WB },
	{ "PHYMEM.PAGE.WBINVD", LEAF_PHYMEM_PAGE_WBINVD },
	{ "VP.WR", LEAF_VP_WR },
	{ "SYS.LP.SHUTDOWN", LEAF_SYS_LP_SHUTDOWN },
	{ "SYS.CONFIG", LEAF_SYS_CONFIG },
	{ "SERVTD.BIND", LEAF_SERVTD_BIND },
	{ "SERVTD.PREBIND", LEAF_SERVTD_PREBIND },
	{ "SYS.SHUTDOWN", LEAF_SYS_SHUTDOWN },
	{ "SYS.UPDATE", LEAF_SYS_UPDATE },
	{ "EXPORT.ABORT", LEAF_EXPORT_ABORT },
	{ "EXPORT.BLOCKW", LEAF_EXPORT_BLOCKW },
	{ "EXPORT.RESTORE", LEAF_EXPORT_RESTORE },
	{ "EXPORT.MEM", LEAF_EXPORT_MEM },
	{ "EXPORT.PAUSE", LEAF_EXPORT_PAUSE },
	{ "EXPORT.TRACK", LEAF_EXPORT_TRACK },
	{ "EXPORT.STATE.IMMUTABLE", LEAF_EXPORT_STATE_IMMUTABLE },
	{ "EXPORT.STATE.TD", LEAF_EXPORT_STATE_TD },
	{ "EXPORT.STATE.VP", LEAF_EXPORT_STATE_VP },
	{ "EXPORT.UNBLOCKW", LEAF_EXPORT_UNBLOCKW },
	{ "IMPORT.ABORT", LEAF_IMPORT_ABORT },
	{ "IMPORT.END", LEAF_IMPORT_END },
	{ "IMPORT.COMMIT", LEAF_IMPORT_COMMIT },
	{ "IMPORT.MEM", LEAF_IMPORT_MEM },
	{ "IMPORT.TRACK", LEAF_IMPORT_TRACK },
	{ "IMPORT.STATE.IMMUTABLE", LEAF_IMPORT_STATE_IMMUTABLE },
	{ "IMPORT.STATE.TD", LEAF_IMPORT_STATE_TD },
	{ "IMPORT.STATE.VP", LEAF_IMPORT_STATE_VP },
	{ "MIG.STREAM.CREATE", LEAF_MIG_STREAM_CREATE },
	{ }
}, guest_leaves[] = {
	{ "SERVTD.RD", TDG_SERVTD_RD },
	{ "SERVTD.WR", TDG_SERVTD_WR },
	{ "MEM.PAGE.ACCEPT", TDG_MEM_PAGE_ACCEPT },
	{ }
};

enum result_kind { RESULT_UNCHANGED, RESULT_EQUAL, RESULT_ANY, RESULT_STORE };

enum outcome { OUTCOME_STATUS, OUTCOME_ENTER_TD, OUTCOME_EPT_VIOLATION, OUTCOME_CROSS_TD };

struct call {
	struct trace_expr *td;		/* TDCALL only */
	u64 leaf;
	struct trace_expr *version;
	struct trace_expr *rax;
	struct trace_expr *in[SIM_NR_REGS];
	enum outcome outcome;
	struct trace_expr *status;
	struct {
		enum result_kind kind;
		struct trace_expr *value;
		struct trace_expr *mask;
		unsigned int symbol;
	} out[SIM_NR_REGS];
	bool guest;
	bool repeat;
};

static int find_reg(const char *name, size_t len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reg_names); i++) {
		if (strlen(reg_names[i].name) == len && !strncmp(reg_names[i].name, name, len))
			return reg_names[i].reg;
	}
	return -1;
}

static bool parse_leaf(struct trace_step *s, const struct leaf_name *names, const char *text,
		       u64 *leaf)
{
	char *end;

	if (*text == '@') {
		*leaf = strtoul(text + 1, &end, 0);
		if (end != text + 1 && !*end && *leaf <= U16_MAX)
			return true;
	}
	for (; names->name; names++) {
		if (!strcmp(names->name, text)) {
			*leaf = names->leaf;
			return true;
		}
	}
	trace_error(s->line, "unknown leaf %s", text);
	return false;
}

static bool parse_input(struct trace_step *s, struct call *c, const char *token)
{
	const char *eq = strchr(token, '=');
	struct trace_expr **where = NULL;
	int reg;

	if (eq && !c->guest && !strncmp(token, "ver=", 4)) {
		where = &c->version;
	} else if (eq && !c->guest && !strncmp(token, "rax=", 4)) {
		where = &c->rax;
	} else if (eq) {
		reg = find_reg(token, eq - token);
		where = reg < 0 ? NULL : &c->in[reg];
	}
	if (!where || *where) {
		trace_error(s->line, "\"%s\" is no input, or given twice", token);
		return false;
	}
	*where = trace_parse_expr(s->line, eq + 1);
	return *where;
}

static bool parse_result(struct trace_step *s, struct call *c, char *token)
{
	char *eq = strchr(token, '='), *slash;
	int reg = eq ? find_reg(token, eq - token) : -1;

	if (reg < 0 || c->out[reg].kind != RESULT_UNCHANGED) {
		trace_error(s->line, "\"%s\" is no result, or given twice", token);
		return false;
	}
	if (!strcmp(eq + 1, "*")) {
		c->out[reg].kind = RESULT_ANY;
		return true;
	}
	if (eq[1] == '>') {
		if (!trace_is_name(eq + 2)) {
			trace_error(s->line, "\"%s\" is no name", eq + 2);
			return false;
		}
		c->out[reg].kind = RESULT_STORE;
		c->out[reg].symbol = trace_symbol(eq + 2);
		return true;
	}
	c->out[reg].kind = RESULT_EQUAL;
	token = trace_strdup(eq + 1);
	slash = strrchr(token, '/');
	if (slash) {
		*slash = '\0';
		c->out[reg].mask = trace_parse_expr(s->line, slash + 1);
		if (!c->out[reg].mask)
			return false;
	}
	c->out[reg].value = trace_parse_expr(s->line, token);
	return c->out[reg].value;
}

static bool parse_outcome(struct trace_step *s, struct call *c, const char *token)
{
	if (!c->guest && !strcmp(token, "enter_td")) {
		c->outcome = OUTCOME_ENTER_TD;
		return true;
	}
	if (c->guest && !strcmp(token, "exit:ept_violation")) {
		c->outcome = OUTCOME_EPT_VIOLATION;
		return true;
	}
	if (c->guest && !strncmp(token, CROSS_TD_PREFIX, strlen(CROSS_TD_PREFIX))) {
		c->outcome = OUTCOME_CROSS_TD;
		token += strlen(CROSS_TD_PREFIX);
	}
	c->status = trace_parse_expr(s->line, token);
	return c->status;
}

/* Everything from @token on: inputs => status results. */
static bool parse_call(struct trace_step *s, struct call *c, unsigned int token)
{
	for (; token < s->nr_tokens && strcmp(s->tokens[token], "=>"); token++) {
		if (!parse_input(s, c, s->tokens[token]))
			return false;
	}
	if (token + 1 >= s->nr_tokens) {
		trace_error(s->line, "call without \"=>\" and a status");
		return false;
	}
	if (c->rax && c->version) {
		trace_error(s->line, "rax= and ver= exclude each other");
		return false;
	}
	if (!parse_outcome(s, c, s->tokens[++token]))
		return false;
	while (++token < s->nr_tokens) {
		if (!parse_result(s, c, s->tokens[token]))
			return false;
	}
	return true;
}

static bool compile_call(struct trace_step *s)
{
	struct call *c = trace_alloc(sizeof(*c));

	s->spec = c;
	c->repeat = !strcmp(s->tokens[0], "call_until");
	return parse_leaf(s, host_leaves, s->tokens[1], &c->leaf) && parse_call(s, c, 2);
}

static bool compile_tdcall(struct trace_step *s)
{
	struct call *c = trace_alloc(sizeof(*c));

	s->spec = c;
	c->guest = true;
	c->td = trace_parse_expr(s->line, s->tokens[1]);
	return c->td && parse_leaf(s, guest_leaves, s->tokens[2], &c->leaf) && parse_call(s, c, 3);
}

static bool set_inputs(struct trace_run *run, const struct call *c, struct tdx_sim_regs *regs)
{
	u64 version = 0;
	int i;

	memset(regs, 0, sizeof(*regs));
	for (i = 0; i < SIM_NR_REGS; i++) {
		if (c->in[i] && !trace_eval(run, c->in[i], &regs->r[i]))
			return false;
	}
	if (c->rax)
		return trace_eval(run, c->rax, &regs->r[RAX]);
	if (c->version && !trace_eval(run, c->version, &version))
		return false;
	regs->r[RAX] = c->leaf | version << RAX_VERSION_SHIFT;
	return true;
}

/* Does an output have the value that is named for it? */
static bool output_matches(struct trace_run *run, const struct call *c, int reg,
			   const struct tdx_sim_regs *out, u64 *expected, bool *matches)
{
	u64 mask = U64_MAX;

	if (!trace_eval(run, c->out[reg].value, expected) ||
	    (c->out[reg].mask && !trace_eval(run, c->out[reg].mask, &mask)))
		return false;
	*matches = !((out->r[reg] ^ *expected) & mask);
	return true;
}

static bool check_outputs(struct trace_run *run, const struct call *c,
			  const struct tdx_sim_regs *in, const struct tdx_sim_regs *out)
{
	u64 expected;
	bool matches;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reg_names); i++) {
		enum sim_reg reg = reg_names[i].reg;

		switch (c->out[reg].kind) {
		case RESULT_UNCHANGED:
			if (!c->guest && out->r[reg] != in->r[reg])
				return trace_fail_u64(run, reg_names[i].name, in->r[reg],
						      out->r[reg]);
			break;
		case RESULT_EQUAL:
			if (!output_matches(run, c, reg, out, &expected, &matches))
				return false;
			if (!matches)
				return trace_fail_u64(run, reg_names[i].name, expected,
						      out->r[reg]);
			break;
		case RESULT_ANY:
			break;
		case RESULT_STORE:
			trace_define(run, c->out[reg].symbol, out->r[reg]);
			break;
		}
	}
	return true;
}

/* Are the named outputs of a repeated call there yet? */
static bool outputs_reached(struct trace_run *run, const struct call *c,
			    const struct tdx_sim_regs *out, bool *reached)
{
	u64 expected;
	int reg;

	*reached = true;
	for (reg = 0; reg < SIM_NR_REGS && *reached; reg++) {
		if (c->out[reg].kind == RESULT_EQUAL &&
		    !output_matches(run, c, reg, out, &expected, reached))
			return false;
	}
	return true;
}

static bool check_status(struct trace_run *run, const struct call *c, u64 status)
{
	u64 expected;

	if (c->outcome == OUTCOME_ENTER_TD)
		return machine_td_entered() ||
		       trace_fail_u64(run, "rax instead of TD entry", 0, status);
	if (machine_td_entered())
		return trace_fail(run, "rax", "a status", "TD entry");
	return trace_eval(run, c->status, &expected) &&
	       (status == expected || trace_fail_u64(run, "rax", expected, status));
}

static bool run_call(struct trace_run *run, const struct trace_step *s)
{
	const struct call *c = s->spec;
	struct tdx_sim_regs in, out;
	unsigned int repeats = 0;
	bool reached = true;

	if (!set_inputs(run, c, &in))
		return false;
	machine_pend_interrupt(run->irq_at);
	run->irq_at = 0;
	do {
		out = in;
		machine_clear_td_entered();
		tdx_sim_seamcall(&out);
		if (!check_status(run, c, out.r[RAX]))
			break;
		if (c->repeat && !outputs_reached(run, c, &out, &reached))
			break;
	} while (!reached && ++repeats < MAX_REPEATS);
	machine_pend_interrupt(0);

	if (run->failure.step)
		return false;
	return c->outcome != OUTCOME_STATUS || check_outputs(run, c, &in, &out);
}

static bool check_exit(struct trace_run *run, const struct call *c,
		       const struct sim_td_exit *exit)
{
	u64 expected;

	if (!exit->pending)
		return trace_fail(run, "guest call", "a TD exit", "completion");
	if (c->outcome == OUTCOME_EPT_VIOLATION) {
		if ((exit->rax & EXIT_REASON_MASK) == EXIT_REASON_EPT_VIOLATION)
			return true;
		return trace_fail_u64(run, "TD exit", EXIT_REASON_EPT_VIOLATION, exit->rax);
	}
	if ((exit->rax & ~EXIT_REASON_MASK) != SIM_CROSS_TD_TRAP)
		return trace_fail_u64(run, "TD exit", SIM_CROSS_TD_TRAP, exit->rax);
	return trace_eval(run, c->status, &expected) &&
	       (exit->rcx == expected ||
		trace_fail_u64(run, "cross-TD status", expected, exit->rcx));
}

static bool run_tdcall(struct trace_run *run, const struct trace_step *s)
{
	const struct call *c = s->spec;
	struct tdx_sim_regs in, out;
	struct sim_vp vp = { };
	struct sim_guest_call g = { .regs = &out, .vp = &vp };
	u64 tdr, expected;

	if (!trace_eval(run, c->td, &tdr) || !set_inputs(run, c, &in))
		return false;
	if (!probe_td(tdr, &vp.td))
		return trace_bad(run, "%#llx is no TD", tdr);
	out = in;
	tdx_sim_tdcall(&g);

	if (c->outcome != OUTCOME_STATUS)
		return check_exit(run, c, &g.exit);
	if (g.exit.pending)
		return trace_fail_u64(run, "TD exit instead of a status", 0, g.exit.rax);
	if (!trace_eval(run, c->status, &expected))
		return false;
	if (out.r[RAX] != expected)
		return trace_fail_u64(run, "rax", expected, out.r[RAX]);
	return check_outputs(run, c, &in, &out);
}

const struct trace_op trace_call_ops[] = {
	{ "call", 3, TRACE_MAX_TOKENS - 1, true, compile_call, run_call },
	{ "call_until", 3, TRACE_MAX_TOKENS - 1, true, compile_call, run_call },
	{ "tdcall", 4, TRACE_MAX_TOKENS - 1, true, compile_tdcall, run_tdcall },
	{ }
};
