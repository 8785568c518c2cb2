// SPDX-License-Identifier: GPL-2.0
/*
 * Reading trace files: lines into tokens, blocks and tests.  Everything that
 * is not as the format demands is reported with file and line.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>

#include "trace.h"

static struct trace_file *files;
static struct trace_file **files_tail = &files;
static unsigned int nr_errors;

/* Parses one file. */
struct reader {
	struct trace_file *file;
	FILE *stream;
	unsigned int number;
	/* The body being collected, NULL outside blocks and tests. */
	struct trace_body *body;
	struct trace_line head;
	/* Lines of it that the overlay replaces. */
	const struct trace_edit *edits;
};

void *trace_alloc(size_t size)
{
	static char *pool;
	static size_t left;
	void *p;

	size = ALIGN(size, (size_t)16);
	if (size > left) {
		left = max_t(size_t, size, SZ_1M);
		pool = malloc(left);
		if (!pool) {
			perror("malloc");
			exit(EXIT_FAILURE);
		}
	}
	p = pool;
	pool += size;
	left -= size;
	memset(p, 0, size);
	return p;
}

char *trace_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(trace_alloc(len), s, len);
}

void trace_error(const struct trace_line *line, const char *fmt, ...)
{
	va_list args;

	nr_errors++;
	fprintf(stderr, line->number ? "%s:%u: " : "%s: ", line->path, line->number);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

unsigned int trace_errors(void)
{
	return nr_errors;
}

struct trace_file *trace_files(void)
{
	return files;
}

struct trace_block *trace_find_block(struct trace_file *file, const char *name)
{
	struct trace_block *b;
	unsigned int i;

	for (b = file->blocks; b; b = b->next) {
		if (!strcmp(b->name, name))
			return b;
	}
	for (i = 0; i < file->nr_includes; i++) {
		b = trace_find_block(file->includes[i], name);
		if (b)
			return b;
	}
	return NULL;
}

/* Report what cannot be in a line; false if the file is not worth reading on. */
static bool check_text(struct reader *r, struct trace_line *line, char *text)
{
	size_t len = strlen(text), i;

	if (len && text[len - 1] == '\n') {
		text[--len] = '\0';
	} else if (!feof(r->stream)) {
		trace_error(line, "line is too long or holds a NUL");
		return false;
	}
	if (len >= TRACE_MAX_LINE)
		trace_error(line, "line is too long");
	for (i = 0; i < len; i++) {
		if (!isprint((unsigned char)text[i]) && text[i] != '\t') {
			trace_error(line, "character %#x is not ASCII text",
				    (unsigned char)text[i]);
			return false;
		}
	}
	return true;
}

/* False at the end of the file.  Blank lines and comments are passed over. */
static bool read_line(struct reader *r, char text[TRACE_MAX_LINE + 2], struct trace_line *line)
{
	const char *word;

	while (fgets(text, TRACE_MAX_LINE + 2, r->stream)) {
		r->number++;
		*line = (struct trace_line){ .path = r->file->path, .number = r->number };
		if (!check_text(r, line, text))
			return false;
		word = text + strspn(text, " \t");
		if (*word && *word != '#')
			return true;
	}
	return false;
}

static void tokenize(struct trace_line *line, const char *text)
{
	char *tokens[TRACE_MAX_TOKENS];
	char *copy = trace_strdup(text), *save, *t;

	for (t = strtok_r(copy, " \t", &save); t; t = strtok_r(NULL, " \t", &save)) {
		if (line->nr_tokens == TRACE_MAX_TOKENS) {
			trace_error(line, "more than %u tokens", TRACE_MAX_TOKENS);
			break;
		}
		tokens[line->nr_tokens++] = t;
	}
	line->tokens = trace_alloc(line->nr_tokens * sizeof(*tokens));
	memcpy(line->tokens, tokens, line->nr_tokens * sizeof(*tokens));
}

static void add_line(struct trace_body *body, const struct trace_line *line)
{
	/* Grow by doubling, whenever the number of lines is a power of two. */
	if (!(body->nr & (body->nr - 1))) {
		unsigned int room = max(body->nr * 2, 1U);
		struct trace_line *more = trace_alloc(room * sizeof(*more));

		if (body->nr)
			memcpy(more, body->lines, body->nr * sizeof(*more));
		body->lines = more;
	}
	body->lines[body->nr++] = *line;
}

static void begin_block(struct reader *r, const struct trace_line *line)
{
	struct trace_block *b, *other;

	if (line->nr_tokens != 2 || !trace_is_name(line->tokens[1])) {
		trace_error(line, "a block is \"def NAME\"");
		return;
	}
	other = trace_find_block(r->file, line->tokens[1]);
	if (other)
		trace_error(line, "block %s is already defined in line %u", other->name,
			    other->line.number);

	b = trace_alloc(sizeof(*b));
	b->file = r->file;
	b->name = line->tokens[1];
	b->line = *line;
	b->next = r->file->blocks;
	r->file->blocks = b;
	r->body = &b->body;
	r->edits = trace_overlay_edits(r->file->path, "def", b->name);
}

static void begin_test(struct reader *r, struct trace_line *line, char *text)
{
	struct trace_test *t = trace_alloc(sizeof(*t)), *other;
	char *save, *id, *tags;

	text = trace_strdup(text);
	strtok_r(text, " \t", &save);
	id = strtok_r(NULL, " \t", &save);
	tags = strtok_r(NULL, " \t", &save);
	if (!tags) {
		trace_error(line, "a test is \"test ID TAGS description\"");
		id = "";
		tags = "";
	}
	for (other = r->file->tests; other; other = other->next) {
		if (!strcmp(other->id, id))
			trace_error(line, "test %s is already in line %u", id, other->line.number);
	}

	t->file = r->file;
	t->id = id;
	t->tags = tags;
	t->description = save ? save : "";
	t->line = *line;
	r->body = &t->body;
	r->edits = trace_overlay_edits(r->file->path, "test", id);
	if (trace_overlay_drops(r->file->path, id))
		return;
	*r->file->tests_tail = t;
	r->file->tests_tail = &t->next;
}

static void include_file(struct reader *r, const struct trace_line *line)
{
	struct trace_file *included;
	const char *slash;
	char *path;

	if (line->nr_tokens != 2 || line->tokens[1][0] == '/') {
		trace_error(line, "an include names a file by its path from the folder");
		return;
	}
	slash = strrchr(r->file->path, '/');
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash - r->file->path) + 1 : 0,
		     r->file->path, line->tokens[1]) < 0)
		exit(EXIT_FAILURE);
	included = trace_read(path);
	free(path);

	if (!included)
		trace_error(line, "cannot include %s", line->tokens[1]);
	else if (included == r->file)
		trace_error(line, "file includes itself");
	else if (r->file->nr_includes == ARRAY_SIZE(r->file->includes))
		trace_error(line, "too many includes");
	else
		r->file->includes[r->file->nr_includes++] = included;
}

