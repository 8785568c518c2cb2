/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Metadata: the fields of the module, of a TD and of a vCPU that have an id,
 * the state bundles made of them, the virtual CPUID table and the service TD
 * helpers that other parts of the model use.
 */
#ifndef _TDX_SIM_METADATA_H
#define _TDX_SIM_METADATA_H

#include "model.h"

/* --------------------------------------------------------- state bundles */

enum md_bundle {
	MD_BUNDLE_IMMUTABLE_SYS,
	MD_BUNDLE_IMMUTABLE_TD,
	MD_BUNDLE_TD,
	MD_BUNDLE_VP,
};

/*
 * Where a bundle continues in its next page.  All zero is the start; the
 * values are opaque and may be kept in struct migsc between calls.
 */
struct md_cursor {
	u64 field_id;
	u32 element;
	bool done;
};

/**
 * md_dump_page() - Fill one page of a state bundle
 * @bundle: What to dump
 * @td: TD to read
 * @vp: vCPU to read, NULL unless @bundle is MD_BUNDLE_VP
 * @cur: Zeroed before the first page; @cur->done is set with the last one
 * @page: Filled completely
 *
 * Return: SIM_SUCCESS, there is no other outcome.
 */
u64 md_dump_page(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp,
		 struct md_cursor *cur, u8 page[SIM_PAGE_SIZE]);

/**
 * md_load_page() - Check and apply one decrypted page of a state bundle
 * @bundle: What the page belongs to
 * @td: TD to write
 * @vp: vCPU to write, NULL unless @bundle is MD_BUNDLE_VP
 * @cur: Zeroed before the first page of each @bundle
 * @page: Plaintext, private to the caller (not host writable)
 * @last: No further page of this @bundle follows
 * @ext_rcx: Set to what the leaf returns in RCX on error, otherwise to 0
 * @ext_rdx: The same for RDX
 *
 * The first error of a bundle is the one to report, after the MAC was found
 * good and with SIM_FATAL added.  Pages after an error are read as well, but
 * nothing of them is applied unless they start from the first field.
 *
 * Return: SIM_SUCCESS or the status without SIM_FATAL.
 */
u64 md_load_page(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp,
		 struct md_cursor *cur, const u8 page[SIM_PAGE_SIZE], bool last,
		 u64 *ext_rcx, u64 *ext_rdx);

/**
 * md_finish_import() - Cross checks and derived state after the last page
 * @bundle: MD_BUNDLE_IMMUTABLE_TD, MD_BUNDLE_TD or MD_BUNDLE_VP
 * @td: The imported TD
 * @vp: The imported vCPU, NULL unless @bundle is MD_BUNDLE_VP
 *
 * To be called when the MAC and all pages were good.  Changes no op_state,
 * vCPU state or migration counter.  Not all errors have SIM_FATAL, but all are
 * the end of the import.
 *
 * Return: SIM_SUCCESS or the status.
 */
u64 md_finish_import(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp);

/*
 * Give a vCPU that is about to be imported its architectural initial state;
 * called once, after association and before the first md_load_page().
 */
void md_init_imported_vp(struct sim_vp *vp);

/* ----------------------------------------------- configuration of a TD */

#define SIM_TD_PARAMS_SIZE	1024
#define SIM_TD_PARAMS_CPUID	256	/* offset of the CPUID_CONFIG values */

/* ATTRIBUTES */
#define SIM_ATTR_DEBUG		BIT_ULL(0)
#define SIM_ATTR_LASS		BIT_ULL(27)
#define SIM_ATTR_SEPT_VE_DISABLE BIT_ULL(28)
#define SIM_ATTR_MIGRATABLE	BIT_ULL(29)
#define SIM_ATTR_PKS		BIT_ULL(30)
#define SIM_ATTR_PERFMON	BIT_ULL(63)

/* CONFIG_FLAGS: shared bit at 51, keep RBP over TDVMCALL, TD_CTLS writable. */
#define SIM_CONFIG_GPAW		BIT_ULL(0)
#define SIM_CONFIG_FLEXIBLE_PENDING_VE BIT_ULL(1)
#define SIM_CONFIG_NO_RBP_MOD	BIT_ULL(2)
#define SIM_CONFIG_FLAGS_FIXED0	GENMASK_ULL(2, 0)
/* TD_CTLS: no #VE for pending pages; CPUID 0xB and 0x1F, x2APIC id. */
#define SIM_TD_CTLS_PENDING_VE_DISABLE BIT_ULL(0)
#define SIM_TD_CTLS_ENUM_TOPOLOGY BIT_ULL(1)

