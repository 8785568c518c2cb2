/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel vocabulary that the module model uses, for a userspace build:
 * base types, bit macros, atomics on plain integers, and the two crypto
 * contexts that live inside simulated pages.
 *
 * Only arch/x86/virt/vmx/tdx/sim/model/env.h includes this file.
 */
#ifndef TDX_SIM_ENV_USER_H
#define TDX_SIM_ENV_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;
typedef u16 __le16;
typedef u32 __le32;
typedef u64 __le64;

#define U8_MAX			((u8)~0U)
#define U16_MAX			((u16)~0U)
#define U32_MAX			((u32)~0U)
#define U64_MAX			((u64)~0ULL)

#undef static_assert
#define __sim_static_assert(expr, msg, ...) _Static_assert(expr, msg)
#define static_assert(expr, ...) __sim_static_assert(expr, ##__VA_ARGS__, #expr)
#define BUILD_BUG_ON(cond)	_Static_assert(!(cond), #cond)

#define __section(s)		__attribute__((__section__(s)))
#define __packed		__attribute__((__packed__))
#define __aligned(x)		__attribute__((__aligned__(x)))
#define __maybe_unused		__attribute__((__unused__))
#define __must_check		__attribute__((__warn_unused_result__))
#undef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#define noinline		__attribute__((__noinline__))
#define fallthrough		__attribute__((__fallthrough__))
#define __ro_after_init
#define __init
#define noinstr
#define __printf(a, b)		__attribute__((__format__(printf, a, b)))
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define barrier()		__asm__ __volatile__("" : : : "memory")

#ifndef offsetof
#define offsetof(t, m)		__builtin_offsetof(t, m)
#endif
#define sizeof_field(t, m)	sizeof(((t *)0)->m)
#define offsetofend(t, m)	(offsetof(t, m) + sizeof_field(t, m))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(h, l)		((~0UL << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l)	((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define __bf_shift(mask)	__builtin_ctzll(mask)
#define FIELD_GET(mask, val)	((__typeof__(mask))(((val) & (mask)) >> __bf_shift(mask)))
#define FIELD_PREP(mask, val) \
	((__typeof__(mask))(((__typeof__(mask))(val) << __bf_shift(mask)) & (mask)))
#define FIELD_MAX(mask)		((__typeof__(mask))((mask) >> __bf_shift(mask)))
#define FIELD_FIT(mask, val)	(!((((u64)(val)) << __bf_shift(mask)) & ~(u64)(mask)))
#define FIELD_MODIFY(mask, ptr, val) \
	(*(ptr) = (*(ptr) & ~(mask)) | FIELD_PREP(mask, val))

#define min(a, b) \
	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) \
	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define max_t(t, a, b)		max((t)(a), (t)(b))
#define umin(a, b)		min_t(u64, a, b)
#define umax(a, b)		max_t(u64, a, b)
#define clamp(v, lo, hi)	min(max(v, lo), hi)
#define clamp_t(t, v, lo, hi)	clamp((t)(v), (t)(lo), (t)(hi))
#define swap(a, b) \
	do { __typeof__(a) _t = (a); (a) = (b); (b) = _t; } while (0)
#define in_range(v, start, len)	((u64)(v) - (u64)(start) < (u64)(len))

#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN(x, a)		ALIGN_DOWN((x) + (__typeof__(x))(a) - 1, a)
#define IS_ALIGNED(x, a)	(!((x) & ((__typeof__(x))(a) - 1)))
#define round_up(x, a)		ALIGN(x, a)
#define round_down(x, a)	ALIGN_DOWN(x, a)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define is_power_of_2(n)	((n) != 0 && !((n) & ((n) - 1)))
#define lower_32_bits(n)	((u32)((n) & 0xffffffff))
#define upper_32_bits(n)	((u32)(((u64)(n)) >> 32))

#define SZ_4K			0x00001000
#define SZ_64K			0x00010000
#define SZ_1M			0x00100000
#define SZ_2M			0x00200000
#define SZ_4M			0x00400000
#define SZ_1G			0x40000000
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define PAGE_MASK		(~(PAGE_SIZE - 1))

static inline unsigned int hweight64(u64 w)
{
	return __builtin_popcountll(w);
}

static inline unsigned int hweight32(u32 w)
{
	return __builtin_popcount(w);
}

static inline int fls64(u64 x)
{
	return x ? 64 - __builtin_clzll(x) : 0;
}

