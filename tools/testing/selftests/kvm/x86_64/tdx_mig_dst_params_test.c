// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination takes no other TD than the one that its VMM has announced with
 * KVM_TDX_INIT_VM, whatever the VMM of the source has asked its TDX module for.
 * The source keeps what the destination refuses.
 */
#include <pthread.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

/* Not what the library takes by itself. */
#define OTHER_TSC_KHZ		1000000UL

/* Knobs of the platform. */
#define TD_PARAMS_KNOB		"/sys/kernel/debug/tdx_sim/td_params"
#define EPT_LEVELS_KNOB		"/sys/kernel/debug/tdx_sim/ept_levels"
#define PROFILE_KNOB		"/sys/kernel/debug/tdx_sim/profile"
#define KNOB_LEN		16

/* Bytes of TD_PARAMS. */
#define PARAMS_MAX_VCPUS	16
#define PARAMS_EPTP		24
#define PARAMS_CONFIG_FLAGS	32
#define PARAMS_CPUID(i)		(256 + 16 * (i))
#define PARAMS_EBX		4
#define PARAMS_ECX		8

#define CONFIG_FLEXIBLE_PENDING_VE	BIT(1)
#define CONFIG_NO_RBP_MOD		BIT(2)

#define EPTP_CONTROLS_MASK	0xff
#define EPTP_WB_5LEVEL		0x26

#define MANY_VCPUS		64

#define CPUID_7_EBX_TSX		(BIT(4) | BIT(11))
#define CPUID_7_ECX_WAITPKG	BIT(5)

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

/* ------------------------------------------------------------- the two sides */

typedef void (*change_fn)(struct kvm_vm *vm, struct kvm_tdx_init_vm *init);

static struct kvm_cpuid_entry2 *find_cpuid(struct kvm_tdx_init_vm *init, u32 function, u32 index)
{
	u32 i;

	for (i = 0; i < init->cpuid.nent; i++) {
		if (init->cpuid.entries[i].function == function &&
		    init->cpuid.entries[i].index == index)
			return &init->cpuid.entries[i];
	}
	TEST_FAIL("CPUID 0x%x.0x%x cannot be configured", function, index);
	return NULL;
}

static void init_vm(struct kvm_vm *vm, u32 flags, change_fn change)
{
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, TDX_TD_ATTR_MIGRATABLE);

	if (change)
		change(vm, init);
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, flags, init);
	free(init);
}

static struct kvm_vcpu *complete_source(struct kvm_vm *vm)
{
	struct kvm_vcpu *vcpu = vm_vcpu_add(vm, 0, guest_sync_and_done);

	td_migtd_bind(td_mig_src_migtd(), vm, 0);
	return vcpu;
}

static struct kvm_vm *create_source(change_fn change, struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);

	init_vm(vm, 0, change);
	*vcpu = complete_source(vm);
	return vm;
}

static struct kvm_vm *create_dest(change_fn change)
{
	struct kvm_vm *vm = td_create_barebones();

	vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));
	init_vm(vm, KVM_TDX_INIT_VM_F_MIG_DEST, change);
	return vm;
}

static int import_immutable(struct td_mig *m, struct td_mig_dest *d, struct kvm_vm *dst,
			    u64 *hw_error)
{
	m->next_dst = dst;
	td_mig_exchange_keys(m);
	td_mig_dest_create(d, m);
	td_mig_export_immutable(m);
	return __td_mig_import(d->streams, &m->bundles[0], hw_error);
}

/* The destination is of no use any more, and the source is as it was. */
static void expect_refused(struct kvm_vm *src, struct kvm_vcpu *vcpu, struct kvm_vm *dst)
{
	struct td_mig_dest d;
	struct td_mig m;
	u64 hw_error;

	td_mig_open(&m, src, &vcpu, 1, 1);
	TD_EXPECT_ERRNO(EIO, import_immutable(&m, &d, dst, &hw_error));
	/* It is KVM that refuses. */
	TEST_ASSERT_EQ(hw_error, 0UL);

	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &m.bundles[0], NULL));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_MEM));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_STATE_TD));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_END));
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(d.vcpus[0]));
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);

	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_dest_free(&d);
	td_mig_free(&m);
}

