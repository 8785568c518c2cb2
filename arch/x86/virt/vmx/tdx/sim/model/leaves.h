/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every leaf of the module model: its number and its handler.
 */
#ifndef _TDX_SIM_LEAVES_H
#define _TDX_SIM_LEAVES_H

#include "model.h"

/* SEAMCALL leaf numbers. */
enum sim_leaf {
	LEAF_VP_ENTER = 0,
	LEAF_MNG_ADDCX = 1,
	LEAF_MEM_PAGE_ADD = 2,
	LEAF_MEM_SEPT_ADD = 3,
	LEAF_VP_ADDCX = 4,
	LEAF_MEM_PAGE_RELOCATE = 5,
	LEAF_MEM_PAGE_AUG = 6,
	LEAF_MEM_RANGE_BLOCK = 7,
	LEAF_MNG_KEY_CONFIG = 8,
	LEAF_MNG_CREATE = 9,
	LEAF_VP_CREATE = 10,
	LEAF_MNG_RD = 11,
	LEAF_MEM_RD = 12,
	LEAF_MNG_WR = 13,
	LEAF_MEM_WR = 14,
	LEAF_MEM_PAGE_DEMOTE = 15,
	LEAF_MR_EXTEND = 16,
	LEAF_MR_FINALIZE = 17,
	LEAF_VP_FLUSH = 18,
	LEAF_MNG_VPFLUSHDONE = 19,
	LEAF_MNG_KEY_FREEID = 20,
	LEAF_MNG_INIT = 21,
	LEAF_VP_INIT = 22,
	LEAF_MEM_PAGE_PROMOTE = 23,
	LEAF_PHYMEM_PAGE_RDMD = 24,
	LEAF_MEM_SEPT_RD = 25,
	LEAF_VP_RD = 26,
	LEAF_MNG_KEY_RECLAIMID = 27,
	LEAF_PHYMEM_PAGE_RECLAIM = 28,
	LEAF_MEM_PAGE_REMOVE = 29,
	LEAF_MEM_SEPT_REMOVE = 30,
	LEAF_SYS_KEY_CONFIG = 31,
	LEAF_SYS_INFO = 32,
	LEAF_SYS_INIT = 33,
	LEAF_SYS_RD = 34,
	LEAF_SYS_LP_INIT = 35,
	LEAF_SYS_TDMR_INIT = 36,
	LEAF_SYS_RDALL = 37,
	LEAF_MEM_TRACK = 38,
	LEAF_MEM_RANGE_UNBLOCK = 39,
	LEAF_PHYMEM_CACHE_WB = 40,
	LEAF_PHYMEM_PAGE_WBINVD = 41,
	LEAF_VP_WR = 43,
	LEAF_SYS_LP_SHUTDOWN = 44,
	LEAF_SYS_CONFIG = 45,
	LEAF_SERVTD_BIND = 48,
	LEAF_SERVTD_PREBIND = 49,
	LEAF_SYS_SHUTDOWN = 52,
	LEAF_SYS_UPDATE = 53,
	LEAF_EXPORT_ABORT = 64,
	LEAF_EXPORT_BLOCKW = 65,
	LEAF_EXPORT_RESTORE = 66,
	LEAF_EXPORT_MEM = 68,
	LEAF_SYS_DISABLE = 69,
	LEAF_EXPORT_PAUSE = 70,
	LEAF_EXPORT_TRACK = 71,
	LEAF_EXPORT_STATE_IMMUTABLE = 72,
	LEAF_EXPORT_STATE_TD = 73,
	LEAF_EXPORT_STATE_VP = 74,
	LEAF_EXPORT_UNBLOCKW = 75,
	LEAF_IMPORT_ABORT = 80,
	LEAF_IMPORT_END = 81,
	LEAF_IMPORT_COMMIT = 82,
	LEAF_IMPORT_MEM = 83,
	LEAF_IMPORT_TRACK = 84,
	LEAF_IMPORT_STATE_IMMUTABLE = 85,
	LEAF_IMPORT_STATE_TD = 86,
	LEAF_IMPORT_STATE_VP = 87,
	LEAF_MIG_STREAM_CREATE = 96,
	SIM_NR_LEAVES,
};

