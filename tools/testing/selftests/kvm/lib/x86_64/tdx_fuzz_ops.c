// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise for the interface of TD migration: what the operations of a program do.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "apic.h"
#include "processor.h"
#include "tdx_fuzz_world.h"

static struct td_fuzz_world *const world = &td_fuzz_world;

/* The same as TD_FUZZ_CHECK(), for what an operation is for. */
#define TRY(_ret, _hw_error, ...)						\
({										\
	bool __ok = TD_FUZZ_CHECK(_ret, _hw_error, __VA_ARGS__);		\
										\
	if (__ok)								\
		td_fuzz_done();							\
	__ok;									\
})

/* ------------------------------------------------------------------ operands */

static struct td_mig_stream *src_stream(const struct td_fuzz_op *op)
{
	return &world->m.streams[(op->a >> 28) % TD_FUZZ_NR_STREAMS];
}

static struct td_mig_stream *any_stream(const struct td_fuzz_op *op)
{
	struct td_mig_stream *streams = op->b & 1 ? world->d.streams : world->m.streams;

	return &streams[(op->a >> 28) % TD_FUZZ_NR_STREAMS];
}

/* What is done may not be what a guest expects. */
static void harm(const struct td_fuzz_op *op)
{
	if (op->b & 1)
		world->dst_harmed = true;
	else
		world->src_harmed = true;
}

static struct kvm_vcpu *any_vcpu(const struct td_fuzz_op *op)
{
	return op->b & 1 ? world->d.vcpus[0] : world->w.vcpus[0];
}

static u64 first_page(const struct td_fuzz_op *op)
{
	return (op->a & 0xff) % TD_WORKER_NR_PAGES;
}

static u64 nr_pages(const struct td_fuzz_op *op)
{
	u64 nr = op->a >> 8 & 0xff, first = first_page(op);

	return nr > TD_WORKER_NR_PAGES - first ? TD_WORKER_NR_PAGES - first : nr;
}

static void damage(void *data, size_t size, u32 how)
{
	if (how)
		((u8 *)data)[(how * 0x9e3779b1UL >> 8) % size] ^= 1U << how % 8;
}

/* ------------------------------------------------------------------- bundles */

static void keep_bundle(const struct td_mig_bundle *b)
{
	pthread_mutex_lock(&world->bundle_lock);
	if (world->m.nr_bundles < TD_MIG_MAX_BUNDLES) {
		world->m.bundles[world->m.nr_bundles++] = *b;
	} else {
		struct td_mig_bundle copy = *b;

		td_mig_bundle_free(&copy);
	}
	pthread_mutex_unlock(&world->bundle_lock);
}

static bool is_start_token(const struct td_mig_bundle *b)
{
	return b->import_cmd == KVM_TDX_MIG_IMPORT_TRACK &&
	       b->mbmd.mig_epoch == TDX_MIG_EPOCH_OUT_OF_ORDER;
}

/*
 * The next bundle, which may have to be another than a start token, or the one of number
 * @index - 1.  Bundles stay where they are until the end.
 */
static const struct td_mig_bundle *take_bundle(u32 index, bool no_start_token)
{
	const struct td_mig_bundle *b = NULL;

	pthread_mutex_lock(&world->bundle_lock);
	if (index && world->m.nr_bundles)
		b = &world->m.bundles[(index - 1) % world->m.nr_bundles];
	else if (world->next_bundle < world->m.nr_bundles)
		b = &world->m.bundles[world->next_bundle];
	if (b && no_start_token && is_start_token(b))
		b = NULL;
	if (b && !index)
		world->next_bundle++;
	pthread_mutex_unlock(&world->bundle_lock);
	return b;
}

static void export_state(const struct td_fuzz_op *op, u32 cmd)
{
	struct td_mig_bundle b;
	u64 hw_error = 0;
	int ret;

	if (cmd == KVM_TDX_MIG_EXPORT_STATE_VP && op->b & 1)
		ret = __td_mig_export_vcpu(src_stream(op), op->b >> 8 & 0xff, &b, &hw_error);
	else
		ret = __td_mig_export_state(src_stream(op), cmd, &b, &hw_error);
	if (TRY(ret, hw_error, TD_FUZZ_SRC, cmd == KVM_TDX_MIG_EXPORT_STATE_VP ? ENOENT : 0))
		keep_bundle(&b);
}

static void export_list(struct td_mig_stream *s, const u64 *list, u32 nr)
{
	struct td_mig_bundle b;
	u64 hw_error = 0;

	if (TRY(__td_mig_export_mem(s, list, nr, &b, &hw_error), hw_error, TD_FUZZ_SRC))
		keep_bundle(&b);
}

