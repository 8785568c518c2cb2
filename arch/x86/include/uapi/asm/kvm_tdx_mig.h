/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Live migration of Intel TDX guests: interface between a VMM and KVM.
 *
 * Included by asm/kvm.h, do not include directly.
 */
#ifndef _ASM_X86_KVM_TDX_MIG_H
#define _ASM_X86_KVM_TDX_MIG_H

#include <linux/const.h>
#include <linux/types.h>

/**
 * DOC: Overview
 *
 * KVM_CHECK_EXTENSION of KVM_CAP_X86_TDX_MIGRATION, on /dev/kvm or on the VM fd of
 * a TD, returns the number of streams that a TD can have, 0 if there is no
 * migration. struct kvm_tdx_mig_caps has the other limits.
 *
 * A migration stream is a KVM device of type KVM_DEV_TYPE_TDX_MIG_STREAM,
 * created with KVM_CREATE_DEVICE on the VM fd of a TD. The first stream of a
 * VM has index 0, the next one 1, and so on; the index is what the TDX module
 * writes into the bundles of the stream. A VMM that creates the same number
 * of streams on both sides, and feeds the bundles of source stream N to
 * destination stream N, needs no more bookkeeping.
 *
 * Every command exports or imports one *bundle*. A bundle is the MBMD plus,
 * by its type, state pages (state bundles) or a GPA list, MACs and pages
 * (memory bundles). The buffers are shared with the VMM by mmap() of the
 * device; transport is up to the VMM.
 *
 * All commands are issued with KVM_MEMORY_ENCRYPT_OP on the *device* fd and
 * struct kvm_tdx_cmd: @id is one of enum kvm_tdx_mig_cmd_id, @flags is 0
 * unless the command says otherwise, @data is the address of a __u64 (or of
 * the structure that the command names) and @hw_error, which must be 0 on
 * input, returns the completion status of the last SEAMCALL, on success and
 * on failure.
 *
 * Source::
 *
 *	KVM_CREATE_DEVICE, KVM_SET_DEVICE_ATTR, mmap()
 *	EXPORT_STATE_IMMUTABLE			stream 0, starts the session
 *	KVM_CLEAR_DIRTY_LOG, EXPORT_MEM ...,
 *	EXPORT_TRACK				optional, in rounds, vCPUs run
 *	stop all vCPUs
 *	EXPORT_PAUSE				any stream
 *	EXPORT_MEM ...				any stream, all private pages
 *	EXPORT_STATE_TD				stream 0
 *	EXPORT_STATE_VP ...			any stream, once per vCPU
 *	KVM_TDX_MIG_GET_VCPU_STATE ...		once per vCPU, on the vCPU fd
 *	KVM_GET_LAPIC, _MSRS, _MP_STATE, _VCPU_EVENTS
 *	EXPORT_TRACK, IN_ORDER_DONE		stream 0, the start token
 *	EXPORT_MEM ...				any stream, pages left for post-copy
 *	destroy the VM once the destination has all it needs
 *
 * Destination::
 *
 *	KVM_TDX_INIT_VM with KVM_TDX_INIT_VM_F_MIG_DEST
 *	KVM_CREATE_VCPU ..., KVM_SET_CPUID2	no KVM_TDX_INIT_VCPU
 *	KVM_SET_USER_MEMORY_REGION2, KVM_SET_MEMORY_ATTRIBUTES (private)
 *	KVM_CREATE_DEVICE, KVM_SET_DEVICE_ATTR, mmap()
 *	IMPORT_STATE_IMMUTABLE			stream 0
 *	IMPORT_MEM ...				the stream of the bundle
 *	IMPORT_STATE_TD				stream 0
 *	IMPORT_STATE_VP ...			the stream of the bundle
 *	KVM_TDX_MIG_SET_VCPU_STATE ...		once per vCPU, on the vCPU fd
 *	KVM_SET_LAPIC, _MSRS, _MP_STATE, _VCPU_EVENTS
 *	IMPORT_TRACK, the start token		stream 0
 *	IMPORT_COMMIT				no way back from here
 *	KVM_RUN, IMPORT_MEM ...			post-copy, while pages are missing
 *	IMPORT_END
 *	KVM_RUN
 *
 * Bundles of one stream are imported in the order of their export. All bundles
 * exported before a token, on all streams, are imported before the token. What
 * is exported after the start token is imported in any order.
 *
 * From IMPORT_COMMIT to IMPORT_END, a vCPU that needs a private page which is not
 * there leaves KVM_RUN with EFAULT, KVM_EXIT_MEMORY_FAULT and the flags
 * KVM_MEMORY_EXIT_FLAG_PRIVATE and KVM_MEMORY_EXIT_FLAG_MISSING; the latter tells
 * it from a conversion. Import it, or add one that the guest is to accept by
 * KVM_PRE_FAULT_MEMORY on any vCPU, and run the vCPU again.
 * Before the session starts, both TDs need a migration key; the key exchange
 * is the job of the service TDs bound to them.
 */

