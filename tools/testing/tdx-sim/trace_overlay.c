// SPDX-License-Identifier: GPL-2.0
/*
 * Overlays: what another version of the module returned to the steps of a
 * folder's traces.  Only the lines that differ are in it, see FORMAT.md.
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "trace.h"

#define SUFFIX	".overlay"

/* In calls of a leaf, one text stands for another. */
struct rule {
	struct rule *next;
	char *leaf, *from, *to;
};

/* A line is replaced by others. */
struct trace_edit {
	struct trace_edit *next;
	struct trace_line line;
	char *old;
	struct trace_edit_text *texts, **tail;
};

/* All edits of a block or test. */
struct owner {
	struct owner *next;
	struct trace_line line;
	char *kind, *name;
	bool used;
	struct trace_edit *edits, **tail;
};

struct overlay {
	struct overlay *next;
	char *folder;
	struct rule *rules, **rules_tail;
	struct owner *owners, **owners_tail;
};

static struct overlay *overlays;
static const char *profile_name, *base_name;

void trace_overlay_profile(const char *profile, const char *base)
{
	profile_name = profile;
	base_name = base;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = trace_strdup(slash ? path : ".");

	if (slash)
		folder[slash - path] = '\0';
	return folder;
}

static void add_owner(struct overlay *o, const struct trace_line *line, char *kind, char *name)
{
	struct owner *owner = trace_alloc(sizeof(*owner));

	owner->line = *line;
	owner->kind = kind;
	owner->name = name;
	owner->tail = &owner->edits;
	*o->owners_tail = owner;
	o->owners_tail = &owner->next;
}

static struct owner *last_owner(struct overlay *o)
{
	struct owner *owner = o->owners;

	while (owner && owner->next)
		owner = owner->next;
	return owner;
}

static void add_edit(struct owner *owner, const struct trace_line *line, const char *old)
{
	struct trace_edit *edit = trace_alloc(sizeof(*edit));

	edit->line = *line;
	edit->old = trace_strdup(old);
	edit->tail = &edit->texts;
	*owner->tail = edit;
	owner->tail = &edit->next;
}

static bool add_text(struct owner *owner, const char *text)
{
	struct trace_edit *edit = owner->edits;
	struct trace_edit_text *t;

	if (!edit)
		return false;
	while (edit->next)
		edit = edit->next;
	t = trace_alloc(sizeof(*t));
	t->text = trace_strdup(text);
	*edit->tail = t;
	edit->tail = &t->next;
	return true;
}

static bool add_rule(struct overlay *o, char *leaf, char *from, char *to)
{
	struct rule *rule = trace_alloc(sizeof(*rule));

	if (!to)
		return false;
	rule->leaf = leaf;
	rule->from = from;
	rule->to = to;
	*o->rules_tail = rule;
	o->rules_tail = &rule->next;
	return true;
}

static bool parse_line(struct overlay *o, const struct trace_line *line, char *text)
{
	struct owner *owner = last_owner(o);
	char *save, *word, *a, *b, *c;

	if (!strncmp(text, "- ", 2) && owner && strcmp(owner->kind, "drop")) {
		add_edit(owner, line, text + 2);
		return true;
	}
	if (!strncmp(text, "+ ", 2))
		return owner && add_text(owner, text + 2);

	text = trace_strdup(text);
	word = strtok_r(text, " ", &save);
	a = strtok_r(NULL, " ", &save);
	b = strtok_r(NULL, " ", &save);
	c = strtok_r(NULL, " ", &save);
	if (!word || !a)
		return false;
	if (!strcmp(word, "rule"))
		return add_rule(o, a, b, c);
	if (b || (strcmp(word, "test") && strcmp(word, "def") && strcmp(word, "drop")))
		return false;
	add_owner(o, line, word, a);
	return true;
}

