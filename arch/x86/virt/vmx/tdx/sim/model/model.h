/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module model: control structures, locks and the contract between its
 * parts.
 *
 * Like the hardware module, the model keeps all state of a TD in the pages
 * that the host donated (TDR, TDCX, TDVPR, MIGSC, Secure EPT) and all page
 * ownership in the donated PAMT.  It allocates nothing, so nothing can leak in
 * it, and a page that it does not own according to the PAMT is never used.
 *
 * Locks are try-locks: contention is answered with TDX_OPERAND_BUSY and the
 * operand's id, never waited for.
 */
#ifndef _TDX_SIM_MODEL_H
#define _TDX_SIM_MODEL_H

#include "env.h"
#include "profile.h"
#include "status.h"

/* Register file in instruction encoding order, which is also the operand id. */
enum sim_reg {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI,
	R8, R9, R10, R11, R12, R13, R14, R15,
	SIM_NR_REGS,
};

struct tdx_sim_regs {
	u64 r[SIM_NR_REGS];
};

#define SIM_PAGE_SIZE		4096
#define SIM_PAGE_SHIFT		12
/* Physical address without KeyID, page aligned. */
#define SIM_HPA_PAGE_MASK	GENMASK_ULL(51, 12)
/* In an operand: there is no page. */
#define SIM_NULL_PA		(~0ULL)
/* Pages at level @level of a paging structure: 0 is 4 KiB, 1 is 2 MiB, 2 is 1 GiB. */
#define SIM_LEVEL_SHIFT(level)	(SIM_PAGE_SHIFT + 9 * (level))
#define SIM_LEVEL_SIZE(level)	BIT_ULL(SIM_LEVEL_SHIFT(level))
#define SIM_LEVEL_PAGES(level)	BIT_ULL(9 * (level))
#define SIM_TABLE_ENTRIES	512

/* ------------------------------------------------------------------ locks */

/*
 * Shared/exclusive try-lock with a host priority mark, 16 bits so that it fits
 * a PAMT entry: bit 0 exclusive, bit 1 host priority, bits 15:2 readers.
 */
struct sim_lock {
	u16 raw;
};

#define SIM_LOCK_EXCL		BIT(0)
#define SIM_LOCK_HOST_PRIO	BIT(1)
#define SIM_LOCK_READER		BIT(2)

enum sim_lock_mode { SIM_SHARED, SIM_EXCL };

bool sim_trylock(struct sim_lock *lock, enum sim_lock_mode mode);
/* A guest-side caller yields to a host that failed before. */
bool sim_trylock_guest(struct sim_lock *lock, enum sim_lock_mode mode, bool *host_prio);
void sim_unlock(struct sim_lock *lock, enum sim_lock_mode mode);

/* ------------------------------------------------------------------- PAMT */

enum pamt_type {
	PT_NDA = 0,
	PT_RSVD = 1,
	PT_REG = 3,
	PT_TDR = 4,
	PT_TDCX = 5,
	PT_TDVPR = 6,
	PT_EPT = 8,
};

/* 16 bytes in the donated PAMT, as SYS.RD reports the entry size. */
struct pamt_entry {
	struct sim_lock lock;
	u8 type;			/* enum pamt_type */
	u8 owner_hi;			/* PFN of the owner's TDR, 40 bits */
	u32 owner_lo;
	/* Imported pages: bit 63 valid, 62:32 import session, 31:0 MIG_EPOCH. */
	u64 bepoch;
};

static_assert(sizeof(struct pamt_entry) == 16);

/* ------------------------------------------------------ control structures */

enum td_lifecycle {
	TD_HKID_ASSIGNED,
	TD_KEYS_CONFIGURED,
	TD_BLOCKED,
	TD_TEARDOWN,
};

enum td_op_state {
	OP_UNINITIALIZED,
	OP_INITIALIZED,
	OP_RUNNABLE,
	OP_LIVE_EXPORT,
	OP_PAUSED_EXPORT,
	OP_POST_EXPORT,
	OP_MEMORY_IMPORT,
	OP_STATE_IMPORT,
	OP_POST_IMPORT,
	OP_LIVE_IMPORT,
	OP_FAILED_IMPORT,
	OP_NR_STATES,
};