/**
 * DOC: Errors
 *
 * Every command may fail with:
 *
 * ======== ===================================================================
 * EFAULT   the command or its data cannot be accessed
 * ENOTTY   unknown command id
 * EINVAL   reserved field or flag not zero, count out of range, malformed
 *          GPA list or MBMD; wrong stream (commands bound to stream 0);
 *          command of the other side (export on a destination TD)
 * ENXIO    the stream has no attributes yet (KVM_SET_DEVICE_ATTR)
 * EBUSY    not legal in the present phase, or a vCPU that the command needs is in
 *          an ioctl, e.g. in KVM_RUN
 * EAGAIN   transient contention, the command had no effect, repeat it
 * EINTR    a signal is pending, repeat the command. Only EXPORT_ABORT stops for
 *          any signal, and goes on where it was. The others finish what they
 *          have begun, which is one bundle; they may stop before that for a
 *          signal that kills the process
 * ECANCELED KVM had to end the session as an exported page was removed, e.g. by
 *          a hole in its guest_memfd, or as a bundle could not be completed;
 *          only EXPORT_ABORT is left. EXPORT_ABORT itself fails if a page was
 *          removed after the start token: the TD can only be destroyed then
 * EIO      the TDX module refused, see @hw_error; or the session is lost
 * ENODATA  the guest would lose an answer, see KVM_TDX_MIG_EXPORT_TRACK
 * ENOMEM   out of memory
 * ======== ===================================================================
 *
 * KVM_SET_MEMORY_ATTRIBUTES fails with EBUSY, and changes nothing, if a page in its
 * range is to become shared that is exported. CANCEL, or the end of the session,
 * makes the conversion possible.
 *
 * On the destination EIO in most cases means that the session is lost. The TD
 * can then only be destroyed, after IMPORT_ABORT if the source needs a token.
 * After IMPORT_COMMIT it means that no more pages can be imported, but the TD
 * runs on, and IMPORT_END is left. The statuses TDX_INVALID_MBMD and
 * TDX_INCORRECT_MBMD_MAC of a memory bundle mean that nothing was imported, and
 * that the session goes on.
 *
 * EINVAL, EBUSY, ENXIO, ENOTTY and ENODATA come before the TDX module is asked:
 * nothing was exported or imported, no buffer has changed, and the session goes on.
 */

/* Attribute group of KVM_DEV_TYPE_TDX_MIG_STREAM. */
#define KVM_DEV_TDX_MIG_ATTR		1

#define KVM_DEV_TDX_MIG_ATTR_VERSION	0

/* One list page holds that many entries. */
#define TDX_MIG_BUF_LIST_PAGES_MAX	512

/**
 * struct kvm_dev_tdx_mig_attr - size of a migration stream
 * @version: in, KVM_DEV_TDX_MIG_ATTR_VERSION, for set and get.
 * @buf_list_pages: set: number of 4 KiB buffer pages, 1 to
 *	TDX_MIG_BUF_LIST_PAGES_MAX. Get: the number in use, which is at least
 *	what the largest state bundle of the TDX module needs.
 * @max_migs: set: ignored. Get: number of migration streams that a TD can
 *	have.
 *
 * Passed in kvm_device_attr.addr for group KVM_DEV_TDX_MIG_ATTR, attribute
 * number (kvm_device_attr.attr) sizeof(struct kvm_dev_tdx_mig_attr). So the
 * number tells which struct is meant, and the struct needs no reserved fields: one
 * that has grown has another number, beside the old one. KVM_HAS_DEVICE_ATTR finds
 * out, and a number that KVM does not know is ENXIO. @version changes if what the
 * fields mean does, at the same size.
 *
 * Set exactly once, before mmap() and before any command. The first set on a
 * VM must come before the session starts, and so must the set on each further
 * stream, as it creates the stream context in the TDX module.
 *
 * Errors: ENXIO unknown group or attribute, or get before set; EINVAL version
 * or flags; E2BIG number of pages out of range; EEXIST set twice; EBUSY a
 * session is under way; ENOSPC no more streams; EAGAIN contention, repeat the
 * call; EINTR; ENOMEM; EIO the TDX module refused.
 */