#define SIM_XFAM_FIXED0		0x0006dbe7ULL	/* and what the CPU has */
#define SIM_XFAM_FIXED1		GENMASK_ULL(1, 0)
#define SIM_EPTP_WB_4LEVEL	0x1eULL
#define SIM_EPTP_WB_5LEVEL	0x26ULL

/* Virtual IA32_ARCH_CAPABILITIES: bits that the host may configure. */
#define SIM_ARCH_CAPABILITIES_CONFIG \
	(BIT_ULL(4) | BIT_ULL(19) | BIT_ULL(20) | BIT_ULL(24))

enum servtd_state { SERVTD_NOT_BOUND, SERVTD_PRE_BOUND, SERVTD_BOUND };

#define SERVTD_TYPE_MIGTD	0

/* SERVTD_ATTR: INSTANCE_BINDING and the parts of TDINFO to ignore. */
#define SIM_SERVTD_INSTANCE_BINDING	BIT_ULL(0)
#define SIM_SERVTD_IGNORE		GENMASK_ULL(42, 32)
#define SIM_SERVTD_ATTRIBUTES_FIXED0	(SIM_SERVTD_INSTANCE_BINDING | SIM_SERVTD_IGNORE)

/* ATTRIBUTES that a TD may have on this CPU. */
u64 sim_supported_attributes(void);
/* ATTRIBUTES and XFAM as TDH.MNG.INIT and an import accept them. */
bool sim_attributes_valid(u64 attributes);
bool sim_xfam_valid(u64 xfam);
/* The same for EPTP controls with GPAW 0. */
bool sim_eptp_valid(u64 controls);

/*
 * Build the virtual CPUID table of a TD whose ATTRIBUTES, XFAM, GPAW and
 * TSC_FREQUENCY are set.  @params is the caller's copy of TD_PARAMS.  On error
 * *@ext_rcx names leaf (31:0) and subleaf (63:32).
 */
u64 sim_cpuid_configure(struct sim_td *td, const u8 params[SIM_TD_PARAMS_SIZE], u64 *ext_rcx);
/*
 * Set the virtual IA32_ARCH_CAPABILITIES; @configured is MSR_CONFIG_CTLS bit 0
 * and @value what the host asked for.  After sim_cpuid_configure().
 */
bool sim_arch_capabilities_configure(struct sim_td *td, bool configured, u64 value);
/*
 * Fields that derive from the configuration of a TD or have a fixed value.
 * Last step of the configuration, cannot fail.
 */
void sim_td_derive(struct sim_td *td);

/* Index of VMX controls in struct sim_vmcs. */
enum sim_exec_ctl {
	CTL_TERTIARY,
	CTL_SPEC_CTRL_MASK,
	CTL_SPEC_CTRL_SHADOW,
	CTL_PRIMARY,
	CTL_EXCEPTION_BITMAP,
	CTL_PF_ERROR_MASK,
	CTL_PF_ERROR_MATCH,
	CTL_EXIT,
	CTL_ENTRY,
	CTL_SECONDARY,
	CTL_PLE_GAP,
	CTL_PLE_WINDOW,
	CTL_NOTIFY_WINDOW,
	CTL_CR4_SHADOW,
};

/*
 * Give the control fields of a vCPU that are never migrated their initial
 * values: VMX controls, posted interrupt and shared EPT pointers.  Part of
 * sim_vp_reset().
 */
void sim_vp_init_controls(struct sim_vp *vp);

/*
 * The TD executes CPUID.  False: the leaf is not virtualised, or the TD asked
 * for it, so inject #VE.
 */
bool sim_cpuid(struct sim_vp *vp, u32 leaf, u32 subleaf, u32 out[4]);
/* Does the TD see the topology that its host configured?  Then it has x2APIC ids. */
bool sim_has_topology(const struct sim_vp *vp);
u32 sim_x2apic_id(const struct sim_vp *vp);

/* ----------------------------------------------------------- service TDs */

/* SHA-384 of @data. */
void sim_measure(const void *data, size_t len, u8 digest[48]);
/*
 * SHA-384 of TDINFO without what @attributes tell to ignore.  The RTMRs must
 * not change meanwhile: rtmr_lock is held.
 */
void sim_servtd_info_hash(struct sim_td *td, u64 attributes, u8 digest[48]);
/* Fix SERVTD_HASH, at TDH.MR.FINALIZE or when the TD arrives. */
void sim_servtd_finalize(struct sim_td *td);

#endif /* _TDX_SIM_METADATA_H */
