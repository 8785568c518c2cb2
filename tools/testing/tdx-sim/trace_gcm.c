// SPDX-License-Identifier: GPL-2.0
/*
 * AES-256-GCM as the bundles of a migration use it, on OpenSSL alone: what a
 * trace seals and opens must not depend on the module under test.
 */
#include <openssl/evp.h>

#include "trace.h"

#define KEY_LEN		32
#define IV_LEN		12
#define TAG_LEN		16
#define MBMD_AAD_LEN	32
#define GPA_AAD_LEN	8

struct gcm_step {
	struct trace_expr *iv, *stream, *aad_mbmd, *aad_gpa, *pt, *ct, *len, *mac;
	bool good;
};

/* The operands of one operation, evaluated. */
struct gcm_args {
	u8 iv[IV_LEN];
	u8 aad[MBMD_AAD_LEN];
	int aad_len;
	u8 *pt, *ct, *mac;
	int len;
};

static bool compile_key(struct trace_step *s)
{
	if (!trace_is_name(s->tokens[1])) {
		trace_error(s->line, "\"%s\" is not a name", s->tokens[1]);
		return false;
	}
	s->symbol = trace_symbol(s->tokens[1]);
	return trace_hex_arg(s, 2, KEY_LEN);
}

static bool run_key(struct trace_run *run, const struct trace_step *s)
{
	struct trace_key *key = &run->symbols.keys[s->symbol];

	key->set = true;
	memcpy(key->value, s->bytes, KEY_LEN);
	return true;
}

static struct trace_expr **find_option(struct gcm_step *g, const char *name, size_t len)
{
	const struct {
		const char *name;
		struct trace_expr **expr;
	} options[] = {
		{ "iv", &g->iv }, { "stream", &g->stream },
		{ "aad_mbmd", &g->aad_mbmd }, { "aad_gpa", &g->aad_gpa },
		{ "pt", &g->pt }, { "ct", &g->ct }, { "len", &g->len }, { "mac", &g->mac },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		if (strlen(options[i].name) == len && !strncmp(options[i].name, name, len))
			return options[i].expr;
	}
	return NULL;
}

static bool compile_options(struct trace_step *s, struct gcm_step *g, unsigned int end)
{
	unsigned int i;

	if (!trace_is_name(s->tokens[1])) {
		trace_error(s->line, "\"%s\" is no key", s->tokens[1]);
		return false;
	}
	s->symbol = trace_symbol(s->tokens[1]);
	s->spec = g;
	for (i = 2; i < end; i++) {
		const char *eq = strchr(s->tokens[i], '=');
		struct trace_expr **e;

		e = eq ? find_option(g, s->tokens[i], eq - s->tokens[i]) : NULL;
		if (!e || *e) {
			trace_error(s->line, "\"%s\" is no option, or given twice", s->tokens[i]);
			return false;
		}
		*e = trace_parse_expr(s->line, eq + 1);
		if (!*e)
			return false;
	}
	if (!g->iv || !g->stream || !g->mac || !g->aad_mbmd == !g->aad_gpa) {
		trace_error(s->line, "iv, stream, mac and one aad are needed");
		return false;
	}
	if (!g->pt != !g->ct || !g->pt != !g->len) {
		trace_error(s->line, "pt, ct and len only go together");
		return false;
	}
	return true;
}

static bool compile_seal(struct trace_step *s)
{
	return compile_options(s, trace_alloc(sizeof(struct gcm_step)), s->nr_tokens);
}

static bool compile_open(struct trace_step *s)
{
	struct gcm_step *g = trace_alloc(sizeof(*g));
	unsigned int end = s->nr_tokens - 2;

	if (!trace_expect_token(s, end, "=>"))
		return false;
	g->good = !strcmp(s->tokens[end + 1], "ok");
	return (g->good || trace_expect_token(s, end + 1, "bad")) && compile_options(s, g, end);
}

