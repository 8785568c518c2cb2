// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the live migration of TDs: the buffers of a stream.
 */
#include <linux/mm.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_kunit.h"

/* The buffers of a stream. */

#define NR_BUFS		5
/* One stream in the tests has more buffers than it tells. */
#define NR_SPARE_BUFS	3

struct layout_case {
	const char *name;
	pgoff_t pgoff;
	/* Offset of the pointer in struct tdx_mig_stream, or the number of the buffer. */
	size_t offset;
	int buf;
};

#define LAYOUT_PAGE(_name, _pgoff, _member)					\
	{ _name, _pgoff, offsetof(struct tdx_mig_stream, _member), -1 }
#define LAYOUT_BUF(_name, _pgoff, _buf)	{ _name, _pgoff, 0, _buf }
#define LAYOUT_NONE(_name, _pgoff)	{ _name, _pgoff, 0, -1 }

static const struct layout_case layout_cases[] = {
	LAYOUT_PAGE("MBMD", 0, user_mbmd),
	LAYOUT_PAGE("GPA list", 1, user_gpa_list),
	LAYOUT_PAGE("first MAC list", 2, mac_list[0]),
	LAYOUT_PAGE("second MAC list", 3, mac_list[1]),
	LAYOUT_BUF("first buffer", 4, 0),
	LAYOUT_BUF("second buffer", 5, 1),
	LAYOUT_BUF("last buffer", 8, 4),
	LAYOUT_NONE("page after the last buffer", 9),
	LAYOUT_NONE("page after that", 10),
	LAYOUT_NONE("last page of the largest stream", 4 + 511),
	LAYOUT_NONE("page after the largest stream", 4 + 512),
	LAYOUT_NONE("last page of all", ULONG_MAX),
};

KUNIT_ARRAY_PARAM_DESC(layout, layout_cases, name);

static void a_stream_has_its_layout(struct kunit *test)
{
	const struct layout_case *c = test->param_value;
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_stream *stream = fake_stream_create(test, td, 0, NR_BUFS + NR_SPARE_BUFS);
	struct page *page = NULL;

	if (c->offset)
		page = *(struct page **)((void *)stream + c->offset);
	else if (c->buf >= 0)
		page = stream->bufs[c->buf];

	KUNIT_EXPECT_PTR_EQ(test, tdx_mig_stream_page(stream, c->pgoff, NR_BUFS), page);
}

/* Userspace must not change what KVM has validated, nor see where pages are. */
static void what_is_validated_is_not_mapped(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_stream *stream = fake_stream_create(test, td, 0, NR_BUFS);
	struct page *page;
	pgoff_t pgoff, other;

	for (pgoff = 0; pgoff < 4 + NR_BUFS; pgoff++) {
		page = tdx_mig_stream_page(stream, pgoff, NR_BUFS);
		KUNIT_EXPECT_NOT_NULL(test, page);
		KUNIT_EXPECT_PTR_NE(test, page, stream->mbmd);
		KUNIT_EXPECT_PTR_NE(test, page, stream->gpa_list);
		KUNIT_EXPECT_PTR_NE(test, page, stream->buf_list);
		KUNIT_EXPECT_PTR_NE(test, page, stream->new_list);

		for (other = 0; other < pgoff; other++)
			KUNIT_EXPECT_PTR_NE(test, page,
					    tdx_mig_stream_page(stream, other, NR_BUFS));
	}
}

struct map_case {
	const char *name;
	unsigned long pgoff;
	unsigned long pages;
	vm_flags_t flags;
	unsigned int nr_bufs;
	bool can_map;
};