#define SIM_MIN_TDCX		6
#define SIM_MAX_TDCX		9
#define SIM_NR_TDVPS_PAGES	6
/* What VP.ADDCX accepts; the pages above SIM_NR_TDVPS_PAGES are for L2 VMs. */
#define SIM_MAX_TDVPS_PAGES	15
#define SIM_MAX_L2_VMS		3
#define SIM_TDVPS_PAGES_PER_L2	3
#define SIM_MAX_MIGS		512
#define SIM_MAX_SERVTDS		1
/* In the profile that has most. */
#define SIM_NR_CPUID_VALUES	68
#define SIM_MAX_X2APIC_IDS	576

/* Which TDCX page holds what. */
enum tdcx_index {
	TDCX_TDCS,		/* struct tdcs */
	TDCX_CPUID,		/* struct tdcs_cpuid */
	TDCX_SEPT_ROOT,		/* level 4 Secure EPT page */
	TDCX_MIGSC_LINKS,	/* u64[512], struct migsc_link */
	TDCX_X2APIC_IDS,	/* u32[SIM_MAX_X2APIC_IDS] */
	TDCX_SPARE,
};

struct tdr {
	u8 fatal;
	u32 num_tdcx;
	u32 lifecycle;		/* enum td_lifecycle */
	u16 hkid;
	u64 chldcnt;		/* atomic: pages owned, TDR excluded */
	u64 tdcx_pa[SIM_MAX_TDCX];
	u64 uuid[4];
	u64 pkg_configured;	/* bitmap of packages */
};

/* Epoch and the number of vCPUs that run in each of the last two epochs. */
struct tdcs_epoch {
	u64 td_epoch;
	u16 refcount[2];
	struct sim_lock lock;
};

struct servtd_binding {
	u8 state;		/* 0 not bound, 1 pre-bound, 2 bound */
	u8 reserved0;
	u16 type;
	u32 reserved1;
	u64 attributes;
	u64 uuid[4];
	u8 info_hash[48];
	u64 reserved2[4];
};

static_assert(sizeof(struct servtd_binding) == 128);

/* Page 0 of the TDCS. */
struct tdcs {
	/* management */
	u32 num_vcpus;			/* atomic */
	u32 num_assoc_vcpus;		/* atomic */
	u32 op_state;			/* enum td_op_state */
	struct sim_lock op_state_lock;
	u16 num_l2_vms;
	struct sim_lock sept_tree_lock;
	struct sim_lock mig_lock;
	struct sim_lock servtd_lock;
	struct sim_lock rtmr_lock;
	struct tdcs_epoch epoch;

	/* execution controls */
	u64 attributes;
	u64 xfam;
	u32 max_vcpus;
	u8 gpaw;
	u16 tsc_frequency;		/* 25 MHz units */
	u64 eptp;
	u64 tsc_offset;
	u64 tsc_multiplier;
	u64 config_flags;
	u64 td_ctls;
	u8 topology_enum_configured;
	u64 notify_enables;
	u64 hp_lock_timeout;
	u64 vm_ctls[4];
	u32 xbuff_size;
	u64 virt_arch_capabilities;
	u64 virt_vmx_basic;
	u64 virt_vmx_misc[5];		/* MISC, CR0_FIXED0/1, CR4_FIXED0/1 */
	u64 virt_vmx_ctls[9];		/* 0x48b.. */

	/* measurement */
	u8 mrtd[48];
	u8 mrconfigid[48];
	u8 mrowner[48];
	u8 mrownerconfig[48];
	u8 rtmr[4][48];
	struct sim_sha384 mrtd_sha;

	/* migration */
	u8 mig_dec_key_set;
	u32 export_count;
	u32 import_count;
	u32 mig_epoch;
	u64 bw_epoch;
	u64 total_mb_count;
	u64 mig_dec_key[4];
	u64 mig_dec_working_key[4];
	u64 mig_enc_key[4];
	u64 mig_enc_working_key[4];
	u16 mig_version;
	u16 mig_working_version;
	u16 num_migs;
	u32 num_migrated_vcpus;
	u64 dirty_count;		/* atomic */
	u64 mig_count;			/* atomic */
	u64 pre_import_uuid[4];

	/* service TDs */
	u8 servtd_hash[48];
	u16 servtd_num;
	struct servtd_binding servtd[SIM_MAX_SERVTDS];
};

static_assert(sizeof(struct tdcs) <= SIM_PAGE_SIZE);

