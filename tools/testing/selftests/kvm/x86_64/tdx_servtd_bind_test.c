// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: which of them KVM and the TDX module bind to a TD, and who has
 * access to a TD by that.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

#define UNKNOWN_FLAG		BIT(31)
#define UNKNOWN_TYPE		1
#define UNKNOWN_ATTRIBUTE	BIT_ULL(63)
#define TYPE_TOO_LARGE		BIT(16)
#define SLOT_TOO_LARGE		GENMASK(31, 0)
#define BAD_ADDRESS		((void *)1UL)

#define TDX_FEATURES0_TD_MIGRATION	BIT(0)
#define TDX_FEATURES0_SERVICE_TD	BIT(2)
#define MODULE_VERSION		"/sys/devices/faux/tdx_host/version"

#define NR_MUTUAL_BINDS		200

static u8 report[TD_REPORT_SIZE] __aligned(TD_REPORT_SIZE);
static u8 report_data[TD_REPORT_DATA_SIZE] __aligned(TD_REPORT_DATA_SIZE);
static u8 *shared_report;
static gpa_t report_gpa, report_data_gpa;

static void guest_idle(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

static void guest_report(void)
{
	GUEST_ASSERT_EQ(tdg_mr_report(report_gpa, report_data_gpa, 0), 0UL);
	memcpy(shared_report, report, sizeof(report));
	GUEST_SYNC(1);
	GUEST_DONE();
}

static struct kvm_vm *create_target_running(void *guest_code, struct kvm_vcpu **vcpu)
{
	return td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_code, vcpu);
}

static struct kvm_vm *create_target(void)
{
	struct kvm_vcpu *vcpu;

	return create_target_running(guest_idle, &vcpu);
}

static u8 *prepare_report(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, TD_REPORT_SIZE, KVM_UTIL_MIN_VADDR,
				    MEM_REGION_TEST_DATA);

	write_guest_global(vm, shared_report, (u8 *)gva);
	write_guest_global(vm, report_gpa, addr_gva2gpa(vm, (gva_t)report));
	write_guest_global(vm, report_data_gpa, addr_gva2gpa(vm, (gva_t)report_data));
	return addr_gva2hva(vm, gva);
}

static int bind_with(struct td_migtd *m, struct kvm_vm *target, u32 type, u32 slot,
		     u64 attributes, u64 *hw_error)
{
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = m->vm->fd,
		.type = type,
		.slot = slot,
		.attributes = attributes,
	};

	return __td_servtd_bind(target->fd, &bind, hw_error);
}

static int bind_fd(struct kvm_vm *target, int fd)
{
	struct kvm_tdx_servtd_bind bind = { .servtd_fd = fd };

	return __td_servtd_bind(target->fd, &bind, NULL);
}

/* The measurement of a service TD of which nothing counts. */
static void hash_of_nothing(u8 hash[TD_SHA384_SIZE])
{
	const u8 nothing[TD_TDINFO_SIZE] = {};
	struct td_sha384 sha;

	td_sha384_init(&sha);
	td_sha384_update(&sha, nothing, sizeof(nothing));
	td_sha384_final(&sha, hash);
}

/* A TD that is to be served, and a migration TD. */
FIXTURE(served)
{
	struct kvm_vm *target;
	struct td_migtd m;
};

FIXTURE_SETUP(served)
{
	self->target = create_target();
	td_migtd_create(&self->m);
}

FIXTURE_TEARDOWN(served)
{
	kvm_vm_free(self->target);
	td_migtd_free(&self->m);
}

/* ----------------------------------------------------------------- discovery */

/* The host's own driver tells the version, too. */
static void check_module_version(const struct kvm_tdx_mig_caps *mig)
{
	unsigned int major, minor, update;
	FILE *f = fopen(MODULE_VERSION, "r");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", MODULE_VERSION, errno, strerror(errno));
	TEST_ASSERT_EQ(fscanf(f, "%u.%u.%u", &major, &minor, &update), 3);
	fclose(f);
	TEST_ASSERT_EQ(mig->module_major_version, major);
	TEST_ASSERT_EQ(mig->module_minor_version, minor);
	TEST_ASSERT_EQ(mig->module_update_version, update);
}

