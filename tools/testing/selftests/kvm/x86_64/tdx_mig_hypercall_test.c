// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers to hypercalls that a vCPU has not got when its TD is migrated: they
 * arrive, or the source refuses to let go of the TD.  A VMM that does not know of
 * them is not in the way of any other vCPU.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_runner.h"
#include "tdx_test.h"

#define IO_PORT			0x80
#define IO_VALUE		0xc0ffee11U
/* No device is there. */
#define MMIO_GPA		0x10000000UL
#define MMIO_VALUE		0x1122334455667788UL
/* An MSR that KVM leaves to userspace. */
#define USER_MSR		0xdeadbeefU
#define MSR_VALUE		0x8877665544332211UL
/* Of GetTdVmCallInfo. */
#define INFO_LEAF		1
#define INFO_VALUE		0x55aaUL

/* Where the vCPU is when the TD is stopped. */
enum place {
	IO_IN,
	MMIO_IN,
	RDMSR,
	RDMSR_FAILED,
	WRMSR_FAILED,
	MAP_GPA_FAILED,
	CALL_INFO,
	/* From here on, there is nothing to lose. */
	IO_OUT,
	MMIO_OUT,
	WRMSR,
	HALTED,
	COMPUTING,
};

/* In memory that host and guest share. */
static u64 *shared_go;

static void guest_main(u64 place)
{
	struct tdcall_regs regs = { .r12 = INFO_LEAF };
	gpa_t failed = 0;
	u64 value = 0;

	switch (place) {
	case IO_IN:
		GUEST_ASSERT_EQ(tdvmcall_io_read(IO_PORT, sizeof(u32), &value), 0ULL);
		GUEST_ASSERT_EQ((u32)value, IO_VALUE);
		break;
	case IO_OUT:
		GUEST_ASSERT_EQ(tdvmcall_io_write(IO_PORT, sizeof(u32), IO_VALUE), 0ULL);
		break;
	case MMIO_IN:
		GUEST_ASSERT_EQ(tdvmcall_mmio_read(MMIO_GPA | TD_SHARED_BIT, sizeof(u64), &value),
				0ULL);
		GUEST_ASSERT_EQ(value, MMIO_VALUE);
		break;
	case MMIO_OUT:
		GUEST_ASSERT_EQ(tdvmcall_mmio_write(MMIO_GPA | TD_SHARED_BIT, sizeof(u64),
						    MMIO_VALUE), 0ULL);
		break;
	case RDMSR:
		GUEST_ASSERT_EQ(tdvmcall_rdmsr(USER_MSR, &value), 0ULL);
		GUEST_ASSERT_EQ(value, MSR_VALUE);
		break;
	case RDMSR_FAILED:
		GUEST_ASSERT(tdvmcall_rdmsr(USER_MSR, &value));
		break;
	case WRMSR:
		GUEST_ASSERT_EQ(tdvmcall_wrmsr(USER_MSR, MSR_VALUE), 0ULL);
		break;
	case WRMSR_FAILED:
		GUEST_ASSERT(tdvmcall_wrmsr(USER_MSR, MSR_VALUE));
		break;
	case MAP_GPA_FAILED:
		GUEST_ASSERT_EQ(tdvmcall_map_gpa(MMIO_GPA, PAGE_SIZE, &failed),
				TDVMCALL_STATUS_RETRY);
		GUEST_ASSERT_EQ(failed, MMIO_GPA);
		break;
	case CALL_INFO:
		GUEST_ASSERT_EQ(tdvmcall(TDVMCALL_GET_TD_VM_CALL_INFO, &regs), 0ULL);
		GUEST_ASSERT_EQ(regs.r11, INFO_VALUE);
		break;
	case HALTED:
		GUEST_ASSERT_EQ(tdvmcall_hlt(false), 0ULL);
		break;
	case COMPUTING:
		while (!READ_ONCE(*shared_go))
			value++;
		break;
	}
	GUEST_DONE();
}