struct kvm_dev_tdx_mig_attr {
	__u32 version;
	__u32 buf_list_pages;
	__u32 max_migs;
};

/*
 * Layout of the mmap() space of a stream, as offsets in 4 KiB pages. A mapping
 * must be MAP_SHARED and lie inside [0, BUF_LIST + buf_list_pages). Mappings
 * are not inherited by fork() and cannot grow.
 */
#define TDX_MIG_STREAM_MBMD_MAP_OFFSET		0
#define TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET	1
#define TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET	2
#define TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET	4

/**
 * enum kvm_tdx_mig_cmd_id - commands of a migration stream
 *
 * @KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE: Start an export session and write the
 *	immutable bundle. Stream 0. vCPUs may run. @data (out): number of state
 *	pages written to the buffer pages, from page 0 on. Errors: EIO with
 *	status TDX_MIGRATION_DECRYPTION_KEY_NOT_SET while there is no key.
 * @KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE: Start an import session. Stream 0.
 *	@data (in): number of state pages in the buffer pages. The imported TD
 *	must be the one that was announced with KVM_TDX_INIT_VM and
 *	KVM_SET_TSC_KHZ: attributes, XFAM, configurable bits of CPUID, GPA
 *	width, levels of the Secure EPT, TSC frequency, and the configuration
 *	that KVM itself gives to all TDs; else EIO with @hw_error 0, and
 *	IMPORT_ABORT is left.
 *	EIO with status TDX_MIGRATION_DECRYPTION_KEY_NOT_SET: there is no key
 *	yet, the TD is as it was.
 *	ENOENT: there is no vCPU yet. EINVAL: the CPUID of the first vCPU does
 *	not fit the GPA width.
 * @KVM_TDX_MIG_EXPORT_MEM: Export private pages. The VMM writes the GPA list,
 *	entry 0 on, as TDX_MIG_GPA_ENTRY_*: a private GPA, operation MIGRATE,
 *	CANCEL or NOP, and all other bits 0, GFNs distinct. One malformed entry,
 *	NOP or not, is EINVAL for the whole list. @data (in): number
 *	of entries, 1 to buf_list_pages. @data (out): number of buffer pages
 *	that hold page content. Buffer page N belongs to entry N; only entries
 *	that come back with operation MIGRATE or REMIGRATE and PENDING clear
 *	have content. The bundle consists of the MBMD, all entries as they come
 *	back, 16 bytes of MAC per entry, and the content. An entry that could
 *	not be exported comes back as NOP with a status and stays part of the
 *	bundle; @hw_error & TDX_MIG_EXPORT_MEM_UNSENT_MASK is the number of
 *	those. If the page exists and the destination does not have what is in
 *	it, it is dirty again in the log of its memslot. Status SKIPPED: the
 *	page has been sent or canceled in this epoch already, over whatever
 *	stream, and can be again after EXPORT_TRACK. After the start token,
 *	pages can be exported any number of times, and the operation CANCEL is
 *	not available. Status SEPT_ENTRY_BUSY: the page exists, but another
 *	stream exports it at this moment; export it again.
 * @KVM_TDX_MIG_IMPORT_MEM: Import private pages. The VMM provides MBMD, GPA
 *	list and MACs as exported, and the content of entry N in buffer page N.
 *	@data (in): number of entries, as in the MBMD. The GFNs must be private
 *	and backed by a guest_memfd memslot. The GPA list returns a status per
 *	entry. EINVAL if an entry has reserved bits or a level, or, unless it is
 *	NOP, a status, type, L2 map or SHARED bit. EEXIST: a MIGRATE entry is
 *	already mapped; ENOENT: a REMIGRATE or CANCEL entry is not. With these,
 *	and EAGAIN, nothing was imported and the session goes on. After the
 *	start token: an entry that is already mapped is skipped, and comes back
 *	as NOP with status SEPT_ENTRY_STATE_INCORRECT; EINVAL also for REMIGRATE
 *	and CANCEL; EEXIST a page has been removed since the start token, its
 *	entry has status DISALLOWED_IMPORT_OVER_REMOVED; with EAGAIN a part of
 *	the pages may have been imported, repeat the command as it was.
 * @KVM_TDX_MIG_EXPORT_TRACK: Write an epoch token. Stream 0. @data (in):
 *	0 or TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE for the start token, which
 *	ends the export (needs EXPORT_PAUSE). The bundle is the MBMD alone. EIO
 *	with TDX_EXPORTED_DIRTY_PAGES_REMAIN: export those pages, repeat.
 *	ENODATA, for the start token: the guest waits for an answer to a
 *	TDG.VP.VMCALL on a vCPU whose state was not read since EXPORT_PAUSE, and
 *	the destination cannot make it up. KVM_TDX_MIG_GET_VCPU_STATE on all
 *	vCPUs, repeat; or EXPORT_ABORT, and try again later.
 * @KVM_TDX_MIG_IMPORT_TRACK: Import an epoch or start token from the MBMD.
 *	Stream 0. @data is ignored.
 * @KVM_TDX_MIG_EXPORT_PAUSE: Stop the TD. All vCPUs must be out of KVM_RUN,
 *	with their last exit completed (KVM_RUN with immediate_exit), else
 *	EBUSY. From here on KVM_RUN fails with EBUSY, unless the session is aborted. @data is
 *	ignored.
 * @KVM_TDX_MIG_EXPORT_STATE_TD: Write the TD state bundle. Stream 0, after
 *	EXPORT_PAUSE. @data (out): number of state pages.
 * @KVM_TDX_MIG_IMPORT_STATE_TD: Import the TD state bundle. Stream 0. @data
 *	(in): number of state pages.
 * @KVM_TDX_MIG_EXPORT_STATE_VP: Write the state bundle of a vCPU, after
 *	EXPORT_PAUSE. Without flags: of the next vCPU in order of creation, and
 *	@data (out) is the number of state pages; ENOENT after the last. vCPUs
 *	without KVM_TDX_INIT_VCPU have no state and are skipped. With
 *	KVM_TDX_MIG_STATE_VP_F_VCPU_ID: @data is the address of struct
 *	kvm_tdx_mig_state_vp. EBUSY: the vCPU is in an ioctl.
 * @KVM_TDX_MIG_IMPORT_STATE_VP: Import the state bundle of a vCPU, after
 *	IMPORT_STATE_TD. Without flags: into the next vCPU in order of
 *	creation, and @data (in) is the number of state pages; ENOENT after the
 *	last. With KVM_TDX_MIG_STATE_VP_F_VCPU_ID: @data is the address of
 *	struct kvm_tdx_mig_state_vp. EEXIST: the vCPU has its state already.
 *	EBUSY: the vCPU is in an ioctl. EINVAL also if the CPUID of the vCPU has
 *	no x2APIC.
 *	The bundle must go into the vCPU with the id that its vCPU has on the
 *	source. KVM does not check that: the id, which is the x2APIC id of the
 *	guest, is in a part of the bundle that only the TDX module can read, and
 *	TDX modules before 1.5.05 do not tell it afterwards; the MBMD has the
 *	number that the TDX module gave to the vCPU, which is not the id. A VMM
 *	that does not name vCPUs has to create, in the same order, those vCPUs
 *	that have a state on the source, and no others before them. A vCPU of
 *	which there is no bundle cannot be run; the start token is refused, and
 *	the session lost, if the bundle of one with a state is missing.
 * @KVM_TDX_MIG_EXPORT_ABORT: End the export session, the TD becomes runnable.
 *	Before the start token: unconditional; vCPUs may run if the session was
 *	not paused. After it: the MBMD must hold the abort token of the
 *	destination, else EINVAL or EIO and no effect. @data is ignored. Restores
 *	all exported pages; after EINTR or EAGAIN repeat the command to finish.
 * @KVM_TDX_MIG_IMPORT_END: End the import session. The TD becomes runnable if
 *	IMPORT_COMMIT was not called. Private pages that are missing are added
 *	on demand from here on, for the guest to accept. @data is ignored.
 * @KVM_TDX_MIG_IMPORT_COMMIT: Commit to the imported TD, after the start
 *	token: no abort token can be had any more, and the TD becomes runnable.
 *	@data is ignored.
 * @KVM_TDX_MIG_IMPORT_ABORT: Give up the import and write an abort token to
 *	the MBMD. May be repeated. The TD can only be destroyed afterwards.
 *	@data is ignored.
 */
