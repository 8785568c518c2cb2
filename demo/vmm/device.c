// SPDX-License-Identifier: GPL-2.0
/*
 * The devices of the Linux TD.
 *
 * The serial port is a 16550A whose transmitter is always empty, so that the
 * guest never waits for it. The real-time clock answers the time of the host
 * and never has an update in progress. The interval timer reads as one that has
 * stopped, as a calibration waits for as long as it reads all ones. A port nobody
 * answers reads as all ones, as on a PC.
 */
#include <string.h>
#include <time.h>

#include "acpi.h"
#include "device.h"

#define SERIAL_BASE		0x3f8
#define SERIAL_LAST		0x3ff

#define UART_DATA		0
#define UART_IER		1
#define UART_IIR_FCR		2
#define UART_LCR		3
#define UART_MCR		4
#define UART_LSR		5
#define UART_MSR		6
#define UART_SCR		7

#define UART_IER_MASK		0x0f
#define UART_IER_THRI		0x02
#define UART_IIR_NO_INT		0x01
#define UART_IIR_THRI		0x02
#define UART_IIR_FIFO_ENABLED	0xc0
#define UART_FCR_ENABLE_FIFO	0x01
#define UART_LCR_DLAB		0x80
#define UART_MCR_MASK		0x1f
#define UART_MCR_LOOP		0x10
#define UART_LSR_TX_EMPTY	0x60
#define UART_MSR_CONNECTED	0xb0

#define PIT_COUNTER_FIRST	0x40
#define PIT_COUNTER_LAST	0x42

#define RTC_INDEX		0x70
#define RTC_DATA		0x71
#define RTC_INDEX_MASK		0x7f

#define RTC_SECONDS		0
#define RTC_MINUTES		2
#define RTC_HOURS		4
#define RTC_DAY_OF_WEEK		6
#define RTC_DAY_OF_MONTH	7
#define RTC_MONTH		8
#define RTC_YEAR		9
#define RTC_REG_A		10
#define RTC_REG_B		11
#define RTC_REG_D		13
#define RTC_CENTURY		50
#define RTC_A_32KHZ		0x26
#define RTC_B_24H		0x02
#define RTC_D_VALID		0x80

#define KBD_COMMAND		0x64
#define KBD_STATUS_EMPTY	0x00
#define KBD_CMD_RESET		0xfe
#define RESET_CONTROL		0xcf9
#define RESET_CONTROL_CPU	0x04

#define IOAPIC_INDEX		0x00
#define IOAPIC_DATA		0x10
#define IOAPIC_REG_ID		0
#define IOAPIC_REG_VERSION	1
#define IOAPIC_REG_ENTRIES	0x10
#define IOAPIC_VERSION		(0x11 | (IOAPIC_PINS - 1) << 16)

static void console_putc(struct device_state *dev, u8 c)
{
	if (c == '\r')
		return;
	if (c != '\n' && dev->line_len < sizeof(dev->line) - 1) {
		dev->line[dev->line_len++] = c;
		return;
	}

	dev->line[dev->line_len] = '\0';
	event_text(EVENT_CONSOLE, "%s", dev->line);
	dev->line_len = 0;
}

static void serial_write(struct device_state *dev, u16 reg, u8 val)
{
	bool dlab = dev->serial_lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			dev->serial_dll = val;
		else if (!(dev->serial_mcr & UART_MCR_LOOP))
			console_putc(dev, val);
		break;
	case UART_IER:
		if (dlab)
			dev->serial_dlm = val;
		else
			dev->serial_ier = val & UART_IER_MASK;
		break;
	case UART_IIR_FCR:
		dev->serial_fcr = val;
		break;
	case UART_LCR:
		dev->serial_lcr = val;
		break;
	case UART_MCR:
		dev->serial_mcr = val & UART_MCR_MASK;
		break;
	case UART_SCR:
		dev->serial_scr = val;
		break;
	}
}

static u8 serial_read(const struct device_state *dev, u16 reg)
{
	bool dlab = dev->serial_lcr & UART_LCR_DLAB;
	u8 val;

	switch (reg) {
	case UART_DATA:
		return dlab ? dev->serial_dll : 0;
	case UART_IER:
		return dlab ? dev->serial_dlm : dev->serial_ier;
	case UART_IIR_FCR:
		val = dev->serial_ier & UART_IER_THRI ? UART_IIR_THRI : UART_IIR_NO_INT;
		if (dev->serial_fcr & UART_FCR_ENABLE_FIFO)
			val |= UART_IIR_FIFO_ENABLED;
		return val;
	case UART_LCR:
		return dev->serial_lcr;
	case UART_MCR:
		return dev->serial_mcr;
	case UART_LSR:
		return UART_LSR_TX_EMPTY;
	case UART_MSR:
		/* In loop-back the outputs DTR, RTS, OUT1 and OUT2 show as inputs. */
		if (!(dev->serial_mcr & UART_MCR_LOOP))
			return UART_MSR_CONNECTED;
		val = 0;
		if (dev->serial_mcr & 0x01)
			val |= 0x20;
		if (dev->serial_mcr & 0x02)
			val |= 0x10;
		return val | (dev->serial_mcr & 0x0c) << 4;
	default:
		return dev->serial_scr;
	}
}