static void read_top_level(struct reader *r, struct trace_line *line, char *text)
{
	const char *word = text + strspn(text, " \t");
	size_t len = strcspn(word, " \t");

	if (len == 4 && !strncmp(word, "test", len)) {
		begin_test(r, line, text);
		r->head = *line;
		return;
	}
	tokenize(line, text);
	if (!strcmp(line->tokens[0], "def")) {
		begin_block(r, line);
		r->head = *line;
	} else if (!strcmp(line->tokens[0], "include")) {
		include_file(r, line);
	} else {
		trace_error(line, "%s outside of a block or test", line->tokens[0]);
	}
}

static void read_body(struct reader *r, struct trace_line *line, const char *text)
{
	tokenize(line, text);
	if (!strcmp(line->tokens[0], "end")) {
		if (line->nr_tokens != 1)
			trace_error(line, "text after \"end\"");
		if (!r->body->nr)
			trace_error(line, "empty block or test");
		trace_overlay_end(r->edits);
		r->body = NULL;
	} else if (!strcmp(line->tokens[0], "def") || !strcmp(line->tokens[0], "test") ||
		   !strcmp(line->tokens[0], "include")) {
		trace_error(line, "%s inside of the block or test of line %u", line->tokens[0],
			    r->head.number);
	} else {
		add_line(r->body, line);
	}
}

/* A line of a block or test, or what the overlay has in its place. */
static void read_body_line(struct reader *r, struct trace_line *line, char *text)
{
	char *word = text + strspn(text, " \t");
	const struct trace_edit_text *t = trace_overlay_replace(&r->edits, word);

	if (!t) {
		trace_overlay_rules(r->file->path, word);
		read_body(r, line, word);
	}
	for (; t; t = t->next) {
		struct trace_line copy = *line;

		read_body(r, &copy, t->text);
	}
}

static void read_stream(struct reader *r)
{
	char text[TRACE_MAX_LINE + 2];
	struct trace_line line;

	while (read_line(r, text, &line)) {
		if (r->body)
			read_body_line(r, &line, text);
		else
			read_top_level(r, &line, text);
	}
	if (r->body)
		trace_error(&r->head, "block or test without \"end\"");
	if (ferror(r->stream))
		trace_error(&line, "read error");
}

struct trace_file *trace_read(const char *path)
{
	struct reader r = { };
	struct trace_file *f;
	char *real;

	real = realpath(path, NULL);
	if (!real) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		nr_errors++;
		return NULL;
	}
	for (f = files; f; f = f->next) {
		if (!strcmp(f->real_path, real)) {
			free(real);
			return f;
		}
	}

	f = trace_alloc(sizeof(*f));
	f->path = trace_strdup(path);
	f->real_path = trace_strdup(real);
	f->tests_tail = &f->tests;
	*files_tail = f;
	files_tail = &f->next;
	free(real);

	r.file = f;
	r.stream = fopen(path, "r");
	if (!r.stream) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		nr_errors++;
		return NULL;
	}
	read_stream(&r);
	fclose(r.stream);
	return f;
}
