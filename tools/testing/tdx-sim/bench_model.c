// SPDX-License-Identifier: GPL-2.0
/*
 * How fast the model is: calls per second, and what an exported page costs
 * compared with its encryption alone.
 */
#include <openssl/evp.h>
#include <time.h>

#include "fixture.h"
#include "mig.h"

#define SECONDS		0.5
#define LIST_PAGES	512
#define STREAMS		2
#define GCM_TAG_LEN	16
#define MBMD_SIZE	(128ULL << 52)

static struct fx_pair pair;

/* A bundle of as many pages as a list can have. */
static struct {
	u64 gpa_list, buf_list, mac[2], mbmd, pages;
} large;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Calls of @fn per second, which does @batch things each. */
static double rate(void (*fn)(void), unsigned int batch)
{
	double start = now(), spent;
	unsigned long n = 0;

	do {
		fn();
		n++;
		spent = now() - start;
	} while (spent < SECONDS);
	return n * batch / spent;
}

static void read_field(void)
{
	fx_must(LEAF_MNG_RD, .rcx = pair.src.tdr, .rdx = FX_MD_OP_STATE);
}

static void read_entry(void)
{
	fx_must(LEAF_MEM_SEPT_RD, .rcx = 0x1000, .rdx = pair.src.tdr);
}

static void refused_call(void)
{
	fx_call(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr + 1);
}

/* Out of order, a page may be exported any number of times. */
static void export_list(void)
{
	u64 *gpas = fx_mem(large.gpa_list), *bufs = fx_mem(large.buf_list);
	unsigned int i;

	for (i = 0; i < LIST_PAGES; i++) {
		gpas[i] = gpa_entry_set_op((u64)i * SIM_PAGE_SIZE, GPA_MIGRATE);
		bufs[i] = large.pages + (u64)i * SIM_PAGE_SIZE;
	}
	fx_must(LEAF_EXPORT_MEM, .rcx = large.gpa_list | FIELD_PREP(GPA_LIST_LAST, LIST_PAGES - 1),
		.rdx = pair.src.tdr, .r8 = large.mbmd | MBMD_SIZE, .r9 = large.buf_list,
		.r11 = large.mac[0], .r12 = large.mac[1]);
}

/* What the same pages cost OpenSSL, one message each. */
static void encrypt_list(void)
{
	static EVP_CIPHER_CTX *ctx;
	static u64 counter;
	u8 iv[12] = { }, key[32] = { }, tag[GCM_TAG_LEN];
	unsigned int i;
	int n;

	if (!ctx) {
		ctx = EVP_CIPHER_CTX_new();
		EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv);
	}
	for (i = 0; i < LIST_PAGES; i++) {
		u8 *src = fx_mem(pair.src_page[i % FX_NR_PAGES]);
		u8 *dst = fx_mem(large.pages + (u64)i * SIM_PAGE_SIZE);

		counter++;
		memcpy(iv, &counter, sizeof(counter));
		EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv);
		EVP_EncryptUpdate(ctx, NULL, &n, (u8 *)&counter, sizeof(counter));
		EVP_EncryptUpdate(ctx, dst, &n, src, SIM_PAGE_SIZE);
		EVP_EncryptFinal_ex(ctx, tag, &n);
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_LEN, tag);
	}
}

static void fill_guest(void)
{
	struct fx_args args;
	u64 gpa;

	for (gpa = FX_NR_PAGES * SIM_PAGE_SIZE; gpa < LIST_PAGES * SIM_PAGE_SIZE;
	     gpa += SIM_PAGE_SIZE) {
		fx_must(LEAF_MEM_PAGE_AUG, .rcx = gpa, .rdx = pair.src.tdr, .r8 = fx_page());
		args = (struct fx_args){ .rcx = gpa };
		fx_expect_success("PAGE.ACCEPT",
				  fx_tdcall(pair.src.tdr, TDG_MEM_PAGE_ACCEPT, &args));
	}
}

static void prepare(void)
{
	fx_boot(1);
	fx_pair_init(&pair, STREAMS);
	fill_guest();
	large.mbmd = fx_hpages(1);
	large.gpa_list = fx_hpages(1);
	large.buf_list = fx_hpages(1);
	large.mac[0] = fx_hpages(1);
	large.mac[1] = fx_hpages(1);
	large.pages = fx_hpages(LIST_PAGES);
}

int main(void)
{
	double pages, bare;

	prepare();
	printf("%-28s %12.0f calls/s\n", "MNG.RD", rate(read_field, 1));
	printf("%-28s %12.0f calls/s\n", "MEM.SEPT.RD", rate(read_entry, 1));
	printf("%-28s %12.0f calls/s\n", "a refused call", rate(refused_call, 1));

	fx_pair_start(&pair);
	fx_must(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr);
	fx_must(LEAF_EXPORT_TRACK, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
		.r10 = MIGS_COMMAND);
	pages = rate(export_list, LIST_PAGES);
	bare = rate(encrypt_list, LIST_PAGES);
	printf("%-28s %12.0f pages/s\n", "EXPORT.MEM", pages);
	printf("%-28s %12.0f pages/s\n", "AES-256-GCM alone", bare);
	printf("%-28s %12.2f\n", "time of EXPORT.MEM / AES-GCM", bare / pages);
	return 0;
}
