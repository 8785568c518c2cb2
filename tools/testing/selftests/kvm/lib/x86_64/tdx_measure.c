// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs in KVM selftests: what the measurement of a TD has to be.
 *
 * SHA-384 as in FIPS 180-4, and the blocks that the TDX module hashes when a
 * page is added and measured.
 */
#include <endian.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_util.h"

#define SHA512_ROUNDS		80
#define SHA512_BLOCK_SIZE	128

#define MR_BLOCK_SIZE		128
#define MR_NAME_SIZE		16
#define MR_EXTEND_CHUNK		256

/* Fractional parts of the cube roots of the first 80 primes. */
static const u64 sha512_k[SHA512_ROUNDS] = {
	0x428a2f98d728ae22ULL, 0x7137449123ef65cdULL, 0xb5c0fbcfec4d3b2fULL,
	0xe9b5dba58189dbbcULL, 0x3956c25bf348b538ULL, 0x59f111f1b605d019ULL,
	0x923f82a4af194f9bULL, 0xab1c5ed5da6d8118ULL, 0xd807aa98a3030242ULL,
	0x12835b0145706fbeULL, 0x243185be4ee4b28cULL, 0x550c7dc3d5ffb4e2ULL,
	0x72be5d74f27b896fULL, 0x80deb1fe3b1696b1ULL, 0x9bdc06a725c71235ULL,
	0xc19bf174cf692694ULL, 0xe49b69c19ef14ad2ULL, 0xefbe4786384f25e3ULL,
	0x0fc19dc68b8cd5b5ULL, 0x240ca1cc77ac9c65ULL, 0x2de92c6f592b0275ULL,
	0x4a7484aa6ea6e483ULL, 0x5cb0a9dcbd41fbd4ULL, 0x76f988da831153b5ULL,
	0x983e5152ee66dfabULL, 0xa831c66d2db43210ULL, 0xb00327c898fb213fULL,
	0xbf597fc7beef0ee4ULL, 0xc6e00bf33da88fc2ULL, 0xd5a79147930aa725ULL,
	0x06ca6351e003826fULL, 0x142929670a0e6e70ULL, 0x27b70a8546d22ffcULL,
	0x2e1b21385c26c926ULL, 0x4d2c6dfc5ac42aedULL, 0x53380d139d95b3dfULL,
	0x650a73548baf63deULL, 0x766a0abb3c77b2a8ULL, 0x81c2c92e47edaee6ULL,
	0x92722c851482353bULL, 0xa2bfe8a14cf10364ULL, 0xa81a664bbc423001ULL,
	0xc24b8b70d0f89791ULL, 0xc76c51a30654be30ULL, 0xd192e819d6ef5218ULL,
	0xd69906245565a910ULL, 0xf40e35855771202aULL, 0x106aa07032bbd1b8ULL,
	0x19a4c116b8d2d0c8ULL, 0x1e376c085141ab53ULL, 0x2748774cdf8eeb99ULL,
	0x34b0bcb5e19b48a8ULL, 0x391c0cb3c5c95a63ULL, 0x4ed8aa4ae3418acbULL,
	0x5b9cca4f7763e373ULL, 0x682e6ff3d6b2b8a3ULL, 0x748f82ee5defb2fcULL,
	0x78a5636f43172f60ULL, 0x84c87814a1f0ab72ULL, 0x8cc702081a6439ecULL,
	0x90befffa23631e28ULL, 0xa4506cebde82bde9ULL, 0xbef9a3f7b2c67915ULL,
	0xc67178f2e372532bULL, 0xca273eceea26619cULL, 0xd186b8c721c0c207ULL,
	0xeada7dd6cde0eb1eULL, 0xf57d4f7fee6ed178ULL, 0x06f067aa72176fbaULL,
	0x0a637dc5a2c898a6ULL, 0x113f9804bef90daeULL, 0x1b710b35131c471bULL,
	0x28db77f523047d84ULL, 0x32caab7b40c72493ULL, 0x3c9ebe0a15c9bebcULL,
	0x431d67c49c100d4cULL, 0x4cc5d4becb3e42b6ULL, 0x597f299cfc657e2aULL,
	0x5fcb6fab3ad6faecULL, 0x6c44198c4a475817ULL,
};

