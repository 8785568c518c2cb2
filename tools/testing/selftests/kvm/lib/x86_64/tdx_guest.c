// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs in KVM selftests, the guest's side: TDCALL leaves, hypercalls to the VMM
 * and virtualization exceptions.  Everything here runs inside a TD.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_guest.h"

/* Registers that TDG.VP.VMCALL hands to the VMM and back: R10 to R15. */
#define TDVMCALL_EXPOSED_REGS	GENMASK(15, 10)

#define TD_VE_IO_SIZE(qual)	(((qual) & GENMASK(2, 0)) + 1)
#define TD_VE_IO_IN(qual)	((qual) & BIT(3))
#define TD_VE_IO_STRING(qual)	((qual) & BIT(4))
#define TD_VE_IO_PORT(qual)	(((qual) >> 16) & GENMASK(15, 0))

bool td_guest;
struct td_ve_stats td_ve_stats;

u64 tdcall(u64 leaf, struct tdcall_regs *regs)
{
	register u64 r8 asm("r8") = regs->r8;
	register u64 r9 asm("r9") = regs->r9;
	register u64 r10 asm("r10") = regs->r10;
	register u64 r11 asm("r11") = regs->r11;
	register u64 r12 asm("r12") = regs->r12;
	register u64 r13 asm("r13") = regs->r13;
	register u64 r14 asm("r14") = regs->r14;
	register u64 r15 asm("r15") = regs->r15;
	u64 status = leaf;
	u64 rcx = regs->rcx, rdx = regs->rdx, rbx = regs->rbx;
	u64 rsi = regs->rsi, rdi = regs->rdi;

	/* TDCALL, which older assemblers do not know. */
	asm volatile(".byte 0x66, 0x0f, 0x01, 0xcc"
		     : "+a" (status), "+c" (rcx), "+d" (rdx), "+b" (rbx),
		       "+S" (rsi), "+D" (rdi), "+r" (r8), "+r" (r9), "+r" (r10),
		       "+r" (r11), "+r" (r12), "+r" (r13), "+r" (r14), "+r" (r15)
		     : : "memory", "cc");

	*regs = (struct tdcall_regs) {
		.rcx = rcx, .rdx = rdx, .rbx = rbx, .rsi = rsi, .rdi = rdi,
		.r8 = r8, .r9 = r9, .r10 = r10, .r11 = r11,
		.r12 = r12, .r13 = r13, .r14 = r14, .r15 = r15,
	};
	return status;
}

u64 tdvmcall(u64 function, struct tdcall_regs *regs)
{
	u64 status;

	regs->rcx = TDVMCALL_EXPOSED_REGS;
	regs->r10 = 0;
	regs->r11 = function;
	status = tdcall(TDG_VP_VMCALL, regs);

	return status ?: regs->r10;
}

u64 tdg_vp_info(struct td_vp_info *info)
{
	struct tdcall_regs regs = {};
	u64 status = tdcall(TDG_VP_INFO, &regs);

	info->gpaw = regs.rcx;
	info->attributes = regs.rdx;
	info->nr_vcpus = regs.r8;
	info->max_vcpus = regs.r8 >> 32;
	info->vcpu_index = regs.r9;
	return status;
}

u64 tdg_vp_veinfo_get(struct td_ve_info *ve)
{
	struct tdcall_regs regs = {};
	u64 status = tdcall(TDG_VP_VEINFO_GET, &regs);

	ve->exit_reason = regs.rcx;
	ve->exit_qualification = regs.rdx;
	ve->gla = regs.r8;
	ve->gpa = regs.r9;
	ve->instruction_length = regs.r10;
	ve->instruction_info = regs.r10 >> 32;
	return status;
}

u64 tdg_mem_page_accept(gpa_t gpa, int level)
{
	struct tdcall_regs regs = { .rcx = gpa | level };

	return tdcall(TDG_MEM_PAGE_ACCEPT, &regs);
}

u64 tdg_mr_rtmr_extend(gpa_t data, u64 index)
{
	struct tdcall_regs regs = { .rcx = data, .rdx = index };

	return tdcall(TDG_MR_RTMR_EXTEND, &regs);
}

u64 tdg_mr_report(gpa_t report, gpa_t data, u64 subtype)
{
	struct tdcall_regs regs = { .rcx = report, .rdx = data, .r8 = subtype };

	return tdcall(TDG_MR_REPORT, &regs);
}

