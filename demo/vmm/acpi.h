/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ACPI tables of the Linux TD.
 */
#ifndef DEMO_ACPI_H
#define DEMO_ACPI_H

#include "common.h"

#define ACPI_TABLES_GPA		0xe0000UL
#define ACPI_TABLES_END		0xf0000UL
#define ACPI_MAILBOX_GPA	0xf0000UL
#define ACPI_MAILBOX_END	0x100000UL

#define IOAPIC_GPA		0xfec00000UL

/* Write the tables into an image of guest memory, return the GPA of the RSDP. */
u64 acpi_build_tables(u8 *image, u32 nr_vcpus);

#endif /* DEMO_ACPI_H */
