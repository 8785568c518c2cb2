// SPDX-License-Identifier: GPL-2.0
/*
 * The loader of TDVF images.
 *
 * The memory of sections is added to the TD in their order, as the measurement
 * depends on it. Firmware that asks for a list of hand-off blocks finds it in the
 * section for that, and its address in RCX; it tells which RAM is there already and
 * which one the TD has to accept.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event.h"
#include "firmware.h"

#define HOB_HANDOFF		1
#define HOB_RESOURCE		3
#define HOB_END			0xffff
#define HANDOFF_VERSION		9

#define RESOURCE_SYSTEM_MEMORY	0
#define RESOURCE_UNACCEPTED	7
/* Present, initialized, tested. */
#define RESOURCE_ATTRIBUTES	7

struct hob_header {
	u16 type;
	u16 length;
	u32 reserved;
};

struct hob_handoff {
	struct hob_header header;
	u32 version;
	u32 boot_mode;
	u64 unused[4];
	u64 end_of_list;
};

struct hob_resource {
	struct hob_header header;
	u8 owner[16];
	u32 type;
	u32 attributes;
	u64 start;
	u64 length;
};

/* A list that grows, in the memory of its section. */
struct hob_list {
	const struct tdvf_section *section;
	u8 *memory;
	u64 used;
};

void firmware_read(struct tdvf *firmware, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *image = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	if (st.st_size)
		image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);

	if (!tdvf_parse(firmware, image, st.st_size))
		die("%s: %s", path, firmware->error);
}

static u64 flash_gpa(const struct tdvf *firmware)
{
	return TDVF_END - firmware->image_size;
}

void firmware_add_memory(struct vm *vm, const struct tdvf *firmware)
{
	vm_add_region(vm, 0, vm->config.mem_size);
	vm_add_region(vm, flash_gpa(firmware), firmware->image_size);
}

/* The parser has made sure that its end is not beyond the largest number. */
static bool has_memory(const struct vm *vm, const struct tdvf_section *section)
{
	u32 i;

	for (i = 0; i < vm->nr_regions; i++) {
		const struct mem_region *region = &vm->regions[i];
		u64 end = region->gpa + (region->nr_pages << PAGE_SHIFT);

		if (section->gpa >= region->gpa && section->gpa + section->size <= end)
			return true;
	}
	return false;
}

static void check_memory(const struct vm *vm, const struct tdvf *firmware)
{
	u32 i;

	for (i = 0; i < firmware->nr_sections; i++) {
		const struct tdvf_section *section = &firmware->sections[i];

		if (section->size && !has_memory(vm, section))
			die("section %u of the firmware needs memory at 0x%llx to 0x%llx", i,
			    (unsigned long long)section->gpa,
			    (unsigned long long)(section->gpa + section->size - 1));
	}
}

static void *add_hob(struct hob_list *list, u16 type, u16 length)
{
	struct hob_header *hob = (struct hob_header *)(list->memory + list->used);

	if (length > list->section->size - list->used)
		die("the section of the hand-off blocks is too small");
	hob->type = type;
	hob->length = length;
	list->used += length;
	return hob;
}

static void add_resource(struct hob_list *list, u32 type, u64 start, u64 end)
{
	struct hob_resource *hob = add_hob(list, HOB_RESOURCE, sizeof(*hob));

	hob->type = type;
	hob->attributes = RESOURCE_ATTRIBUTES;
	hob->start = start;
	hob->length = end - start;
}

/* The section that was added at this address, or the first one after it. */
static const struct tdvf_section *next_added(const struct tdvf *firmware, u64 gpa)
{
	const struct tdvf_section *next = NULL;
	u32 i;

	for (i = 0; i < firmware->nr_sections; i++) {
		const struct tdvf_section *section = &firmware->sections[i];

		if (tdvf_is_added(section) && section->gpa >= gpa &&
		    (!next || section->gpa < next->gpa))
			next = section;
	}
	return next;
}

/* RAM, in pieces that were added and pieces that were not. */
static void add_ram(struct hob_list *list, const struct vm *vm, const struct tdvf *firmware)
{
	const u64 end = vm->config.mem_size;
	const struct tdvf_section *section;
	u64 gpa, start;

	for (gpa = 0; gpa < end;) {
		section = next_added(firmware, gpa);
		start = section && section->gpa < end ? section->gpa : end;
		if (gpa < start)
			add_resource(list, RESOURCE_UNACCEPTED, gpa, start);
		gpa = start;
		if (gpa == end)
			break;
		add_resource(list, RESOURCE_SYSTEM_MEMORY, gpa, gpa + section->size);
		gpa += section->size;
	}
}

static void write_hobs(u8 *memory, const struct tdvf_section *section, const struct vm *vm,
		       const struct tdvf *firmware)
{
	struct hob_list list = { .section = section, .memory = memory };
	struct hob_handoff *handoff = add_hob(&list, HOB_HANDOFF, sizeof(*handoff));

	handoff->version = HANDOFF_VERSION;
	add_ram(&list, vm, firmware);
	add_hob(&list, HOB_END, sizeof(struct hob_header));
	handoff->end_of_list = section->gpa + list.used;
}

static void load_section(struct vm *vm, const struct tdvf *firmware,
			 const struct tdvf_section *section)
{
	u8 *memory = mmap(NULL, section->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die("out of memory");
	memcpy(memory, firmware->image + section->data_offset, section->raw_size);
	if (section->type == TDVF_TD_HOB)
		write_hobs(memory, section, vm, firmware);

	vm_load_run(vm, section->gpa, memory, section->size >> PAGE_SHIFT,
		    section->attributes & TDVF_EXTEND_MR);
	munmap(memory, section->size);
}

void firmware_load(struct vm *vm, const struct tdvf *firmware)
{
	const struct tdvf_section *hob = tdvf_find(firmware, TDVF_TD_HOB);
	u32 i;

	check_memory(vm, firmware);
	for (i = 0; i < vm->nr_vcpus; i++)
		vm_init_vcpu(&vm->vcpus[i], hob ? hob->gpa : 0);
	for (i = 0; i < firmware->nr_sections; i++) {
		if (tdvf_is_added(&firmware->sections[i]))
			load_section(vm, firmware, &firmware->sections[i]);
	}
}