enum kvm_tdx_mig_cmd_id {
	KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE = 0,
	KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE,
	KVM_TDX_MIG_EXPORT_MEM,
	KVM_TDX_MIG_IMPORT_MEM,
	KVM_TDX_MIG_EXPORT_TRACK,
	KVM_TDX_MIG_IMPORT_TRACK,
	KVM_TDX_MIG_EXPORT_PAUSE,
	KVM_TDX_MIG_EXPORT_STATE_TD,
	KVM_TDX_MIG_IMPORT_STATE_TD,
	KVM_TDX_MIG_EXPORT_STATE_VP,
	KVM_TDX_MIG_IMPORT_STATE_VP,
	KVM_TDX_MIG_EXPORT_ABORT,
	KVM_TDX_MIG_IMPORT_END,
	KVM_TDX_MIG_IMPORT_COMMIT,
	KVM_TDX_MIG_IMPORT_ABORT,

	KVM_TDX_MIG_CMD_NR_MAX,
};

/* In hw_error of EXPORT_MEM that succeeds: entries that were not exported. */
#define TDX_MIG_EXPORT_MEM_UNSENT_MASK		0x00000000ffffffffULL

/* Value of KVM_TDX_MIG_EXPORT_TRACK: ask for the start token. */
#define TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE	_BITULL(63)

