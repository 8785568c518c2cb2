/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a metadata field is described: one table row per field or per run of
 * equal fields.  Shared by the tables, the accessors and the list code only.
 */
#ifndef _TDX_SIM_METADATA_TABLE_H
#define _TDX_SIM_METADATA_TABLE_H

#include "metadata.h"

/* Field id, which is also the header of a sequence of fields in a list. */
#define MD_ID_CODE		GENMASK_ULL(23, 0)
#define MD_ID_SIZE		GENMASK_ULL(33, 32)	/* log2 of bytes per element */
#define MD_ID_LAST_ELEMENT	GENMASK_ULL(37, 34)
#define MD_ID_LAST_FIELD	GENMASK_ULL(46, 38)
#define MD_ID_INC		BIT_ULL(50)		/* codes count in steps of two */
#define MD_ID_WRITE_MASK	BIT_ULL(51)
#define MD_ID_CONTEXT		GENMASK_ULL(54, 52)
#define MD_ID_CLASS		GENMASK_ULL(61, 56)
#define MD_ID_RESERVED		(GENMASK_ULL(31, 24) | GENMASK_ULL(49, 47) | \
				 BIT_ULL(55) | BIT_ULL(62))
#define MD_ID_NONE		(~0ULL)	/* in any context */

#define MD_MAX_ELEMENTS		16
/* State components 0..18. */
#define SIM_NR_XSAVE_COMPONENTS	19

/* The class of CPUID_VALUES, whose code encodes leaf and subleaf. */
#define MD_CLASS_CPUID		0x14
#define MD_CPUID_ELEMENT	BIT_ULL(0)
#define MD_CPUID_SUBLEAF	GENMASK_ULL(7, 1)
#define MD_CPUID_NO_SUBLEAF	BIT_ULL(8)
#define MD_CPUID_LEAF		GENMASK_ULL(15, 9)
#define MD_CPUID_LEAF_BIT31	BIT_ULL(16)
#define MD_CPUID_RESERVED	GENMASK_ULL(23, 17)

enum md_context { MD_CTX_SYS, MD_CTX_TD, MD_CTX_VP, MD_NR_CONTEXTS };

/* On whose behalf a field is accessed. */
enum md_who { MD_HOST, MD_DEBUGGER, MD_GUEST, MD_SERVTD, MD_BUNDLE };

#define MD_READ(who)		BIT(who)
#define MD_WRITE(who)		BIT((who) + 8)
#define MD_R_HOST		(MD_READ(MD_HOST) | MD_READ(MD_DEBUGGER))
#define MD_R_DEBUG		MD_READ(MD_DEBUGGER)
#define MD_R_GUEST		MD_READ(MD_GUEST)
#define MD_R_SERVTD		MD_READ(MD_SERVTD)
#define MD_RW_HOST		(MD_R_HOST | MD_WRITE(MD_HOST) | MD_WRITE(MD_DEBUGGER))
#define MD_RW_DEBUG		(MD_R_DEBUG | MD_WRITE(MD_DEBUGGER))
#define MD_RW_GUEST		(MD_R_GUEST | MD_WRITE(MD_GUEST))
#define MD_RW_SERVTD		(MD_R_SERVTD | MD_WRITE(MD_SERVTD))

/* Which part of the migrated state a field belongs to. */
enum md_phase { MD_NOT_MIGRATED, MD_IMMUTABLE, MD_MUTABLE };

enum md_import {
	MD_IGNORED,		/* skipped when present */
	MD_OPTIONAL,
	MD_PRESENT,		/* must be there, value skipped */
	MD_REQUIRED,
};

/* The structure that keeps a field. */
enum md_home {
	MD_NOWHERE,		/* constant, or all of it is done by the hooks */
	MD_TDR,
	MD_TDCS,
	MD_SEPT_ROOT,
	MD_MIGSC_LINKS,
	MD_X2APIC_IDS,
	MD_TDVPS,
	MD_VMCS,
	MD_VAPIC,
	MD_XBUFF,
};