/* Page 1 of the TDCS: virtual CPUID values, as returned for the TD's CPUID. */
struct tdcs_cpuid {
	u64 values[SIM_NR_CPUID_VALUES][2];	/* eax | ebx << 32, ecx | edx << 32 */
	u8 valid[SIM_NR_CPUID_VALUES];		/* configured or imported */
	/* SEAMCALLs and TDCALLs by leaf number, for tests to assert on. */
	u32 host_calls[128];
	u32 guest_calls[32];
	u64 bytes_exported, bytes_imported;
};

static_assert(sizeof(struct tdcs_cpuid) <= SIM_PAGE_SIZE);

/* Link to a stream context: HPA in 51:12, bit 0 lock, bit 1 initialised. */
#define MIGSC_LINK_LOCK		BIT_ULL(0)
#define MIGSC_LINK_INIT		BIT_ULL(1)

enum vcpu_state {
	VCPU_UNINITIALIZED = 0,
	VCPU_READY = 2,
	VCPU_ACTIVE = 4,
	VCPU_DISABLED = 8,
	VCPU_IMPORT = 0x10,
};

/* How the vCPU left to the host last. */
enum sim_last_exit { LAST_EXIT_ASYNC_FAULT, LAST_EXIT_ASYNC_TRAP, LAST_EXIT_TDVMCALL };

#define SIM_ZERO_STEP_GPAS	32

enum tdvps_index {
	TDVPS_MGMT,		/* struct tdvps, the TDVPR page itself */
	TDVPS_VAPIC,		/* virtual APIC page, architectural layout */
	TDVPS_VMCS,		/* struct sim_vmcs */
	TDVPS_XBUFF0,		/* 12 KiB of XSAVE area in three pages */
	TDVPS_XBUFF1,
	TDVPS_XBUFF2,
};

/* What #VE handlers of the guest read with TDG.VP.VEINFO.GET. */
struct tdvps_ve {
	u32 exit_reason;
	u32 valid;		/* all ones while not yet fetched */
	u64 exit_qualification;
	u64 gla;
	u64 gpa;
	u16 eptp_index;
	u32 instruction_length;
	u32 instruction_information;
};

/*
 * Page 0 of the TDVPS.  The page layout is private to the model; metadata
 * access goes through the field tables in metadata_vp.c.
 */
struct tdvps {
	/* management */
	u64 tdr_pa;
	u64 page_pa[SIM_MAX_TDVPS_PAGES];
	u8 num_pages;
	u8 state;			/* enum vcpu_state */
	u8 launched;
	u8 last_td_exit;
	u8 pend_nmi;
	u8 cpuid_supervisor_ve, cpuid_user_ve;
	u8 nmi_unblocking_due_to_iret;
	u32 index;
	u32 assoc_lp;			/* LP number + 1, 0 when none */
	u64 vcpu_epoch;
	u32 export_count;
	u64 xfam;
	u8 cpuid_control[128];
	u16 curr_vm;
	u8 l2_exit_host_routing;
	u64 l2_ctls[12];

	/* the guest's registers that the module, not the VMCS, keeps */
	u64 gpr[SIM_NR_REGS];		/* RSP is in the VMCS */
	u64 dr[4];
	u64 dr6;
	u64 xcr0;
	u64 cr2;
	u64 msr_spec_ctrl, msr_umwait_control, msr_tsx_ctrl;
	u64 msr_perfevtsel[8], msr_offcore_rsp[2], msr_xfd[2];
	u64 msr_fixed_ctr[7], msr_perf_metrics, msr_fixed_ctr_ctrl[2];
	u64 msr_pebs_enable[2], msr_pebs_ld_lat[2], msr_a_pmc[8];
	u64 msr_ds_area, msr_xss, msr_lbr_depth, msr_uarch_misc_ctl;
	u64 msr_star, msr_lstar, msr_fmask, msr_kernel_gs_base, msr_tsc_aux;

	struct tdvps_ve ve;

	/* host-owned controls, written with TDH.VP.WR */
	u64 shared_eptp;
	u64 pi_desc_pa;
	u16 pi_vector;
	u64 pin_ctls;

	/* zero-step defence, see vp_enter.c */
	u64 zero_step_rip;		/* at the last entry */
	u64 zero_step_gpa[SIM_ZERO_STEP_GPAS];
	u8 zero_step_count;
	u8 zero_step_nr;