u64 tdg_servtd_rd(u64 handle, u64 field, u64 uuid[4], u64 *value)
{
	struct tdcall_regs regs = {
		.rcx = handle, .rdx = field,
		.r10 = uuid[0], .r11 = uuid[1], .r12 = uuid[2], .r13 = uuid[3],
	};
	u64 status = tdcall(TDG_SERVTD_RD, &regs);

	uuid[0] = regs.r10;
	uuid[1] = regs.r11;
	uuid[2] = regs.r12;
	uuid[3] = regs.r13;
	*value = regs.r8;
	return status;
}

u64 tdg_servtd_wr(u64 handle, u64 field, u64 uuid[4], u64 value, u64 mask)
{
	struct tdcall_regs regs = {
		.rcx = handle, .rdx = field, .r8 = value, .r9 = mask,
		.r10 = uuid[0], .r11 = uuid[1], .r12 = uuid[2], .r13 = uuid[3],
	};
	u64 status = tdcall(TDG_SERVTD_WR, &regs);

	uuid[0] = regs.r10;
	uuid[1] = regs.r11;
	uuid[2] = regs.r12;
	uuid[3] = regs.r13;
	return status;
}

static u64 td_access(u64 function, u64 where, int size, bool write, u64 *value)
{
	struct tdcall_regs regs = {
		.r12 = size, .r13 = write, .r14 = where, .r15 = write ? *value : 0,
	};
	u64 status = tdvmcall(function, &regs);

	if (!write)
		*value = regs.r11;
	return status;
}

u64 tdvmcall_io_read(u16 port, int size, u64 *value)
{
	return td_access(TDVMCALL_IO, port, size, false, value);
}

u64 tdvmcall_io_write(u16 port, int size, u64 value)
{
	return td_access(TDVMCALL_IO, port, size, true, &value);
}

u64 tdvmcall_mmio_read(gpa_t gpa, int size, u64 *value)
{
	return td_access(TDVMCALL_MMIO, gpa, size, false, value);
}

u64 tdvmcall_mmio_write(gpa_t gpa, int size, u64 value)
{
	return td_access(TDVMCALL_MMIO, gpa, size, true, &value);
}

u64 tdvmcall_rdmsr(u32 msr, u64 *value)
{
	struct tdcall_regs regs = { .r12 = msr };
	u64 status = tdvmcall(TDVMCALL_RDMSR, &regs);

	*value = regs.r11;
	return status;
}

u64 tdvmcall_wrmsr(u32 msr, u64 value)
{
	struct tdcall_regs regs = { .r12 = msr, .r13 = value };

	return tdvmcall(TDVMCALL_WRMSR, &regs);
}

u64 tdvmcall_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	struct tdcall_regs regs = { .r12 = leaf, .r13 = subleaf };
	u64 status = tdvmcall(TDVMCALL_CPUID, &regs);

	out[0] = regs.r12;
	out[1] = regs.r13;
	out[2] = regs.r14;
	out[3] = regs.r15;
	return status;
}

u64 tdvmcall_hlt(bool irq_blocked)
{
	struct tdcall_regs regs = { .r12 = irq_blocked };

	return tdvmcall(TDVMCALL_HLT, &regs);
}

u64 tdvmcall_map_gpa(gpa_t gpa, u64 size, gpa_t *failed_gpa)
{
	struct tdcall_regs regs = { .r12 = gpa, .r13 = size };
	u64 status = tdvmcall(TDVMCALL_MAP_GPA, &regs);

	if (failed_gpa)
		*failed_gpa = regs.r11;
	return status;
}

void tdvmcall_fatal_error(u64 code)
{
	struct tdcall_regs regs = { .r12 = code };

	tdvmcall(TDVMCALL_REPORT_FATAL_ERROR, &regs);
}

void td_accept_pages(gpa_t gpa, u64 nr_pages)
{
	const gpa_t end = gpa + nr_pages * PAGE_SIZE;
	u64 status;

	for (; gpa < end; gpa += PAGE_SIZE) {
		status = tdg_mem_page_accept(gpa, 0);
		__GUEST_ASSERT(!status, "Accept of GPA %lx: %lx", gpa, status);
	}
}

void td_map_gpa(gpa_t gpa, u64 size)
{
	const gpa_t end = gpa + size;
	gpa_t next;
	u64 status;

	while ((status = tdvmcall_map_gpa(gpa, end - gpa, &next)) == TDVMCALL_STATUS_RETRY) {
		__GUEST_ASSERT(next >= gpa && next < end, "MapGPA to be retried at %lx", next);
		gpa = next;
	}
	__GUEST_ASSERT(!status, "MapGPA of %lx: %lx", gpa, status);
}

