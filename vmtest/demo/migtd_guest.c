// SPDX-License-Identifier: GPL-2.0
/*
 * The code of the migration TD. It runs on its own, without an operating
 * system, and knows how to read and write the key fields of the TD that it is
 * bound to.
 */
#include "common.h"
#include "migtd_abi.h"

#define TDG_VP_VMCALL		0
#define TDG_SYS_RD		11
#define TDG_SERVTD_RD		18
#define TDG_SERVTD_WR		20

#define VMCALL_IO		30
#define VMCALL_IO_SIZE		4
#define VMCALL_IO_READ		0
#define VMCALL_IO_WRITE		1
/* Registers that a hypercall shows to the VMM: R10 to R15. */
#define VMCALL_REGS		0xfc00

#define FIELD_MIG_DEC_KEY	0x9810000300000010ULL
#define FIELD_MIG_ENC_KEY	0x9810000300000018ULL
#define FIELD_MIG_VERSION	0x9810000100000020ULL
#define MIG_VERSION_MASK	0xffff

/* Of the TDX module, in this order: least, greatest for export, for import. */
#define FIELD_MIG_VERSIONS	0x2000000100000001ULL

/* The host holds a lock; it lets go of it as it progresses. */
#define STATUS_MASK		0xffffffff00000000ULL
#define STATUS_OPERAND_BUSY	0x8000020000000000ULL
#define STATUS_HOST_PRIORITY	0x8000020400000000ULL
#define MAX_BUSY_RETRIES	100000

enum version {
	MIN_EXPORT, MAX_EXPORT, MIN_IMPORT, MAX_IMPORT,
};

struct target {
	u64 handle;
	u64 uuid[MIGTD_UUID_WORDS];
};

static u32 vmcall_io(u64 direction, u64 port, u64 data)
{
	register u64 r10 asm("r10") = 0;
	register u64 r11 asm("r11") = VMCALL_IO;
	register u64 r12 asm("r12") = VMCALL_IO_SIZE;
	register u64 r13 asm("r13") = direction;
	register u64 r14 asm("r14") = port;
	register u64 r15 asm("r15") = data;
	u64 rax = TDG_VP_VMCALL, rcx = VMCALL_REGS;

	asm volatile("tdcall"
		     : "+a"(rax), "+c"(rcx), "+r"(r10), "+r"(r11), "+r"(r12), "+r"(r13),
		       "+r"(r14), "+r"(r15) : : "memory", "cc");
	return r11;
}

static u64 read_argument(void)
{
	u64 low = vmcall_io(VMCALL_IO_READ, MIGTD_PORT_ARGUMENT, 0);

	return low | (u64)vmcall_io(VMCALL_IO_READ, MIGTD_PORT_ARGUMENT, 0) << 32;
}

static void write_result(u64 val)
{
	vmcall_io(VMCALL_IO_WRITE, MIGTD_PORT_RESULT, (u32)val);
	vmcall_io(VMCALL_IO_WRITE, MIGTD_PORT_RESULT, val >> 32);
}

static u64 servtd_call_once(u64 leaf, const struct target *target, u64 field, u64 *val,
			    u64 mask)
{
	register u64 r8 asm("r8") = *val;
	register u64 r9 asm("r9") = mask;
	register u64 r10 asm("r10") = target->uuid[0];
	register u64 r11 asm("r11") = target->uuid[1];
	register u64 r12 asm("r12") = target->uuid[2];
	register u64 r13 asm("r13") = target->uuid[3];
	u64 rax = leaf, rcx = target->handle, rdx = field;

	asm volatile("tdcall"
		     : "+a"(rax), "+c"(rcx), "+d"(rdx), "+r"(r8), "+r"(r9), "+r"(r10),
		       "+r"(r11), "+r"(r12), "+r"(r13) : : "memory", "cc");
	*val = r8;
	return rax;
}

