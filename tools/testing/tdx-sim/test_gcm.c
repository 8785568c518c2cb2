// SPDX-License-Identifier: GPL-2.0
/*
 * The GCM construction of bundles: known answers of the reference module, and
 * the crypto hooks below it.
 */
#include <openssl/evp.h>

#include "fixture.h"
#include "mig.h"
#include "tap.h"

#define MBMD_LEN	48
#define MAC_LEN		16
#define GPA_OP_MIGRATE	BIT_ULL(52)
#define GPA_OP_CANCEL	BIT_ULL(53)

static struct fx_pair pair;

static bool hex_equals(const void *p, size_t len, const char *hex)
{
	char text[2 * MBMD_LEN + 1];
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", ((const u8 *)p)[i]);
	if (!strcmp(text, hex))
		return true;
	printf("# expected %s\n# got      %s\n", hex, text);
	return false;
}

static void check_mbmd(const char *hex, const char *what)
{
	tap_ok(hex_equals(fx_mem(pair.b.mbmd), MBMD_LEN, hex), "header of %s is as known", what);
}

static void check_mac(unsigned int i, const char *hex, const char *what)
{
	u8 *macs = fx_mem(pair.b.mac[0]);

	tap_ok(hex_equals(macs + i * MAC_LEN, MAC_LEN, hex), "MAC of %s is as known", what);
}

static u64 export_mem(unsigned int n, u64 stream)
{
	fx_reset_slots(&pair.b);
	return fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&pair.b, n), .rdx = pair.src.tdr,
		       .r8 = fx_mbmd(&pair.b), .r9 = pair.b.page_list, .r10 = stream,
		       .r11 = pair.b.mac[0], .r12 = pair.b.mac[1]);
}

static u64 track(u64 r10)
{
	return fx_call(LEAF_EXPORT_TRACK, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b), .r10 = r10);
}

/* The session whose bundles are known, bundle by bundle. */
static void test_known_session(void)
{
	fx_boot(1);
	fx_pair_init(&pair, 3);
	fx_pair_start(&pair);
	fx_block_writes(&pair, 0, 4);

	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE;
	*fx_gpa_entry(&pair.b, 1) = GPA_OP_MIGRATE | 0x1000;
	*fx_gpa_entry(&pair.b, 2) = 0x2000;
	tap_equal(export_mem(3, 0), 0, "two pages and a NOP are exported");
	check_mbmd("300000000000100001000000000000000200000000000000"
		   "03000000000000005e3c9bdcc7bda5b87389c8dd28151e35", "a bundle of stream 0");
	check_mac(0, "bd11dba89a365206d79368a421acecfd", "page 0");
	check_mac(1, "1aa36ab0614c340a496c8d4853ac79fc", "page 1");
	check_mac(2, "62d17d605f937c074047cafc3bfe0236", "a skipped entry");

	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE | 0x3000;
	tap_equal(export_mem(1, 1), 0, "a page is exported on another stream");
	check_mbmd("300000000100100000000000000000000100000000000000"
		   "0100000000000000c39f47275d6461353bf5c906d47b9781", "a bundle of stream 1");
	check_mac(0, "17165e9a070e236ef41f4c05f492785f", "page 3");

	tap_equal(track(0), 0, "an epoch token is exported");
	check_mbmd("300000000000200000000000010000000600000000000000"
		   "0400000000000000c473e913d5f94ccb7c774e4a004d323b", "an epoch token");
}

static void test_paused_session(void)
{
	fx_must(LEAF_EXPORT_UNBLOCKW, .rcx = 0, .rdx = pair.src.tdr);
	fx_block_writes(&pair, 0, 1);
	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE;
	*fx_gpa_entry(&pair.b, 1) = GPA_OP_CANCEL | 0x1000;
	tap_equal(export_mem(2, 0), 0, "a page is exported again, another one cancelled");
	check_mbmd("300000000000100001000000010000000700000000000000"
		   "02000000000000009854c527b14d55b2c1d739123889d15c", "a bundle of epoch 1");
	check_mac(0, "d62db2984367b6a38e0e33d95340347a", "a page exported again");
	check_mac(1, "f6b61be46e7a123e7bf2f1409322311a", "a cancelled page");

	fx_must(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr);
	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE | 0x4000;
	*fx_gpa_entry(&pair.b, 1) = GPA_OP_MIGRATE | 0x5000;
	*fx_gpa_entry(&pair.b, 2) = GPA_OP_MIGRATE | 0x6000;
	*fx_gpa_entry(&pair.b, 3) = GPA_OP_MIGRATE | 0x2000;
	tap_equal(export_mem(4, 0), 0, "pages of the paused TD are exported");
	check_mbmd("300000000000100002000000010000000a00000000000000"
		   "040000000000000032ae561ec64e18d30edd1d4a8adc954e", "a bundle of the paused TD");
	check_mac(0, "7aadd873c26975fd0a2fdb76ffdd2719", "page 4");
	check_mac(3, "7839d15cfdbf3b7451703f1ebfa20941", "page 2");
}