/* TDCALL leaf numbers. */
enum sim_guest_leaf {
	TDG_VP_VMCALL = 0,
	TDG_VP_INFO = 1,
	TDG_MR_RTMR_EXTEND = 2,
	TDG_VP_VEINFO_GET = 3,
	TDG_MR_REPORT = 4,
	TDG_VP_CPUIDVE_SET = 5,
	TDG_MEM_PAGE_ACCEPT = 6,
	TDG_VM_RD = 7,
	TDG_VM_WR = 8,
	TDG_VP_RD = 9,
	TDG_VP_WR = 10,
	TDG_SYS_RD = 11,
	TDG_SYS_RDALL = 12,
	TDG_SERVTD_RD = 18,
	TDG_SERVTD_WR = 20,
	TDG_MR_VERIFYREPORT = 22,
	TDG_MEM_PAGE_ATTR_RD = 23,
	TDG_MEM_PAGE_ATTR_WR = 24,
	SIM_NR_GUEST_LEAVES,
};

/* sys.c */
u64 tdx_sim_sys_init(struct sim_call *c);
u64 tdx_sim_sys_lp_init(struct sim_call *c);
u64 tdx_sim_sys_config(struct sim_call *c);
u64 tdx_sim_sys_key_config(struct sim_call *c);
u64 tdx_sim_sys_tdmr_init(struct sim_call *c);
u64 tdx_sim_sys_shutdown(struct sim_call *c);
u64 tdx_sim_sys_update(struct sim_call *c);
u64 tdx_sim_sys_lp_shutdown(struct sim_call *c);
u64 tdx_sim_sys_disable(struct sim_call *c);

/* mng.c */
u64 tdx_sim_mng_create(struct sim_call *c);
u64 tdx_sim_mng_key_config(struct sim_call *c);
u64 tdx_sim_mng_addcx(struct sim_call *c);
u64 tdx_sim_mng_vpflushdone(struct sim_call *c);
u64 tdx_sim_mng_key_freeid(struct sim_call *c);
u64 tdx_sim_mng_key_reclaimid(struct sim_call *c);
/* mng_init.c */
u64 tdx_sim_mng_init(struct sim_call *c);
/* mr.c */
u64 tdx_sim_mr_extend(struct sim_call *c);
u64 tdx_sim_mr_finalize(struct sim_call *c);

/* vp.c */
u64 tdx_sim_vp_create(struct sim_call *c);
u64 tdx_sim_vp_addcx(struct sim_call *c);
u64 tdx_sim_vp_init(struct sim_call *c);
u64 tdx_sim_vp_flush(struct sim_call *c);

/* mem.c, mem_page.c, mem_sept.c */
u64 tdx_sim_mem_page_add(struct sim_call *c);
u64 tdx_sim_mem_page_aug(struct sim_call *c);
u64 tdx_sim_mem_page_remove(struct sim_call *c);
u64 tdx_sim_mem_page_relocate(struct sim_call *c);
u64 tdx_sim_mem_page_promote(struct sim_call *c);
u64 tdx_sim_mem_page_demote(struct sim_call *c);
u64 tdx_sim_mem_sept_add(struct sim_call *c);
u64 tdx_sim_mem_sept_remove(struct sim_call *c);
u64 tdx_sim_mem_sept_rd(struct sim_call *c);
u64 tdx_sim_mem_range_block(struct sim_call *c);
u64 tdx_sim_mem_range_unblock(struct sim_call *c);
u64 tdx_sim_mem_track(struct sim_call *c);
u64 tdx_sim_mem_rd(struct sim_call *c);
u64 tdx_sim_mem_wr(struct sim_call *c);