static void export_mem(const struct td_fuzz_op *op)
{
	u64 list[TD_WORKER_NR_PAGES] = {}, first = first_page(op), nr = nr_pages(op), i;

	for (i = 0; i < nr; i++)
		list[i] = td_gpa_entry(td_worker_gpa(first + i), op->b & 3);
	if (nr)
		damage(list, nr * sizeof(list[0]), op->b >> 16);
	export_list(src_stream(op), list, nr);
}

static void export_slots(const struct td_fuzz_op *op)
{
	u32 first, nr;

	for (first = 0; first < world->nr_slot_pages; first += nr) {
		nr = world->nr_slot_pages - first;
		if (nr > TDX_MIG_BUF_LIST_PAGES_MAX)
			nr = TDX_MIG_BUF_LIST_PAGES_MAX;
		export_list(src_stream(op), world->slot_list + first, nr);
	}
}

static void export_track(const struct td_fuzz_op *op)
{
	struct td_mig_bundle b;
	u64 hw_error = 0;

	if (op->b & 1)
		world->token_sent = true;
	if (TRY(__td_mig_export_track(src_stream(op), op->b & 1, &b, &hw_error), hw_error,
		TD_FUZZ_SRC, ENODATA))
		keep_bundle(&b);
}

static void export_abort(const struct td_fuzz_op *op)
{
	u64 hw_error = 0;

	if (op->b & 1)
		*src_stream(op)->mbmd = *world->d.streams[0].mbmd;
	TRY(__td_mig_cmd_nr(src_stream(op), KVM_TDX_MIG_EXPORT_ABORT, NULL, &hw_error),
	    hw_error, TD_FUZZ_SRC);
}

static void source_cmd(const struct td_fuzz_op *op, u32 cmd)
{
	u64 hw_error = 0;

	TRY(__td_mig_cmd_nr(src_stream(op), cmd, NULL, &hw_error), hw_error, TD_FUZZ_SRC);
}

static void import(const struct td_fuzz_op *op)
{
	u32 nr = op->a & 0xffff, how = op->b >> 16, i;
	const struct td_mig_bundle *b;
	struct td_mig_bundle broken;
	u64 hw_error;

	for (i = 0; !nr || i < nr; i++) {
		b = take_bundle(i ? 0 : op->b & 0xff, !nr);
		if (!b)
			return;
		broken = *b;
		if (!i && how) {
			world->has_lied = true;
			damage(&broken.mbmd, sizeof(broken.mbmd), how);
		}
		hw_error = 0;
		if (!TRY(__td_mig_import(world->d.streams, &broken, &hw_error), hw_error,
			 TD_FUZZ_DST, ENOENT, EEXIST))
			return;
	}
}

static void dest_cmd(const struct td_fuzz_op *op, u32 cmd, atomic_bool *done)
{
	struct td_mig_stream *s = &world->d.streams[(op->a >> 28) % TD_FUZZ_NR_STREAMS];
	u64 hw_error = 0;

	if (TRY(__td_mig_cmd_nr(s, cmd, NULL, &hw_error), hw_error, TD_FUZZ_DST) && done)
		*done = true;
}

/* --------------------------------------------------------------------- guest */

static void write_pages(u64 first, u64 nr)
{
	u64 page;

	for (page = first; page < first + nr && world->is_accepted[page]; page++)
		;
	if (page > first)
		td_fuzz_tell(TD_WORKER_WRITE, first, page - first, NULL);
}

static void convert(u64 page)
{
	bool told = false;

	page %= TD_WORKER_NR_ALIASES;
	td_fuzz_tell(world->is_shared[page] ? TD_WORKER_UNSHARE : TD_WORKER_SHARE, page, 1, &told);
	if (told)
		world->is_shared[page] = !world->is_shared[page];
}

static void accept(u64 nr)
{
	bool told;
	u64 page;

	for (page = TD_WORKER_NR_OLD; page < TD_WORKER_NR_PAGES && nr; page++) {
		if (world->is_accepted[page])
			continue;
		told = false;
		td_fuzz_tell(TD_WORKER_ACCEPT, page, 1, &told);
		if (!told)
			return;
		world->is_accepted[page] = true;
		nr--;
	}
}