	u64 last_exit_tsc;
};

static_assert(sizeof(struct tdvps) <= SIM_PAGE_SIZE);

/* VMX segment register, attributes in VMCS access-rights format. */
struct sim_segment {
	u16 selector;
	u32 limit;
	u32 ar;
	u64 base;
};

/* Guest state that a VMCS would hold. */
struct sim_vmcs {
	struct sim_segment es, cs, ss, ds, fs, gs, ldtr, tr, gdtr, idtr;
	u16 intr_status;		/* RVI 7:0, SVI 15:8 */
	u16 guest_uinv;
	u64 cr0, cr3, cr4, dr7, rsp, rip, rflags;
	u64 pending_dbg;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 debugctl, pat, efer, perf_global_ctrl;
	u64 pdpte[4];
	u64 rtit_ctl, lbr_ctl, pkrs;
	u64 s_cet, ssp, intr_ssp_table;
	u32 interruptibility, activity;
	u32 entry_intr_info, entry_error_code, entry_instr_len;
	u32 preemption_timer;
	u64 exec_ctls[16];		/* enum sim_exec_ctl */
};

static_assert(sizeof(struct sim_vmcs) <= SIM_PAGE_SIZE);

/*
 * Header of a migration bundle, as exchanged with the peer.  The MAC covers the
 * bytes before it with @migs_index and @iv_counter taken as zero: these two are
 * bound through the IV.
 */
struct sim_mbmd {
	u16 size;
	u16 mig_version;
	u16 migs_index;
	u8 mb_type;
	u8 reserved;
	u32 mb_counter;
	u32 mig_epoch;
	u64 iv_counter;
	u64 info;			/* layout depends on @mb_type */
	u8 mac[16];
};

static_assert(sizeof(struct sim_mbmd) == 48);
static_assert(offsetof(struct sim_mbmd, mac) == 32);

/* The operands of an interrupted leaf, which its RESUME must repeat. */
struct migsc_operands {
	u16 leaf;
	u32 mig_epoch;
	u64 list_info;			/* GPA list info or page list info */
	u64 buf_list_hpa;
	u64 mac_hpa[2];
	u64 new_list_hpa;
	u64 tdvpr_pa;
};

struct migsc_intr {
	bool valid;
	struct migsc_operands ops;
	u32 pages_done;
	u32 bundle;			/* where the metadata continues */
	u32 element;
	u64 field_id;
};

/* A migration stream context, the whole of a MIGSC page. */
struct migsc {
	u64 iv_counter;
	u32 next_mb_counter;
	u32 expected_mb_counter;
	struct migsc_intr intr;
	struct sim_mbmd mbmd;		/* of the state bundle in progress */
	/* First error found in the plaintext, told once the MAC is good. */
	u64 md_err, md_ext_rcx, md_ext_rdx;
	struct sim_gcm gcm;
};

static_assert(sizeof(struct migsc) <= SIM_PAGE_SIZE);

/* ------------------------------------------------------------ a leaf's call */

#define SIM_MAX_HELD	32

/*
 * One SEAMCALL.  Locks taken through it are released by the dispatcher when
 * the leaf returns, whatever the status.
 */
struct sim_call {
	struct tdx_sim_regs *regs;
	struct tdx_sim_regs in;		/* @regs at entry */
	u16 leaf;
	u8 version;
	unsigned int nr_held;
	struct {
		struct sim_lock *lock;
		enum sim_lock_mode mode;
	} held[SIM_MAX_HELD];
	/* One bit locks (MIGSC links), cleared on return. */
	u64 *held_link;
	/* Locked Secure EPT entry, unlocked on return. */
	u64 *held_sept;
};

/* A TD named by an operand, its TDR locked. */
struct sim_td {
	u64 tdr_pa;
	struct tdr *tdr;
	struct pamt_entry *pamt;
	struct tdcs *tdcs;		/* NULL before the first ADDCX */
	struct tdcs_cpuid *cpuid;
	u64 *sept_root;
	u64 *migsc_links;
	u32 *x2apic_ids;
};

/* A vCPU named by its TDVPR, TDVPR locked, its TD's TDR locked shared. */
struct sim_vp {
	struct sim_td td;
	u64 tdvpr_pa;
	struct tdvps *vps;
	struct pamt_entry *pamt;
	u8 *vapic;			/* NULL until all pages are added */
	struct sim_vmcs *vmcs;
	u8 *xbuff[3];
};

