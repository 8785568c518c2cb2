/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live migration of TDs in KVM selftests: streams, bundles, and a migration
 * from one VM to another of the same process.
 *
 * A bundle is kept in memory as it would go over the wire, so that a test can
 * deliver it late, twice, changed or to several destinations.
 */
#ifndef SELFTEST_KVM_TDX_MIG_UTIL_H
#define SELFTEST_KVM_TDX_MIG_UTIL_H

#include "kvm_util.h"
#include "processor.h"
#include "tdx_fail.h"
#include "tdx_migtd.h"
#include "tdx_util.h"

#define TD_MIG_MAX_STREAMS	4
#define TD_MIG_MAX_VCPUS	8
#define TD_MIG_MAX_BUNDLES	64
#define TD_MIG_MAX_SLOTS	16
/* KVM takes no more at once. */
#define TD_MIG_MAX_MSRS		255
#define TD_MIG_MAC_SIZE		16
/* Of td_mig_create_data_src(). */
#define TD_MIG_DATA_PAGES	16

/* Completion status of the TDX module, in hw_error; the low half is detail. */
#define TDX_FATAL			BIT_ULL(61)
#define TDX_OP_STATE_INCORRECT		0xC000060800000000ULL
#define TDX_INVALID_MBMD		0xC0000E0000000000ULL
#define TDX_INCORRECT_MBMD_MAC		0xC0000E0100000000ULL
#define TDX_NUM_MIGS_HIGHER_THAN_CREATED	0xC0000E0B00000000ULL
#define TDX_IMPORT_MISMATCH		0xC0000E0C00000000ULL
#define TDX_INVALID_PAGE_MAC		0xC0000E0F00000000ULL
#define TDX_SOME_VCPUS_NOT_MIGRATED	0xC0000E1200000000ULL
#define TDX_EXPORTED_DIRTY_PAGES_REMAIN	0xC0000E0700000000ULL
#define TDX_MIGRATION_DECRYPTION_KEY_NOT_SET	0xC0000E0800000000ULL

struct td_mig_stream {
	int fd;
	u32 index;
	u32 buf_list_pages;
	u32 max_migs;
	/* What fails in commands, which then are not repeated even if they ask for it. */
	struct td_fail *fail;
	void *map;
	struct tdx_mig_mbmd *mbmd;
	u64 *gpa_list;
	u8 *mac_list;
	u8 *buf;
};

struct td_mig_bundle {
	/* The command that imports it, and the number of its stream. */
	u32 import_cmd;
	u32 stream;
	/* State pages, or entries of the GPA list. */
	u32 nr;
	/* A vCPU is meant by its id, not by the order of creation. */
	bool has_vcpu_id;
	u32 vcpu_id;
	struct tdx_mig_mbmd mbmd;
	u64 *gpa_list;
	u8 *mac_list;
	u8 *pages;
};

struct td_mig_msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[TD_MIG_MAX_MSRS];
};

/* What the VMM moves by itself. */
struct td_mig_vcpu_state {
	struct kvm_tdx_mig_vcpu_state tdx;
	struct kvm_lapic_state lapic;
	/* All but the x2APIC and the deadline of its timer. */
	struct td_mig_msrs msrs;
	u64 tsc_deadline;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
};

/* Destination of a migration: has the slots, and shared memory, of the source. */
struct td_mig_dest {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TD_MIG_MAX_VCPUS];
	struct td_mig_stream streams[TD_MIG_MAX_STREAMS];
	int nr_streams;
	int gmem_fds[TD_MIG_MAX_SLOTS];
	int nr_gmem_fds;
};

struct td_mig {
	struct kvm_vm *src;
	struct kvm_vcpu *src_vcpus[TD_MIG_MAX_VCPUS];
	int nr_vcpus;
	/* Name vCPUs by their id, and create them last to first at the destination. */
	bool reverse_vcpus;
	struct td_mig_stream streams[TD_MIG_MAX_STREAMS];
	int nr_streams;
	/* Entries of a GPA list, as many as it can have unless the test says so. */
	u32 nr_entries;

	/* The last key exchange, and whether a session has used it. */
	u64 exchange;
	bool keys_used;
	/* Destination of that exchange, until td_mig_dest_create() takes it. */
	struct kvm_vm *next_dst;

	/* In the order of their export. */
	struct td_mig_bundle bundles[TD_MIG_MAX_BUNDLES];
	int nr_bundles;
	struct td_mig_vcpu_state vcpu_state[TD_MIG_MAX_VCPUS];
};

/* An entry of a GPA list, and its parts. */
static inline unsigned int td_gpa_entry_op(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_OP_MASK) >> TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