/* kvm_tdx_cmd.flags of EXPORT_STATE_VP and IMPORT_STATE_VP. */
#define KVM_TDX_MIG_STATE_VP_F_VCPU_ID		_BITULL(0)

/**
 * struct kvm_tdx_mig_state_vp - state bundle of a vCPU that is named
 * @nr_pages: number of state pages, out for export, in for import.
 * @vcpu_id: in, id of the vCPU as given to KVM_CREATE_VCPU; ENOENT if there is
 *	no such vCPU, or, for export, if it was never initialized.
 * @reserved: must be 0.
 */
struct kvm_tdx_mig_state_vp {
	__u64 nr_pages;
	__u32 vcpu_id;
	__u32 reserved;
};

/*
 * MBMD, at the start of page TDX_MIG_STREAM_MBMD_MAP_OFFSET. Defined by the
 * TDX module, authenticated by it, little endian.
 */
#define TDX_MIG_MBMD_SIZE			48

#define TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE	0
#define TDX_MIG_MBMD_TYPE_TD_STATE		1
#define TDX_MIG_MBMD_TYPE_VP_STATE		2
#define TDX_MIG_MBMD_TYPE_MEM			16
#define TDX_MIG_MBMD_TYPE_EPOCH_TOKEN		32
#define TDX_MIG_MBMD_TYPE_ABORT_TOKEN		33

/* Value of mig_epoch in a start token. */
#define TDX_MIG_EPOCH_OUT_OF_ORDER		0xffffffffU

/**
 * struct tdx_mig_mbmd - migration bundle metadata
 * @size: TDX_MIG_MBMD_SIZE.
 * @mig_version: migration protocol version of the session.
 * @migs_index: stream index.
 * @mb_type: TDX_MIG_MBMD_TYPE_*.
 * @reserved0: 0.
 * @mb_counter: number of the bundle in its stream.
 * @mig_epoch: migration epoch.
 * @iv_counter: counter part of the IV.
 * @type_info: by @mb_type; memory: number of GPA list entries in bits 15:0,
 *	vCPU state: vCPU index of the TDX module in bits 15:0, token: number of
 *	bundles in the session so far.
 * @mac: authentication tag.
 */
struct tdx_mig_mbmd {
	__le16 size;
	__le16 mig_version;
	__le16 migs_index;
	__u8 mb_type;
	__u8 reserved0;
	__le32 mb_counter;
	__le32 mig_epoch;
	__le64 iv_counter;
	__le64 type_info;
	__u8 mac[16];
};

/*
 * GPA list entry, 64 bits, in page TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET. Defined
 * by the TDX module. Bits that are not named are reserved and 0.
 */
