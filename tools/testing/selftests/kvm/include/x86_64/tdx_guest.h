/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TDs in KVM selftests, the guest's side: TDCALL leaves, hypercalls to the VMM
 * and virtualization exceptions.
 */
#ifndef SELFTEST_KVM_TDX_GUEST_H
#define SELFTEST_KVM_TDX_GUEST_H

#include "kvm_util.h"
#include "processor.h"

/* TDs of the library have a GPA width of 48 bits. */
#define TD_GPAW				48
#define TD_SHARED_BIT			BIT_ULL(TD_GPAW - 1)

/* TDCALL leaves */
#define TDG_VP_VMCALL			0
#define TDG_VP_INFO			1
#define TDG_MR_RTMR_EXTEND		2
#define TDG_VP_VEINFO_GET		3
#define TDG_MR_REPORT			4
#define TDG_MEM_PAGE_ACCEPT		6
#define TDG_VM_RD			7
#define TDG_VM_WR			8
#define TDG_SERVTD_RD			18
#define TDG_SERVTD_WR			20

/* Status of a TDCALL, without operand. */
#define TDX_STATUS_MASK			GENMASK_ULL(63, 32)
#define TDX_OPERAND_INVALID		0xC000010000000000ULL
#define TDX_PAGE_ALREADY_ACCEPTED	0x00000B0A00000000ULL
#define TDX_PAGE_SIZE_MISMATCH		0xC0000B0B00000000ULL

/* Sub-functions of TDG.VP.VMCALL */
#define TDVMCALL_CPUID			10
#define TDVMCALL_HLT			12
#define TDVMCALL_IO			30
#define TDVMCALL_RDMSR			31
#define TDVMCALL_WRMSR			32
#define TDVMCALL_MMIO			48
#define TDVMCALL_GET_TD_VM_CALL_INFO	0x10000
#define TDVMCALL_MAP_GPA		0x10001
#define TDVMCALL_GET_QUOTE		0x10002
#define TDVMCALL_REPORT_FATAL_ERROR	0x10003
#define TDVMCALL_SETUP_EVENT_NOTIFY	0x10004

#define TDVMCALL_STATUS_SUCCESS		0ULL
#define TDVMCALL_STATUS_RETRY		1ULL
#define TDVMCALL_STATUS_INVALID_OPERAND	0x8000000000000000ULL
#define TDVMCALL_STATUS_ALIGN_ERROR	0x8000000000000002ULL
#define TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED	0x8000000000000003ULL

/* Exit reasons in the information about a virtualization exception. */
#define TD_VE_CPUID			10
#define TD_VE_HLT			12
#define TD_VE_IO			30
#define TD_VE_RDMSR			31
#define TD_VE_WRMSR			32
#define TD_VE_EPT_VIOLATION		48

/* Where a ucall is written to with TDG.VP.VMCALL<MMIO>. */
#define TD_UCALL_GPA			0xfec80000ULL

#define TD_REPORT_SIZE			1024
#define TD_REPORT_DATA_SIZE		64
#define TD_RTMR_EXTEND_SIZE		48
#define TD_NR_RTMRS			4

/* Offsets in a TDREPORT. */
#define TD_REPORT_REPORT_DATA		128
#define TD_REPORT_ATTRIBUTES		512
#define TD_REPORT_MRTD			528
#define TD_REPORT_MRCONFIGID		576
#define TD_REPORT_RTMR			720

/* Registers of a TDCALL, RAX apart. */
struct tdcall_regs {
	u64 rcx, rdx, rbx, rsi, rdi;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
};

/* Returns the completion status in RAX. */
u64 tdcall(u64 leaf, struct tdcall_regs *regs);

/*
 * TDG.VP.VMCALL.  R12 to R15 are in @regs, in and out, and so is R11, out.
 * Returns the status that the VMM left in R10.
 */
u64 tdvmcall(u64 function, struct tdcall_regs *regs);

/* What the CPU saved for the last virtualization exception. */
struct td_ve_info {
	u64 exit_reason;
	u64 exit_qualification;
	u64 gla;
	u64 gpa;
	u32 instruction_length;
	u32 instruction_info;
};

u64 tdg_vp_veinfo_get(struct td_ve_info *ve);
u64 tdg_mem_page_accept(gpa_t gpa, int level);
u64 tdg_mr_rtmr_extend(gpa_t data, u64 index);
u64 tdg_mr_report(gpa_t report, gpa_t data, u64 subtype);
u64 tdg_servtd_rd(u64 handle, u64 field, u64 uuid[4], u64 *value);
u64 tdg_servtd_wr(u64 handle, u64 field, u64 uuid[4], u64 value, u64 mask);

struct td_vp_info {
	u64 gpaw;
	u64 attributes;
	u32 nr_vcpus;
	u32 max_vcpus;
	u32 vcpu_index;
};

u64 tdg_vp_info(struct td_vp_info *info);

u64 tdvmcall_io_read(u16 port, int size, u64 *value);
u64 tdvmcall_io_write(u16 port, int size, u64 value);
u64 tdvmcall_mmio_read(gpa_t gpa, int size, u64 *value);
u64 tdvmcall_mmio_write(gpa_t gpa, int size, u64 value);
u64 tdvmcall_rdmsr(u32 msr, u64 *value);
u64 tdvmcall_wrmsr(u32 msr, u64 value);
u64 tdvmcall_cpuid(u32 leaf, u32 subleaf, u32 regs[4]);
/* With @irq_blocked a pending interrupt does not end the halt. */
u64 tdvmcall_hlt(bool irq_blocked);
/* @failed_gpa is where to go on after TDVMCALL_STATUS_RETRY, may be NULL. */
u64 tdvmcall_map_gpa(gpa_t gpa, u64 size, gpa_t *failed_gpa);
void tdvmcall_fatal_error(u64 code);

/* Accept @nr_pages pages of 4 KiB, asserting success. */
void td_accept_pages(gpa_t gpa, u64 nr_pages);
/* Convert private to shared with the SHARED bit in @gpa, or back; asserts. */
void td_map_gpa(gpa_t gpa, u64 size);

/* Registers of the x2APIC that KVM emulates, by their xAPIC offsets. */
void td_x2apic_write(u32 reg, u64 value);
u64 td_x2apic_read(u32 reg);

/* Interrupts: software enable of the x2APIC, end of interrupt, IPI. */
void td_x2apic_enable(void);
void td_x2apic_eoi(void);
void td_x2apic_send_ipi(u32 apic_id, u8 vector);
/* Sleep until @flag is not zero; wakes up for any interrupt. */
void td_halt_until(const u64 *flag);

/* Virtualization exceptions seen by the library's handler, per VM. */
struct td_ve_stats {
	u64 nr_ve;
	struct td_ve_info last;
};

extern struct td_ve_stats td_ve_stats;

/* Default handler of vector 20: emulates CPUID, port IO, MSRs and HLT. */
void td_handle_ve(struct ex_regs *regs);

/*
 * The next number of a sequence that depends on nothing but where it starts, and that
 * is not 0, in hosts and guests.
 */
static inline u64 td_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Set in the memory of TDs only. */
extern bool td_guest;

static inline bool td_is_guest(void)
{
	return td_guest;
}

void td_guest_ucall(gva_t uc);

#endif /* SELFTEST_KVM_TDX_GUEST_H */
