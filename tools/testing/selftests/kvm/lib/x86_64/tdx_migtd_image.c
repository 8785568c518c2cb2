// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration TD of the library as a TDVF image.  FOR TESTS ONLY, see tdx_migtd.h.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_migtd_guest.h"
#include "tdx_migtd_image.h"

/* What the volume of the configuration has: the TD says it when it starts. */
#define CONFIG			"tdx_migtd: starting from an image\n"

#define METADATA_SIGNATURE	0x46564454
#define METADATA_VERSION	1

#define SECTION_BFV		0
#define SECTION_CFV		1
#define SECTION_TEMP_MEM	3
#define SECTION_PERM_MEM	4
#define SECTION_PAYLOAD		5
#define SECTION_TD_INFO		7

#define ATTR_EXTEND_MR		BIT(0)
#define ATTR_PAGE_AUG		BIT(1)

/* E9 + 32-bit displacement. */
#define JUMP_OPCODE		0xe9
#define JUMP_SIZE		5

#define GUID_SIZE		16

static const u8 metadata_guid[GUID_SIZE] = {
	0xf3, 0xf9, 0xea, 0xe9, 0x8e, 0x16, 0xd5, 0x44,
	0xa8, 0xeb, 0x7f, 0x4d, 0x87, 0x38, 0xf6, 0xae,
};

static const u8 table_guid[GUID_SIZE] = {
	0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
	0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
};

static const u8 metadata_offset_guid[GUID_SIZE] = {
	0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
	0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2,
};

/* Of this migration TD. */
static const u8 info_guid[GUID_SIZE] = {
	0x6d, 0x1c, 0x8a, 0x5e, 0x27, 0xf0, 0x93, 0x4b,
	0x9e, 0x02, 0x51, 0x7c, 0xd8, 0xa6, 0x3f, 0xb4,
};

struct section {
	u32 data_offset;
	u32 raw_size;
	u64 gpa;
	u64 size;
	u32 type;
	u32 attributes;
} __packed;

struct metadata {
	u8 guid[GUID_SIZE];
	u32 signature;
	u32 length;
	u32 version;
	u32 nr_sections;
	struct section sections[6];
} __packed;

/* What lies before the reset vector: a table with GUIDs that is read backwards. */
struct footer {
	u32 metadata_from_end;
	u16 entry_length;
	u8 entry_guid[GUID_SIZE];
	u16 table_length;
	u8 table_guid[GUID_SIZE];
	u32 metadata_offset;
	u8 reserved[12];
} __packed;

struct info {
	u8 guid[GUID_SIZE];
	u32 length;
	u32 version;
	u32 svn;
} __packed;

struct run {
	u64 gpa;
	u64 nr_pages;
};

struct table {
	u64 nr_runs;
	u64 config_gpa;
	struct run runs[(PAGE_SIZE - MIGTD_TABLE_RUNS) / MIGTD_RUN_SIZE];
};

kvm_static_assert(offsetof(struct table, nr_runs) == MIGTD_TABLE_NR_RUNS);
kvm_static_assert(offsetof(struct table, config_gpa) == MIGTD_TABLE_CONFIG);
kvm_static_assert(offsetof(struct table, runs) == MIGTD_TABLE_RUNS);
kvm_static_assert(offsetof(struct run, gpa) == MIGTD_RUN_GPA);
kvm_static_assert(offsetof(struct run, nr_pages) == MIGTD_RUN_NR_PAGES);
kvm_static_assert(sizeof(struct run) == MIGTD_RUN_SIZE);
kvm_static_assert(sizeof(struct table) == PAGE_SIZE);
kvm_static_assert(MIGTD_METADATA_OFFSET + sizeof(struct metadata) <=
		  MIGTD_SHIM_OFFSET + MIGTD_SHIM_SIZE);

#define DESCRIPTOR_OFFSET	(MIGTD_METADATA_OFFSET + offsetof(struct metadata, signature))

/* A payload that grows. */
struct payload {
	struct table *table;
	u8 *next, *end;
};

/* Memory that the TD accepts is zero, so such pages can be left out. */
static bool is_zero(const u8 *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

static void add_page(struct payload *p, gpa_t gpa, const u8 *page)
{
	struct table *t = p->table;
	struct run *run = t->nr_runs ? &t->runs[t->nr_runs - 1] : NULL;

	TEST_ASSERT(gpa + PAGE_SIZE <= MIGTD_MEMORY_SIZE, "GPA 0x%lx is not in the image", gpa);
	TEST_ASSERT(p->next + PAGE_SIZE <= p->end, "The payload does not fit");

	if (!run || run->gpa + run->nr_pages * PAGE_SIZE != gpa) {
		TEST_ASSERT(t->nr_runs < ARRAY_SIZE(t->runs), "Too many runs of pages");
		run = &t->runs[t->nr_runs++];
		*run = (struct run) { .gpa = gpa };
	}
	run->nr_pages++;
	memcpy(p->next, page, PAGE_SIZE);
	p->next += PAGE_SIZE;
}

static void add_region(struct payload *p, struct kvm_vm *vm, struct userspace_mem_region *region)
{
	sparsebit_idx_t first, last, pfn;

	if (!sparsebit_any_set(region->protected_phy_pages))
		return;

	sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
		for (pfn = first; pfn <= last; pfn++) {
			const gpa_t gpa = pfn << vm->page_shift;
			const u8 *page = addr_gpa2hva(vm, gpa);

			if (!is_zero(page))
				add_page(p, gpa, page);
		}
	}
}