/* ------------------------------------------------------- what the VMM announces */

static void drop_sept_ve_disable(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	init->attributes ^= TDX_TD_ATTR_SEPT_VE_DISABLE;
}

static void set_other_tsc(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	vm_ioctl(vm, KVM_SET_TSC_KHZ, (void *)OTHER_TSC_KHZ);
}

/* Sharing of the first cache. */
static void change_cache(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	find_cpuid(init, 4, 0)->eax ^= BIT(14);
}

static void change_thread_count(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	find_cpuid(init, 1, 0)->ebx ^= BIT(16);
}

/* A feature that the TD has, and which needs no state component. */
static void drop_feature(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	struct kvm_cpuid_entry2 *e = find_cpuid(init, 1, 0);

	TEST_ASSERT(e->edx || e->ecx, "No feature of CPUID 1 can be configured");
	if (e->edx)
		e->edx &= e->edx - 1;
	else
		e->ecx &= e->ecx - 1;
}

static void expect_announcement_refused(change_fn src_change, change_fn dst_change)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src = create_source(src_change, &vcpu);

	td_launch(src);
	td_vcpu_run_to_sync(vcpu, 1);
	expect_refused(src, vcpu, create_dest(dst_change));
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(src);
}

TD_TEST(td_with_other_attributes_is_refused)
{
	expect_announcement_refused(NULL, drop_sept_ve_disable);
}

TD_TEST(td_with_another_tsc_frequency_is_refused)
{
	expect_announcement_refused(NULL, set_other_tsc);
}

TD_TEST(td_with_another_cpuid_is_refused)
{
	expect_announcement_refused(NULL, change_cache);
	expect_announcement_refused(NULL, change_thread_count);
}

TD_TEST(td_with_a_feature_more_or_less_is_refused)
{
	expect_announcement_refused(NULL, drop_feature);
	expect_announcement_refused(drop_feature, NULL);
}

/* Family, model and stepping are the TDX module's choice. */
static void leave_family_to_the_module(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	find_cpuid(init, 1, 0)->eax = 0;
}

static void expect_accepted(struct kvm_vm *src, struct kvm_vcpu *vcpu, change_fn change)
{
	struct td_mig_dest d;
	struct td_mig m;
	u64 hw_error;
	int ret;

	td_launch(src);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_open(&m, src, &vcpu, 1, 1);
	ret = import_immutable(&m, &d, create_dest(change), &hw_error);
	TEST_ASSERT(!ret, "errno %d, hw_error 0x%lx", errno, hw_error);
	td_mig_export_pause(&m);
	td_mig_export_rest(&m);
	td_mig_import_rest(&d, &m, 1);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(src);
}

TD_TEST(td_as_announced_is_accepted_whatever_that_is)
{
	const change_fn changes[] = {
		NULL, drop_feature, change_cache, leave_family_to_the_module,
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src;
	int i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		src = create_source(changes[i], &vcpu);
		expect_accepted(src, vcpu, changes[i]);
	}
}

/* -------------------------------------- what another VMM asks the TDX module for */

static void write_knob(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	fputs(text, f);
	TEST_ASSERT(!fclose(f), "Cannot write %s, errno %d (%s)", path, errno, strerror(errno));
}

static void read_knob(const char *path, char text[KNOB_LEN])
{
	FILE *f = fopen(path, "r");

	TEST_ASSERT(f && fgets(text, KNOB_LEN, f), "Cannot read %s, errno %d (%s)", path, errno,
		    strerror(errno));
	fclose(f);
}

/* A source for which TDH.MNG.INIT has seen other TD_PARAMS than KVM has prepared. */
static struct kvm_vm *create_strange_source(u32 offset, u32 clear, u32 set,
					    struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	char text[64];

	/* No other TD must get the same. */
	snprintf(text, sizeof(text), "%u 0x%x 0x%x\n", offset, clear, set);
	write_knob(TD_PARAMS_KNOB, text);
	init_vm(vm, 0, NULL);
	write_knob(TD_PARAMS_KNOB, "\n");

	*vcpu = complete_source(vm);
	return vm;
}