struct scene {
	enum place place;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 *go;
	struct td_mig m;
	struct td_mig_dest d;
};

/* The device model of this test. */
static void answer(struct scene *s)
{
	struct kvm_run *run = s->vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			*(u32 *)((u8 *)run + run->io.data_offset) = IO_VALUE;
		break;
	case KVM_EXIT_MMIO:
		TEST_ASSERT_EQ(run->mmio.phys_addr, MMIO_GPA);
		if (!run->mmio.is_write)
			*(u64 *)run->mmio.data = MMIO_VALUE;
		break;
	case KVM_EXIT_X86_RDMSR:
		run->msr.data = MSR_VALUE;
		run->msr.error = s->place == RDMSR_FAILED;
		break;
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = s->place == WRMSR_FAILED;
		break;
	case KVM_EXIT_HYPERCALL:
		run->hypercall.ret = EAGAIN;
		break;
	case KVM_EXIT_TDX:
		run->tdx.get_tdvmcall_info.ret = 0;
		run->tdx.get_tdvmcall_info.r11 = INFO_VALUE;
		break;
	default:
		TEST_FAIL("Place %d: exit %s", s->place, exit_reason_str(run->exit_reason));
	}
}

static void stop_in_thread(struct scene *s)
{
	struct td_runner r = { .vcpu = s->vcpu };

	td_runner_start(&r);
	if (s->place == HALTED) {
		td_runner_stop_halted(&r);
		return;
	}
	usleep(100000);
	td_runner_stop(&r);
}

/* The vCPU has been stopped, with its last exit completed. */
static void scene_create(struct scene *s, enum place place)
{
	gva_t gva;

	*s = (struct scene) { .place = place };
	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_main, &s->vcpu);
	vm_enable_cap(s->vm, KVM_CAP_X86_USER_SPACE_MSR,
		      KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL);
	gva = vm_alloc_shared(s->vm, sizeof(*shared_go), KVM_UTIL_MIN_VADDR,
			      MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, shared_go, (u64 *)gva);
	s->go = addr_gva2hva(s->vm, gva);
	td_vcpu_set_arg(s->vcpu, place);
	td_launch(s->vm);

	if (place == HALTED || place == COMPUTING) {
		stop_in_thread(s);
	} else {
		vcpu_run(s->vcpu);
		answer(s);
		s->vcpu->run->immediate_exit = 1;
		TD_EXPECT_ERRNO(EINTR, __vcpu_run(s->vcpu));
		s->vcpu->run->immediate_exit = 0;
	}

	td_mig_init(&s->m, s->vm, &s->vcpu, 1, 1);
	td_mig_dest_create(&s->d, &s->m);
}

static void scene_free(struct scene *s)
{
	td_mig_dest_free(&s->d);
	td_mig_free(&s->m);
	kvm_vm_free(s->vm);
}

static void add_state(struct td_mig *m, u32 export_cmd)
{
	u64 hw_error;
	int ret = __td_mig_export_state(&m->streams[0], export_cmd, &m->bundles[m->nr_bundles++],
					&hw_error);

	TEST_ASSERT(!ret, "Command %u: errno %d, hw_error 0x%lx", export_cmd, errno, hw_error);
}

/* All but the start token, and the VMM does not read any state of the vCPU. */
static void export_without_vcpu_state(struct td_mig *m)
{
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	td_mig_export_all_mem(m);
	add_state(m, KVM_TDX_MIG_EXPORT_STATE_TD);
	add_state(m, KVM_TDX_MIG_EXPORT_STATE_VP);
}

static int export_start_token(struct td_mig *m)
{
	struct td_mig_bundle *b = &m->bundles[m->nr_bundles];
	u64 hw_error;
	int ret = __td_mig_export_track(&m->streams[0], true, b, &hw_error);

	TEST_ASSERT_EQ(hw_error, 0UL);
	if (!ret)
		m->nr_bundles++;
	return ret;
}

static void run_to_done(struct scene *s, struct kvm_vcpu *vcpu)
{
	WRITE_ONCE(*s->go, 1);
	td_vcpu_run_to_done(vcpu);
}