TD_TEST(limits_are_known_before_there_is_a_td)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	const struct kvm_tdx_mig_caps *mig = &caps->mig;
	int i;

	TEST_ASSERT_EQ(mig->flags, KVM_TDX_MIG_CAP_SERVTD | KVM_TDX_MIG_CAP_TDVMCALL_SERVICE |
		       KVM_TDX_MIG_CAP_TDVMCALL_MIGTD);
	TEST_ASSERT(mig->max_streams >= 1, "No streams");
	TEST_ASSERT(mig->max_servtds >= 1, "No service TDs");
	TEST_ASSERT(mig->servtd_types & BIT_ULL(KVM_TDX_SERVTD_TYPE_MIGTD), "No migration TDs");
	TEST_ASSERT(mig->min_export_version <= mig->max_export_version &&
		    mig->min_import_version <= mig->max_import_version, "Versions in disorder");
	TEST_ASSERT(mig->immutable_state_pages && mig->td_state_pages && mig->vp_state_pages,
		    "A state bundle without pages");
	TEST_ASSERT_EQ(mig->servtd_attributes_required & ~mig->servtd_attributes_allowed, 0UL);
	TEST_ASSERT_EQ(mig->reserved, 0);
	TEST_ASSERT_EQ(mig->reserved1, 0);
	TEST_ASSERT(mig->module_features0 & TDX_FEATURES0_TD_MIGRATION &&
		    mig->module_features0 & TDX_FEATURES0_SERVICE_TD,
		    "TDX_FEATURES0 0x%llx", mig->module_features0);
	check_module_version(mig);
	for (i = 0; i < ARRAY_SIZE(caps->reserved); i++)
		TEST_ASSERT_EQ(caps->reserved[i], 0ULL);
	free(caps);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------------- binding */

TD_TEST_F(served, bound_service_td_accesses_its_target)
{
	td_migtd_bind(&self->m, self->target, 0);
	TEST_ASSERT(td_migtd_can_access(&self->m), "TDX status 0x%lx", self->m.report.tdx_status);
	td_launch(self->target);
	TEST_ASSERT(td_migtd_can_access(&self->m), "TDX status 0x%lx", self->m.report.tdx_status);
}

TD_TEST(destination_is_bound_before_it_is_imported)
{
	struct kvm_vm *target = td_mig_dest_create_vm();
	struct td_migtd m;

	td_migtd_create(&m);
	td_migtd_bind(&m, target, 0);
	TEST_ASSERT(td_migtd_can_access(&m), "TDX status 0x%lx", m.report.tdx_status);
	kvm_vm_free(target);
	td_migtd_free(&m);
}

TD_TEST_F(served, binding_again_gives_the_same_handle)
{
	u64 handle;

	td_migtd_bind(&self->m, self->target, 0);
	handle = self->m.target.handle;
	td_launch(self->target);
	td_migtd_bind(&self->m, self->target, 0);
	TEST_ASSERT_EQ(self->m.target.handle, handle);
}

static void check_servtd_hash(struct td_migtd *m, u64 attributes)
{
	u8 info_hash[TD_SHA384_SIZE], expected[TD_SHA384_SIZE] = {};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *target = create_target_running(guest_report, &vcpu);
	u8 *seen = prepare_report(target);

	if (m) {
		td_migtd_bind(m, target, attributes);
		td_migtd_info_hash(m, attributes, info_hash);
		td_servtd_hash(info_hash, attributes, expected);
	}
	td_launch(target);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT(!memcmp(seen + TD_REPORT_SERVTD_HASH, expected, sizeof(expected)),
		    "SERVTD_HASH does not tell of the binding");
	kvm_vm_free(target);
}

