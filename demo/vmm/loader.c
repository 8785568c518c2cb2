// SPDX-License-Identifier: GPL-2.0
/*
 * The loader. It builds the whole initial memory of a TD in a buffer of its
 * own, then has the TDX module copy it.
 *
 * Linux is entered at its 64-bit entry point. Low memory holds:
 *
 *	0x00010000	boot_params
 *	0x00011000	command line
 *	0x000e0000	ACPI tables
 *	0x000f0000	wakeup mailbox
 *	preferred	kernel
 *	end of memory	initramfs
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acpi.h"
#include "event.h"
#include "loader.h"
#include "reset.h"
#include "reset_image.h"

#define BOOT_PARAMS_GPA		0x10000UL
#define CMDLINE_GPA		0x11000UL
#define CMDLINE_SIZE		0x1000UL
#define LOW_MEMORY_END		0xa0000UL
#define HIGH_MEMORY_START	0x100000UL

#define SECTOR_SIZE		512
#define SETUP_HEADER_OFFSET	0x1f1
/* The second byte of a jump over the header tells where the header ends. */
#define SETUP_JUMP_OFFSET	0x201
#define SETUP_JUMP_END		0x202
#define SETUP_MAGIC		0x53726448
#define SETUP_BOOT_FLAG		0xaa55
#define SETUP_MIN_VERSION	0x020c
#define SETUP_LOADER_UNKNOWN	0xff
#define ENTRY_64_OFFSET		0x200

#define E820_RAM		1
#define E820_ACPI		3
#define E820_NVS		4

/* Page table entries: present, writable, 2 MiB page. */
#define PTE_TABLE		0x3UL
#define PTE_2M			0x83UL
#define SIZE_2M			0x200000UL
#define SIZE_1G			0x40000000UL
#define PDPT_INDEX_LOW		0
#define PDPT_INDEX_HIGH		3
#define PTES_PER_TABLE		512

struct reset_params {
	u64 entry;
	u64 argument;
	u64 mailbox;
};

struct file {
	const u8 *data;
	size_t size;
};

void loader_add_memory(struct vm *vm)
{
	vm_add_region(vm, 0, vm->config.mem_size);
	vm_add_region(vm, RESET_REGION_GPA, RESET_REGION_SIZE);
}

static struct file map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct file file;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	if (!st.st_size)
		die("%s: empty", path);
	file.size = st.st_size;
	file.data = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file.data == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return file;
}

static u8 *alloc_image(u64 size)
{
	u8 *image = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (image == MAP_FAILED)
		die("out of memory");
	return image;
}

static u64 *page_table(u8 *image, u64 gpa)
{
	return (u64 *)(image + gpa - RESET_REGION_GPA);
}

static void load_reset_pages(struct vm *vm, const struct reset_params *params)
{
	u8 *image = alloc_image(RESET_REGION_SIZE);
	u64 *pdpt = page_table(image, RESET_PDPT_GPA);
	u8 *page = image + RESET_PAGE_GPA - RESET_REGION_GPA;
	u32 i;

	if (reset_image_end - reset_image != RESET_PAGE_SIZE)
		die("bad reset image");

	page_table(image, RESET_PML4_GPA)[0] = RESET_PDPT_GPA | PTE_TABLE;
	pdpt[PDPT_INDEX_LOW] = RESET_PD_LOW_GPA | PTE_TABLE;
	pdpt[PDPT_INDEX_HIGH] = RESET_PD_HIGH_GPA | PTE_TABLE;
	for (i = 0; i < PTES_PER_TABLE; i++) {
		page_table(image, RESET_PD_LOW_GPA)[i] = i * SIZE_2M | PTE_2M;
		page_table(image, RESET_PD_HIGH_GPA)[i] =
			(PDPT_INDEX_HIGH * SIZE_1G + i * SIZE_2M) | PTE_2M;
	}
	memcpy(page, reset_image, RESET_PAGE_SIZE);
	memcpy(page, params, sizeof(*params));

	vm_load_pages(vm, RESET_REGION_GPA, image, RESET_REGION_SIZE >> PAGE_SHIFT);
	munmap(image, RESET_REGION_SIZE);
}