/* State components, in XFAM, XCR0 and IA32_XSS alike. */
#define XFAM_X87		BIT_ULL(0)
#define XFAM_SSE		BIT_ULL(1)
#define XFAM_AVX		BIT_ULL(2)
#define XFAM_AVX512		GENMASK_ULL(7, 5)
#define XFAM_PT_BIT		8
#define XFAM_PT			BIT_ULL(XFAM_PT_BIT)
#define XFAM_PKRU		BIT_ULL(9)
#define XFAM_CET		GENMASK_ULL(12, 11)
#define XFAM_UINTR		BIT_ULL(14)
#define XFAM_LBR		BIT_ULL(15)
#define XFAM_AMX		GENMASK_ULL(18, 17)
/* Those that XCR0, not IA32_XSS, enables. */
#define XFAM_USER		(XFAM_X87 | XFAM_SSE | XFAM_AVX | XFAM_AVX512 | \
				 XFAM_PKRU | XFAM_AMX)

static inline bool md_all_or_none(u64 value, u64 mask)
{
	return !(value & mask) || (value & mask) == mask;
}

struct md_row;

/* What an access works on. */
struct md_target {
	enum md_context context;
	struct sim_td *td;
	struct sim_vp *vp;
	enum md_who who;
};

/* A located element; @index counts elements from the start of the row. */
struct md_field {
	const struct md_row *row;
	u64 id;
	u32 index;
};

/* Returned by the hooks below when nothing is left to be stored. */
#define MD_STORED		SIM_METADATA_FIELD_SKIP

/**
 * struct md_row - One field, or a run of fields
 * @id: Id of the first element of the first field
 * @fields: Number of fields
 * @elements: Number of elements in each
 * @home: Structure that holds the value
 * @phase: Part of the migrated state
 * @import: How an import treats it
 * @access: Who may read and write
 * @offset: In @home
 * @constant: Value when @home is MD_NOWHERE and there is no @get
 * @host_mask: What the host of a TD that is not debuggable may access, 0 is all
 * @write_mask: What can be written at all, 0 is all
 * @export_mask: What service TDs and bundles get to see, 0 is all
 * @shared_hpa: Non-zero when the value is the HPA of a shared block of this size
 * @get: Read instead of loading from @home
 * @set: Check a value to be written, change it or act on it
 * @load: The same for all elements of a field, on import; @mask are the bits to
 *	be written
 */
struct md_row {
	u64 id;
	u16 fields;
	u8 elements;
	u8 home;
	u8 phase;
	u8 import;
	u16 access;
	u16 offset;
	u16 shared_hpa;
	u64 constant;
	u64 host_mask;
	u64 write_mask;
	u64 export_mask;
	u64 (*get)(const struct md_target *t, const struct md_field *f, u64 *value);
	u64 (*set)(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value);
	u64 (*load)(const struct md_target *t, const struct md_field *f, const u64 *values,
		    u64 mask);
};

struct md_table {
	const struct md_row *rows;
	unsigned int nr;
};

/* Fields in the order of lists; a profile is made of some of these. */
extern const struct md_table md_sys_platform;
extern const struct md_table md_sys_max_vcpus;
extern const struct md_table md_sys_configs;
extern const struct md_table md_sys_limits;
extern const struct md_table md_td_management;
extern const struct md_table md_td_controls_1_5_01;
extern const struct md_table md_td_controls_1_5_05;
extern const struct md_table md_td_state;
extern const struct md_table md_td_servtd_1_5_01;
extern const struct md_table md_td_servtd_1_5_05;
extern const struct md_table md_td_links;
extern const struct md_table md_td_x2apic_ids;
extern const struct md_table md_td_pages;
extern const struct md_table md_vmcs_table;
extern const struct md_table md_vp_table;

/* cpuid_table.c */
extern const struct sim_cpuid_table cpuid_table_1_5_01;
extern const struct sim_cpuid_table cpuid_table_1_5_05;