static u64 servtd_call(u64 leaf, const struct target *target, u64 field, u64 *val,
		       u64 mask)
{
	u64 arg = *val, status;
	u32 i;

	for (i = 0; i < MAX_BUSY_RETRIES; i++) {
		*val = arg;
		status = servtd_call_once(leaf, target, field, val, mask);
		if ((status & STATUS_MASK) != STATUS_OPERAND_BUSY &&
		    (status & STATUS_MASK) != STATUS_HOST_PRIORITY)
			break;
	}
	return status;
}

static u64 read_versions(u64 versions[MIGTD_VERSION_WORDS])
{
	u32 i;

	for (i = 0; i < MIGTD_VERSION_WORDS; i++) {
		register u64 r8 asm("r8") = 0;
		u64 rax = TDG_SYS_RD, rcx = 0, rdx = FIELD_MIG_VERSIONS + i;

		asm volatile("tdcall"
			     : "+a"(rax), "+c"(rcx), "+d"(rdx), "+r"(r8)
			     : : "r9", "r10", "r11", "memory", "cc");
		if (rax)
			return rax;
		versions[i] = r8;
	}
	return 0;
}

/* The newest version that the source can export and the destination import. */
static bool choose_version(const u64 src[MIGTD_VERSION_WORDS],
			   const u64 dst[MIGTD_VERSION_WORDS], u64 *version)
{
	*version = src[MAX_EXPORT] < dst[MAX_IMPORT] ? src[MAX_EXPORT] : dst[MAX_IMPORT];
	return *version >= src[MIN_EXPORT] && *version >= dst[MIN_IMPORT];
}

static u64 read_key(const struct target *target)
{
	u64 versions[MIGTD_VERSION_WORDS], val, status;
	u32 i;

	/* Reading the first word makes the TDX module choose a new key. */
	for (i = 0; i < MIGTD_KEY_WORDS; i++) {
		val = 0;
		status = servtd_call(TDG_SERVTD_RD, target, FIELD_MIG_ENC_KEY + i, &val, 0);
		if (status)
			return status;
		write_result(val);
	}

	status = read_versions(versions);
	for (i = 0; !status && i < MIGTD_VERSION_WORDS; i++)
		write_result(versions[i]);
	return status;
}

static u64 write_key(const struct target *target)
{
	u64 own[MIGTD_VERSION_WORDS], peers[MIGTD_VERSION_WORDS];
	u64 key[MIGTD_KEY_WORDS], version, val, status;
	bool source;
	u32 i;

	for (i = 0; i < MIGTD_KEY_WORDS; i++)
		key[i] = read_argument();
	for (i = 0; i < MIGTD_VERSION_WORDS; i++)
		peers[i] = read_argument();
	source = read_argument();

	status = read_versions(own);
	if (status)
		return status;
	if (!choose_version(source ? own : peers, source ? peers : own, &version))
		return MIGTD_NO_COMMON_VERSION;

	status = servtd_call(TDG_SERVTD_WR, target, FIELD_MIG_VERSION, &version,
			     MIG_VERSION_MASK);
	for (i = 0; !status && i < MIGTD_KEY_WORDS; i++) {
		val = key[i];
		status = servtd_call(TDG_SERVTD_WR, target, FIELD_MIG_DEC_KEY + i, &val, ~0ULL);
	}
	return status;
}

/* The first function of the image. */
void __noreturn __section(".text.start") migtd_main(void)
{
	struct target target;
	u64 status;
	u32 command, i;

	for (;;) {
		command = vmcall_io(VMCALL_IO_READ, MIGTD_PORT_COMMAND, 0);
		if (command != MIGTD_CMD_READ_KEY && command != MIGTD_CMD_WRITE_KEY)
			continue;
		target.handle = read_argument();
		for (i = 0; i < MIGTD_UUID_WORDS; i++)
			target.uuid[i] = read_argument();

		status = command == MIGTD_CMD_READ_KEY ? read_key(&target) : write_key(&target);

		vmcall_io(VMCALL_IO_WRITE, MIGTD_PORT_STATUS_LOW, (u32)status);
		vmcall_io(VMCALL_IO_WRITE, MIGTD_PORT_STATUS_HIGH, status >> 32);
	}
}