/* phymem.c */
u64 tdx_sim_phymem_page_rdmd(struct sim_call *c);
u64 tdx_sim_phymem_page_reclaim(struct sim_call *c);
u64 tdx_sim_phymem_cache_wb(struct sim_call *c);
u64 tdx_sim_phymem_page_wbinvd(struct sim_call *c);

/* rd_wr.c */
u64 tdx_sim_mng_rd(struct sim_call *c);
u64 tdx_sim_mng_wr(struct sim_call *c);
u64 tdx_sim_vp_rd(struct sim_call *c);
u64 tdx_sim_vp_wr(struct sim_call *c);
u64 tdx_sim_sys_rd(struct sim_call *c);
u64 tdx_sim_sys_rdall(struct sim_call *c);
u64 tdx_sim_sys_info(struct sim_call *c);

/* servtd.c */
u64 tdx_sim_servtd_bind(struct sim_call *c);
u64 tdx_sim_servtd_prebind(struct sim_call *c);

/* mig.c, export*.c, import*.c */
u64 tdx_sim_mig_stream_create(struct sim_call *c);
u64 tdx_sim_export_abort(struct sim_call *c);
u64 tdx_sim_export_blockw(struct sim_call *c);
u64 tdx_sim_export_restore(struct sim_call *c);
u64 tdx_sim_export_mem(struct sim_call *c);
u64 tdx_sim_export_pause(struct sim_call *c);
u64 tdx_sim_export_track(struct sim_call *c);
u64 tdx_sim_export_state_immutable(struct sim_call *c);
u64 tdx_sim_export_state_td(struct sim_call *c);
u64 tdx_sim_export_state_vp(struct sim_call *c);
u64 tdx_sim_export_unblockw(struct sim_call *c);
u64 tdx_sim_import_abort(struct sim_call *c);
u64 tdx_sim_import_end(struct sim_call *c);
u64 tdx_sim_import_commit(struct sim_call *c);
u64 tdx_sim_import_mem(struct sim_call *c);
u64 tdx_sim_import_track(struct sim_call *c);
u64 tdx_sim_import_state_immutable(struct sim_call *c);
u64 tdx_sim_import_state_td(struct sim_call *c);
u64 tdx_sim_import_state_vp(struct sim_call *c);

/* vp_enter.c */
u64 tdx_sim_vp_enter(struct sim_call *c);

/* tdg_vp.c */
u64 tdx_sim_tdg_vp_vmcall(struct sim_guest_call *g);
u64 tdx_sim_tdg_vp_info(struct sim_guest_call *g);
u64 tdx_sim_tdg_vp_veinfo_get(struct sim_guest_call *g);
u64 tdx_sim_tdg_vp_cpuidve_set(struct sim_guest_call *g);
/* tdg_mr.c */
u64 tdx_sim_tdg_mr_rtmr_extend(struct sim_guest_call *g);
u64 tdx_sim_tdg_mr_report(struct sim_guest_call *g);
/* tdg_mem.c */
u64 tdx_sim_tdg_mem_page_accept(struct sim_guest_call *g);
u64 tdx_sim_tdg_mem_page_attr_rd(struct sim_guest_call *g);
u64 tdx_sim_tdg_mem_page_attr_wr(struct sim_guest_call *g);
/* rd_wr.c */
u64 tdx_sim_tdg_vm_rd(struct sim_guest_call *g);
u64 tdx_sim_tdg_vm_wr(struct sim_guest_call *g);
u64 tdx_sim_tdg_vp_rd(struct sim_guest_call *g);
u64 tdx_sim_tdg_vp_wr(struct sim_guest_call *g);
u64 tdx_sim_tdg_sys_rd(struct sim_guest_call *g);
u64 tdx_sim_tdg_sys_rdall(struct sim_guest_call *g);
/* servtd.c */
u64 tdx_sim_tdg_servtd_rd(struct sim_guest_call *g);
u64 tdx_sim_tdg_servtd_wr(struct sim_guest_call *g);

#endif /* _TDX_SIM_LEAVES_H */