static void add_e820(struct boot_params *bp, u64 start, u64 end, u32 type)
{
	struct boot_e820_entry *entry = &bp->e820_table[bp->e820_entries++];

	entry->addr = start;
	entry->size = end - start;
	entry->type = type;
}

static void read_setup_header(const struct file *kernel, struct setup_header *hdr)
{
	size_t len;

	if (kernel->size < sizeof(struct boot_params))
		die("the kernel is not a bzImage");
	len = SETUP_JUMP_END + kernel->data[SETUP_JUMP_OFFSET] - SETUP_HEADER_OFFSET;
	if (len > sizeof(*hdr))
		len = sizeof(*hdr);
	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, kernel->data + SETUP_HEADER_OFFSET, len);

	if (hdr->boot_flag != SETUP_BOOT_FLAG || hdr->header != SETUP_MAGIC ||
	    hdr->version < SETUP_MIN_VERSION || !(hdr->xloadflags & XLF_KERNEL_64))
		die("the kernel is not a 64-bit bzImage");
}

void loader_load_linux(struct vm *vm, const char *kernel_path, const char *initrd_path,
		       const char *cmdline)
{
	const struct file kernel = map_file(kernel_path);
	const struct file initrd = map_file(initrd_path);
	u64 size = vm->config.mem_size;
	u8 *image = alloc_image(size);
	struct boot_params *bp = (struct boot_params *)(image + BOOT_PARAMS_GPA);
	struct setup_header *hdr = &bp->hdr;
	struct reset_params reset;
	u64 code_offset, initrd_gpa;
	u32 i;

	read_setup_header(&kernel, hdr);
	code_offset = (hdr->setup_sects + 1) * SECTOR_SIZE;
	initrd_gpa = ALIGN_DOWN(size - initrd.size, PAGE_SIZE);
	if (initrd.size > size || code_offset > kernel.size ||
	    hdr->pref_address + kernel.size > size ||
	    hdr->pref_address + hdr->init_size > initrd_gpa)
		die("the guest needs more memory");

	memcpy(image + hdr->pref_address, kernel.data + code_offset, kernel.size - code_offset);
	memcpy(image + initrd_gpa, initrd.data, initrd.size);
	if (strlen(cmdline) >= CMDLINE_SIZE)
		die("the command line is too long");
	memcpy(image + CMDLINE_GPA, cmdline, strlen(cmdline));

	hdr->type_of_loader = SETUP_LOADER_UNKNOWN;
	hdr->loadflags |= LOADED_HIGH;
	hdr->code32_start = hdr->pref_address;
	hdr->cmd_line_ptr = CMDLINE_GPA;
	hdr->ramdisk_image = initrd_gpa;
	hdr->ramdisk_size = initrd.size;

	add_e820(bp, 0, LOW_MEMORY_END, E820_RAM);
	add_e820(bp, ACPI_TABLES_GPA, ACPI_TABLES_END, E820_ACPI);
	add_e820(bp, ACPI_MAILBOX_GPA, ACPI_MAILBOX_END, E820_NVS);
	add_e820(bp, HIGH_MEMORY_START, size, E820_RAM);
	bp->acpi_rsdp_addr = acpi_build_tables(image, vm->config.nr_vcpus);

	reset = (struct reset_params){
		.entry = hdr->pref_address + ENTRY_64_OFFSET,
		.argument = BOOT_PARAMS_GPA,
		.mailbox = ACPI_MAILBOX_GPA,
	};

	/* The reset page expects their numbers in RCX. */
	for (i = 0; i < vm->nr_vcpus; i++)
		vm_init_vcpu(&vm->vcpus[i], i);
	vm_load_pages(vm, 0, image, size >> PAGE_SHIFT);
	load_reset_pages(vm, &reset);

	munmap(image, size);
	munmap((void *)kernel.data, kernel.size);
	munmap((void *)initrd.data, initrd.size);
}