static inline unsigned int td_gpa_entry_status(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_STATUS_MASK) >> TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
}

static inline u64 td_gpa_entry(gpa_t gpa, u64 op)
{
	return gpa | op << TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

static inline gpa_t td_gpa_entry_gpa(u64 entry)
{
	return entry & TDX_MIG_GPA_ENTRY_GPA_MASK;
}

bool kvm_has_tdx_mig(void);

/* The version of the TDX module, for what not all of them do alike. */
#define TD_MODULE(major, minor, update)						\
	((u64)(major) << 32 | (u64)(minor) << 16 | (update))
u64 td_module_version(void);

/*
 * Commands of a stream.  Return -1 with errno on failure; @hw_error is set in
 * both cases and may be NULL.
 */
int __td_mig_cmd(struct td_mig_stream *s, u32 id, u32 flags, u64 data, u64 *hw_error);
/* The same for the commands that take or return a number in a u64. */
int __td_mig_cmd_nr(struct td_mig_stream *s, u32 id, u64 *nr, u64 *hw_error);
void td_mig_cmd(struct td_mig_stream *s, u32 id);
/* With the number 1, for those that are to be refused. */
int td_mig_try_cmd(struct td_mig_stream *s, u32 id);

/* Create stream @index of @vm without attributes, with attributes and mapped. */
void td_mig_stream_create(struct td_mig_stream *s, struct kvm_vm *vm, u32 index);
int __td_mig_stream_create(struct td_mig_stream *s, struct kvm_vm *vm, u32 index);
int __td_mig_stream_map(struct td_mig_stream *s);
int __td_mig_stream_set_attr(struct td_mig_stream *s, u32 version, u32 buf_list_pages);
void td_mig_stream_open(struct td_mig_stream *s, struct kvm_vm *vm, u32 index,
			u32 buf_list_pages);
void td_mig_stream_close(struct td_mig_stream *s);

/* The next bundle of @s, by kind; the caller frees it.  hw_error may be NULL. */
int __td_mig_export_state(struct td_mig_stream *s, u32 export_cmd,
			  struct td_mig_bundle *b, u64 *hw_error);
int __td_mig_export_vcpu(struct td_mig_stream *s, u32 vcpu_id, struct td_mig_bundle *b,
			 u64 *hw_error);
int __td_mig_export_mem(struct td_mig_stream *s, const u64 *gpa_list, u32 nr,
			struct td_mig_bundle *b, u64 *hw_error);
int __td_mig_export_track(struct td_mig_stream *s, bool start_token,
			  struct td_mig_bundle *b, u64 *hw_error);
/*
 * Fill the buffers of the stream of a bundle, and import it.  @streams are those of
 * the destination.
 */
struct td_mig_stream *td_mig_load_bundle(struct td_mig_stream *streams,
					 const struct td_mig_bundle *b);
int __td_mig_import(struct td_mig_stream *streams, const struct td_mig_bundle *b,
		    u64 *hw_error);
/* The caller frees the copy, too. */
void td_mig_bundle_copy(struct td_mig_bundle *dst, const struct td_mig_bundle *src);
void td_mig_bundle_free(struct td_mig_bundle *b);

/*
 * The migration TDs of the process, one for all its sources and one for all its
 * destinations.  Their target is the one that was bound last.
 */
struct td_migtd *td_mig_src_migtd(void);
struct td_migtd *td_mig_dst_migtd(void);
/*
 * Let the migration TDs exchange the keys for the next session of the source.
 * The destination that is created next is the one that has its keys from there;
 * further ones get the same key.  td_mig_init() does this for the first session.
 */
void td_mig_exchange_keys(struct td_mig *m);
/* The session does not start, as the source has no key. */
void td_mig_expect_no_key(struct td_mig *m);
/* Parts of the exchange. */
struct kvm_vm *td_mig_dest_create_vm(void);
/* The same with a TSC frequency; 0 is the native one. */
struct kvm_vm *__td_mig_dest_create_vm(u32 tsc_khz);
struct kvm_vm *td_mig_next_dest(struct td_mig *m);

/*
 * A migratable TD with one vCPU that has run to its first sync, number 1: with some
 * code; with one that is done after that; with one that has written to its memory,
 * and finds there what it wrote before it is done.
 */
struct kvm_vm *td_mig_create_src(void *guest_code, struct kvm_vcpu **vcpu);
struct kvm_vm *td_mig_create_plain_src(struct kvm_vcpu **vcpu);
struct kvm_vm *td_mig_create_data_src(struct kvm_vcpu **vcpu);
/* Open the source's streams and exchange its keys; no session yet. */
void td_mig_init(struct td_mig *m, struct kvm_vm *src, struct kvm_vcpu *vcpus[],
		 int nr_vcpus, int nr_streams);
/* The streams alone, for a test that exchanges the keys in its own way. */
void td_mig_open(struct td_mig *m, struct kvm_vm *src, struct kvm_vcpu *vcpus[],
		 int nr_vcpus, int nr_streams);
/* The steps of the source, each collecting its bundles in @m. */
void td_mig_export_immutable(struct td_mig *m);
void td_mig_export_pause(struct td_mig *m);
void td_mig_export_all_mem(struct td_mig *m);
void td_mig_export_td_and_vcpus(struct td_mig *m);
void td_mig_export_start_token(struct td_mig *m);
/* What follows the pause: the last three of them. */
void td_mig_export_rest(struct td_mig *m);
/* All of them. */
void td_mig_export(struct td_mig *m);
/* An epoch token. */
void td_mig_export_track(struct td_mig *m);
/* Memory of all slots but one. */
void td_mig_export_other_slots(struct td_mig *m, u32 but);
/* Where the next bundle is to be kept. */
struct td_mig_bundle *td_mig_next_bundle(struct td_mig *m);
/* After an export that was aborted. */
void td_mig_forget_bundles(struct td_mig *m);

/* Pages that are exported as soon as there are enough of them for a bundle. */
struct td_mig_batch {
	struct td_mig *m;
	u64 gpa_list[TDX_MIG_BUF_LIST_PAGES_MAX];
	u32 nr;
	/* How many the TDX module was willing to export. */
	u32 nr_exported;
};

void td_mig_batch_add(struct td_mig_batch *batch, gpa_t gpa);
void td_mig_batch_flush(struct td_mig_batch *batch);

/* Close the streams; the VM stays.  Harmless if nothing was opened. */
void td_mig_free(struct td_mig *m);
/*
 * Destroy the source TD, while its shared memory stays for the destination as
 * long as the process lives.
 */
void td_mig_destroy_src(struct td_mig *m);

/* A destination that has its key and waits for the immutable bundle. */
void td_mig_dest_create(struct td_mig_dest *d, struct td_mig *m);
/*
 * Import the bundles @first to @last of @m, and load the vCPUs before the start
 * token, which is the last one.
 */
void td_mig_import(struct td_mig_dest *d, struct td_mig *m, int first, int last);
/* All before the first bundle that @import_cmd imports, whose index is returned. */
int td_mig_import_up_to(struct td_mig_dest *d, struct td_mig *m, u32 import_cmd);
void td_mig_load_vcpus(struct td_mig_dest *d, struct td_mig *m);
void td_mig_import_end(struct td_mig_dest *d);
/* From bundle @first on to the end. */
void td_mig_import_rest(struct td_mig_dest *d, struct td_mig *m, int first);
/* The destination gives the TD up, and its token wakes the source. */
void td_mig_return(struct td_mig *m, struct td_mig_dest *d);
/* Punch a hole into private memory. */
void td_mig_dest_punch_hole(struct td_mig_dest *d, struct td_mig *m, gpa_t gpa, u64 size);
/* Harmless if nothing was created. */
void td_mig_dest_free(struct td_mig_dest *d);

void td_mig_vcpu_save(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state);
void td_mig_vcpu_load(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state);

/*
 * The MSRs of KVM_GET_MSR_INDEX_LIST, the MTRRs and the MCE banks, as far as KVM has
 * them for this vCPU.
 */
void td_mig_msrs_save(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs);
void td_mig_msrs_load(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs);
/* NULL if it is not there. */
const struct kvm_msr_entry *td_mig_msrs_find(const struct td_mig_msrs *msrs, u32 index);
/* Returns false if KVM does not have it for this vCPU. */
bool td_mig_msr_get(struct kvm_vcpu *vcpu, u32 index, u64 *value);

/* Registers of the local APIC, by their offsets. */
u32 td_lapic_get(const struct kvm_lapic_state *lapic, u32 reg);
void td_lapic_set(struct kvm_lapic_state *lapic, u32 reg, u32 value);
bool td_lapic_irr_test(const struct kvm_lapic_state *lapic, u8 vector);

/* Index in @m of the first bundle that @import_cmd imports. */
int td_mig_find_bundle(struct td_mig *m, u32 import_cmd);

/* From a running source, with all vCPUs stopped, to a running destination. */
void td_mig_migrate(struct td_mig *m, struct td_mig_dest *d);

#endif /* SELFTEST_KVM_TDX_MIG_UTIL_H */