typedef u64 (*sim_leaf_fn)(struct sim_call *c);

/* Take @lock for the rest of the call. */
bool sim_hold(struct sim_call *c, struct sim_lock *lock, enum sim_lock_mode mode);
/* The same, answering BUSY with @operand. */
u64 sim_hold_or_busy(struct sim_call *c, struct sim_lock *lock,
		     enum sim_lock_mode mode, u32 operand);
/*
 * Release what was taken since c->nr_held was @mark: for loops that take locks
 * in each round, and for errors that do not end the leaf.
 */
void sim_release_to(struct sim_call *c, unsigned int mark);
/* The end of a leaf. */
void sim_release_all(struct sim_call *c);

/* ------------------------------------------------- operands (operand.c) */

/* Physical address without KeyID. */
u64 sim_strip_hkid(u64 hpa);
u16 sim_hkid(u64 hpa);
bool sim_hkid_is_private(u64 hkid);
/* The byte at @hpa, KeyID ignored; valid up to the end of its 4 KiB page. */
void *sim_ptr(u64 hpa);

/* @reg is the register (or other operand id) that errors name. */
u64 sim_check_private_page(u64 hpa, u32 reg);	/* form, TDMR coverage */
/* Alignment, width and KeyID of an address in shared memory. */
bool sim_shared_hpa_form(u64 hpa, u64 align);
/* The same, and there is memory. */
u64 sim_check_shared_hpa(u64 hpa, u64 align, u32 operand);
/* HPA without KeyID that is aligned to a page of @level. */
u64 sim_check_hpa(u64 hpa, int level, u32 operand);
/* Lock a TDR operand: form, PAMT lock, type. */
u64 sim_get_tdr(struct sim_call *c, u32 reg, enum sim_lock_mode mode, struct sim_td *td);
/* The same for a TDR that no register names; errors name @operand. */
u64 sim_get_tdr_at(struct sim_call *c, u64 hpa, u32 operand, enum sim_lock_mode mode,
		   struct sim_td *td);
/*
 * FATAL, lifecycle, number of TDCX, op_state lock, op_state matrix for c->leaf.
 * With @op_lock < 0 the op_state lock is not taken (TDR is held exclusively).
 */
u64 sim_check_td(struct sim_call *c, struct sim_td *td, int op_lock);
/* Both of the above. */
u64 sim_get_td(struct sim_call *c, u32 reg, enum sim_lock_mode mode, int op_lock,
	       struct sim_td *td);
/* Lock a TDVPR operand in RCX and its TD shared, without op_state checks. */
u64 sim_get_vp(struct sim_call *c, enum sim_lock_mode mode, struct sim_vp *vp);
/* The same with the TDVPR in another register, and the TD locked in another mode. */
u64 sim_get_vp_in(struct sim_call *c, u32 reg, enum sim_lock_mode mode,
		  enum sim_lock_mode td_mode, struct sim_vp *vp);
/* Is the TDVPS complete for a TD with that many L2 VMs? */
bool sim_vp_complete(const struct sim_vp *vp);
/* Number of the LP that executes the leaf, as kept in tdvps.assoc_lp. */
u32 sim_this_lp(void);
/* Bring the vCPU to this LP; VCPU_ASSOCIATED if it is elsewhere. */
u64 sim_associate_vp(struct sim_vp *vp);
bool sim_op_state_allows(u16 leaf, u32 op_state);

/* ------------------------------------------------------- PAMT (pamt.c) */

struct pamt_entry *sim_pamt(u64 hpa);			/* 4 KiB entry */
/* Is @hpa part of a PAMT itself? */
bool sim_pamt_contains(u64 hpa);
/* Entry of the page of @level that contains @hpa, NULL outside of the TDMRs. */
struct pamt_entry *sim_pamt_level(u64 hpa, int level);
/*
 * Check the form of a page operand, lock its PAMT entry, and those above it
 * shared, and check its type.  Nothing is held after an error.
 */
u64 sim_get_page(struct sim_call *c, u64 hpa, u32 operand, int level,
		 enum sim_lock_mode mode, enum pamt_type type, struct pamt_entry **pe);
/* The same for whichever level has the page's entry, of any type. */
u64 sim_find_page(struct sim_call *c, u64 hpa, u32 operand, enum sim_lock_mode mode,
		  struct pamt_entry **pe, int *level);