#define TDX_MIG_GPA_ENTRY_LEVEL_MASK		0x0000000000000003ULL
#define TDX_MIG_GPA_ENTRY_PENDING		0x0000000000000004ULL
#define TDX_MIG_GPA_ENTRY_L2_MAP_MASK		0x0000000000000380ULL
#define TDX_MIG_GPA_ENTRY_TYPE_MASK		0x0000000000000c00ULL
#define TDX_MIG_GPA_ENTRY_GPA_MASK		0x000ffffffffff000ULL
#define TDX_MIG_GPA_ENTRY_OP_SHIFT		52
#define TDX_MIG_GPA_ENTRY_OP_MASK		0x0030000000000000ULL
#define TDX_MIG_GPA_ENTRY_STATUS_SHIFT		56
#define TDX_MIG_GPA_ENTRY_STATUS_MASK		0x1f00000000000000ULL

#define TDX_MIG_GPA_OP_NOP			0
#define TDX_MIG_GPA_OP_MIGRATE			1
#define TDX_MIG_GPA_OP_CANCEL			2
#define TDX_MIG_GPA_OP_REMIGRATE		3

#define TDX_MIG_GPA_STATUS_SUCCESS		0
#define TDX_MIG_GPA_STATUS_SKIPPED		1
#define TDX_MIG_GPA_STATUS_SEPT_WALK_FAILED	2
#define TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY	3
#define TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT	4
#define TDX_MIG_GPA_STATUS_TLB_TRACKING_NOT_DONE	5
#define TDX_MIG_GPA_STATUS_OP_STATE_INCORRECT	6
#define TDX_MIG_GPA_STATUS_MIGRATED_IN_CURRENT_EPOCH	7
#define TDX_MIG_GPA_STATUS_MIG_BUFFER_NOT_AVAILABLE	8
#define TDX_MIG_GPA_STATUS_NEW_PAGE_NOT_AVAILABLE	9
#define TDX_MIG_GPA_STATUS_INVALID_PAGE_MAC	10
#define TDX_MIG_GPA_STATUS_DISALLOWED_IMPORT_OVER_REMOVED	11
#define TDX_MIG_GPA_STATUS_TD_PAGE_BUSY		12
#define TDX_MIG_GPA_STATUS_L2_SEPT_WALK_FAILED	13
#define TDX_MIG_GPA_STATUS_ATTR_LIST_ENTRY_INVALID	14
#define TDX_MIG_GPA_STATUS_GPA_LIST_ENTRY_INVALID	15
#define TDX_MIG_GPA_STATUS_INVALID_MIG_BUFFER_HPA	16

/**
 * DOC: Additions to the VM and vCPU file descriptors
 *
 * Sub-commands of KVM_MEMORY_ENCRYPT_OP on the VM fd and on the vCPU fd share their
 * ids with enum kvm_tdx_cmd_id, which goes on to grow from 0, hence the distance. The
 * commands of a stream are on a file of their own, where nothing else has ids, and
 * VMMs know them by the ids from 0.
 */

/*
 * kvm_tdx_cmd.flags of KVM_TDX_INIT_VM: build a TD that is the destination of
 * a migration. attributes, xfam and cpuid describe the TD that is expected;
 * attributes must have MIGRATABLE set. The measurement registers are imported
 * and those given here are ignored.
 */
#define KVM_TDX_INIT_VM_F_MIG_DEST		_BITULL(0)

/**
 * enum kvm_tdx_mig_vm_cmd_id - migration sub-commands beside the stream
 * @KVM_TDX_SERVTD_PREBIND: VM fd of the target TD. Reserve a slot for a
 *	service TD that is known by its measurement. @data is the address of
 *	struct kvm_tdx_servtd_prebind.
 * @KVM_TDX_SERVTD_BIND: VM fd of the target TD. Bind a service TD to a slot, or
 *	bind it again. @data is the address of struct kvm_tdx_servtd_bind.
 * @KVM_TDX_MIG_GET_VCPU_STATE: vCPU fd. @data is the address of struct
 *	kvm_tdx_mig_vcpu_state, with @version and @size set. The vCPU must have
 *	been initialized, and stopped for good: the last exit to userspace has
 *	to be completed, else EBUSY. Read after EXPORT_PAUSE, the answers in it
 *	are the VMM's to deliver, and no obstacle to the start token.
 * @KVM_TDX_MIG_SET_VCPU_STATE: vCPU fd. @data is the address of struct
 *	kvm_tdx_mig_vcpu_state. Legal from IMPORT_STATE_VP of the vCPU until
 *	IMPORT_COMMIT or IMPORT_END, else EBUSY.
 */