static void test_start_token(void)
{
	fx_must(LEAF_EXPORT_STATE_TD, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
		.r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES));
	fx_must(LEAF_EXPORT_STATE_VP, .rcx = pair.src.vp[0], .r8 = fx_mbmd(&pair.b),
		.r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES));
	tap_equal(track(MIGS_COMMAND), 0, "the start token is exported");
	check_mbmd("300000000000200000000000ffffffff1100000000000000"
		   "090000000000000062c4caecaad76f554529d320345f3105", "the start token");

	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE | 0x7000;
	tap_equal(export_mem(1, 0), 0, "a page is exported out of order");
	check_mbmd("300000000000100001000000ffffffff1200000000000000"
		   "0100000000000000c5545298c45b5b2c2129341bf38ff362", "a bundle out of order");
	check_mac(0, "a168491284d78bab7ed63bfe8f8f7073", "page 7");
}

static void test_abort_token(void)
{
	tap_equal(fx_call(LEAF_IMPORT_ABORT, .rcx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b)),
		  SIM_FATAL, "the destination aborts");
	check_mbmd("300000000000210000000000000000000100000000000000"
		   "00000000000000009bb63219fddde3ad2a2f8b540f99768d", "the abort token");
	tap_equal(fx_call(LEAF_EXPORT_ABORT, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b)), 0,
		  "the source takes the token as the proof that the TD does not run there");
	tap_equal(fx_mng_rd(pair.src.tdr, FX_MD_OP_STATE), OP_RUNNABLE, "and runs again");
}

/* AAD and data in one go, by OpenSSL alone. */
static void openssl_seal(const u8 *key, const u8 *iv, const void *aad, int aad_len,
			 const u8 *pt, u8 *ct, int len, u8 *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv);
	EVP_EncryptUpdate(ctx, NULL, &n, aad, aad_len);
	EVP_EncryptUpdate(ctx, ct, &n, pt, len);
	EVP_EncryptFinal_ex(ctx, ct, &n);
	EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MAC_LEN, tag);
	EVP_CIPHER_CTX_free(ctx);
}

static void test_hooks(void)
{
	static u8 pt[8192], ct[8192], expected[8192];
	u8 key[32] = { 1, 2, 3 }, iv[12] = { 4, 5 }, aad[32] = { 6 };
	u8 tag[MAC_LEN], expected_tag[MAC_LEN];
	struct sim_gcm gcm = { };
	unsigned int i;

	for (i = 0; i < sizeof(pt); i++)
		pt[i] = i * 7;
	openssl_seal(key, iv, aad, sizeof(aad), pt, expected, sizeof(pt), expected_tag);

	sim_gcm_set_key(&gcm, key);
	sim_gcm_init(&gcm, iv);
	sim_gcm_auth(&gcm, aad, 8);
	sim_gcm_auth(&gcm, aad + 8, 24);
	sim_gcm_encrypt(&gcm, ct, pt, 4096);
	sim_gcm_encrypt(&gcm, ct + 4096, pt + 4096, 4096);
	sim_gcm_seal(&gcm, tag);
	tap_ok(!memcmp(ct, expected, sizeof(ct)), "pages encrypted one by one make one message");
	tap_ok(!memcmp(tag, expected_tag, sizeof(tag)), "and one tag");

	sim_gcm_init(&gcm, iv);
	sim_gcm_auth(&gcm, aad, sizeof(aad));
	sim_gcm_decrypt(&gcm, ct, ct, sizeof(ct));
	tap_ok(!memcmp(ct, pt, sizeof(ct)), "decryption in place gives the text back");
	tap_ok(sim_gcm_verify(&gcm, tag), "the tag of the message verifies");

	for (i = 0; i < MAC_LEN * 8; i++) {
		tag[i / 8] ^= 1 << i % 8;
		sim_gcm_init(&gcm, iv);
		sim_gcm_auth(&gcm, aad, sizeof(aad));
		sim_gcm_decrypt(&gcm, ct, expected, sizeof(ct));
		if (sim_gcm_verify(&gcm, tag))
			break;
		tag[i / 8] ^= 1 << i % 8;
	}
	tap_equal(i, MAC_LEN * 8, "a tag with any one bit flipped is refused");

	sim_gcm_drop(&gcm);
	sim_gcm_drop(&gcm);
	tap_ok(!memchr_inv(&gcm, 0, sizeof(gcm)), "a dropped context is empty");
}

static void test_sha384(void)
{
	static const char expected[] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
				       "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
	struct sim_sha384 sha;
	u8 digest[48];

	sim_sha384_init(&sha);
	sim_sha384_update(&sha, "a", 1);
	sim_sha384_update(&sha, "bc", 2);
	sim_sha384_final(&sha, digest);
	tap_ok(hex_equals(digest, sizeof(digest), expected), "SHA-384 of \"abc\" is as known");
}

int main(void)
{
	test_hooks();
	test_sha384();
	test_known_session();
	test_paused_session();
	test_start_token();
	test_abort_token();
	return tap_done();
}