/* Of a stream with 5 buffers, i.e. 9 pages, or of the largest one, which has 516. */
static const struct map_case map_cases[] = {
	{ "all", 0, 9, VM_SHARED, 5, true },
	{ "first page", 0, 1, VM_SHARED, 5, true },
	{ "last page", 8, 1, VM_SHARED, 5, true },
	{ "buffers", 4, 5, VM_SHARED, 5, true },
	{ "all, writable", 0, 9, VM_SHARED | VM_READ | VM_WRITE, 5, true },
	{ "one page more", 0, 10, VM_SHARED, 5, false },
	{ "buffers and a page more", 4, 6, VM_SHARED, 5, false },
	{ "last page and one more", 8, 2, VM_SHARED, 5, false },
	{ "page after the last", 9, 1, VM_SHARED, 5, false },
	{ "all of the largest", 0, 516, VM_SHARED, 512, true },
	{ "one page more than the largest", 0, 517, VM_SHARED, 512, false },
	{ "page after the largest", 516, 1, VM_SHARED, 512, false },
	{ "end wraps to 0", ULONG_MAX, 1, VM_SHARED, 5, false },
	{ "end wraps to 1", ULONG_MAX, 2, VM_SHARED, 5, false },
	{ "end wraps to the last page", ULONG_MAX - 3, 12, VM_SHARED, 5, false },
	{ "as large as can be", 1, ULONG_MAX >> PAGE_SHIFT, VM_SHARED, 5, false },
	{ "all, private", 0, 9, 0, 5, false },
	{ "all, private and writable", 0, 9, VM_READ | VM_WRITE | VM_MAYSHARE, 5, false },
};

KUNIT_ARRAY_PARAM_DESC(map, map_cases, name);

static void a_mapping_is_shared_and_inside(struct kunit *test)
{
	const struct map_case *c = test->param_value;
	struct vm_area_struct *vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, vma);

	vm_flags_init(vma, c->flags);
	vma->vm_end = c->pages << PAGE_SHIFT;
	vma->vm_pgoff = c->pgoff;
	KUNIT_EXPECT_EQ(test, tdx_mig_stream_can_map(vma, c->nr_bufs), c->can_map);
}

struct mbmd_case {
	const char *name;
	u16 size;
	u16 index;
	u8 type;
	u8 wanted;
	int r;
};