/* A free page of @level, locked exclusively. */
u64 sim_get_free_range(struct sim_call *c, u64 hpa, u32 operand, int level,
		       struct pamt_entry **pe);
/* Lock a page operand exclusively that must be free.  Errors name @operand. */
u64 sim_get_free_page(struct sim_call *c, u64 hpa, u32 operand, struct pamt_entry **pe);
void sim_pamt_assign(struct pamt_entry *pe, enum pamt_type type, u64 tdr_pa);
void sim_pamt_free(struct pamt_entry *pe);
/* HPA of the owner's TDR. */
u64 sim_pamt_owner(const struct pamt_entry *pe);
/* Merge the entries below a page of @level into one, or split it; BUSY without operand. */
u64 sim_pamt_promote(u64 hpa, int level);
u64 sim_pamt_demote(u64 hpa, int level);
/* Initialise PAMT entries [@first, @first + @count) of a TDMR. */
struct sim_tdmr;
void sim_pamt_init(const struct sim_tdmr *tdmr, u64 first, u64 count);

/* --------------------------------------- cache lines of free pages (cache.c) */

/* Lines that a page may have in the caches, and the leaf that left them there. */
struct sim_dirty {
	u16 keyid;
	u16 leaf;
};

/*
 * @leaf made the page of @level free, whose PAMT entry is locked exclusively: lines
 * under @keyid may be left.
 */
void sim_cache_leave(u64 hpa, int level, u16 keyid, u16 leaf);
/* A free page, locked exclusively, comes into use under @keyid. */
void sim_cache_take(u64 hpa, int level, u16 keyid);
/* The host uses the page that @hpa is in. */
void sim_cache_host_use(u64 hpa, enum sim_page_use use);
/* Are lines left of the 4 KiB page? */
bool sim_cache_dirty(u64 hpa, struct sim_dirty *dirty);
/* Lines under @keyid were written back: of a page, or all. */
void sim_cache_flush_page(struct pamt_entry *pe, u16 keyid);
void sim_cache_flush_keyid(u16 keyid);

/* ------------------------------------------------------- the guest's side */

/* What TDH.VP.ENTER returns to the host when the guest leaves. */
struct sim_td_exit {
	bool pending;
	u64 rax;			/* status | exit reason */
	u64 rcx, rdx, r8, r9, r10, r11;
};

/*
 * One TDCALL of a guest.  @vp->vps may be NULL when a replayed trace names only
 * the TD.  A leaf that must leave to the host fills @exit; the guest's
 * registers are then not changed and its RIP does not advance.
 */
struct sim_guest_call {
	struct tdx_sim_regs *regs;
	struct sim_vp *vp;
	struct sim_td_exit exit;
	struct sim_call host;		/* locks taken for this TDCALL */
};

typedef u64 (*sim_guest_leaf_fn)(struct sim_guest_call *g);

/* RAX names the leaf on entry and holds the status on return. */
void tdx_sim_tdcall(struct sim_guest_call *g);
/* Take @lock for the rest of a TDCALL; BUSY or BUSY_HOST_PRIORITY with @operand. */
u64 sim_hold_guest(struct sim_guest_call *g, struct sim_lock *lock, enum sim_lock_mode mode,
		   u32 operand);
/* Exit qualification of an EPT violation. */
#define SIM_EPT_VIOLATION_WRITE	BIT_ULL(1)

/* Fill @exit for an EPT violation at @gpa; @eeq is the extended qualification. */
void sim_exit_ept_violation(struct sim_td_exit *exit, u64 gpa, u64 qual, u64 eeq);
/*
 * Zero-step defence (zero_step.c).  At entry: an error for the host, or @exit
 * filled because a page that it keeps from the guest is still missing.
 */
u64 sim_zero_step_enter(struct sim_vp *vp, struct sim_td_exit *exit);
/* At an exit: EPT violation of a private page, and any other. */
void sim_zero_step_fault(struct sim_vp *vp, u64 gpa);
void sim_zero_step_exit(struct sim_vp *vp);
/* Kernel address of a private or shared page of the guest, NULL if @gpa is not mapped. */
void *sim_guest_page(struct sim_vp *vp, u64 gpa, bool write);

/*
 * The engine: run the vCPU until it leaves to the host, and fill @exit.  In
 * userspace it stands for a guest that leaves at once.
 */