static u8 bcd(int val)
{
	return (val / 10) << 4 | val % 10;
}

static u8 rtc_read(const struct device_state *dev)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (dev->rtc_index) {
	case RTC_SECONDS:
		return bcd(tm.tm_sec);
	case RTC_MINUTES:
		return bcd(tm.tm_min);
	case RTC_HOURS:
		return bcd(tm.tm_hour);
	case RTC_DAY_OF_WEEK:
		return bcd(tm.tm_wday + 1);
	case RTC_DAY_OF_MONTH:
		return bcd(tm.tm_mday);
	case RTC_MONTH:
		return bcd(tm.tm_mon + 1);
	case RTC_YEAR:
		return bcd(tm.tm_year % 100);
	case RTC_CENTURY:
		return bcd(19 + tm.tm_year / 100);
	case RTC_REG_A:
		return RTC_A_32KHZ;
	case RTC_REG_B:
		return RTC_B_24H;
	case RTC_REG_D:
		return RTC_D_VALID;
	default:
		return 0;
	}
}

bool device_pio_write(struct device_state *dev, u16 port, u32 size, u32 val)
{
	(void)size;

	switch (port) {
	case SERIAL_BASE ... SERIAL_LAST:
		serial_write(dev, port - SERIAL_BASE, val);
		return false;
	case RTC_INDEX:
		dev->rtc_index = val & RTC_INDEX_MASK;
		return false;
	case KBD_COMMAND:
		return (u8)val == KBD_CMD_RESET;
	case RESET_CONTROL:
		return val & RESET_CONTROL_CPU;
	default:
		return false;
	}
}

u32 device_pio_read(struct device_state *dev, u16 port, u32 size)
{
	switch (port) {
	case SERIAL_BASE ... SERIAL_LAST:
		return serial_read(dev, port - SERIAL_BASE);
	case RTC_INDEX:
		return dev->rtc_index;
	case RTC_DATA:
		return rtc_read(dev);
	case KBD_COMMAND:
		return KBD_STATUS_EMPTY;
	case PIT_COUNTER_FIRST ... PIT_COUNTER_LAST:
		return 0;
	default:
		return 0xffffffffU >> (32 - 8 * size);
	}
}

void device_mmio_write(struct device_state *dev, u64 gpa, u32 size, u64 val)
{
	u32 reg = dev->ioapic_index - IOAPIC_REG_ENTRIES;
	u64 *entry;

	(void)size;

	if (gpa == IOAPIC_GPA + IOAPIC_INDEX) {
		dev->ioapic_index = (u8)val;
		return;
	}
	if (gpa != IOAPIC_GPA + IOAPIC_DATA)
		return;
	if (dev->ioapic_index == IOAPIC_REG_ID)
		dev->ioapic_id = val;
	if (dev->ioapic_index < IOAPIC_REG_ENTRIES || reg >= 2 * IOAPIC_PINS)
		return;

	entry = &dev->ioapic_entries[reg / 2];
	if (reg % 2)
		*entry = (u32)*entry | val << 32;
	else
		*entry = (*entry & ~0xffffffffULL) | (u32)val;
}

u64 device_mmio_read(struct device_state *dev, u64 gpa, u32 size)
{
	u32 reg = dev->ioapic_index - IOAPIC_REG_ENTRIES;

	if (gpa == IOAPIC_GPA + IOAPIC_INDEX)
		return dev->ioapic_index;
	if (gpa != IOAPIC_GPA + IOAPIC_DATA)
		return ~0ULL >> (64 - 8 * size);

	switch (dev->ioapic_index) {
	case IOAPIC_REG_ID:
		return dev->ioapic_id;
	case IOAPIC_REG_VERSION:
		return IOAPIC_VERSION;
	default:
		if (dev->ioapic_index < IOAPIC_REG_ENTRIES || reg >= 2 * IOAPIC_PINS)
			return 0;
		return (u32)(dev->ioapic_entries[reg / 2] >> (reg % 2 ? 32 : 0));
	}
}

bool device_state_valid(const struct device_state *dev)
{
	return dev->line_len < sizeof(dev->line);
}
