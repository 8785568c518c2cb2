// SPDX-License-Identifier: GPL-2.0
/*
 * AES-256-GCM and SHA-384 of the module model on top of OpenSSL.
 *
 * An OpenSSL cipher context holds pointers, so it cannot live in a simulated
 * page.  The page holds a slot number; a slot belongs to the address of its
 * struct sim_gcm, so memory that is reused finds its old slot again.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>

#include "machine.h"

#define GCM_SLOTS	2048
#define GCM_IV_LEN	12
#define GCM_TAG_LEN	16

enum gcm_phase { GCM_IDLE, GCM_AAD, GCM_DATA };

static struct gcm_slot {
	EVP_CIPHER_CTX *ctx;
	struct sim_gcm *owner;
} slots[GCM_SLOTS];

static unsigned int nr_slots;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

static void gcm_bug(const char *what)
{
	fprintf(stderr, "AES-GCM context: %s\n", what);
	abort();
}

static void evp_must(int ok)
{
	if (ok != 1)
		gcm_bug("OpenSSL refused");
}

/* Slot numbers start at 1, so that zeroed memory names none. */
static struct gcm_slot *find_slot(struct sim_gcm *gcm)
{
	u32 slot = gcm->slot;

	if (!slot || slot > GCM_SLOTS || slots[slot - 1].owner != gcm)
		return NULL;
	return &slots[slot - 1];
}

/* Give an address its slot back, or a free one. */
static struct gcm_slot *claim_slot(struct sim_gcm *gcm)
{
	struct gcm_slot *slot = NULL;
	unsigned int i;

	pthread_mutex_lock(&slots_lock);
	for (i = 0; i < nr_slots; i++) {
		if (slots[i].owner == gcm) {
			slot = &slots[i];
			break;
		}
		if (!slots[i].owner && !slot)
			slot = &slots[i];
	}
	if (!slot) {
		if (nr_slots == GCM_SLOTS)
			gcm_bug("too many");
		slot = &slots[nr_slots++];
	}
	slot->owner = gcm;
	pthread_mutex_unlock(&slots_lock);
	return slot;
}

static struct gcm_slot *make_context(struct sim_gcm *gcm)
{
	struct gcm_slot *slot = claim_slot(gcm);

	if (!slot->ctx)
		slot->ctx = EVP_CIPHER_CTX_new();
	if (!slot->ctx)
		gcm_bug("out of memory");
	evp_must(EVP_CipherInit_ex(slot->ctx, EVP_aes_256_gcm(), NULL, gcm->key, NULL, 1));
	gcm->slot = slot - slots + 1;
	return slot;
}

static struct gcm_slot *get_slot(struct sim_gcm *gcm)
{
	struct gcm_slot *slot = find_slot(gcm);

	if (slot)
		return slot;
	if (!gcm->slot || gcm->phase == GCM_DATA)
		gcm_bug("used without a key, or moved in the middle of a message");
	return make_context(gcm);
}

void sim_gcm_set_key(struct sim_gcm *gcm, const u8 key[32])
{
	memset(gcm, 0, sizeof(*gcm));
	memcpy(gcm->key, key, sizeof(gcm->key));
	make_context(gcm);
}

void sim_gcm_init(struct sim_gcm *gcm, const u8 iv[12])
{
	get_slot(gcm);
	memcpy(gcm->iv, iv, sizeof(gcm->iv));
	gcm->aad_len = 0;
	gcm->phase = GCM_AAD;
}

/* OpenSSL wants the direction first, so AAD waits until that is known. */
void sim_gcm_auth(struct sim_gcm *gcm, const void *aad, size_t len)
{
	if (gcm->phase != GCM_AAD || len > sizeof(gcm->aad) - gcm->aad_len)
		gcm_bug("AAD after data, or too long");
	memcpy(gcm->aad + gcm->aad_len, aad, len);
	gcm->aad_len += len;
}

static EVP_CIPHER_CTX *enter_data_phase(struct sim_gcm *gcm, bool encrypt)
{
	EVP_CIPHER_CTX *ctx = get_slot(gcm)->ctx;
	int n;

	if (gcm->phase == GCM_DATA && gcm->encrypt == encrypt)
		return ctx;
	if (gcm->phase != GCM_AAD)
		gcm_bug("not initialised, or direction changed");

	evp_must(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, gcm->iv, encrypt));
	if (gcm->aad_len)
		evp_must(EVP_CipherUpdate(ctx, NULL, &n, gcm->aad, gcm->aad_len));
	gcm->phase = GCM_DATA;
	gcm->encrypt = encrypt;
	return ctx;
}

static void gcm_crypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len, bool encrypt)
{
	EVP_CIPHER_CTX *ctx = enter_data_phase(gcm, encrypt);
	int n;

	evp_must(EVP_CipherUpdate(ctx, dst, &n, src, len));
}

void sim_gcm_encrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len)
{
	gcm_crypt(gcm, dst, src, len, true);
}

void sim_gcm_decrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len)
{
	gcm_crypt(gcm, dst, src, len, false);
}

void sim_gcm_seal(struct sim_gcm *gcm, u8 tag[16])
{
	EVP_CIPHER_CTX *ctx = enter_data_phase(gcm, true);
	u8 none[GCM_TAG_LEN];
	int n;

	evp_must(EVP_CipherFinal_ex(ctx, none, &n));
	evp_must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_LEN, tag));
	gcm->phase = GCM_IDLE;
}

bool sim_gcm_verify(struct sim_gcm *gcm, const u8 tag[16])
{
	EVP_CIPHER_CTX *ctx = enter_data_phase(gcm, false);
	u8 copy[GCM_TAG_LEN], none[GCM_TAG_LEN];
	int n;

	memcpy(copy, tag, sizeof(copy));
	evp_must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_LEN, copy));
	gcm->phase = GCM_IDLE;
	return EVP_CipherFinal_ex(ctx, none, &n) == 1;
}

void sim_gcm_drop(struct sim_gcm *gcm)
{
	struct gcm_slot *slot;

	pthread_mutex_lock(&slots_lock);
	slot = find_slot(gcm);
	if (slot)
		slot->owner = NULL;
	pthread_mutex_unlock(&slots_lock);
	memset(gcm, 0, sizeof(*gcm));
}

unsigned int machine_live_gcm(void)
{
	unsigned int i, live = 0;

	pthread_mutex_lock(&slots_lock);
	for (i = 0; i < nr_slots; i++)
		live += !!slots[i].owner;
	pthread_mutex_unlock(&slots_lock);
	return live;
}

void machine_drop_gcm(void)
{
	unsigned int i;

	pthread_mutex_lock(&slots_lock);
	for (i = 0; i < nr_slots; i++)
		slots[i].owner = NULL;
	pthread_mutex_unlock(&slots_lock);
}

static SHA512_CTX *sha_ctx(struct sim_sha384 *sha)
{
	static_assert(sizeof(SHA512_CTX) <= sizeof(struct sim_sha384));

	return (SHA512_CTX *)sha;
}

void sim_sha384_init(struct sim_sha384 *sha)
{
	evp_must(SHA384_Init(sha_ctx(sha)));
}

void sim_sha384_update(struct sim_sha384 *sha, const void *data, size_t len)
{
	evp_must(SHA384_Update(sha_ctx(sha), data, len));
}

void sim_sha384_final(struct sim_sha384 *sha, u8 digest[48])
{
	evp_must(SHA384_Final(digest, sha_ctx(sha)));
}