void sim_engine_run(struct sim_vp *vp, struct sim_td_exit *exit);

/* ------------------------------------------------- TD and vCPU start values */

/* TSC_MULTIPLIER, a fixed-point number. */
#define SIM_TSC_FRACTION_BITS	48
#define SIM_TSC_MULTIPLIER_ONE	BIT_ULL(SIM_TSC_FRACTION_BITS)

/* In units of 25 MHz. */
bool sim_tsc_frequency_valid(u64 frequency);
/* TSC_MULTIPLIER and TSC_OFFSET for a virtual TSC that reads @virtual_tsc now. */
void sim_set_tsc(struct tdcs *tdcs, u64 virtual_tsc);
/* What the TD reads now. */
u64 sim_virtual_tsc(const struct tdcs *tdcs);
/* Registers of a vCPU out of reset, VP.INIT and import. */
void sim_vp_reset(struct sim_vp *vp);

/* -------------------------------------- service TD and measurement helpers */

#define SIM_TDINFO_SIZE		512
/* TDINFO of @td with the fields that @ignore (SERVTD_ATTR) names zeroed. */
void sim_tdinfo(struct sim_td *td, u64 ignore, u8 out[SIM_TDINFO_SIZE]);

/* ------------------------------------------------------ module-wide state */

#define SIM_MAX_TDMRS		64
#define SIM_MAX_RESERVED	16
#define SIM_MAX_HKIDS		64
#define SIM_MAX_PACKAGES	8
#define SIM_NR_PAMT_LEVELS	3

struct sim_tdmr {
	u64 base, size;
	/* PAMT areas by level of the pages they describe. */
	struct { u64 base, size; } pamt[SIM_NR_PAMT_LEVELS];
	struct sim_lock lock;
	u64 next_init;
	u16 nr_reserved;
	struct { u64 offset, size; } reserved[SIM_MAX_RESERVED];
};

enum kot_state { KOT_FREE, KOT_ASSIGNED, KOT_FLUSHED, KOT_RESERVED };

enum sim_sys_state { SYS_INIT_PENDING, SYS_INIT_DONE, SYS_CONFIG_DONE, SYS_READY, SYS_SHUTDOWN };

struct sim_module {
	struct tdx_sim_platform platform;
	struct sim_lock lock;
	u32 sys_state;		/* enum sim_sys_state */
	u16 global_hkid;
	u16 nr_tdmrs;
	struct sim_tdmr tdmr[SIM_MAX_TDMRS];
	u64 lps_initialised;
	u64 pkgs_key_configured;
	/* key ownership table */
	struct sim_lock kot_lock;
	struct {
		u8 state;	/* enum kot_state */
		u32 flushes;	/* write backs of all its lines */
		u64 wbinvd_bitmap;
	} kot[SIM_MAX_HKIDS];
	/* cache write back, per package */
	struct {
		struct sim_lock lock;
		u32 next_block;		/* where an interrupted write back resumes */
		u64 hkids;		/* flushed KeyIDs that it covers */
	} wb[SIM_MAX_PACKAGES];
	/* what TDREPORTs are sealed with */
	struct sim_lock report_lock;
	u8 report_key_set;
	u8 report_key[48];
	/* calls by leaf number, of all TDs and of none */
	u64 host_calls[128];
	u64 guest_calls[32];
};

extern struct sim_module sim_module;

/*
 * What must never happen did: the module is no more.  The machine would report a
 * failure of the instruction, the model that the module was shut down.
 */
u64 sim_break_down(void);

static inline const struct tdx_sim_profile *sim_profile(void)
{
	return READ_ONCE(sim_module.platform.profile);
}

/* Can the host tell the x2APIC ids?  Whether a guest sees them is up to the profile. */
static inline bool sim_has_topology_enum(void)
{
	return sim_profile()->topology || sim_module.platform.topology_enum;
}

/* --------------------------------------------------------- entry points */

/* Forget everything: the state after a platform reset. */
void tdx_sim_reset(const struct tdx_sim_platform *platform);
/* One SEAMCALL: RAX names the leaf on entry and holds the status on return. */
void tdx_sim_seamcall(struct tdx_sim_regs *regs);

/* Needs the structures above, and everybody needs it. */
#include "sept.h"

#endif /* _TDX_SIM_MODEL_H */