TD_TEST(report_of_the_target_tells_of_the_binding)
{
	struct td_migtd m;

	td_migtd_create(&m);
	check_servtd_hash(NULL, 0);
	check_servtd_hash(&m, 0);
	check_servtd_hash(&m, TD_SERVTD_ATTR_IGNORE_ALL);
	td_migtd_free(&m);
}

TD_TEST_F(served, bind_refuses_what_is_not_supported)
{
	struct kvm_tdx_servtd_bind bind = {};
	u64 hw_error;
	int i;

	bind.servtd_fd = self->m.vm->fd;
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(self->target, KVM_TDX_SERVTD_BIND, UNKNOWN_FLAG,
					      &bind, NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_vm_ioctl(self->target, KVM_TDX_SERVTD_BIND, 0, BAD_ADDRESS,
					      NULL));
	bind.reserved0 = 1;
	TD_EXPECT_ERRNO(EINVAL, __td_servtd_bind(self->target->fd, &bind, NULL));
	bind.reserved0 = 0;
	for (i = 0; i < ARRAY_SIZE(bind.reserved); i++) {
		bind.reserved[i] = 1;
		TD_EXPECT_ERRNO(EINVAL, __td_servtd_bind(self->target->fd, &bind, NULL));
		bind.reserved[i] = 0;
	}

	TD_EXPECT_ERRNO(EINVAL, bind_with(&self->m, self->target, TYPE_TOO_LARGE, 0, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	TD_EXPECT_ERRNO(EINVAL, bind_with(&self->m, self->target, UNKNOWN_TYPE, 0, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
	TD_EXPECT_ERRNO(EINVAL, bind_with(&self->m, self->target, 0, SLOT_TOO_LARGE, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
	TD_EXPECT_ERRNO(EINVAL, bind_with(&self->m, self->target, 0, 0, UNKNOWN_ATTRIBUTE,
					  &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);

	/* None of that left a trace. */
	td_migtd_bind(&self->m, self->target, 0);
}

TD_TEST_F(served, bind_refuses_what_is_no_running_td)
{
	struct kvm_vm *no_td = vm_create_barebones();
	struct kvm_vm *uninitialized = td_create_barebones(), *unfinished = create_target();
	int fds[2];

	TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
	TD_EXPECT_ERRNO(EBADF, bind_fd(self->target, -1));
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, fds[0]));
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, self->target->fd));
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, no_td->fd));
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, uninitialized->fd));
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, unfinished->fd));
	close(fds[0]);
	close(fds[1]);

	TD_EXPECT_ERRNO(EINVAL, bind_fd(uninitialized, self->m.vm->fd));
	kvm_vm_free(unfinished);
	kvm_vm_free(uninitialized);
	kvm_vm_free(no_td);
}

TD_TEST_F(served, finalized_td_takes_no_first_binding)
{
	u8 hash[TD_SHA384_SIZE] = {};
	u64 hw_error;

	td_launch(self->target);
	/* Nor does a TD serve itself, which could run now. */
	TD_EXPECT_ERRNO(EINVAL, bind_fd(self->target, self->target->fd));
	TD_EXPECT_ERRNO(EBUSY, __td_migtd_bind(&self->m, self->target, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
	TD_EXPECT_ERRNO(EBUSY, __td_servtd_prebind(self->target, hash, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
}

/* ------------------------------------------------------------------- prebind */

TD_TEST(prebind_refuses_what_is_not_supported)
{
	struct kvm_vm *target = create_target(), *uninitialized = td_create_barebones();
	struct kvm_tdx_servtd_prebind prebind = {};
	u64 hw_error;
	int i;

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, UNKNOWN_FLAG,
					      &prebind, NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, BAD_ADDRESS,
					      NULL));
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(uninitialized, KVM_TDX_SERVTD_PREBIND, 0, &prebind,
					      NULL));
	for (i = 0; i < ARRAY_SIZE(prebind.reserved); i++) {
		prebind.reserved[i] = 1;
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0,
						      &prebind, NULL));
		prebind.reserved[i] = 0;
	}
	prebind.type = UNKNOWN_TYPE;
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind,
					      &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
	prebind.type = TYPE_TOO_LARGE;
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind,
					      &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	prebind.type = KVM_TDX_SERVTD_TYPE_MIGTD;
	prebind.slot = SLOT_TOO_LARGE;
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind,
					      &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
	prebind.slot = 0;
	prebind.attributes = UNKNOWN_ATTRIBUTE;
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind,
					      &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
	kvm_vm_free(uninitialized);
	kvm_vm_free(target);
}