static void run_source(const struct td_fuzz_op *op)
{
	pthread_mutex_lock(&world->guest_lock);
	switch (op->kind) {
	case TD_FUZZ_WRITE:
		write_pages(first_page(op), nr_pages(op));
		break;
	case TD_FUZZ_CONVERT:
		convert(first_page(op));
		break;
	case TD_FUZZ_ACCEPT:
		accept(nr_pages(op));
		break;
	default:
		td_fuzz_tell(TD_WORKER_CHECK, 0, 0, NULL);
		break;
	}
	pthread_mutex_unlock(&world->guest_lock);
}

/* --------------------------------------------------------------- KVM's own */

static void log_op(const struct td_fuzz_op *op)
{
	unsigned long bitmap[TD_WORKER_BITMAP_WORDS];
	struct kvm_dirty_log log = { .slot = TD_WORKER_SLOT, .dirty_bitmap = bitmap };

	switch (op->kind) {
	case TD_FUZZ_CLEAR_LOG:
		TRY(__td_worker_clear_log(&world->w, first_page(op), nr_pages(op)), 0, ENOENT,
		    EIO);
		break;
	case TD_FUZZ_GET_LOG:
		TRY(__vm_ioctl(world->w.vm, KVM_GET_DIRTY_LOG, &log), 0, ENOENT, EIO);
		break;
	default:
		TRY(__td_worker_log(&world->w, op->b & 1), 0, EINTR, ENOMEM, EIO);
		break;
	}
}

static void get_state(void)
{
	struct td_mig_vcpu_state state = {
		.tdx.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.tdx.size = sizeof(state.tdx),
	};
	struct kvm_vcpu *vcpu = world->w.vcpus[0];

	pthread_mutex_lock(&world->guest_lock);
	if (TD_FUZZ_CHECK(__td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state.tdx),
			  0, EBUSY, EINTR, EIO, EINVAL) &&
	    TRY(__vcpu_ioctl(vcpu, KVM_GET_LAPIC, &state.lapic), 0, EINVAL, EIO, EINTR)) {
		td_mig_msrs_save(vcpu, &state.msrs);
		vcpu_mp_state_get(vcpu, &state.mp_state);
		vcpu_events_get(vcpu, &state.events);
		world->state = state;
		world->has_state = true;
	}
	pthread_mutex_unlock(&world->guest_lock);
}

static void set_state(const struct td_fuzz_op *op)
{
	struct kvm_vcpu *vcpu = world->d.vcpus[0];
	struct td_mig_vcpu_state state;
	u32 how = op->b >> 16;

	pthread_mutex_lock(&world->guest_lock);
	state = world->state;
	if (!world->has_state || how)
		world->dst_harmed = true;
	damage(&state, sizeof(state.tdx), how);

	if (TRY(__td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&state.tdx), 0,
		EBUSY, EINTR, EIO, EINVAL))
		world->is_loaded = true;
	TD_FUZZ_CHECK(__vcpu_ioctl(vcpu, KVM_SET_LAPIC, &state.lapic), 0, EINVAL, EBUSY, EIO,
		      EINTR);
	__vcpu_ioctl(vcpu, KVM_SET_MSRS, &state.msrs.head);
	__vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &state.events);
	__vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &state.mp_state);
	pthread_mutex_unlock(&world->guest_lock);
}

static void set_lapic(const struct td_fuzz_op *op)
{
	struct kvm_lapic_state lapic = {};
	struct td_fuzz_rng rng;
	u32 i;

	td_fuzz_rng_init(&rng, op->a, op->b);
	for (i = 0; i < sizeof(lapic) / sizeof(u32); i++)
		((u32 *)&lapic)[i] = op->b >> i % 16 & 2 ? td_fuzz_random(&rng) : 0;
	/* The guest has interrupts off, and does not look at it. */
	TRY(__vcpu_ioctl(any_vcpu(op), KVM_SET_LAPIC, &lapic), 0, EINVAL, EBUSY, EIO, EINTR);
}