/* Read by stream 2. */
static const struct mbmd_case mbmd_cases[] = {
	{ "memory", 48, 2, TDX_MIG_MBMD_TYPE_MEM, TDX_MIG_MBMD_TYPE_MEM, 0 },
	{ "vCPU", 48, 2, TDX_MIG_MBMD_TYPE_VP_STATE, TDX_MIG_MBMD_TYPE_VP_STATE, 0 },
	{ "too small", 47, 2, TDX_MIG_MBMD_TYPE_MEM, TDX_MIG_MBMD_TYPE_MEM, -EINVAL },
	{ "too large", 49, 2, TDX_MIG_MBMD_TYPE_MEM, TDX_MIG_MBMD_TYPE_MEM, -EINVAL },
	{ "size in the high byte", 48 << 8, 2, TDX_MIG_MBMD_TYPE_MEM, TDX_MIG_MBMD_TYPE_MEM,
	  -EINVAL },
	{ "other type", 48, 2, TDX_MIG_MBMD_TYPE_VP_STATE, TDX_MIG_MBMD_TYPE_MEM, -EINVAL },
	{ "lower stream", 48, 1, TDX_MIG_MBMD_TYPE_MEM, TDX_MIG_MBMD_TYPE_MEM, -EINVAL },
	{ "stream that differs in the high byte", 48, 0x102, TDX_MIG_MBMD_TYPE_MEM,
	  TDX_MIG_MBMD_TYPE_MEM, -EINVAL },
	{ "abort token, of no stream", 48, 0, TDX_MIG_MBMD_TYPE_ABORT_TOKEN,
	  TDX_MIG_MBMD_TYPE_ABORT_TOKEN, 0 },
	{ "abort token, other type", 48, 0, TDX_MIG_MBMD_TYPE_EPOCH_TOKEN,
	  TDX_MIG_MBMD_TYPE_ABORT_TOKEN, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(mbmd, mbmd_cases, name);

static void an_mbmd_is_validated(struct kunit *test)
{
	const struct mbmd_case *c = test->param_value;
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_stream *stream = fake_stream_create(test, td, 2, NR_BUFS);
	struct tdx_mig_mbmd *mbmd = page_address(stream->user_mbmd);

	mbmd->size = cpu_to_le16(c->size);
	mbmd->migs_index = cpu_to_le16(c->index);
	mbmd->mb_type = c->type;
	mbmd->type_info = cpu_to_le64(0x12345678abcd0123);

	guard(mutex)(&stream->lock);

	KUNIT_EXPECT_EQ(test, tdx_mig_get_mbmd(stream, c->wanted), c->r);
	KUNIT_EXPECT_MEMEQ(test, page_address(stream->mbmd), mbmd, sizeof(*mbmd));
	KUNIT_EXPECT_EQ(test, tdx_mig_mbmd_num_gpas(stream), 0x0123);
	KUNIT_EXPECT_EQ(test, tdx_mig_mbmd_vp_index(stream), 0x0123);
}

/* What comes after the entries that userspace has named is neither read nor written. */
static void a_gpa_list_is_a_snapshot(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_stream *stream = fake_stream_create(test, td, 0, NR_BUFS);
	u64 *user = page_address(stream->user_gpa_list);
	unsigned int i;

	for (i = 0; i < 512; i++)
		user[i] = tdx_mig_gpa_entry(i, TDX_MIG_GPA_OP_MIGRATE);
	/* An entry that only an import takes, and one that nobody takes. */
	user[3] = 0x0100000000000000;
	user[5] = 0x8000000000000000;

	guard(mutex)(&stream->lock);

	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 3, false), 0);
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 4, false), -EINVAL);
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 5, true), 0);
	KUNIT_EXPECT_MEMEQ(test, stream->entries, user, 5 * sizeof(u64));
	KUNIT_EXPECT_EQ(test, stream->entries[5], 0);
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 6, true), -EINVAL);

	/* The SHARED bit is that of the TD. */
	user[3] = FAKE_TD_SHARED - PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 4, false), 0);
	user[3] = FAKE_TD_SHARED;
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 4, false), -EINVAL);

	user[3] = 0;
	user[5] = 0;
	KUNIT_EXPECT_EQ(test, tdx_mig_get_gpa_list(stream, 512, false), 0);
	KUNIT_EXPECT_MEMEQ(test, stream->entries, user, PAGE_SIZE);

	memset(user, 0xff, PAGE_SIZE);
	tdx_mig_put_gpa_list(stream, 7);
	KUNIT_EXPECT_MEMEQ(test, user, stream->entries, 7 * sizeof(u64));
	KUNIT_EXPECT_EQ(test, user[7], ~0ULL);
}

static void a_buffer_list_names_the_buffers(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_stream *stream = fake_stream_create(test, td, 0, NR_BUFS);
	u64 *list = page_address(stream->buf_list);
	unsigned int i;

	memset(list, 0xff, PAGE_SIZE);
	scoped_guard(mutex, &stream->lock)
		tdx_mig_fill_buf_list(stream, NR_BUFS - 1);

	for (i = 0; i < NR_BUFS - 1; i++)
		KUNIT_EXPECT_EQ(test, list[i], page_to_phys(stream->bufs[i]));
	KUNIT_EXPECT_EQ(test, list[NR_BUFS - 1], ~0ULL);
}

static struct kunit_case stream_cases[] = {
	KUNIT_CASE_PARAM(a_stream_has_its_layout, layout_gen_params),
	KUNIT_CASE(what_is_validated_is_not_mapped),
	KUNIT_CASE_PARAM(a_mapping_is_shared_and_inside, map_gen_params),
	KUNIT_CASE_PARAM(an_mbmd_is_validated, mbmd_gen_params),
	KUNIT_CASE(a_gpa_list_is_a_snapshot),
	KUNIT_CASE(a_buffer_list_names_the_buffers),
	{}
};

static struct kunit_suite stream_suite = {
	.name = "tdx_mig_stream",
	.test_cases = stream_cases,
};

kunit_test_suite(stream_suite);