TD_TEST(bind_and_prebind_can_be_repeated_when_the_tdx_module_was_busy)
{
	struct kvm_tdx_servtd_prebind prebind = {};
	struct kvm_tdx_servtd_bind bind = {};
	struct kvm_vm *target;
	struct td_migtd m;

	if (!td_sim_is_present())
		SKIP(return, "The TDX module is not busy when it is told to");

	target = create_target();
	td_migtd_create(&m);
	td_migtd_info_hash(&m, 0, prebind.info_hash);
	td_sim_busy_leaf(TDH_SERVTD_PREBIND);
	TD_EXPECT_ERRNO(EAGAIN, __td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind, NULL));
	td_sim_busy_leaf(TDH_SERVTD_BIND);
	td_vm_ioctl(target, KVM_TDX_SERVTD_PREBIND, 0, &prebind);
	bind.servtd_fd = m.vm->fd;
	TD_EXPECT_ERRNO(EAGAIN, __td_vm_ioctl(target, KVM_TDX_SERVTD_BIND, 0, &bind, NULL));
	td_sim_busy_leaf(0);
	td_migtd_bind(&m, target, 0);
	TEST_ASSERT(td_migtd_can_access(&m), "TDX status 0x%lx", m.report.tdx_status);
	kvm_vm_free(target);
	td_migtd_free(&m);
}

