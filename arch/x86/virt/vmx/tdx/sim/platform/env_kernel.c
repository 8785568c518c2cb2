// SPDX-License-Identifier: GPL-2.0
/*
 * The module model's environment in the kernel: memory, entropy, time,
 * processors and cryptography.
 *
 * A leaf runs in the #UD handler of its SEAMCALL, on one CPU and with
 * interrupts disabled.
 */
#include <linux/debugfs.h>
#include <linux/memblock.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/topology.h>
#include <asm/apic.h>
#include <asm/archrandom.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "env.h"
#include "platform.h"

#define SIM_GCM_TAG_SIZE	16
#define APIC_IRR_REGS		8
#define APIC_REG_STRIDE		0x10

/*
 * How long an interrupt may go unnoticed.  An emulator reads the local APIC under a lock
 * that all its CPUs share, and takes longer for it than a leaf for an entry of a list
 * that the null cipher copies: with a look at it for each entry, two CPUs would mostly
 * wait for each other.  To encrypt a page takes longer than this.
 */
#define POLL_INTERVAL_US	50

static DEFINE_PER_CPU(bool, sim_caller_irqs);
static DEFINE_PER_CPU(u16, sim_leaf);
static DEFINE_PER_CPU(u64, sim_next_poll);

/* Test knob: every n-th poll finds an interrupt pending; 0 is off. */
static u32 interrupt_every;
static atomic_t interrupt_polls;

/* Test knob: every n-th entry of a memory bundle finds another call waiting; 0 is off. */
static u32 busy_interrupt_every;
static atomic_t busy_interrupt_polls;

/*
 * Test knob: a SEAMCALL leaf that meets contention whenever it is called, as if
 * another TD held a lock that it needs; 0, TDH.VP.ENTER, is off.
 */
static u32 busy_leaf;

/* Test knob: only if that leaf is resumed. */
static bool busy_resume;

/* Test knob: only every n-th of these calls. */
static u32 busy_every = 1;
static atomic_t busy_calls;

/*
 * Test knobs: every n-th time that a leaf, or any if it is 0, locks an entry of the
 * Secure EPT, a vCPU has it; 0 is off.
 */
static u32 busy_entry_every;
static u32 busy_entry_leaf;
static atomic_t busy_entry_polls;

/* Test knob: how often these two still apply; negative for no end. */
static atomic_t busy_left = ATOMIC_INIT(-1);

/*
 * Bundles are copied instead of encrypted, and all MACs are zero.  Does not
 * change during a session, see debugfs.c.
 */
static bool null_cipher;

/* Is it the turn of this one? */
static bool is_nth(atomic_t *count, u32 every)
{
	return every && (u32)atomic_inc_return(count) % every == 0;
}

/* Does contention still apply?  If so, once less from now on. */
static bool is_still_busy(void)
{
	return atomic_read(&busy_left) < 0 || atomic_dec_if_positive(&busy_left) >= 0;
}

void sim_env_enter(u16 leaf, bool irqs_enabled)
{
	this_cpu_write(sim_leaf, leaf);
	this_cpu_write(sim_caller_irqs, irqs_enabled);
}

void *tdx_sim_host_page(u64 hpa)
{
	if (!memblock_is_memory(hpa))
		return NULL;
	return __va(hpa & PAGE_MASK);
}

/* Firmware never makes the first megabyte convertible. */
bool tdx_sim_host_convertible(u64 hpa)
{
	return hpa >= SZ_1M && memblock_is_memory(hpa);
}

bool tdx_sim_host_random(void *buf, size_t len)
{
	get_random_bytes(buf, len);
	return true;
}

u64 tdx_sim_host_tsc(void)
{
	return rdtsc();
}

/* Without CPUID to tell it, the kernel measures it a second time after the boot. */
u32 tdx_sim_host_tsc_khz(void)
{
	return tsc_khz;
}

unsigned int tdx_sim_host_lp(void)
{
	return raw_smp_processor_id();
}

unsigned int tdx_sim_host_package(void)
{
	return topology_logical_package_id(raw_smp_processor_id());
}

/* Is it time to look at the local APIC again? */
static bool is_poll_due(void)
{
	u64 now = rdtsc();

	if (now < this_cpu_read(sim_next_poll))
		return false;

	this_cpu_write(sim_next_poll, now + tsc_khz * POLL_INTERVAL_US / USEC_PER_MSEC);
	return true;
}

