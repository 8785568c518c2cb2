/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Conformance traces: what the parts of the replayer share.
 *
 * A trace file is read into blocks and tests made of tokenized lines
 * (trace_file.c).  A test is compiled into steps, blocks with their arguments
 * substituted (trace_compile.c), and then run, as often as wanted.
 */
#ifndef TDX_SIM_TRACE_H
#define TDX_SIM_TRACE_H

#include <setjmp.h>

#include "machine.h"
#include "probe.h"

#define TRACE_MAX_TOKENS	16
#define TRACE_MAX_LINE		512
#define TRACE_MAX_NESTING	24
#define TRACE_MAX_ARGS		9
#define TRACE_MAX_EXPRS		TRACE_MAX_TOKENS

/* ------------------------------------------------- files (trace_file.c) */

struct trace_line {
	const char *path;
	unsigned int number;
	unsigned int nr_tokens;
	char **tokens;
};

struct trace_body {
	struct trace_line *lines;
	unsigned int nr;
};

struct trace_code;

struct trace_block {
	struct trace_block *next;
	struct trace_file *file;
	const char *name;
	struct trace_line line;
	struct trace_body body;
	/* Compiled, once for each list of arguments. */
	struct trace_code *codes;
};

struct trace_test {
	struct trace_test *next;
	struct trace_file *file;
	const char *id;
	const char *tags;
	const char *description;
	struct trace_line line;
	struct trace_body body;
	struct trace_code *code;
};

struct trace_file {
	struct trace_file *next;
	char *path;
	char *real_path;
	struct trace_file *includes[TRACE_MAX_TOKENS];
	unsigned int nr_includes;
	struct trace_block *blocks;
	struct trace_test *tests;
	struct trace_test **tests_tail;
	bool selected;
	unsigned int passed, failed;
};

/* Read a file, and those it includes, once; NULL after an error. */
struct trace_file *trace_read(const char *path);
struct trace_file *trace_files(void);
struct trace_block *trace_find_block(struct trace_file *file, const char *name);

/* Report a malformed trace. */
__printf(2, 3)
void trace_error(const struct trace_line *line, const char *fmt, ...);
unsigned int trace_errors(void);

/* Memory that lives as long as the program. */
void *trace_alloc(size_t size);
char *trace_strdup(const char *s);

/* --------------------------------------------- overlays (trace_overlay.c) */

/* A line in place of another. */
struct trace_edit_text {
	struct trace_edit_text *next;
	char *text;
};

/* Lines of a block or test that are replaced, in their order. */
struct trace_edit;

/* The profile whose overlays apply, NULL if none does. */
void trace_overlay_profile(const char *profile, const char *base);
/* Edits of a block ("def") or test of the file. */
const struct trace_edit *trace_overlay_edits(const char *path, const char *kind, const char *name);
/* Is the test left out? */
bool trace_overlay_drops(const char *path, const char *name);
/* What stands for the line, NULL if nothing does.  *@edits moves to the next edit. */
const struct trace_edit_text *trace_overlay_replace(const struct trace_edit **edits,
						    const char *text);
/* The block or test is over. */
void trace_overlay_end(const struct trace_edit *edits);
/* Apply rules to a line in a buffer of TRACE_MAX_LINE characters. */
void trace_overlay_rules(const char *path, char *text);
/* Everything was read that the overlay of the folder is about. */
void trace_overlay_check_used(const char *folder);

/* ------------------------------------------- expressions (trace_expr.c) */

struct trace_expr;

/* Numbers of symbols are dense, from 0. */
unsigned int trace_symbol(const char *name);
const char *trace_symbol_name(unsigned int symbol);
unsigned int trace_nr_symbols(void);
bool trace_is_name(const char *s);
/* NULL after an error. */
struct trace_expr *trace_parse_expr(const struct trace_line *line, const char *text);

/* --------------------------------------------- running (trace_run.c) */

struct trace_key {
	bool set;
	u8 value[32];
};

/* By number of the symbol; keys have a name space of their own. */
struct trace_symbols {
	u64 *values;
	bool *defined;
	struct trace_key *keys;
};

#define TRACE_MAX_VALUE	160

/* How a step failed. */
struct trace_failure {
	const struct trace_step *step;
	bool malformed;
	char what[64];
	char expected[TRACE_MAX_VALUE];
	char got[TRACE_MAX_VALUE];
};

/* The state of a replay besides that of the machine. */
struct trace_run {
	const struct tdx_sim_platform *platform;
	struct trace_symbols symbols;
	unsigned int nr_symbols;
	u64 next_page;
	u64 next_hpage;
	unsigned int irq_at;
	bool poison;
	bool verbose;
	struct trace_failure failure;
};

/* All report through run->failure. */
bool trace_eval(struct trace_run *run, const struct trace_expr *expr, u64 *value);
bool trace_fail(struct trace_run *run, const char *what, const char *expected,
		const char *got);
bool trace_fail_u64(struct trace_run *run, const char *what, u64 expected, u64 got);
/* The step asks for something that cannot be done. */
__printf(2, 3)
bool trace_bad(struct trace_run *run, const char *fmt, ...);
void trace_define(struct trace_run *run, unsigned int symbol, u64 value);
/* Host memory of @len bytes at the address, KeyID ignored. */
bool trace_memory(struct trace_run *run, u64 addr, u64 len, u8 **p);

/* Run one test on a fresh module. */
bool trace_run_test(struct trace_run *run, const struct trace_test *test);

/* ------------------------------------------------ steps (trace_compile.c) */

struct trace_step {
	const struct trace_op *op;
	const struct trace_line *line;
	/* Tokens after substitution, the operation's name first. */
	unsigned int nr_tokens;
	char **tokens;
	struct trace_expr *expr[TRACE_MAX_EXPRS];
	u8 *bytes;
	size_t nr_bytes;
	unsigned int symbol;
	struct trace_code *use;
	void *spec;
};

struct trace_code {
	struct trace_code *next;
	const struct trace_block *block;
	unsigned int nr_args;
	char **args;
	unsigned int nr;
	struct trace_step *steps;
	/* Does a step compare anything? */
	bool checks;
};

struct trace_op {
	const char *name;
	unsigned int min_args, max_args;
	bool checks;
	/* False after trace_error(). */
	bool (*compile)(struct trace_step *step);
	bool (*run)(struct trace_run *run, const struct trace_step *step);
};

/* Operations by topic, each list ended by a NULL name. */
extern const struct trace_op trace_mem_ops[];
extern const struct trace_op trace_call_ops[];
extern const struct trace_op trace_guest_ops[];
extern const struct trace_op trace_state_ops[];
extern const struct trace_op trace_gcm_ops[];

bool trace_compile_test(struct trace_test *test);
/* Also compile blocks that no test uses, so that they are checked. */
bool trace_check_blocks(struct trace_file *file);

/* For compile functions: check an argument and keep it. */
bool trace_expr_arg(struct trace_step *step, unsigned int token, unsigned int slot);
/* Every argument is an expression, argument i goes to slot i. */
bool trace_all_exprs(struct trace_step *step);
bool trace_hex_arg(struct trace_step *step, unsigned int token, size_t len);
bool trace_expect_token(struct trace_step *step, unsigned int token, const char *text);

#endif /* TDX_SIM_TRACE_H */