TD_TEST_F(served, prebound_slot_takes_only_the_announced_service_td)
{
	u8 hash[TD_SHA384_SIZE];
	struct td_migtd other;
	u64 hw_error;

	td_migtd_create_variant(&other, 1);
	td_migtd_info_hash(&self->m, 0, hash);
	TEST_ASSERT(!__td_servtd_prebind(self->target, hash, 0, NULL), "errno %d", errno);
	td_launch(self->target);

	TD_EXPECT_ERRNO(EPERM, __td_migtd_bind(&other, self->target, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_SERVTD_INFO_HASH_MISMATCH);
	TD_EXPECT_ERRNO(EPERM, __td_migtd_bind(&self->m, self->target, TD_SERVTD_ATTR_IGNORE_ALL,
					       &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_SERVTD_ATTR_MISMATCH);

	td_migtd_bind(&self->m, self->target, 0);
	TEST_ASSERT(td_migtd_can_access(&self->m), "TDX status 0x%lx", self->m.report.tdx_status);
	td_migtd_free(&other);
}

TD_TEST_F(served, prebind_can_be_changed_until_the_slot_is_bound)
{
	u8 hash[TD_SHA384_SIZE] = {};
	u64 hw_error;

	TEST_ASSERT(!__td_servtd_prebind(self->target, hash, 0, NULL), "errno %d", errno);
	td_migtd_info_hash(&self->m, 0, hash);
	TEST_ASSERT(!__td_servtd_prebind(self->target, hash, 0, NULL), "errno %d", errno);
	td_migtd_bind(&self->m, self->target, 0);
	TD_EXPECT_ERRNO(EEXIST, __td_servtd_prebind(self->target, hash, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_SERVTD_BOUND);
}

/* -------------------------------------------------------------------- access */

TD_TEST(new_instance_of_a_service_td_replaces_the_old_one)
{
	struct kvm_vm *target = create_target();
	struct td_migtd first, second, other;
	u64 hw_error;

	td_migtd_create(&first);
	td_migtd_create(&second);
	td_migtd_create_variant(&other, 1);
	td_migtd_bind(&first, target, 0);
	td_launch(target);

	TD_EXPECT_ERRNO(EPERM, __td_migtd_bind(&other, target, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_SERVTD_INFO_HASH_MISMATCH);
	TEST_ASSERT(td_migtd_can_access(&first), "TDX status 0x%lx", first.report.tdx_status);

	td_migtd_bind(&second, target, 0);
	TEST_ASSERT(td_migtd_can_access(&second), "TDX status 0x%lx", second.report.tdx_status);
	TEST_ASSERT(!td_migtd_can_access(&first),
		    "A service TD that was replaced still has access");
	kvm_vm_free(target);
	td_migtd_free(&other);
	td_migtd_free(&second);
	td_migtd_free(&first);
}

TD_TEST(any_service_td_fits_if_no_measurement_counts)
{
	struct kvm_vm *target = create_target();
	struct td_migtd first, other;

	td_migtd_create(&first);
	td_migtd_create_variant(&other, 1);
	td_migtd_bind(&first, target, TD_SERVTD_ATTR_IGNORE_ALL);
	td_launch(target);
	td_migtd_bind(&other, target, TD_SERVTD_ATTR_IGNORE_ALL);
	TEST_ASSERT(td_migtd_can_access(&other), "TDX status 0x%lx", other.report.tdx_status);
	kvm_vm_free(target);
	td_migtd_free(&other);
	td_migtd_free(&first);
}

TD_TEST(service_td_without_binding_has_no_access_and_lives_on)
{
	struct kvm_vm *target = create_target();
	struct td_migtd bound, unbound;

	td_migtd_create(&bound);
	td_migtd_create(&unbound);
	td_migtd_bind(&bound, target, 0);

	TEST_ASSERT(!td_migtd_can_access(&unbound), "Access without a handle");
	unbound.target = bound.target;
	TEST_ASSERT(!td_migtd_can_access(&unbound), "Access with a foreign handle");

	bound.target.uuid[0] ^= 1;
	TEST_ASSERT(!td_migtd_can_access(&bound), "Access to a TD of another name");
	TEST_ASSERT_EQ(bound.report.tdx_status & TDX_STATUS_MASK, TDX_TARGET_UUID_MISMATCH);
	bound.target.uuid[0] ^= 1;
	TEST_ASSERT(td_migtd_can_access(&bound), "TDX status 0x%lx", bound.report.tdx_status);

	kvm_vm_free(target);
	td_migtd_free(&unbound);
	td_migtd_free(&bound);
}

static void *bind_many_times(void *arg)
{
	struct kvm_vm **vms = arg;
	struct kvm_tdx_servtd_bind bind;
	int i;

	for (i = 0; i < NR_MUTUAL_BINDS; i++) {
		bind = (struct kvm_tdx_servtd_bind) {
			.servtd_fd = vms[1]->fd,
			.attributes = TD_SERVTD_ATTR_IGNORE_ALL,
		};
		TEST_ASSERT(!__td_servtd_bind(vms[0]->fd, &bind, NULL), "errno %d", errno);
	}
	return NULL;
}

TD_TEST(tds_can_serve_each_other)
{
	struct kvm_vm *vms[3] = { create_target(), create_target() };
	u8 hash[TD_SHA384_SIZE];
	pthread_t thread;
	int i;

	hash_of_nothing(hash);
	for (i = 0; i < 2; i++) {
		TEST_ASSERT(!__td_servtd_prebind(vms[i], hash, TD_SERVTD_ATTR_IGNORE_ALL, NULL),
			    "errno %d", errno);
		td_launch(vms[i]);
	}
	vms[2] = vms[0];
	kvm_pthread_create(&thread, NULL, bind_many_times, &vms[1]);
	bind_many_times(&vms[0]);
	kvm_pthread_join(thread, NULL);
	kvm_vm_free(vms[0]);
	kvm_vm_free(vms[1]);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