static void set_attributes(const struct td_fuzz_op *op)
{
	struct kvm_memory_attributes attr = {
		.address = td_worker_gpa(first_page(op)),
		.size = nr_pages(op) * PAGE_SIZE,
		.attributes = op->b & 2 ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	if (!attr.size)
		return;
	/* If it fails, nothing changes, but until then the guest may find anything. */
	world->nr_changes++;
	if (TRY(__vm_ioctl(any_vcpu(op)->vm, KVM_SET_MEMORY_ATTRIBUTES, &attr), 0, EINVAL, EBUSY,
		EINTR, ENOMEM, EAGAIN, EIO))
		harm(op);
	world->nr_changes--;
}

static void punch_hole(const struct td_fuzz_op *op)
{
	u64 offset = first_page(op) * PAGE_SIZE, size = nr_pages(op) * PAGE_SIZE;
	struct kvm_userspace_memory_region2 *region =
		&memslot2region(world->w.vm, TD_WORKER_SLOT)->region;

	if (!size)
		return;
	harm(op);
	if (op->b & 1)
		td_mig_dest_punch_hole(&world->d, &world->m, TD_WORKER_GPA + offset, size);
	else
		kvm_fallocate(region->guest_memfd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			      offset, size);
	td_fuzz_done();
}

static void pre_fault(const struct td_fuzz_op *op)
{
	struct kvm_pre_fault_memory range = {
		.gpa = td_worker_gpa(first_page(op)),
		.size = nr_pages(op) * PAGE_SIZE,
	};

	/* A page without content that the guest has to accept. */
	if (op->b & 1)
		world->dst_harmed = true;
	TRY(__vcpu_ioctl(any_vcpu(op), KVM_PRE_FAULT_MEMORY, &range), 0, EINVAL, ENOENT,
	    EFAULT, EINTR, EAGAIN, EIO, EBUSY, EOPNOTSUPP, ENOMEM);
}

/* -------------------------------------------------------------------- streams */

static void new_stream(const struct td_fuzz_op *op)
{
	struct td_mig_stream s = { .fd = -1 };

	if (TD_FUZZ_CHECK(__td_mig_stream_create(&s, any_vcpu(op)->vm, 0), 0, EBUSY, ENOSPC,
			  EMFILE, ENOMEM, EINTR, EIO, EINVAL))
		TRY(__td_mig_stream_set_attr(&s, op->b >> 16, (op->a >> 8 & 0xff) * 4), 0,
		    EINVAL, E2BIG, EBUSY, EAGAIN, EINTR, ENOMEM, EIO, ENOSPC);
	if (s.fd >= 0)
		close(s.fd);
}

static void map_stream(const struct td_fuzz_op *op)
{
	u64 size = (1 + (op->a >> 8 & 0x3ff)) * PAGE_SIZE;
	u64 offset = (op->a & 0xff) * PAGE_SIZE;
	int fd = any_stream(op)->fd;
	u8 *map;

	map = mmap(NULL, size, op->b & 2 ? PROT_READ : PROT_READ | PROT_WRITE,
		   op->b & 4 ? MAP_PRIVATE : MAP_SHARED, fd, offset);
	if (!TRY(map == MAP_FAILED ? -1 : 0, 0, EINVAL, ENXIO, EAGAIN, ENOMEM))
		return;
	(void)READ_ONCE(map[size - 1]);
	munmap(map, size);
}

static void scribble(const struct td_fuzz_op *op)
{
	struct td_mig_stream *s = any_stream(op);
	u64 nr_bytes = (TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + s->buf_list_pages) * PAGE_SIZE;
	struct td_fuzz_rng rng;
	u32 i;

	world->has_lied = true;
	td_fuzz_rng_init(&rng, op->a, op->b);
	for (i = 0; i < 64; i++) {
		u64 at = op->b & 2 ? td_fuzz_below(&rng, nr_bytes) : td_fuzz_below(&rng, 256);

		WRITE_ONCE(((u8 *)s->map)[at], td_fuzz_random(&rng));
	}
	td_fuzz_done();
}

static void raw(const struct td_fuzz_op *op)
{
	u64 value = op->a & 0xff;
	u64 addresses[] = { (u64)&value, 0, (u64)&value + 1, ~0UL, 0xffff888000000000UL };
	struct kvm_tdx_cmd cmd = {
		.id = op->a >> 8 & 0x1f,
		.flags = op->b >> 16 & 1,
		.data = addresses[(op->b >> 24) % ARRAY_SIZE(addresses)],
		.hw_error = op->b & BIT(17),
	};
	struct td_mig_stream *s = any_stream(op);

	if (op->b & 2)
		value |= TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	if (cmd.id == KVM_TDX_MIG_EXPORT_TRACK)
		world->token_sent = true;
	/* Its bundle is lost, or it is one that was lost. */
	world->has_lied = true;
	TRY(ioctl(s->fd, KVM_MEMORY_ENCRYPT_OP, &cmd), 0, TD_FUZZ_SRC, EFAULT, ENOTTY, ENOENT,
	    EEXIST, ENODATA);
}

static void servtd(const struct td_fuzz_op *op)
{
	struct kvm_tdx_servtd_prebind prebind = {
		.type = op->b >> 16 & 1,
		.slot = op->b >> 18 & 3,
		.attributes = op->b & 4 ? op->a : 0,
	};
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = op->b & 2 ? any_vcpu(op)->vm->fd : world->src_migtd->vm->fd,
		.type = op->b >> 16 & 1,
		.slot = op->b >> 18 & 3,
		.attributes = op->b & 4 ? op->a : 0,
	};
	struct kvm_vm *vm = any_vcpu(op)->vm;
	u64 hw_error = 0;

	if (op->b & 8)
		TRY(__td_vm_ioctl(vm, KVM_TDX_SERVTD_PREBIND, 0, &prebind, &hw_error), 0, EINVAL,
		    EEXIST, EBUSY, EAGAIN, EINTR, ENOMEM, EIO);
	else
		TRY(__td_vm_ioctl(vm, KVM_TDX_SERVTD_BIND, 0, &bind, &hw_error), 0, EINVAL,
		    EBUSY, EPERM, EEXIST, EAGAIN, EINTR, EIO);
}