/* What td_launch() would add, but for the boot page.  Returns the size. */
static u32 write_payload(u8 *image, struct kvm_vm *vm)
{
	struct payload p = {
		.table = (struct table *)(image + MIGTD_PAYLOAD_OFFSET),
		.next = image + MIGTD_PAYLOAD_OFFSET + PAGE_SIZE,
		.end = image + MIGTD_BOOT_OFFSET,
	};
	struct userspace_mem_region *region;
	int ctr;

	p.table->config_gpa = addr_gva2gpa(vm, (gva_t)td_migtd_image_config);
	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		if (region->region.slot < TD_SLOT_UNACCEPTED && region->region.slot != TD_SLOT_BOOT)
			add_region(&p, vm, region);
	}
	return p.next - (u8 *)p.table;
}

/* From the reset vector to the shim, which comes back to the boot page. */
static void write_boot_page(u8 *image, struct kvm_vm *vm)
{
	u8 *page = image + MIGTD_IMAGE_SIZE - TD_BOOT_SIZE;
	u8 *vector = page + TD_BOOT_RESET_VECTOR;
	struct footer *footer = (struct footer *)vector - 1;
	s32 displacement;

	memcpy(page, addr_gpa2hva(vm, TD_BOOT_GPA), TD_BOOT_SIZE);
	displacement = image + MIGTD_SHIM_OFFSET - (vector + JUMP_SIZE);
	vector[0] = JUMP_OPCODE;
	memcpy(vector + 1, &displacement, sizeof(displacement));

	*footer = (struct footer) {
		.metadata_from_end = MIGTD_IMAGE_SIZE - DESCRIPTOR_OFFSET,
		.entry_length = offsetof(struct footer, table_length),
		.table_length = offsetof(struct footer, metadata_offset),
		.metadata_offset = DESCRIPTOR_OFFSET,
	};
	memcpy(footer->entry_guid, metadata_offset_guid, GUID_SIZE);
	memcpy(footer->table_guid, table_guid, GUID_SIZE);
}

static void write_info(u8 *image)
{
	struct info *info = (struct info *)(image + MIGTD_INFO_OFFSET);

	*info = (struct info) { .length = sizeof(*info), .version = 1, .svn = 1 };
	memcpy(info->guid, info_guid, GUID_SIZE);
}

static void write_metadata(u8 *image, u32 payload_size)
{
	struct metadata *m = (struct metadata *)(image + MIGTD_METADATA_OFFSET);

	*m = (struct metadata) {
		.signature = METADATA_SIGNATURE,
		.length = sizeof(*m) - offsetof(struct metadata, signature),
		.version = METADATA_VERSION,
		.nr_sections = ARRAY_SIZE(m->sections),
		.sections = {
			{
				.type = SECTION_BFV,
				.attributes = ATTR_EXTEND_MR,
				.data_offset = MIGTD_BOOT_OFFSET,
				.raw_size = MIGTD_BOOT_SIZE,
				.gpa = MIGTD_IMAGE_GPA + MIGTD_BOOT_OFFSET,
				.size = MIGTD_BOOT_SIZE,
			}, {
				.type = SECTION_TD_INFO,
				.data_offset = MIGTD_INFO_OFFSET,
				.raw_size = MIGTD_INFO_SIZE,
			}, {
				.type = SECTION_PAYLOAD,
				.attributes = ATTR_EXTEND_MR,
				.data_offset = MIGTD_PAYLOAD_OFFSET,
				.raw_size = payload_size,
				.gpa = MIGTD_IMAGE_GPA + MIGTD_PAYLOAD_OFFSET,
				.size = payload_size,
			}, {
				.type = SECTION_CFV,
				.data_offset = MIGTD_CONFIG_OFFSET,
				.raw_size = MIGTD_CONFIG_SIZE,
				.gpa = MIGTD_IMAGE_GPA + MIGTD_CONFIG_OFFSET,
				.size = MIGTD_CONFIG_SIZE,
			}, {
				.type = SECTION_TEMP_MEM,
				.gpa = MIGTD_IMAGE_GPA + MIGTD_TEMP_OFFSET,
				.size = MIGTD_TEMP_SIZE,
			}, {
				.type = SECTION_PERM_MEM,
				.attributes = ATTR_PAGE_AUG,
				.size = MIGTD_MEMORY_SIZE,
			},
		},
	};
	memcpy(m->guid, metadata_guid, GUID_SIZE);
}

static void write_file(const char *path, const u8 *image)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	size_t done;
	ssize_t n;

	TEST_ASSERT(fd >= 0, "%s: errno %d (%s)", path, errno, strerror(errno));
	for (done = 0; done < MIGTD_IMAGE_SIZE; done += n) {
		n = write(fd, image + done, MIGTD_IMAGE_SIZE - done);
		TEST_ASSERT(n > 0, "%s: errno %d (%s)", path, errno, strerror(errno));
	}
	TEST_ASSERT(!close(fd), "%s: errno %d (%s)", path, errno, strerror(errno));
}

void td_migtd_write_image(const char *path)
{
	u8 *image = calloc(1, MIGTD_IMAGE_SIZE);
	struct td_migtd m;
	u32 payload_size;

	TEST_ASSERT(image, "Insufficient Memory");
	td_migtd_build(&m, 0, td_migtd_guest_image_code);

	strcpy((char *)image + MIGTD_CONFIG_OFFSET, CONFIG);
	payload_size = write_payload(image, m.vm);
	memcpy(image + MIGTD_SHIM_OFFSET, td_migtd_shim, MIGTD_SHIM_SIZE);
	write_info(image);
	write_metadata(image, payload_size);
	write_boot_page(image, m.vm);
	write_file(path, image);

	td_migtd_free(&m);
	free(image);
}
