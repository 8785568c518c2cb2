/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The software TDX platform in KVM selftests: its counters and knobs.  A machine
 * with TDX has neither.
 */
#ifndef SELFTEST_KVM_TDX_SIM_UTIL_H
#define SELFTEST_KVM_TDX_SIM_UTIL_H

#include "kvm_util.h"

/* SEAMCALL leaves */
#define TDH_MNG_CREATE			9
#define TDH_VP_FLUSH			18
#define TDH_MNG_INIT			21
#define TDH_MEM_TRACK			38
#define TDH_SERVTD_BIND			48
#define TDH_SERVTD_PREBIND		49
#define TDH_SYS_SHUTDOWN		52
#define TDH_EXPORT_ABORT		64
#define TDH_EXPORT_BLOCKW		65
#define TDH_EXPORT_RESTORE		66
#define TDH_EXPORT_MEM			68
#define TDH_EXPORT_PAUSE		70
#define TDH_EXPORT_TRACK		71
#define TDH_EXPORT_STATE_IMMUTABLE	72
#define TDH_EXPORT_STATE_TD		73
#define TDH_EXPORT_STATE_VP		74
#define TDH_EXPORT_UNBLOCKW		75
#define TDH_IMPORT_ABORT		80
#define TDH_IMPORT_END			81
#define TDH_IMPORT_COMMIT		82
#define TDH_IMPORT_MEM			83
#define TDH_IMPORT_TRACK		84
#define TDH_IMPORT_STATE_IMMUTABLE	85
#define TDH_IMPORT_STATE_TD		86
#define TDH_IMPORT_STATE_VP		87
#define TDH_MIG_STREAM_CREATE		96

bool td_sim_is_present(void);
/* Calls of a SEAMCALL leaf since boot; 0 on other platforms. */
u64 td_sim_count_leaf(unsigned int leaf);
/*
 * Let each @n-th look for an interrupt, by any leaf, find one; 0 for none but
 * those that are there.  Stays when the process ends.
 */
void td_sim_interrupt_every(u32 n);
/*
 * Let each @n-th entry of a memory bundle find another call waiting, so that the
 * leaf returns TDX_INTERRUPTED_BUSY; 0 for none.  Stays when the process ends.
 */
void td_sim_busy_interrupt_every(u32 n);
/* Pages that belong to TDs, of a type, e.g. REG, or of any if that is NULL; 0 likewise. */
unsigned int td_sim_count_owned_pages(const char *type);
/* TDs, 0 likewise. */
unsigned int td_sim_count_tds(void);
/* Free pages with cache lines under a private KeyID, on other platforms 0. */
int td_sim_count_dirty_pages(void);
/* Let a SEAMCALL leaf be busy whenever it is called, 0 for none; stays likewise. */
void td_sim_busy_leaf(unsigned int leaf);
/* Let a leaf be interrupted once it has begun, and be busy for ever after; likewise. */
void td_sim_stuck_leaf(unsigned int leaf);
/* The same so many times, and then no more. */
void td_sim_busy_leaf_times(unsigned int leaf, int times);
void td_sim_stuck_leaf_times(unsigned int leaf, int times);
/*
 * Let each @every-th S-EPT entry that a leaf locks be taken by a vCPU, so many times, and
 * then no more; likewise.
 */
void td_sim_busy_entries(unsigned int leaf, u32 every, int times);
/* End all of that.  Returns how many times were left. */
int td_sim_end_busy(void);

#endif /* SELFTEST_KVM_TDX_SIM_UTIL_H */