static bool eval_memory(struct trace_run *run, const struct trace_expr *expr, u64 len, u8 **p)
{
	u64 addr;

	return trace_eval(run, expr, &addr) && trace_memory(run, addr, len, p);
}

/* The part of a header that is authenticated: no stream index, no IV. */
static void mask_mbmd(u8 aad[MBMD_AAD_LEN])
{
	memset(aad + 4, 0, 2);
	memset(aad + 16, 0, 8);
}

static bool eval_args(struct trace_run *run, const struct gcm_step *g, struct gcm_args *a)
{
	u64 iv, stream, len = 0;
	u8 *aad;

	memset(a, 0, sizeof(*a));
	if (!trace_eval(run, g->iv, &iv) || !trace_eval(run, g->stream, &stream))
		return false;
	memcpy(a->iv, &iv, sizeof(iv));
	memcpy(a->iv + sizeof(iv), &stream, sizeof(u16));

	a->aad_len = g->aad_mbmd ? MBMD_AAD_LEN : GPA_AAD_LEN;
	if (!eval_memory(run, g->aad_mbmd ? g->aad_mbmd : g->aad_gpa, a->aad_len, &aad))
		return false;
	memcpy(a->aad, aad, a->aad_len);
	if (g->aad_mbmd)
		mask_mbmd(a->aad);

	if (g->len && (!trace_eval(run, g->len, &len) || !eval_memory(run, g->pt, len, &a->pt) ||
		       !eval_memory(run, g->ct, len, &a->ct)))
		return false;
	if (len > INT32_MAX)
		return trace_bad(run, "%#llx bytes are too many", len);
	a->len = len;
	return eval_memory(run, g->mac, TAG_LEN, &a->mac);
}

/* Encrypt or decrypt and make or check the tag. */
static bool crypt_args(EVP_CIPHER_CTX *ctx, const u8 *key, const struct gcm_args *a, bool seal,
		       bool *good)
{
	u8 none[TAG_LEN], tag[TAG_LEN];
	int n;

	if (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, a->iv, seal) != 1 ||
	    EVP_CipherUpdate(ctx, NULL, &n, a->aad, a->aad_len) != 1)
		return false;
	if (a->len && EVP_CipherUpdate(ctx, seal ? a->ct : a->pt, &n, seal ? a->pt : a->ct,
				       a->len) != 1)
		return false;
	if (seal)
		return EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
		       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, a->mac) == 1;

	memcpy(tag, a->mac, TAG_LEN);
	if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) != 1)
		return false;
	*good = EVP_CipherFinal_ex(ctx, none, &n) == 1;
	return true;
}

static bool run_crypt(struct trace_run *run, const struct trace_step *s, bool seal)
{
	const struct trace_key *key = &run->symbols.keys[s->symbol];
	const struct gcm_step *g = s->spec;
	EVP_CIPHER_CTX *ctx;
	struct gcm_args args;
	bool good = true, ok;

	if (!key->set)
		return trace_bad(run, "key %s is not defined", s->tokens[1]);
	if (!eval_args(run, g, &args))
		return false;

	ctx = EVP_CIPHER_CTX_new();
	ok = ctx && crypt_args(ctx, key->value, &args, seal, &good);
	EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		return trace_bad(run, "OpenSSL refused");
	if (seal || good == g->good)
		return true;
	return trace_fail(run, "tag", g->good ? "ok" : "bad", good ? "ok" : "bad");
}

static bool run_seal(struct trace_run *run, const struct trace_step *s)
{
	return run_crypt(run, s, true);
}

static bool run_open(struct trace_run *run, const struct trace_step *s)
{
	return run_crypt(run, s, false);
}

const struct trace_op trace_gcm_ops[] = {
	{ "key", 2, 2, false, compile_key, run_key },
	{ "gcm_seal", 5, TRACE_MAX_TOKENS - 1, false, compile_seal, run_seal },
	{ "gcm_open", 7, TRACE_MAX_TOKENS - 1, true, compile_open, run_open },
	{ }
};
