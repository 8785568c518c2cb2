// SPDX-License-Identifier: GPL-2.0
/*
 * From lines to steps: substitutes the arguments of blocks, finds operations
 * and lets them check their own arguments.
 */
#include <ctype.h>

#include "trace.h"

/* Stands for the arguments of a block that nothing uses. */
#define PLACEHOLDER	"placeholder"

static struct trace_code *compile_body(struct trace_file *file, const struct trace_body *body,
				       unsigned int nr_args, char **args, unsigned int depth);

bool trace_expr_arg(struct trace_step *step, unsigned int token, unsigned int slot)
{
	step->expr[slot] = trace_parse_expr(step->line, step->tokens[token]);
	return step->expr[slot];
}

bool trace_all_exprs(struct trace_step *step)
{
	unsigned int i;

	for (i = 1; i < step->nr_tokens; i++) {
		if (!trace_expr_arg(step, i, i - 1))
			return false;
	}
	return true;
}

bool trace_expect_token(struct trace_step *step, unsigned int token, const char *text)
{
	if (token < step->nr_tokens && !strcmp(step->tokens[token], text))
		return true;
	trace_error(step->line, "%s: \"%s\" expected as word %u", step->tokens[0], text, token + 1);
	return false;
}

static int hex_digit(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* @len 0 allows any length. */
bool trace_hex_arg(struct trace_step *step, unsigned int token, size_t len)
{
	const char *text = step->tokens[token];
	size_t digits = strlen(text), i;

	if (!digits || digits % 2 || (len && digits != 2 * len)) {
		trace_error(step->line, "byte string \"%s\" has a wrong length", text);
		return false;
	}
	step->nr_bytes = digits / 2;
	step->bytes = trace_alloc(step->nr_bytes);
	for (i = 0; i < digits; i++) {
		int v = hex_digit(text[i]);

		if (v < 0) {
			trace_error(step->line, "byte string \"%s\" is not hexadecimal", text);
			return false;
		}
		step->bytes[i / 2] |= i % 2 ? v : v << 4;
	}
	return true;
}

static const struct trace_op *find_op(const char *name)
{
	static const struct trace_op *const topics[] = {
		trace_mem_ops, trace_call_ops, trace_guest_ops, trace_state_ops, trace_gcm_ops,
	};
	const struct trace_op *op;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(topics); i++) {
		for (op = topics[i]; op->name; op++) {
			if (!strcmp(op->name, name))
				return op;
		}
	}
	return NULL;
}

/* Replace $n textually; the token itself when there is none. */
static char *substitute(const struct trace_line *line, const char *token, unsigned int nr_args,
			char **args)
{
	char out[TRACE_MAX_LINE * 2];
	size_t len = 0;

	if (!strchr(token, '$'))
		return (char *)token;

	while (*token) {
		const char *piece = token;
		size_t n = 1;

		if (*token == '$') {
			char *end;
			unsigned long i = strtoul(token + 1, &end, 10);

			if (!isdigit((unsigned char)token[1]) || i < 1 || i > nr_args) {
				trace_error(line, "\"%s\" names no argument of the block", token);
				return NULL;
			}
			piece = args[i - 1];
			n = strlen(piece);
			token = end;
		} else {
			token++;
		}
		if (len + n >= sizeof(out)) {
			trace_error(line, "substituted text is too long");
			return NULL;
		}
		memcpy(out + len, piece, n);
		len += n;
	}
	out[len] = '\0';
	return trace_strdup(out);
}

static bool same_args(const struct trace_code *code, unsigned int nr_args, char **args)
{
	unsigned int i;

	if (code->nr_args != nr_args)
		return false;
	for (i = 0; i < nr_args; i++) {
		if (strcmp(code->args[i], args[i]))
			return false;
	}
	return true;
}

static struct trace_code *compile_block(struct trace_block *block, unsigned int nr_args,
					char **args, unsigned int depth)
{
	struct trace_code *code;

	for (code = block->codes; code; code = code->next) {
		if (same_args(code, nr_args, args))
			return code;
	}
	code = compile_body(block->file, &block->body, nr_args, args, depth);
	if (code) {
		code->block = block;
		code->next = block->codes;
		block->codes = code;
	}
	return code;
}

static bool compile_use(struct trace_file *file, struct trace_step *step, unsigned int depth)
{
	struct trace_block *block;

	if (step->nr_tokens < 2 || step->nr_tokens > 2 + TRACE_MAX_ARGS) {
		trace_error(step->line, "use names a block and at most %u arguments",
			    TRACE_MAX_ARGS);
		return false;
	}
	block = trace_find_block(file, step->tokens[1]);
	if (!block) {
		trace_error(step->line, "block %s is not defined", step->tokens[1]);
		return false;
	}
	if (depth >= TRACE_MAX_NESTING) {
		trace_error(step->line, "blocks are nested too deeply");
		return false;
	}
	step->use = compile_block(block, step->nr_tokens - 2, step->tokens + 2, depth + 1);
	return step->use;
}

static bool compile_step(struct trace_file *file, const struct trace_line *line,
			 unsigned int nr_args, char **args, unsigned int depth,
			 struct trace_step *step)
{
	unsigned int i;

	step->line = line;
	step->nr_tokens = line->nr_tokens;
	step->tokens = trace_alloc(line->nr_tokens * sizeof(*step->tokens));
	for (i = 0; i < line->nr_tokens; i++) {
		step->tokens[i] = substitute(line, line->tokens[i], nr_args, args);
		if (!step->tokens[i])
			return false;
	}

	if (!strcmp(step->tokens[0], "use"))
		return compile_use(file, step, depth);

	step->op = find_op(step->tokens[0]);
	if (!step->op) {
		trace_error(line, "unknown operation %s", step->tokens[0]);
		return false;
	}
	if (step->nr_tokens - 1 < step->op->min_args || step->nr_tokens - 1 > step->op->max_args) {
		trace_error(line, "wrong number of arguments of %s", step->op->name);
		return false;
	}
	return step->op->compile(step);
}

static struct trace_code *compile_body(struct trace_file *file, const struct trace_body *body,
				       unsigned int nr_args, char **args, unsigned int depth)
{
	struct trace_code *code = trace_alloc(sizeof(*code));
	unsigned int i;

	code->nr_args = nr_args;
	code->args = args;
	code->nr = body->nr;
	code->steps = trace_alloc(body->nr * sizeof(*code->steps));
	for (i = 0; i < body->nr; i++) {
		struct trace_step *step = &code->steps[i];

		if (!compile_step(file, &body->lines[i], nr_args, args, depth, step))
			return NULL;
		code->checks |= step->use ? step->use->checks : step->op->checks;
	}
	return code;
}

bool trace_compile_test(struct trace_test *test)
{
	test->code = compile_body(test->file, &test->body, 0, NULL, 0);
	if (test->code && !test->code->checks) {
		trace_error(&test->line, "test %s compares nothing", test->id);
		return false;
	}
	return test->code;
}

bool trace_check_blocks(struct trace_file *file)
{
	static char *args[TRACE_MAX_ARGS];
	struct trace_block *b;
	bool ok = true;
	unsigned int i;

	for (i = 0; i < TRACE_MAX_ARGS; i++)
		args[i] = PLACEHOLDER;
	for (b = file->blocks; b; b = b->next) {
		if (!b->codes && !compile_block(b, TRACE_MAX_ARGS, args, 0))
			ok = false;
	}
	return ok;
}