/* A position in the fields of a context; @id is MD_ID_NONE past the last. */
struct md_pos {
	const struct md_row *row;
	unsigned int nr;	/* of @row in its context */
	u64 id;
};

static inline bool md_is_none(u64 id)
{
	return (id | MD_ID_CONTEXT) == MD_ID_NONE;
}

static inline u32 md_code(u64 id)
{
	return FIELD_GET(MD_ID_CODE, id);
}

static inline u32 md_stride(const struct md_row *row)
{
	return row->id & MD_ID_INC ? 2 : 1;
}

static inline bool md_is_cpuid(enum md_context context, u64 id)
{
	return context == MD_CTX_TD && FIELD_GET(MD_ID_CLASS, id) == MD_CLASS_CPUID;
}

/* Mask of an element. */
static inline u64 md_size_mask(u64 id)
{
	return GENMASK_ULL((8 << FIELD_GET(MD_ID_SIZE, id)) - 1, 0);
}

/* metadata.c */
void md_first(enum md_context context, struct md_pos *pos);
bool md_seek(enum md_context context, u64 id, struct md_pos *pos);
void md_next_field(enum md_context context, struct md_pos *pos);
bool md_field_at(const struct md_target *t, const struct md_pos *pos, struct md_field *f);
u64 md_get(const struct md_target *t, const struct md_field *f, u64 *value);
u64 md_put(const struct md_target *t, const struct md_field *f, u64 value, u64 mask,
	   bool check, u64 *old);
u64 md_read_mask(const struct md_row *row, enum md_who who);
u64 md_write_mask(const struct md_row *row, enum md_who who);
/* Single element accesses of the RD and WR leaves. */
u64 md_read(const struct md_target *t, u64 id, u64 *value);
u64 md_write(const struct md_target *t, u64 id, u64 value, u64 mask, u64 *old);
u64 md_rd_regs(const struct md_target *t, u64 *r, u64 id);
u64 md_wr_regs(const struct md_target *t, u64 *r, u64 id, u64 value);
/* The next element that the accessor may read, MD_ID_NONE for none. */
u64 md_next_readable(const struct md_target *t, u64 id);

/* metadata_list.c: list of what a guest or host can read, for RDALL */
u64 md_dump_readable(const struct md_target *t, u64 id, u8 page[SIM_PAGE_SIZE], u64 *next);

/* cpuid.c, cpuid_table.c */
#define CPUID_NONE		(~0U)
unsigned int cpuid_index(u32 leaf, u32 subleaf);
/* Code of a CPUID_VALUES field, element 0. */
u32 cpuid_code(unsigned int index);
/* The TD has values of the leaf: from MNG.INIT, or from the bundle. */
bool cpuid_readable(const struct sim_td *td, unsigned int index);
/* Values of TD_PARAMS that the host may choose: leaf, subleaf; mask of values. */
unsigned int cpuid_nr_rows(void);
unsigned int cpuid_nr_configs(void);
u64 cpuid_config_leaf(unsigned int config);
u64 cpuid_config_mask(unsigned int config, unsigned int half, bool allowed);
u64 cpuid_import(struct sim_td *td, unsigned int index, const u64 halves[2], u64 mask);
bool cpuid_arch_capabilities_valid(struct sim_td *td, u64 value);
/* Check the topology that came with a TD, and derive what follows from it. */
u64 cpuid_import_topology(struct sim_td *td);
u64 cpuid_supported_xfam(void);
/* State components that IA32_XSS of the CPU can enable. */
u64 cpuid_supported_xss(void);
/* Of the CPU: does it have LASS, LAM? */
bool cpuid_has_lass(void);
bool cpuid_has_lam(void);
/* Offsets of the components in a compacted XSAVE area, and its size. */
u32 cpuid_xsave_layout(u64 xfam, u32 offsets[SIM_NR_XSAVE_COMPONENTS]);
u32 cpuid_platform_fms(void);

#endif /* _TDX_SIM_METADATA_TABLE_H */