bool tdx_sim_host_interrupt_pending(void)
{
	int i;

	if (is_nth(&interrupt_polls, READ_ONCE(interrupt_every)) || sim_fail_by_interrupt())
		return true;

	if (!this_cpu_read(sim_caller_irqs) || !is_poll_due())
		return false;

	for (i = 0; i < APIC_IRR_REGS; i++) {
		if (apic_read(APIC_IRR + i * APIC_REG_STRIDE))
			return true;
	}
	return false;
}

bool tdx_sim_host_call_waiting(void)
{
	return is_nth(&busy_interrupt_polls, READ_ONCE(busy_interrupt_every)) ||
	       sim_fail_by_giving_way();
}

bool tdx_sim_host_entry_busy(void)
{
	u32 leaf = READ_ONCE(busy_entry_leaf);

	return (!leaf || leaf == this_cpu_read(sim_leaf)) &&
	       is_nth(&busy_entry_polls, READ_ONCE(busy_entry_every)) && is_still_busy();
}

bool sim_env_leaf_is_busy(u16 leaf, bool resumed)
{
	u32 busy = READ_ONCE(busy_leaf);

	return busy && leaf == busy && (resumed || !READ_ONCE(busy_resume)) &&
	       is_nth(&busy_calls, READ_ONCE(busy_every)) && is_still_busy();
}

void sim_env_debugfs(struct dentry *dir)
{
	debugfs_create_u32("busy_interrupt_every", 0600, dir, &busy_interrupt_every);
	debugfs_create_u32("interrupt_every", 0600, dir, &interrupt_every);
	debugfs_create_u32("busy_leaf", 0600, dir, &busy_leaf);
	debugfs_create_bool("busy_resume", 0600, dir, &busy_resume);
	debugfs_create_u32("busy_every", 0600, dir, &busy_every);
	debugfs_create_atomic_t("busy_left", 0600, dir, &busy_left);
	debugfs_create_u32("busy_entry_every", 0600, dir, &busy_entry_every);
	debugfs_create_u32("busy_entry_leaf", 0600, dir, &busy_entry_leaf);
}

bool sim_env_null_cipher(void)
{
	return null_cipher;
}

void sim_env_set_null_cipher(bool on)
{
	null_cipher = on;
}

void sim_gcm_set_key(struct sim_gcm *gcm, const u8 key[32])
{
	/* Fails for wrong lengths only. */
	WARN_ON_ONCE(aes_gcm_preparekey(&gcm->key, key, AES_KEYSIZE_256, SIM_GCM_TAG_SIZE));
}

void sim_gcm_init(struct sim_gcm *gcm, const u8 iv[12])
{
	if (!null_cipher)
		aes_gcm_init(&gcm->ctx, iv, &gcm->key);
}

void sim_gcm_auth(struct sim_gcm *gcm, const void *aad, size_t len)
{
	if (!null_cipher)
		aes_gcm_auth_update(&gcm->ctx, aad, len);
}

void sim_gcm_encrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len)
{
	if (null_cipher)
		memmove(dst, src, len);
	else
		aes_gcm_encrypt_update(&gcm->ctx, dst, src, len);
}

void sim_gcm_decrypt(struct sim_gcm *gcm, void *dst, const void *src, size_t len)
{
	if (null_cipher)
		memmove(dst, src, len);
	else
		aes_gcm_decrypt_update(&gcm->ctx, dst, src, len);
}

void sim_gcm_seal(struct sim_gcm *gcm, u8 tag[16])
{
	if (null_cipher)
		memset(tag, 0, SIM_GCM_TAG_SIZE);
	else
		aes_gcm_encrypt_final(&gcm->ctx, tag);
}

bool sim_gcm_verify(struct sim_gcm *gcm, const u8 tag[16])
{
	if (null_cipher)
		return !memchr_inv(tag, 0, SIM_GCM_TAG_SIZE);
	return !aes_gcm_decrypt_final(&gcm->ctx, tag);
}

void sim_gcm_drop(struct sim_gcm *gcm)
{
	memzero_explicit(gcm, sizeof(*gcm));
}

void sim_sha384_init(struct sim_sha384 *sha)
{
	sha384_init(&sha->ctx);
}

void sim_sha384_update(struct sim_sha384 *sha, const void *data, size_t len)
{
	sha384_update(&sha->ctx, data, len);
}

void sim_sha384_final(struct sim_sha384 *sha, u8 digest[48])
{
	sha384_final(&sha->ctx, digest);
}
