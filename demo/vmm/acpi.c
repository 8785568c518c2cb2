// SPDX-License-Identifier: GPL-2.0
/*
 * As few ACPI tables as Linux needs to find its CPUs, start the second one and
 * reset the machine: RSDP, XSDT, FADT, an empty DSDT and MADT. The platform is
 * hardware-reduced, so no legacy timer or interrupt controller is looked for.
 */
#include <assert.h>
#include <string.h>

#include "acpi.h"

#define ACPI_TABLE_ALIGN	16

#define FADT_REVISION		6
#define FADT_FLAGS_RESET_REG	0x00000400U
#define FADT_FLAGS_HW_REDUCED	0x00100000U
#define GAS_SYSTEM_IO		1
#define GAS_ACCESS_BYTE		1
#define RESET_PORT		0xcf9
#define RESET_VALUE		0x06

#define MADT_REVISION		5
#define MADT_LOCAL_APIC		0
#define MADT_IO_APIC		1
#define MADT_MP_WAKEUP		16
#define MADT_CPU_ENABLED	1
#define LOCAL_APIC_GPA		0xfee00000U

struct rsdp {
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
} __packed;

struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} __packed;

struct acpi_gas {
	u8 space;
	u8 bit_width;
	u8 bit_offset;
	u8 access_size;
	u64 address;
} __packed;

struct xsdt {
	struct acpi_header header;
	u64 tables[2];
} __packed;

struct fadt {
	struct acpi_header header;
	u8 unused1[76];
	u32 flags;
	struct acpi_gas reset_reg;
	u8 reset_value;
	u8 unused2[11];
	u64 x_dsdt;
	u8 unused3[128];
} __packed;

struct madt {
	struct acpi_header header;
	u32 local_apic;
	u32 flags;
} __packed;

struct madt_local_apic {
	u8 type;
	u8 length;
	u8 processor;
	u8 apic_id;
	u32 flags;
} __packed;

struct madt_io_apic {
	u8 type;
	u8 length;
	u8 id;
	u8 reserved;
	u32 address;
	u32 gsi_base;
} __packed;

struct madt_mp_wakeup {
	u8 type;
	u8 length;
	u16 mailbox_version;
	u32 reserved;
	u64 mailbox;
} __packed;

static_assert(sizeof(struct rsdp) == 36, "layout of ACPI");
static_assert(sizeof(struct acpi_header) == 36, "layout of ACPI");
static_assert(offsetof(struct fadt, flags) == 112, "layout of ACPI");
static_assert(offsetof(struct fadt, reset_reg) == 116, "layout of ACPI");
static_assert(offsetof(struct fadt, x_dsdt) == 140, "layout of ACPI");
static_assert(sizeof(struct fadt) == 276, "layout of ACPI");
static_assert(sizeof(struct madt) == 44, "layout of ACPI");
static_assert(sizeof(struct madt_mp_wakeup) == 16, "layout of ACPI");

/* Where the next table goes. */
struct cursor {
	u8 *image;
	u64 gpa;
};

static void *table_start(struct cursor *c)
{
	c->gpa = ALIGN_UP(c->gpa, ACPI_TABLE_ALIGN);
	return c->image + c->gpa;
}

/* The bytes of a table add up to 0. */
static u8 checksum(const void *table, u32 length)
{
	const u8 *p = table;
	u8 sum = 0;

	while (length--)
		sum += *p++;
	return -sum;
}

/* Complete the table that starts at the cursor, return its address. */
static u64 table_end(struct cursor *c, const char *signature, u8 revision, u32 length)
{
	struct acpi_header *header = (struct acpi_header *)(c->image + c->gpa);
	u64 gpa = c->gpa;

	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = length;
	header->revision = revision;
	memcpy(header->oem_id, "TDXMIG", sizeof(header->oem_id));
	memcpy(header->oem_table_id, "TDXMIG  ", sizeof(header->oem_table_id));
	memcpy(header->creator_id, "TDX ", sizeof(header->creator_id));
	header->checksum = checksum(header, length);
	c->gpa += length;
	return gpa;
}

static u64 build_fadt(struct cursor *c, u64 dsdt)
{
	struct fadt *fadt = table_start(c);

	fadt->flags = FADT_FLAGS_RESET_REG | FADT_FLAGS_HW_REDUCED;
	fadt->reset_reg = (struct acpi_gas){
		.space = GAS_SYSTEM_IO,
		.bit_width = 8,
		.access_size = GAS_ACCESS_BYTE,
		.address = RESET_PORT,
	};
	fadt->reset_value = RESET_VALUE;
	fadt->x_dsdt = dsdt;
	return table_end(c, "FACP", FADT_REVISION, sizeof(*fadt));
}

static u64 build_madt(struct cursor *c, u32 nr_vcpus)
{
	struct madt *madt = table_start(c);
	u8 *p = (u8 *)(madt + 1);
	u32 i;

	madt->local_apic = LOCAL_APIC_GPA;
	for (i = 0; i < nr_vcpus; i++) {
		const struct madt_local_apic cpu = {
			.type = MADT_LOCAL_APIC,
			.length = sizeof(cpu),
			.processor = i,
			.apic_id = i,
			.flags = MADT_CPU_ENABLED,
		};

		memcpy(p, &cpu, sizeof(cpu));
		p += sizeof(cpu);
	}

	const struct madt_io_apic ioapic = {
		.type = MADT_IO_APIC,
		.length = sizeof(ioapic),
		.id = nr_vcpus,
		.address = IOAPIC_GPA,
	};
	const struct madt_mp_wakeup wakeup = {
		.type = MADT_MP_WAKEUP,
		.length = sizeof(wakeup),
		.mailbox = ACPI_MAILBOX_GPA,
	};

	memcpy(p, &ioapic, sizeof(ioapic));
	p += sizeof(ioapic);
	/* With one CPU there is nobody to wake up. */
	if (nr_vcpus > 1) {
		memcpy(p, &wakeup, sizeof(wakeup));
		p += sizeof(wakeup);
	}
	return table_end(c, "APIC", MADT_REVISION, p - (u8 *)madt);
}

u64 acpi_build_tables(u8 *image, u32 nr_vcpus)
{
	struct cursor c = { .image = image, .gpa = ACPI_TABLES_GPA };
	struct rsdp *rsdp = table_start(&c);
	u64 rsdp_gpa = c.gpa, dsdt, tables[2];
	struct xsdt *xsdt;

	c.gpa += sizeof(*rsdp);
	table_start(&c);
	dsdt = table_end(&c, "DSDT", 2, sizeof(struct acpi_header));
	tables[0] = build_fadt(&c, dsdt);
	tables[1] = build_madt(&c, nr_vcpus);

	xsdt = table_start(&c);
	memcpy(xsdt->tables, tables, sizeof(tables));

	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, "TDXMIG", sizeof(rsdp->oem_id));
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = table_end(&c, "XSDT", 1, sizeof(*xsdt));
	rsdp->checksum = checksum(rsdp, offsetof(struct rsdp, length));
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	return rsdp_gpa;
}
