/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices of the Linux TD: a serial port that can only send, a real-time
 * clock, the ways to reset a PC, and an I/O APIC that nothing is connected to.
 */
#ifndef DEMO_DEVICE_H
#define DEMO_DEVICE_H

#include "common.h"
#include "event.h"

#define IOAPIC_PINS		24

/* What moves to the destination; sent as it is. */
struct device_state {
	u64 ioapic_entries[IOAPIC_PINS];
	u32 ioapic_index;
	u32 ioapic_id;
	u8 serial_ier;
	u8 serial_fcr;
	u8 serial_lcr;
	u8 serial_mcr;
	u8 serial_scr;
	u8 serial_dll;
	u8 serial_dlm;
	u8 rtc_index;
	/* A console line that is not complete yet. */
	u32 line_len;
	char line[EVENT_TEXT_SIZE];
};

/* Return true if the guest wants the machine to be reset. */
bool device_pio_write(struct device_state *dev, u16 port, u32 size, u32 val);
u32 device_pio_read(struct device_state *dev, u16 port, u32 size);

void device_mmio_write(struct device_state *dev, u64 gpa, u32 size, u64 val);
u64 device_mmio_read(struct device_state *dev, u64 gpa, u32 size);

/* Check a state that came from elsewhere. */
bool device_state_valid(const struct device_state *dev);

#endif /* DEMO_DEVICE_H */