static u32 td_x2apic_msr(u32 reg)
{
	return APIC_BASE_MSR + (reg >> 4);
}

void td_x2apic_write(u32 reg, u64 value)
{
	GUEST_ASSERT_EQ(tdvmcall_wrmsr(td_x2apic_msr(reg), value), 0ULL);
}

u64 td_x2apic_read(u32 reg)
{
	u64 value;

	GUEST_ASSERT_EQ(tdvmcall_rdmsr(td_x2apic_msr(reg), &value), 0ULL);
	return value;
}

void td_x2apic_enable(void)
{
	td_x2apic_write(APIC_SPIV, APIC_SPIV_APIC_ENABLED | GENMASK(7, 0));
}

void td_x2apic_eoi(void)
{
	/* The TDX module virtualizes this one by itself. */
	wrmsr(td_x2apic_msr(APIC_EOI), 0);
}

void td_x2apic_send_ipi(u32 apic_id, u8 vector)
{
	td_x2apic_write(APIC_ICR, (u64)apic_id << 32 | APIC_INT_ASSERT | APIC_DM_FIXED | vector);
}

void td_halt_until(const u64 *flag)
{
	/*
	 * Interrupts stay off from the check to the halt, so that the one that
	 * sets @flag cannot come in between and be slept through.
	 */
	cli();
	while (!READ_ONCE(*flag)) {
		GUEST_ASSERT_EQ(tdvmcall_hlt(false), 0ULL);
		sti_nop();
		cli();
	}
	sti();
}

static void td_emulate_cpuid(struct ex_regs *regs)
{
	u32 out[4];

	GUEST_ASSERT_EQ(tdvmcall_cpuid(regs->rax, regs->rcx, out), 0ULL);
	regs->rax = out[0];
	regs->rbx = out[1];
	regs->rcx = out[2];
	regs->rdx = out[3];
}

static void td_emulate_io(struct ex_regs *regs, u64 qual)
{
	const int size = TD_VE_IO_SIZE(qual);
	const u64 mask = GENMASK_ULL(size * 8 - 1, 0);
	u64 value = regs->rax & mask;

	GUEST_ASSERT(!TD_VE_IO_STRING(qual));
	GUEST_ASSERT_EQ(td_access(TDVMCALL_IO, TD_VE_IO_PORT(qual), size,
				  !TD_VE_IO_IN(qual), &value), 0ULL);
	if (TD_VE_IO_IN(qual))
		regs->rax = (size == 4 ? 0 : regs->rax & ~mask) | (value & mask);
}

static void td_emulate_rdmsr(struct ex_regs *regs)
{
	u64 value;

	GUEST_ASSERT_EQ(tdvmcall_rdmsr(regs->rcx, &value), 0ULL);
	regs->rax = (u32)value;
	regs->rdx = value >> 32;
}

void td_handle_ve(struct ex_regs *regs)
{
	struct td_ve_info *ve = &td_ve_stats.last;

	GUEST_ASSERT_EQ(tdg_vp_veinfo_get(ve), 0ULL);
	td_ve_stats.nr_ve++;

	switch (ve->exit_reason) {
	case TD_VE_CPUID:
		td_emulate_cpuid(regs);
		break;
	case TD_VE_HLT:
		GUEST_ASSERT_EQ(tdvmcall_hlt(!(regs->rflags & X86_EFLAGS_IF)), 0ULL);
		break;
	case TD_VE_IO:
		td_emulate_io(regs, ve->exit_qualification);
		break;
	case TD_VE_RDMSR:
		td_emulate_rdmsr(regs);
		break;
	case TD_VE_WRMSR:
		GUEST_ASSERT_EQ(tdvmcall_wrmsr(regs->rcx, regs->rdx << 32 | (u32)regs->rax),
				0ULL);
		break;
	default:
		GUEST_FAIL("Virtualization exception %lu, GPA %lx, at RIP %lx",
			   ve->exit_reason, ve->gpa, regs->rip);
	}

	regs->rip += ve->instruction_length;
}

void td_guest_ucall(gva_t uc)
{
	/* There is no way to report that reporting does not work. */
	if (tdvmcall_mmio_write(TD_UCALL_GPA | TD_SHARED_BIT, sizeof(uc), uc))
		tdvmcall_fatal_error(1);
}
