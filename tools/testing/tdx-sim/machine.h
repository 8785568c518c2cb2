/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The userspace machine around the module model: physical memory, entropy,
 * interrupts, clock and processors, all under the control of a test.
 */
#ifndef TDX_SIM_MACHINE_H
#define TDX_SIM_MACHINE_H

#include "model.h"

/*
 * Memory map.  The low block is the only TDMR.  The high one is for the host:
 * PAMT areas, lists, buffers.  Nothing else is memory.  The two bases are the
 * reference platform's, a few traces have addresses in them.
 */
#define MACHINE_TDMR_BASE	0x100000000ULL
#define MACHINE_TDMR_SIZE	0x40000000ULL
#define MACHINE_TDMR_END	(MACHINE_TDMR_BASE + MACHINE_TDMR_SIZE)
#define MACHINE_HOST_BASE	0x150000000ULL
#define MACHINE_HOST_SIZE	0x10000000ULL
#define MACHINE_HOST_END	(MACHINE_HOST_BASE + MACHINE_HOST_SIZE)
/* An address without memory. */
#define MACHINE_NOTCONV		0x200000000ULL

/* Fixed use of the start of the host's block; its pages are handed out above. */
#define MACHINE_OUTSIDE		MACHINE_HOST_BASE
#define MACHINE_PAMT_1G		(MACHINE_HOST_BASE + 0x10000)
#define MACHINE_PAMT_2M		(MACHINE_HOST_BASE + 0x20000)
#define MACHINE_PAMT_4K		(MACHINE_HOST_BASE + 0x400000)
#define MACHINE_PAMT_1G_SIZE	0x1000ULL
#define MACHINE_PAMT_2M_SIZE	0x2000ULL
#define MACHINE_PAMT_4K_SIZE	0x400000ULL
#define MACHINE_FREE_BASE	(MACHINE_HOST_BASE + 0x1000000)

#define MACHINE_GLOBAL_HKID	40
#define MACHINE_MAX_LPS		16

/* The platform on which the conformance traces of the first profile were observed. */
extern const struct tdx_sim_platform machine_reference_platform;

/* Forget memory and module state. */
void machine_reset(const struct tdx_sim_platform *platform);
/*
 * Keep the present state under a number; machine_restore() returns to it any
 * number of times.  No message may be half encrypted.
 */
#define MACHINE_SNAPSHOTS	32
void machine_snapshot(unsigned int nr);
void machine_restore(unsigned int nr);

/* [hpa, hpa + len) as one block of memory, NULL if any byte of it is missing. */
void *machine_memory(u64 hpa, u64 len);

/* The next 32 random bytes. */
void machine_script_random(const u8 value[32]);
/* Let the next @count draws fail for want of entropy. */
void machine_fail_random(unsigned int count);

/* An interrupt is pending from the @nth poll on, 0 for never. */
void machine_pend_interrupt(unsigned int nth);

/* The next @n entries of memory bundles find another call waiting. */
void machine_make_calls_wait(unsigned int n);

/* The mistakes that the host has made with cache lines, and the last of them. */
struct machine_dirty_page {
	unsigned int count;
	u64 hpa;
	u16 keyid, leaf;
	enum sim_page_use use;
};

/* Counts since the last look. */
struct machine_dirty_page machine_dirty_page(void);

/* Give the processor bits of CPUID beside those of the reference, until the next reset. */
void machine_add_cpuid(u32 leaf, u32 subleaf, const u32 bits[4]);
/* Take them away again. */
void machine_forget_cpuid(void);

/* Flip bits of an MSR that the module looks at, until the next reset. */
void machine_flip_msr(u32 msr, u64 bits);

void machine_set_tsc(u64 tsc);
void machine_set_tsc_khz(u32 tsc_khz);

/* The calling thread becomes this logical processor. */
void machine_set_lp(unsigned int lp);

/*
 * What a vCPU does in the guest, and with which exit it leaves; NULL for an
 * external interrupt at once.
 */
#define MACHINE_EXIT_INTERRUPT	1
typedef void (*machine_guest_fn)(struct sim_vp *vp, struct sim_td_exit *exit);
void machine_set_guest(machine_guest_fn fn);

/* Did a TDH.VP.ENTER of this thread run the guest? */
bool machine_td_entered(void);
void machine_clear_td_entered(void);

/* Crypto contexts that are in use in simulated memory, and forgetting them. */
unsigned int machine_live_gcm(void);
void machine_drop_gcm(void);

#endif /* TDX_SIM_MACHINE_H */