static u64 ror64(u64 value, unsigned int shift)
{
	return value >> shift | value << (64 - shift);
}

static void sha512_block(u64 state[8], const u8 *block)
{
	u64 w[SHA512_ROUNDS], v[8], t1, t2;
	int i;

	for (i = 0; i < 16; i++) {
		memcpy(&w[i], block + i * sizeof(w[i]), sizeof(w[i]));
		w[i] = be64toh(w[i]);
	}
	for (; i < SHA512_ROUNDS; i++) {
		t1 = ror64(w[i - 2], 19) ^ ror64(w[i - 2], 61) ^ w[i - 2] >> 6;
		t2 = ror64(w[i - 15], 1) ^ ror64(w[i - 15], 8) ^ w[i - 15] >> 7;
		w[i] = t1 + w[i - 7] + t2 + w[i - 16];
	}

	memcpy(v, state, sizeof(v));
	for (i = 0; i < SHA512_ROUNDS; i++) {
		t1 = v[7] + (ror64(v[4], 14) ^ ror64(v[4], 18) ^ ror64(v[4], 41)) +
		     ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha512_k[i] + w[i];
		t2 = (ror64(v[0], 28) ^ ror64(v[0], 34) ^ ror64(v[0], 39)) +
		     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(&v[1], &v[0], 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		state[i] += v[i];
}

void td_sha384_init(struct td_sha384 *sha)
{
	static const u64 initial[8] = {
		0xcbbb9d5dc1059ed8ULL, 0x629a292a367cd507ULL, 0x9159015a3070dd17ULL,
		0x152fecd8f70e5939ULL, 0x67332667ffc00b31ULL, 0x8eb44a8768581511ULL,
		0xdb0c2e0d64f98fa7ULL, 0x47b5481dbefa4fa4ULL,
	};

	memset(sha, 0, sizeof(*sha));
	memcpy(sha->state, initial, sizeof(initial));
}

void td_sha384_update(struct td_sha384 *sha, const void *data, size_t len)
{
	const u8 *p = data;
	size_t used, n;

	while (len) {
		used = sha->nr_bytes % SHA512_BLOCK_SIZE;
		n = min_t(size_t, len, SHA512_BLOCK_SIZE - used);
		memcpy(sha->block + used, p, n);
		sha->nr_bytes += n;
		p += n;
		len -= n;
		if (used + n == SHA512_BLOCK_SIZE)
			sha512_block(sha->state, sha->block);
	}
}

void td_sha384_final(struct td_sha384 *sha, u8 digest[TD_SHA384_SIZE])
{
	const u64 nr_bits = htobe64(sha->nr_bytes * 8);
	const u8 one = 0x80, zero = 0;
	u64 word;
	int i;

	td_sha384_update(sha, &one, 1);
	while (sha->nr_bytes % SHA512_BLOCK_SIZE != SHA512_BLOCK_SIZE - sizeof(nr_bits))
		td_sha384_update(sha, &zero, 1);
	td_sha384_update(sha, &nr_bits, sizeof(nr_bits));

	for (i = 0; i < TD_SHA384_SIZE / sizeof(word); i++) {
		word = htobe64(sha->state[i]);
		memcpy(digest + i * sizeof(word), &word, sizeof(word));
	}
}

static void td_measure_block(struct td_sha384 *sha, const char *name, gpa_t gpa)
{
	u8 block[MR_BLOCK_SIZE] = {};

	memcpy(block, name, strlen(name));
	memcpy(block + MR_NAME_SIZE, &gpa, sizeof(gpa));
	td_sha384_update(sha, block, sizeof(block));
}

void td_measure_page(struct td_sha384 *sha, gpa_t gpa, const void *page)
{
	int i;

	td_measure_block(sha, "MEM.PAGE.ADD", gpa);
	for (i = 0; i < PAGE_SIZE; i += MR_EXTEND_CHUNK) {
		td_measure_block(sha, "MR.EXTEND", gpa + i);
		td_sha384_update(sha, page + i, MR_EXTEND_CHUNK);
	}
}