static unsigned int config_index(struct kvm_vm *vm, u32 function)
{
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	u32 i;

	for (i = 0; i < caps->cpuid.nent; i++) {
		if (caps->cpuid.entries[i].function == function && !caps->cpuid.entries[i].index)
			break;
	}
	TEST_ASSERT(i < caps->cpuid.nent, "CPUID 0x%x cannot be configured", function);
	free(caps);
	return i;
}

/*
 * A TD that no KVM would build, which nobody must run on this host, and an honest
 * destination.
 */
static void expect_strange_td_refused(u32 offset, u32 clear, u32 set, bool with_memory)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src;

	src = create_strange_source(offset, clear, set, &vcpu);
	if (with_memory)
		td_launch(src);
	else
		td_vm_ioctl(src, KVM_TDX_FINALIZE_VM, 0, NULL);
	expect_refused(src, vcpu, create_dest(NULL));
	kvm_vm_free(src);
}

TD_TEST(td_that_clobbers_rbp_of_the_host_is_refused)
{
	expect_strange_td_refused(PARAMS_CONFIG_FLAGS, CONFIG_NO_RBP_MOD, 0, true);
}

TD_TEST(td_with_an_unknown_configuration_is_refused)
{
	expect_strange_td_refused(PARAMS_CONFIG_FLAGS, 0, CONFIG_FLEXIBLE_PENDING_VE, true);
}

TD_TEST(td_of_a_host_with_more_cpus_is_accepted)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src;

	src = create_strange_source(PARAMS_MAX_VCPUS, GENMASK(15, 0), MANY_VCPUS, &vcpu);
	expect_accepted(src, vcpu, NULL);
}

TD_TEST(td_with_tsx_or_waitpkg_is_refused)
{
	struct kvm_vm *vm = td_create_barebones();
	const u32 leaf = PARAMS_CPUID(config_index(vm, 7));

	kvm_vm_free(vm);
	expect_strange_td_refused(leaf + PARAMS_EBX, 0, CPUID_7_EBX_TSX, true);
	expect_strange_td_refused(leaf + PARAMS_ECX, 0, CPUID_7_ECX_WAITPKG, true);
}

/*
 * TDX modules of other versions, although the migration protocol is the same.  What the
 * older one exports has a page less, what the newer one exports more CPUID values.
 */
TD_TEST(td_of_a_host_with_another_tdx_module_is_refused)
{
	const bool older = td_module_version() < TD_MODULE(1, 5, 5);
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src = create_source(NULL, &vcpu);
	char own[KNOB_LEN];
	struct td_mig_dest d;
	struct td_mig m;
	int ret, errnum;
	u64 hw_error;

	td_launch(src);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_open(&m, src, &vcpu, 1, 1);
	m.next_dst = create_dest(NULL);
	td_mig_exchange_keys(&m);
	td_mig_dest_create(&d, &m);
	td_mig_export_immutable(&m);

	/* No other TD must get the same. */
	read_knob(PROFILE_KNOB, own);
	write_knob(PROFILE_KNOB, older ? "1.5.05" : "1.5.01");
	ret = __td_mig_import(d.streams, &m.bundles[0], &hw_error);
	errnum = errno;
	write_knob(PROFILE_KNOB, own);
	TEST_ASSERT(ret && errnum == EIO, "Import returned %d, errno %d", ret, errnum);
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_FATAL |
		       (older ? TDX_OPERAND_INVALID : TDX_METADATA_FIELD_VALUE_NOT_VALID));

	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &m.bundles[0], NULL));
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	td_mig_dest_free(&d);

	/* The source has lost nothing, and can go elsewhere. */
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_forget_bundles(&m);
	td_mig_migrate(&m, &d);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(src);
}

TD_TEST(td_with_a_secure_ept_of_another_depth_is_refused)
{
	write_knob(EPT_LEVELS_KNOB, "5\n");
	expect_strange_td_refused(PARAMS_EPTP, EPTP_CONTROLS_MASK, EPTP_WB_5LEVEL, false);
	write_knob(EPT_LEVELS_KNOB, "4\n");
}

/* ------------------------------------------ what the VMM announces when it is too late */

/*
 * CVE-2025-30513: the TDX module lets TDH.MNG.INIT change a TD whose import was
 * interrupted, e.g. into one that can be debugged.  KVM initializes a TD once, and a
 * destination not at all.
 */