static inline unsigned long __ffs(unsigned long x)
{
	return __builtin_ctzl(x);
}

static inline unsigned long __ffs64(u64 x)
{
	return __builtin_ctzll(x);
}

static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (u64)(((unsigned __int128)a * b) >> shift);
}

static inline u64 div64_u64(u64 a, u64 b)
{
	return a / b;
}

static inline u64 div_u64(u64 a, u32 b)
{
	return a / b;
}

/*
 * Atomics on plain integers, with the ordering that the kernel's have.  A
 * volatile access would do on x86; the builtins tell the thread sanitizer too.
 */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define xchg(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define xadd(p, v)		__atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define cmpxchg(p, old, new) \
	({ \
		__typeof__(*(p)) _old = (old); \
		__atomic_compare_exchange_n((p), &_old, (new), false, \
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		_old; \
	})
#define try_cmpxchg(p, oldp, new) \
	__atomic_compare_exchange_n((p), (oldp), (new), false, \
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cmpxchg64		cmpxchg
#define try_cmpxchg64		try_cmpxchg

/* What env.h names for the model; see there. */
#define sim_load(p)			smp_load_acquire(p)
#define sim_store(p, v)			smp_store_release(p, v)
#define sim_cmpxchg16(p, old, new)	cmpxchg((u16 *)(p), (u16)(old), (u16)(new))
#define sim_cmpxchg32(p, old, new)	cmpxchg((u32 *)(p), (u32)(old), (u32)(new))
#define sim_cmpxchg64(p, old, new)	cmpxchg((u64 *)(p), (u64)(old), (u64)(new))
#define sim_xchg64(p, v)		xchg((u64 *)(p), (u64)(v))

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

/* x86 stores integers little-endian, at any alignment. */
#define cpu_to_le16(x)		((u16)(x))
#define cpu_to_le32(x)		((u32)(x))
#define cpu_to_le64(x)		((u64)(x))
#define le16_to_cpu(x)		((u16)(x))
#define le32_to_cpu(x)		((u32)(x))
#define le64_to_cpu(x)		((u64)(x))

static inline u64 __sim_get_le(const void *p, size_t len)
{
	u64 v = 0;

	memcpy(&v, p, len);
	return v;
}

#define get_unaligned_le16(p)	((u16)__sim_get_le((p), 2))
#define get_unaligned_le32(p)	((u32)__sim_get_le((p), 4))
#define get_unaligned_le64(p)	__sim_get_le((p), 8)
#define put_unaligned_le16(v, p) \
	do { u16 _v = (v); memcpy((p), &_v, sizeof(_v)); } while (0)
#define put_unaligned_le32(v, p) \
	do { u32 _v = (v); memcpy((p), &_v, sizeof(_v)); } while (0)
#define put_unaligned_le64(v, p) \
	do { u64 _v = (v); memcpy((p), &_v, sizeof(_v)); } while (0)
#define get_unaligned(p) \
	({ __typeof__(*(p)) _u; memcpy(&_u, (p), sizeof(_u)); _u; })

static inline void memzero_explicit(void *p, size_t len)
{
	memset(p, 0, len);
	barrier();
}

static inline const void *memchr_inv(const void *p, int c, size_t len)
{
	const u8 *b = p;
	size_t i;

	for (i = 0; i < len; i++) {
		if (b[i] != (u8)c)
			return b + i;
	}
	return NULL;
}

/* A warning of the model is a bug of the model: no test survives one. */
#define WARN_ON_ONCE(cond) \
	({ \
		bool _cond = !!(cond); \
		if (_cond) { \
			fprintf(stderr, "%s:%d: WARN_ON_ONCE(%s)\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
		_cond; \
	})
#define WARN_ON			WARN_ON_ONCE
#define WARN_ONCE(cond, ...)	WARN_ON_ONCE(cond)

/*
 * A GCM context in a simulated page names an OpenSSL context that env_crypto.c
 * keeps.  Between messages it can be made again from what is here; in the
 * middle of one it is tied to its address.
 */
#define SIM_GCM_MAX_AAD		64

struct sim_gcm {
	u32 slot;
	u8 phase;
	u8 encrypt;
	u16 aad_len;
	u8 key[32];
	u8 iv[12];
	u8 aad[SIM_GCM_MAX_AAD];
};

/* As large as OpenSSL's SHA512_CTX; relocatable. */
struct sim_sha384 {
	u64 opaque[27];
};

#endif /* TDX_SIM_ENV_USER_H */