static void msi(const struct td_fuzz_op *op)
{
	/* The guest has interrupts off. */
	TRY(__td_signal_msi(any_vcpu(op)->vm, op->a >> 8 & 3, 0x20 + (op->a & 0x7f)), 0, EINVAL,
	    EBUSY, EIO);
}

/* ----------------------------------------------------------------------- all */

void td_fuzz_do(const struct td_fuzz_op *op)
{
	switch (op->kind) {
	case TD_FUZZ_EXPORT_IMMUTABLE:
		export_state(op, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE);
		break;
	case TD_FUZZ_EXPORT_MEM:
		export_mem(op);
		break;
	case TD_FUZZ_EXPORT_SLOTS:
		export_slots(op);
		break;
	case TD_FUZZ_EXPORT_TRACK:
		export_track(op);
		break;
	case TD_FUZZ_EXPORT_PAUSE:
		source_cmd(op, KVM_TDX_MIG_EXPORT_PAUSE);
		break;
	case TD_FUZZ_EXPORT_TD:
		export_state(op, KVM_TDX_MIG_EXPORT_STATE_TD);
		break;
	case TD_FUZZ_EXPORT_VP:
		export_state(op, KVM_TDX_MIG_EXPORT_STATE_VP);
		break;
	case TD_FUZZ_EXPORT_ABORT:
		export_abort(op);
		break;
	case TD_FUZZ_IMPORT:
		import(op);
		break;
	case TD_FUZZ_IMPORT_COMMIT:
		dest_cmd(op, KVM_TDX_MIG_IMPORT_COMMIT, &world->committed);
		break;
	case TD_FUZZ_IMPORT_END:
		dest_cmd(op, KVM_TDX_MIG_IMPORT_END, &world->ended);
		break;
	case TD_FUZZ_IMPORT_ABORT:
		dest_cmd(op, KVM_TDX_MIG_IMPORT_ABORT, NULL);
		break;
	case TD_FUZZ_CLEAR_LOG:
	case TD_FUZZ_GET_LOG:
	case TD_FUZZ_SET_LOG:
		log_op(op);
		break;
	case TD_FUZZ_WRITE:
	case TD_FUZZ_CONVERT:
	case TD_FUZZ_ACCEPT:
	case TD_FUZZ_CHECK:
		run_source(op);
		break;
	case TD_FUZZ_RUN_DST:
		td_fuzz_run_dest();
		break;
	case TD_FUZZ_GET_STATE:
		get_state();
		break;
	case TD_FUZZ_SET_STATE:
		set_state(op);
		break;
	case TD_FUZZ_SET_LAPIC:
		set_lapic(op);
		break;
	case TD_FUZZ_SET_ATTRIBUTES:
		set_attributes(op);
		break;
	case TD_FUZZ_PUNCH_HOLE:
		punch_hole(op);
		break;
	case TD_FUZZ_PRE_FAULT:
		pre_fault(op);
		break;
	case TD_FUZZ_NEW_STREAM:
		new_stream(op);
		break;
	case TD_FUZZ_MAP_STREAM:
		map_stream(op);
		break;
	case TD_FUZZ_SCRIBBLE:
		scribble(op);
		break;
	case TD_FUZZ_RAW:
		raw(op);
		break;
	case TD_FUZZ_SERVTD:
		servtd(op);
		break;
	case TD_FUZZ_MSI:
		msi(op);
		break;
	case TD_FUZZ_SIGNAL:
		/* All of them are there until they are joined. */
		pthread_kill(world->threads[op->a % TD_FUZZ_NR_THREADS], SIGUSR1);
		td_fuzz_done();
		break;
	}
}
