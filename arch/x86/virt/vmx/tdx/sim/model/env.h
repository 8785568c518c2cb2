/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module model needs from the place it runs in: the kernel, or a
 * userspace process that replays traces and fuzzes.
 *
 * The model is portable C.  Everything that differs between the two lies here:
 * base types and atomics, and the hooks declared below.  Nothing in the model
 * sleeps, allocates or takes a lock of the environment.
 */
#ifndef _TDX_SIM_ENV_H
#define _TDX_SIM_ENV_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#include <crypto/aes-gcm.h>
#include <crypto/sha2.h>

/*
 * One AES-256-GCM operation that can be suspended between updates: it lives in
 * a stream context page and is continued by a resumed leaf.
 */
struct sim_gcm {
	struct aes_gcm_key key;
	struct aes_gcm_ctx ctx;
};

struct sim_sha384 {
	struct sha384_ctx ctx;
};

/*
 * Atomics on memory that several processors use at once.  All are fully
 * ordered except the plain load and store, which are acquire and release.
 * The add, inc, dec, or and andnot forms return the new value.
 */
#define sim_load(p)			smp_load_acquire(p)
/* Pairs with sim_load(). */
#define sim_store(p, v)			smp_store_release(p, v)
#define sim_cmpxchg16(p, old, new)	cmpxchg((u16 *)(p), (u16)(old), (u16)(new))
#define sim_cmpxchg32(p, old, new)	cmpxchg((u32 *)(p), (u32)(old), (u32)(new))
#define sim_cmpxchg64(p, old, new)	cmpxchg((u64 *)(p), (u64)(old), (u64)(new))
#define sim_xchg64(p, v)		xchg((u64 *)(p), (u64)(v))

#else

#include "env_user.h"

#endif /* __KERNEL__ */

static inline u16 sim_atomic_add16(u16 *p, u16 n)
{
	u16 old;

	do {
		old = READ_ONCE(*p);
	} while (sim_cmpxchg16(p, old, old + n) != old);
	return old + n;
}

static inline u32 sim_atomic_add32(u32 *p, u32 n)
{
	u32 old;

	do {
		old = READ_ONCE(*p);
	} while (sim_cmpxchg32(p, old, old + n) != old);
	return old + n;
}

static inline u64 sim_atomic_add64(u64 *p, u64 n)
{
	u64 old;

	do {
		old = READ_ONCE(*p);
	} while (sim_cmpxchg64(p, old, old + n) != old);
	return old + n;
}

static inline u64 sim_atomic_or64(u64 *p, u64 bits)
{
	u64 old;

	do {
		old = READ_ONCE(*p);
	} while (sim_cmpxchg64(p, old, old | bits) != old);
	return old | bits;
}

static inline u64 sim_atomic_andnot64(u64 *p, u64 bits)
{
	u64 old;

	do {
		old = READ_ONCE(*p);
	} while (sim_cmpxchg64(p, old, old & ~bits) != old);
	return old & ~bits;
}

#define sim_atomic_inc16(p)	sim_atomic_add16(p, 1)
#define sim_atomic_dec16(p)	sim_atomic_add16(p, (u16)-1)
#define sim_atomic_inc32(p)	sim_atomic_add32(p, 1)
#define sim_atomic_dec32(p)	sim_atomic_add32(p, (u32)-1)
#define sim_atomic_inc64(p)	sim_atomic_add64(p, 1)
#define sim_atomic_dec64(p)	sim_atomic_add64(p, (u64)-1)

struct tdx_sim_profile;

/**
 * struct tdx_sim_platform - The machine that the model lives in
 * @profile: Version of the module
 * @hkid_shift: Lowest address bit that carries a KeyID
 * @hkid_bits: Number of address bits that carry a KeyID
 * @nr_mktme_hkids: Shared KeyIDs 1..@nr_mktme_hkids
 * @nr_tdx_hkids: Private KeyIDs, directly above the shared ones
 * @nr_lps: Logical processors; an LP number is below it
 * @nr_packages: Packages; KEY.CONFIG, CACHE.WB run once in each
 * @ept_levels: Levels of the processor's EPT, 4 if not set; with 5, TDs may have
 *	either number
 * @sys_disable: TDH.SYS.DISABLE exists, which no profile has
 * @topology_enum: Each profile has what Linux cannot do without: TOPOLOGY_ENUM in
 *	TDX_FEATURES0, MAX_VCPUS_PER_TD, VP.INIT with an x2APIC id, and all bits of CPUID
 *	that the host may configure in what SYS.RD tells
 */