enum kvm_tdx_mig_vm_cmd_id {
	KVM_TDX_SERVTD_PREBIND = 64,
	KVM_TDX_SERVTD_BIND,
	KVM_TDX_MIG_GET_VCPU_STATE,
	KVM_TDX_MIG_SET_VCPU_STATE,
};

/* Migration TD, the type of service TD that carries migration keys. */
#define KVM_TDX_SERVTD_TYPE_MIGTD		0

/* Size of a SHA-384 digest. */
#define KVM_TDX_SERVTD_INFO_HASH_SIZE		48

/**
 * struct kvm_tdx_servtd_bind - bind a service TD to a target TD
 * @servtd_fd: in, VM fd of the service TD. It must be runnable, and another TD
 *	than the target. KVM keeps no reference to it.
 * @type: in, KVM_TDX_SERVTD_TYPE_*.
 * @slot: in, less than kvm_tdx_mig_caps.max_servtds.
 * @reserved0: must be 0.
 * @attributes: in, SERVTD_ATTR of the TDX module: which parts of the service
 *	TD's measurement do not count.
 * @handle: out, binding handle. The service TD needs it for TDG.SERVTD.RD and
 *	TDG.SERVTD.WR; it is of no use to any other TD.
 * @target_uuid: out, instance of the target TD, which the service TD needs as
 *	well. An import replaces it by that of the source.
 * @reserved: must be 0.
 *
 * The first binding of a slot is part of what KVM_TDX_FINALIZE_VM measures, so
 * it has to come before: after KVM_TDX_INIT_VM, and on the destination before
 * IMPORT_STATE_IMMUTABLE. A slot that is prebound or bound accepts a service TD
 * with the same type, attributes and measurement also later, e.g. one that was
 * started again, except while the target is paused or imported.
 *
 * Errors: EBADF @servtd_fd is not open; EINVAL reserved fields, flags,
 * @servtd_fd is not a runnable TD or is the target itself, the target is not
 * initialized, @type, @slot or @attributes are not supported (with @hw_error);
 * EBUSY the target or the service TD is in a state where it cannot be bound;
 * EPERM type, attributes or measurement differ from those of the slot, see
 * @hw_error; EEXIST another slot has a service TD of this type; EAGAIN
 * contention, repeat the command; EINTR; EIO the TDX module refused.
 */
struct kvm_tdx_servtd_bind {
	__s32 servtd_fd;
	__u32 type;
	__u32 slot;
	__u32 reserved0;
	__u64 attributes;
	__u64 handle;
	__u64 target_uuid[4];
	__u64 reserved[8];
};

/**
 * struct kvm_tdx_servtd_prebind - reserve a slot for a service TD
 * @type: in, see struct kvm_tdx_servtd_bind.
 * @slot: in, see struct kvm_tdx_servtd_bind.
 * @attributes: in, see struct kvm_tdx_servtd_bind.
 * @info_hash: in, SERVTD_INFO_HASH: SHA-384 of the TDINFO_STRUCT of the service
 *	TD, with the parts that @attributes ignores set to 0.
 * @reserved: must be 0.
 *
 * For a VMM that finalizes the TD before it starts the service TD. Legal like
 * the first KVM_TDX_SERVTD_BIND of a slot. May be repeated, until
 * KVM_TDX_SERVTD_BIND with the same @type and @attributes completes it.
 *
 * Errors: EINVAL reserved fields, flags, the target is not initialized, @type,
 * @slot or @attributes are not supported (with @hw_error); EEXIST the slot is
 * bound; EBUSY the target is finalized; EAGAIN contention, repeat the command;
 * EINTR; ENOMEM; EIO the TDX module refused.
 */
struct kvm_tdx_servtd_prebind {
	__u32 type;
	__u32 slot;
	__u64 attributes;
	__u8 info_hash[KVM_TDX_SERVTD_INFO_HASH_SIZE];
	__u64 reserved[8];
};

/* kvm_tdx_mig_caps.flags */
#define KVM_TDX_MIG_CAP_SERVTD			_BITUL(0)
#define KVM_TDX_MIG_CAP_TDVMCALL_SERVICE	_BITUL(1)
#define KVM_TDX_MIG_CAP_TDVMCALL_MIGTD		_BITUL(2)