static void expect_not_initialized_anew(struct kvm_vm *dst, struct kvm_tdx_init_vm *init)
{
	const u32 flags[] = { 0, KVM_TDX_INIT_VM_F_MIG_DEST };
	const u64 attributes = init->attributes;
	u64 calls = td_sim_count_leaf(TDH_MNG_INIT);
	u64 hw_error;
	int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(dst, KVM_TDX_INIT_VM, flags[i], init,
						      &hw_error));
		TEST_ASSERT_EQ(hw_error, 0UL);
		init->attributes = TDX_TD_ATTR_DEBUG;
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(dst, KVM_TDX_INIT_VM, flags[i], init,
						      &hw_error));
		TEST_ASSERT_EQ(hw_error, 0UL);
		init->attributes = attributes;
	}
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_MNG_INIT), calls);
}

/* A source, and a destination that is about to import the immutable state. */
struct half_way {
	struct kvm_vm *src;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct td_mig_dest d;
	/* As the destination was announced. */
	struct kvm_tdx_init_vm *init;
	bool imported;
};

static void half_way_create(struct half_way *h)
{
	h->src = create_source(NULL, &h->vcpu);
	td_launch(h->src);
	td_vcpu_run_to_sync(h->vcpu, 1);
	td_mig_open(&h->m, h->src, &h->vcpu, 1, 1);
	h->m.next_dst = create_dest(NULL);
	h->init = td_alloc_init_vm(h->m.next_dst, TDX_TD_ATTR_MIGRATABLE);
	td_mig_exchange_keys(&h->m);
	td_mig_dest_create(&h->d, &h->m);
	td_mig_export_immutable(&h->m);
}

static void half_way_free(struct half_way *h)
{
	td_mig_dest_free(&h->d);
	td_mig_free(&h->m);
	free(h->init);
	kvm_vm_free(h->src);
}

TD_TEST(td_that_is_half_imported_is_not_initialized_anew)
{
	struct half_way h = { };
	u64 hw_error;

	half_way_create(&h);
	expect_not_initialized_anew(h.d.vm, h.init);

	/* The TDX module is interrupted, and busy when it is to go on. */
	td_sim_stuck_leaf(TDH_IMPORT_STATE_IMMUTABLE);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(h.d.streams, &h.m.bundles[0], &hw_error));
	td_sim_stuck_leaf(0);
	TEST_ASSERT(hw_error, "The import has not got to the TDX module");
	expect_not_initialized_anew(h.d.vm, h.init);

	/* Nor can the rest of it be imported. */
	TD_EXPECT_ERRNO(EIO, __td_mig_import(h.d.streams, &h.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);

	td_mig_cmd(&h.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(h.vcpu);
	half_way_free(&h);
}

static void *initialize_anew_until_imported(void *data)
{
	struct half_way *h = data;

	do {
		expect_not_initialized_anew(h->d.vm, h->init);
	} while (!READ_ONCE(h->imported));
	return NULL;
}

TD_TEST(td_is_not_initialized_anew_while_its_import_is_interrupted)
{
	struct half_way h = { };
	pthread_t thread;
	u64 calls;

	half_way_create(&h);
	pthread_create(&thread, NULL, initialize_anew_until_imported, &h);
	calls = td_sim_count_leaf(TDH_IMPORT_STATE_IMMUTABLE);
	td_sim_interrupt_every(1);
	td_mig_import(&h.d, &h.m, 0, 0);
	td_sim_interrupt_every(0);
	calls = td_sim_count_leaf(TDH_IMPORT_STATE_IMMUTABLE) - calls;
	TEST_ASSERT(calls > 1, "The import was not interrupted");
	WRITE_ONCE(h.imported, true);
	pthread_join(thread, NULL);

	td_mig_export_pause(&h.m);
	td_mig_export_rest(&h.m);
	td_mig_import_rest(&h.d, &h.m, 1);
	td_vcpu_run_to_done(h.d.vcpus[0]);
	half_way_free(&h);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	/* Whoever set the knobs and died. */
	td_sim_stuck_leaf(0);

	return test_harness_run(argc, argv);
}