static void load(struct overlay *o, const char *path, FILE *stream)
{
	struct trace_line line = { .path = path };
	char text[TRACE_MAX_LINE + 2];

	while (fgets(text, sizeof(text), stream)) {
		line.number++;
		text[strcspn(text, "\n")] = '\0';
		if (*text && *text != '#' && !parse_line(o, &line, text))
			trace_error(&line, "\"%s\" is no line of an overlay", text);
	}
}

/* False if the folder has no overlay of that name. */
static bool load_named(struct overlay *o, const char *profile)
{
	bool found = false;
	FILE *stream;
	char *name;

	if (!profile)
		return false;
	if (asprintf(&name, "%s/%s%s", o->folder, profile, SUFFIX) < 0)
		exit(EXIT_FAILURE);
	stream = fopen(name, "r");
	if (stream) {
		load(o, trace_strdup(name), stream);
		fclose(stream);
		found = true;
	}
	free(name);
	return found;
}

/* The overlay of the profile for the files of a folder, empty if there is none. */
static struct overlay *find_overlay(const char *path)
{
	char *folder = folder_of(path);
	struct overlay *o;

	for (o = overlays; o; o = o->next) {
		if (!strcmp(o->folder, folder))
			return o;
	}
	o = trace_alloc(sizeof(*o));
	o->folder = folder;
	o->rules_tail = &o->rules;
	o->owners_tail = &o->owners;
	o->next = overlays;
	overlays = o;
	if (!load_named(o, profile_name))
		load_named(o, base_name);
	return o;
}

static struct owner *find_owner(const char *path, const char *kind, const char *name)
{
	struct owner *owner;

	for (owner = find_overlay(path)->owners; owner; owner = owner->next) {
		if (!strcmp(owner->kind, kind) && !strcmp(owner->name, name)) {
			owner->used = true;
			return owner;
		}
	}
	return NULL;
}

const struct trace_edit *trace_overlay_edits(const char *path, const char *kind, const char *name)
{
	const struct owner *owner = find_owner(path, kind, name);

	return owner ? owner->edits : NULL;
}

bool trace_overlay_drops(const char *path, const char *name)
{
	return find_owner(path, "drop", name);
}

const struct trace_edit_text *trace_overlay_replace(const struct trace_edit **edits,
						    const char *text)
{
	const struct trace_edit *edit = *edits;

	if (!edit || strcmp(edit->old, text))
		return NULL;
	*edits = edit->next;
	return edit->texts;
}

void trace_overlay_end(const struct trace_edit *edits)
{
	if (edits)
		trace_error(&edits->line, "no line reads \"%s\"", edits->old);
}

/* Replace @from in @text, which has room for TRACE_MAX_LINE characters, once. */
static void substitute(char *text, const char *from, const char *to)
{
	char *p = strstr(text, from), rest[TRACE_MAX_LINE + 2];

	if (!p || strlen(text) - strlen(from) + strlen(to) > TRACE_MAX_LINE)
		return;
	strcpy(rest, p + strlen(from));
	strcpy(p, to);
	strcat(p, rest);
}

void trace_overlay_rules(const char *path, char *text)
{
	const char *leaf = text + strcspn(text, " ");
	const struct rule *rule;

	if (strncmp(text, "call", 4))
		return;
	leaf += strspn(leaf, " ");
	for (rule = find_overlay(path)->rules; rule; rule = rule->next) {
		if (!strncmp(leaf, rule->leaf, strlen(rule->leaf)) &&
		    leaf[strlen(rule->leaf)] == ' ')
			substitute(text, rule->from, rule->to);
	}
}

void trace_overlay_check_used(const char *folder)
{
	const struct overlay *o;
	const struct owner *owner;

	for (o = overlays; o; o = o->next) {
		/* Of other folders, only what is included has been read. */
		if (strcmp(o->folder, folder))
			continue;
		for (owner = o->owners; owner; owner = owner->next) {
			if (!owner->used)
				trace_error(&owner->line, "there is no %s %s", owner->kind,
					    owner->name);
		}
	}
}