/**
 * struct kvm_tdx_mig_caps - limits of migration, known before there is a TD
 * @flags: KVM_TDX_MIG_CAP_SERVTD: KVM_TDX_SERVTD_BIND and
 *	KVM_TDX_SERVTD_PREBIND exist. KVM_TDX_MIG_CAP_TDVMCALL_*: the
 *	hypercalls of service TDs lead to KVM_EXIT_TDX.
 * @max_streams: number of streams that a TD can have.
 * @max_servtds: number of service TDs that a TD can have.
 * @min_export_version: least migration protocol version for export.
 * @max_export_version: greatest migration protocol version for export.
 * @min_import_version: least migration protocol version for import.
 * @max_import_version: greatest migration protocol version for import.
 * @immutable_state_pages: pages of the largest immutable state bundle.
 * @td_state_pages: pages of the largest TD state bundle.
 * @vp_state_pages: pages of the largest vCPU state bundle.
 * @reserved: 0.
 * @servtd_types: types of service TDs, bit N for type N.
 * @servtd_attributes_allowed: a bit that is 0 must be 0 in SERVTD_ATTR.
 * @servtd_attributes_required: a bit that is 1 must be 1 in SERVTD_ATTR.
 *
 * Part of struct kvm_tdx_capabilities. All zero if KVM does not migrate TDs.
 */
struct kvm_tdx_mig_caps {
	__u32 flags;
	__u16 max_streams;
	__u16 max_servtds;
	__u16 min_export_version;
	__u16 max_export_version;
	__u16 min_import_version;
	__u16 max_import_version;
	__u16 immutable_state_pages;
	__u16 td_state_pages;
	__u16 vp_state_pages;
	__u16 reserved;
	__u64 servtd_types;
	__u64 servtd_attributes_allowed;
	__u64 servtd_attributes_required;
};

#define KVM_TDX_MIG_VCPU_STATE_VERSION		1

/**
 * struct kvm_tdx_mig_vcpu_state - vCPU state that is not in any bundle
 * @version: in, KVM_TDX_MIG_VCPU_STATE_VERSION.
 * @size: in, sizeof(struct kvm_tdx_mig_vcpu_state).
 * @exit_reason: reason of the last exit of the TD vCPU, or of the one whose
 *	results the guest has not got yet.
 * @reserved0: must be 0.
 * @rcx: not used, reads 0.
 * @rdx: registers of the last exit or, if that was a TDG.VP.VMCALL, the
 *	results that the guest gets when it is entered next. @rdx to @rsi.
 * @r8: see @rdx.
 * @r9: see @rdx.
 * @r10: see @rdx.
 * @r11: see @rdx.
 * @r12: see @rdx.
 * @r13: see @rdx.
 * @r14: see @rdx.
 * @r15: see @rdx.
 * @rbx: see @rdx.
 * @rdi: see @rdx.
 * @rsi: see @rdx.
 * @reserved: must be 0.
 *
 * A TD that was stopped inside a TDG.VP.VMCALL continues correctly only with this
 * state. Without it, the guest gets 0 in all registers that it has exposed: that is
 * the answer to a halt, and to a write to an I/O port, to MMIO or to an MSR that was
 * done. The source does not let go of a TD while a vCPU has another answer pending
 * that was not read, see KVM_TDX_MIG_EXPORT_TRACK. Everything else
 * that is KVM's has an ioctl of its own: KVM_GET_LAPIC, which includes interrupts
 * that the TDX module has not seen, KVM_GET_MSRS, KVM_GET_MP_STATE and
 * KVM_GET_VCPU_EVENTS. The MSRs are those of KVM_GET_MSR_INDEX_LIST that KVM_GET_MSRS
 * accepts for this vCPU, the MTRRs and the MCE banks.
 *
 * Errors: EINVAL version, size or reserved fields.
 */
struct kvm_tdx_mig_vcpu_state {
	__u32 version;
	__u32 size;
	__u32 exit_reason;
	__u32 reserved0;
	__u64 rcx;
	__u64 rdx;
	__u64 r8;
	__u64 r9;
	__u64 r10;
	__u64 r11;
	__u64 r12;
	__u64 r13;
	__u64 r14;
	__u64 r15;
	__u64 rbx;
	__u64 rdi;
	__u64 rsi;
	__u64 reserved[17];
};

#endif /* _ASM_X86_KVM_TDX_MIG_H */