struct tdx_sim_platform {
	const struct tdx_sim_profile *profile;
	u8 hkid_shift;
	u8 hkid_bits;
	u16 nr_mktme_hkids;
	u16 nr_tdx_hkids;
	u16 nr_lps;
	u16 nr_packages;
	u8 ept_levels;
	bool sys_disable;
	bool topology_enum;
};

/* The mapped 4 KiB page at @hpa (KeyID bits stripped), NULL if no RAM is there. */
void *tdx_sim_host_page(u64 hpa);
/* Is the 4 KiB page at @hpa usable for TDX (convertible memory)? */
bool tdx_sim_host_convertible(u64 hpa);
/* Entropy; false stands for RND_NO_ENTROPY. */
bool tdx_sim_host_random(void *buf, size_t len);
u64 tdx_sim_host_tsc(void);
/* The native frequency of that clock, as far as it is known by now. */
u32 tdx_sim_host_tsc_khz(void);
/* Native CPUID as the module sees it, for virtual CPUID values. */
void tdx_sim_host_cpuid(u32 leaf, u32 subleaf, u32 regs[4]);
/* An MSR of the processor that the module checks when it is initialised. */
u64 tdx_sim_host_msr(u32 msr);
/* The LP that executes the current leaf, and its package. */
unsigned int tdx_sim_host_lp(void);
unsigned int tdx_sim_host_package(void);
/* Polled at the points where a leaf may be interrupted. */
bool tdx_sim_host_interrupt_pending(void);
/*
 * Polled between the entries of a memory bundle: does another call wait for an
 * entry of the Secure EPT?  Always false on modules that do not look for that.
 */
bool tdx_sim_host_call_waiting(void);
/* Polled when the host is to lock an entry of the Secure EPT: pretend that a guest has it? */
bool tdx_sim_host_entry_busy(void);

/* What a page is used for that has left a TD. */
enum sim_page_use {
	SIM_USE_PRIVATE,	/* given to the module, under another KeyID */
	SIM_USE_SHARED,		/* operand in shared memory */
	SIM_USE_FREED,		/* back in the page allocator, if that can be seen */
};

/*
 * The page at @hpa is in @use while cache lines under @keyid can still overwrite
 * it, which are there since @leaf took it from its TD: a mistake of the host.
 */
void tdx_sim_host_dirty_page(u64 hpa, u16 keyid, u16 leaf, enum sim_page_use use);

/*
 * AES-256-GCM: init, any number of auth, then any number of crypt, then final.
 * dst may equal src.  sim_gcm_verify() compares in constant time.  A context
 * may be abandoned at any point with sim_gcm_drop(), also when never used
 * (all zero).
 */
void sim_gcm_set_key(struct sim_gcm *gcm, const u8 key[32]);
void sim_gcm_init(struct sim_gcm *gcm, const u8 iv[12]);
void sim_gcm_auth(struct sim_gcm *gcm, const void *aad, size_t len);
void sim_gcm_encrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len);
void sim_gcm_decrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len);
void sim_gcm_seal(struct sim_gcm *gcm, u8 tag[16]);
bool sim_gcm_verify(struct sim_gcm *gcm, const u8 tag[16]);
void sim_gcm_drop(struct sim_gcm *gcm);

void sim_sha384_init(struct sim_sha384 *sha);
void sim_sha384_update(struct sim_sha384 *sha, const void *data, size_t len);
void sim_sha384_final(struct sim_sha384 *sha, u8 digest[48]);

#endif /* _TDX_SIM_ENV_H */