static const enum place places_with_an_answer[] = {
	IO_IN, MMIO_IN, RDMSR, RDMSR_FAILED, WRMSR_FAILED, MAP_GPA_FAILED, CALL_INFO,
};

static const enum place places_without_an_answer[] = {
	IO_OUT, MMIO_OUT, WRMSR, HALTED, COMPUTING,
};

static void lose_no_answer(enum place place)
{
	struct td_mig_vcpu_state too_early;
	struct scene s;

	scene_create(&s, place);
	/* The vCPU might have gone on after that. */
	td_mig_vcpu_save(s.vcpu, &too_early);
	export_without_vcpu_state(&s.m);
	TD_EXPECT_ERRNO(ENODATA, export_start_token(&s.m));
	TD_EXPECT_ERRNO(ENODATA, export_start_token(&s.m));

	td_mig_vcpu_save(s.vcpu, &s.m.vcpu_state[0]);
	TEST_ASSERT(!export_start_token(&s.m), "Place %d: errno %d", place, errno);
	td_mig_import_rest(&s.d, &s.m, 0);
	run_to_done(&s, s.d.vcpus[0]);
	scene_free(&s);
}

TD_TEST(start_token_is_refused_until_an_answer_to_the_guest_has_been_read)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(places_with_an_answer); i++)
		lose_no_answer(places_with_an_answer[i]);
}

TD_TEST(answer_reaches_the_guest_on_the_source_after_an_abort)
{
	struct scene s;

	scene_create(&s, IO_IN);
	export_without_vcpu_state(&s.m);
	TD_EXPECT_ERRNO(ENODATA, export_start_token(&s.m));
	td_mig_cmd(&s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	run_to_done(&s, s.vcpu);
	scene_free(&s);
}

/* A VMM that neither reads nor sets the state of vCPUs. */
static void migrate_without_vcpu_state(enum place place)
{
	struct scene s;
	u64 hw_error;
	int i;

	scene_create(&s, place);
	export_without_vcpu_state(&s.m);
	TEST_ASSERT(!export_start_token(&s.m), "Place %d: errno %d", place, errno);
	for (i = 0; i < s.m.nr_bundles; i++)
		TEST_ASSERT(!__td_mig_import(s.d.streams, &s.m.bundles[i], &hw_error),
			    "Bundle %d: errno %d, hw_error 0x%lx", i, errno, hw_error);
	td_mig_cmd(&s.d.streams[0], KVM_TDX_MIG_IMPORT_END);
	run_to_done(&s, s.d.vcpus[0]);
	scene_free(&s);
}

TD_TEST(td_with_no_answer_on_its_way_needs_no_vcpu_state)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(places_without_an_answer); i++)
		migrate_without_vcpu_state(places_without_an_answer[i]);
}

TD_TEST(answer_is_asked_for_again_where_the_td_moves_on_before_it_has_run)
{
	struct td_mig_dest second;
	struct td_mig m;
	struct scene s;

	scene_create(&s, IO_IN);
	td_mig_export(&s.m);
	td_mig_import_rest(&s.d, &s.m, 0);

	/* Only its slots are those of the source. */
	td_mig_open(&m, s.d.vm, s.d.vcpus, 1, 0);
	m.streams[0] = s.d.streams[0];
	m.nr_streams = 1;
	td_mig_exchange_keys(&m);
	m.src = s.vm;
	td_mig_dest_create(&second, &m);
	export_without_vcpu_state(&m);
	TD_EXPECT_ERRNO(ENODATA, export_start_token(&m));
	td_mig_vcpu_save(s.d.vcpus[0], &m.vcpu_state[0]);
	TEST_ASSERT(!export_start_token(&m), "errno %d", errno);
	td_mig_import_rest(&second, &m, 0);
	run_to_done(&s, second.vcpus[0]);

	m.nr_streams = 0;
	td_mig_free(&m);
	td_mig_dest_free(&second);
	scene_free(&s);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
