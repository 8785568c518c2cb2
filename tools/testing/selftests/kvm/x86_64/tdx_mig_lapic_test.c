// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_LAPIC, KVM_SET_LAPIC and KVM_TDX_MIG_{GET,SET}_VCPU_STATE of a TD: a
 * timer fires exactly once, no interrupt is lost, and bad input is refused.
 */
#include <asm/vmx.h>

#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define TIMER_VECTOR		0x40
#define MSI_VECTOR		0x50
#define NR_MSIS			32
#define BAD_ADDRESS		1UL

/* Times 128 ns. */
#define TIMER_COUNT		500000
#define LONG_COUNT		0xffffffffU
#define APIC_TDR_DIV_128	0xa
#define APIC_DFR		0xe0
#define APIC_TMR		0x180
#define APIC_ESR		0x280
#define X2APIC_LVT_REGS_END	0x380

/* Registers of the virtual APIC page, which KVM does not know. */
static const u32 module_regs[] = { APIC_TASKPRI, APIC_PROCPRI, APIC_ISR, APIC_TMR, APIC_DFR };

struct shared {
	u64 nr_irqs[256];
	/* How long timers run, and whether the guest has to start its timer again. */
	u64 count;
	u64 again;
};

static struct shared *shared;

static void guest_count_irq(struct ex_regs *regs)
{
	WRITE_ONCE(shared->nr_irqs[regs->vector], shared->nr_irqs[regs->vector] + 1);
	td_x2apic_eoi();
}

enum timer {
	TIMER_ONE_SHOT,
	TIMER_PERIODIC,
	TIMER_DEADLINE,
};

static void guest_start_timer(enum timer timer)
{
	const u64 count = READ_ONCE(shared->count);
	static const u32 modes[] = {
		[TIMER_ONE_SHOT] = APIC_LVT_TIMER_ONESHOT,
		[TIMER_PERIODIC] = APIC_LVT_TIMER_PERIODIC,
		[TIMER_DEADLINE] = APIC_LVT_TIMER_TSCDEADLINE,
	};

	td_x2apic_write(APIC_LVTT, modes[timer] | TIMER_VECTOR);
	td_x2apic_write(APIC_TDCR, APIC_TDR_DIV_128);
	if (timer == TIMER_DEADLINE)
		GUEST_ASSERT_EQ(tdvmcall_wrmsr(MSR_IA32_TSC_DEADLINE, rdtsc() + count),
				0ULL);
	else
		td_x2apic_write(APIC_TMICT, count);
}

/* Interrupts are off when the guest stops; take what is there afterwards. */
static void guest_take_irqs(void)
{
	sti_nop();
	cli();
	GUEST_SYNC(2);
	GUEST_DONE();
}

static void guest_let_timer_expire(u64 timer)
{
	td_x2apic_enable();
	do {
		/* Take what an earlier timer has left behind. */
		sti_nop();
		cli();
		WRITE_ONCE(shared->nr_irqs[TIMER_VECTOR], 0);
		guest_start_timer(timer);
		GUEST_SYNC(1);
	} while (READ_ONCE(shared->again));
	guest_take_irqs();
}

static void guest_take_timer(u64 timer)
{
	td_x2apic_enable();
	cli();
	guest_start_timer(timer);
	td_halt_until(&shared->nr_irqs[TIMER_VECTOR]);
	cli();
	GUEST_SYNC(1);
	guest_take_irqs();
}

static void guest_mask_irqs(u64 unused)
{
	td_x2apic_enable();
	cli();
	GUEST_SYNC(1);
	guest_take_irqs();
}

static void guest_read_port(u64 port)
{
	u64 value;

	GUEST_ASSERT_EQ(tdvmcall_io_read(port, sizeof(u32), &value), 0ULL);
	GUEST_DONE();
}

/* A TD with one vCPU that gets @arg, stopped at its first sync. */
struct scene {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct shared *shared;
	struct td_mig m;
	struct td_mig_dest d;
};

static void scene_create(struct scene *s, void *guest_code, u64 arg)
{
	gva_t gva;
	int i;

	*s = (struct scene) {};
	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_code, &s->vcpu);
	gva = vm_alloc_shared(s->vm, sizeof(*shared), KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, shared, (struct shared *)gva);
	s->shared = addr_gva2hva(s->vm, gva);
	s->shared->count = TIMER_COUNT;
	vm_install_exception_handler(s->vm, TIMER_VECTOR, guest_count_irq);
	for (i = 0; i < NR_MSIS; i++)
		vm_install_exception_handler(s->vm, MSI_VECTOR + i, guest_count_irq);
	td_vcpu_set_arg(s->vcpu, arg);
	td_launch(s->vm);
	td_vcpu_run_to_sync(s->vcpu, 1);
	td_mig_init(&s->m, s->vm, &s->vcpu, 1, 1);
}

static void scene_free(struct scene *s)
{
	if (s->d.vm)
		td_mig_dest_free(&s->d);
	td_mig_free(&s->m);
	kvm_vm_free(s->vm);
}

/* Up to the point where the destination's vCPU has its state. */
static void scene_import_vcpu(struct scene *s)
{
	td_mig_dest_create(&s->d, &s->m);
	td_mig_export(&s->m);
	td_mig_import(&s->d, &s->m, 0, s->m.nr_bundles - 2);
}

/* The rest, including the state that the VMM moves. */
static void scene_import_rest(struct scene *s)
{
	td_mig_import_rest(&s->d, &s->m, s->m.nr_bundles - 1);
}

static struct kvm_lapic_state get_lapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
	return lapic;
}

/* ----------------------------------------------------------- timer, once each */

/* Stop the vCPU before its timer expires, on a machine that is this slow. */
static void stop_with_timer_armed(struct scene *s, enum timer timer)
{
	struct kvm_lapic_state lapic;

	for (;;) {
		lapic = get_lapic(s->vcpu);
		if (td_lapic_get(&lapic, APIC_TMCCT) || td_lapic_irr_test(&lapic, TIMER_VECTOR) ||
		    vcpu_get_msr(s->vcpu, MSR_IA32_TSC_DEADLINE))
			break;

		s->shared->count *= 2;
		TEST_ASSERT(s->shared->count < LONG_COUNT, "The timer %u does not run", timer);
		s->shared->again = 1;
		td_vcpu_run_to_sync(s->vcpu, 1);
	}
	s->shared->again = 0;
}

/* Wait until the timer of a stopped vCPU is due. */
static void wait_for_timer(struct kvm_vcpu *vcpu, enum timer timer)
{
	struct kvm_lapic_state lapic;

	/* KVM_GET_LAPIC cannot tell; later than that is as good. */
	if (timer == TIMER_DEADLINE) {
		usleep(100000);
		return;
	}

	do {
		lapic = get_lapic(vcpu);
	} while (!td_lapic_irr_test(&lapic, TIMER_VECTOR));
}

static void check_timer_that_expires_while_stopped(enum timer timer)
{
	struct scene s;

	scene_create(&s, guest_let_timer_expire, timer);
	stop_with_timer_armed(&s, timer);
	wait_for_timer(s.vcpu, timer);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 0UL);

	scene_import_vcpu(&s);
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 1UL);
	scene_free(&s);
}

TD_TEST(one_shot_timer_that_expires_while_stopped_fires_once)
{
	check_timer_that_expires_while_stopped(TIMER_ONE_SHOT);
}

TD_TEST(tsc_deadline_that_passes_while_stopped_fires_once)
{
	check_timer_that_expires_while_stopped(TIMER_DEADLINE);
}

TD_TEST(periodic_timer_that_expires_while_stopped_fires_and_goes_on)
{
	struct kvm_lapic_state lapic;
	struct scene s;

	scene_create(&s, guest_let_timer_expire, TIMER_PERIODIC);
	stop_with_timer_armed(&s, TIMER_PERIODIC);
	wait_for_timer(s.vcpu, TIMER_PERIODIC);
	scene_import_vcpu(&s);
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	TEST_ASSERT(s.shared->nr_irqs[TIMER_VECTOR] >= 1, "The tick is lost");

	do {
		lapic = get_lapic(s.d.vcpus[0]);
	} while (!td_lapic_irr_test(&lapic, TIMER_VECTOR));
	scene_free(&s);
}

static void check_timer_that_has_fired(enum timer timer)
{
	struct kvm_lapic_state *lapic;
	struct scene s;

	scene_create(&s, guest_take_timer, timer);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 1UL);
	scene_import_vcpu(&s);
	lapic = &s.m.vcpu_state[0].lapic;
	TEST_ASSERT_EQ(td_lapic_get(lapic, APIC_TMICT), 0U);
	TEST_ASSERT_EQ(s.m.vcpu_state[0].tsc_deadline, 0UL);
	TEST_ASSERT(!td_lapic_irr_test(lapic, TIMER_VECTOR), "The timer fires again");
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 1UL);
	scene_free(&s);
}

TD_TEST(one_shot_timer_that_has_fired_does_not_fire_again)
{
	check_timer_that_has_fired(TIMER_ONE_SHOT);
}

TD_TEST(tsc_deadline_that_has_fired_does_not_fire_again)
{
	check_timer_that_has_fired(TIMER_DEADLINE);
}

/* Begin a session and pause the TD before the timer expires. */
static void pause_with_timer_armed(struct scene *s, enum timer timer)
{
	struct td_mig_vcpu_state *state;
	u64 count;

	for (;;) {
		stop_with_timer_armed(s, timer);
		td_mig_export_immutable(&s->m);
		td_mig_export_pause(&s->m);

		/* A deadline that has passed reads as one that has not. */
		state = &s->m.vcpu_state[0];
		td_mig_vcpu_save(s->vcpu, state);
		if (timer != TIMER_ONE_SHOT || td_lapic_get(&state->lapic, APIC_TMICT))
			return;

		count = 2 * s->shared->count;
		scene_free(s);
		scene_create(s, guest_let_timer_expire, timer);
		s->shared->count = count;
		s->shared->again = 1;
		td_vcpu_run_to_sync(s->vcpu, 1);
	}
}

TD_TEST(timer_whose_state_was_read_fires_once_after_an_abort)
{
	enum timer timers[] = { TIMER_ONE_SHOT, TIMER_DEADLINE };
	struct scene s;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(timers); i++) {
		scene_create(&s, guest_let_timer_expire, timers[i]);
		pause_with_timer_armed(&s, timers[i]);
		/* Some of them while it is armed, some after it has expired. */
		for (j = 0; j < 100; j++)
			td_mig_vcpu_save(s.vcpu, &s.m.vcpu_state[0]);
		wait_for_timer(s.vcpu, timers[i]);
		td_mig_vcpu_save(s.vcpu, &s.m.vcpu_state[0]);
		td_mig_cmd(&s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_vcpu_run_to_sync(s.vcpu, 2);
		TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 1UL);
		scene_free(&s);
	}
}

/* ---------------------------------------------------------------- interrupts */

static void *signal_all_msis(void *vcpu)
{
	int i;

	for (i = 0; i < NR_MSIS; i++) {
		td_signal_msi(vcpu, MSI_VECTOR + i);
		usleep(1000);
	}
	return NULL;
}

TD_TEST(interrupts_that_arrive_while_the_state_is_read_are_not_lost_by_an_abort)
{
	struct kvm_lapic_state lapic;
	pthread_t thread;
	struct scene s;
	int i;

	scene_create(&s, guest_mask_irqs, 0);
	td_mig_export_immutable(&s.m);
	td_mig_export_pause(&s.m);
	kvm_pthread_create(&thread, NULL, signal_all_msis, s.vcpu);
	do {
		td_mig_vcpu_save(s.vcpu, &s.m.vcpu_state[0]);
		lapic = s.m.vcpu_state[0].lapic;
	} while (!td_lapic_irr_test(&lapic, MSI_VECTOR + NR_MSIS - 1));
	kvm_pthread_join(thread, NULL);

	td_mig_cmd(&s.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_sync(s.vcpu, 2);
	for (i = 0; i < NR_MSIS; i++)
		TEST_ASSERT_EQ(s.shared->nr_irqs[MSI_VECTOR + i], 1UL);
	scene_free(&s);
}

TD_TEST(state_that_is_set_twice_is_the_state_that_is_set_once)
{
	struct td_mig_vcpu_state *state;
	struct kvm_lapic_state lapic;
	struct scene s;

	scene_create(&s, guest_let_timer_expire, TIMER_ONE_SHOT);
	stop_with_timer_armed(&s, TIMER_ONE_SHOT);
	td_signal_msi(s.vcpu, MSI_VECTOR);
	wait_for_timer(s.vcpu, TIMER_ONE_SHOT);
	scene_import_vcpu(&s);
	state = &s.m.vcpu_state[0];
	td_mig_vcpu_load(s.d.vcpus[0], state);
	lapic = get_lapic(s.d.vcpus[0]);
	TEST_ASSERT(!memcmp(&lapic, &state->lapic, sizeof(lapic)), "Read back differs");

	/* An interrupt of the destination's own is not lost by the second one. */
	td_signal_msi(s.d.vcpus[0], MSI_VECTOR + 1);
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 1UL);
	TEST_ASSERT_EQ(s.shared->nr_irqs[MSI_VECTOR], 1UL);
	TEST_ASSERT_EQ(s.shared->nr_irqs[MSI_VECTOR + 1], 1UL);
	scene_free(&s);
}

/* -------------------------------------------------------------- what is refused */

static void expect_lapic_errno(struct kvm_vcpu *vcpu, int err)
{
	struct kvm_lapic_state lapic = {};

	TD_EXPECT_ERRNO(err, __vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic));
}

TD_TEST(lapic_is_out_of_reach_unless_the_td_is_migratable)
{
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_mask_irqs);

	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic));
	expect_lapic_errno(vcpu, EINVAL);
	kvm_vm_free(vm);
}

TD_TEST(vcpu_state_is_set_between_its_import_and_the_end_of_the_session_only)
{
	struct kvm_tdx_mig_vcpu_state state = {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
	};
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *vcpu;
	struct scene s;
	int first_vp;

	scene_create(&s, guest_mask_irqs, 0);
	expect_lapic_errno(s.vcpu, EBUSY);
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(s.vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0,
					       (u64)&state));

	td_mig_dest_create(&s.d, &s.m);
	vcpu = s.d.vcpus[0];
	td_mig_export(&s.m);
	first_vp = td_mig_import_up_to(&s.d, &s.m, KVM_TDX_MIG_IMPORT_STATE_VP);
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic));
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0,
						(u64)&state));
	expect_lapic_errno(vcpu, EBUSY);
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&state));

	td_mig_import_rest(&s.d, &s.m, first_vp);
	expect_lapic_errno(vcpu, EBUSY);
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&state));
	lapic = get_lapic(vcpu);
	td_vcpu_run_to_sync(vcpu, 2);
	scene_free(&s);
}

static void expect_bad_reg(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *good, u32 reg,
			   u32 value)
{
	struct kvm_lapic_state lapic = *good;
	int ret;

	td_lapic_set(&lapic, reg, value);
	ret = __vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
	TEST_ASSERT(ret == -1 && errno == EINVAL, "Register 0x%x = 0x%x: %d, errno %d", reg,
		    value, ret, errno);
}

TD_TEST(registers_with_reserved_bits_and_impossible_values_are_refused)
{
	struct kvm_lapic_state good, lapic;
	struct kvm_vcpu *vcpu;
	struct scene s;
	u32 reg;
	int i;

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	vcpu = s.d.vcpus[0];
	good = s.m.vcpu_state[0].lapic;

	for (i = 0; i < 16; i++)
		expect_bad_reg(vcpu, &good, APIC_IRR, BIT(i));
	for (reg = APIC_LVTT; reg < X2APIC_LVT_REGS_END; reg += 0x10)
		expect_bad_reg(vcpu, &good, reg, BIT(31));
	expect_bad_reg(vcpu, &good, APIC_SPIV, BIT(31));
	expect_bad_reg(vcpu, &good, APIC_TDCR, BIT(2));
	expect_bad_reg(vcpu, &good, APIC_TMCCT, 1);
	expect_bad_reg(vcpu, &good, APIC_ESR, 1);
	expect_bad_reg(vcpu, &good, APIC_ICR, BIT(13));
	expect_bad_reg(vcpu, &good, APIC_ICR, BIT(31));
	TD_EXPECT_ERRNO(EFAULT, __vcpu_ioctl(vcpu, KVM_SET_LAPIC,
					     (struct kvm_lapic_state *)BAD_ADDRESS));
	TEST_ASSERT_EQ(_vcpu_set_msr(vcpu, MSR_IA32_APICBASE, 0), 0);

	/* Nothing of it has had an effect. */
	lapic = get_lapic(vcpu);
	TEST_ASSERT_EQ(td_lapic_get(&lapic, APIC_TDCR), 0U);
	TEST_ASSERT_EQ(td_lapic_get(&lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED, 0U);
	scene_import_rest(&s);
	td_vcpu_run_to_sync(vcpu, 2);
	scene_free(&s);
}

TD_TEST(registers_of_the_tdx_module_are_ignored_and_read_as_zero)
{
	struct kvm_lapic_state lapic;
	struct scene s;
	int i;

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	lapic = s.m.vcpu_state[0].lapic;
	for (i = 0; i < ARRAY_SIZE(module_regs); i++)
		td_lapic_set(&lapic, module_regs[i], ~0U);
	vcpu_ioctl(s.d.vcpus[0], KVM_SET_LAPIC, &lapic);
	lapic = get_lapic(s.d.vcpus[0]);
	for (i = 0; i < ARRAY_SIZE(module_regs); i++)
		TEST_ASSERT_EQ(td_lapic_get(&lapic, module_regs[i]), 0U);
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	scene_free(&s);
}

TD_TEST(setting_icr_sends_no_ipi)
{
	struct kvm_lapic_state lapic;
	struct scene s;

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	lapic = s.m.vcpu_state[0].lapic;
	td_lapic_set(&lapic, APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT | MSI_VECTOR);
	vcpu_ioctl(s.d.vcpus[0], KVM_SET_LAPIC, &lapic);
	s.m.vcpu_state[0].lapic = lapic;
	lapic = get_lapic(s.d.vcpus[0]);
	TEST_ASSERT_EQ(td_lapic_get(&lapic, APIC_ICR),
		       APIC_DEST_SELF | APIC_INT_ASSERT | MSI_VECTOR);
	TEST_ASSERT(!td_lapic_irr_test(&lapic, MSI_VECTOR), "An IPI was sent");
	scene_import_rest(&s);
	td_vcpu_run_to_sync(s.d.vcpus[0], 2);
	TEST_ASSERT_EQ(s.shared->nr_irqs[MSI_VECTOR], 0UL);
	scene_free(&s);
}

TD_TEST(timer_values_that_no_guest_can_have_do_no_harm)
{
	static const u32 lvtts[] = {
		APIC_LVT_TIMER_ONESHOT, APIC_LVT_TIMER_PERIODIC, APIC_LVT_TIMER_TSCDEADLINE,
		APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE,
	};
	static const u32 counts[] = { 0, 1, LONG_COUNT };
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *vcpu;
	struct scene s;
	int i, j;

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	vcpu = s.d.vcpus[0];
	for (i = 0; i < ARRAY_SIZE(lvtts); i++) {
		for (j = 0; j < ARRAY_SIZE(counts); j++) {
			lapic = s.m.vcpu_state[0].lapic;
			/* No APIC delivers a vector as low as that. */
			td_lapic_set(&lapic, APIC_LVTT, lvtts[i] | 1);
			td_lapic_set(&lapic, APIC_TMICT, counts[j]);
			td_lapic_set(&lapic, APIC_TMCCT, counts[j]);
			vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
			_vcpu_set_msr(vcpu, MSR_IA32_TSC_DEADLINE, j ? ~0UL : 1);
			lapic = get_lapic(vcpu);
		}
	}
	scene_import_rest(&s);
	td_vcpu_run_to_sync(vcpu, 2);
	TEST_ASSERT_EQ(s.shared->nr_irqs[TIMER_VECTOR], 0UL);
	scene_free(&s);
}

TD_TEST(vcpu_state_with_wrong_header_or_values_is_refused)
{
	struct kvm_tdx_mig_vcpu_state good, bad;
	struct kvm_vcpu *vcpu;
	struct scene s;
	int i;

#define BAD_STATE(_id, _field, _value)							\
do {											\
	bad = good;									\
	bad._field = (_value);								\
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, _id, 0, (u64)&bad));		\
} while (0)

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	good = s.m.vcpu_state[0].tdx;

	vcpu = s.vcpu;
	BAD_STATE(KVM_TDX_MIG_GET_VCPU_STATE, version, KVM_TDX_MIG_VCPU_STATE_VERSION + 1);
	BAD_STATE(KVM_TDX_MIG_GET_VCPU_STATE, size, sizeof(good) - 1);
	BAD_STATE(KVM_TDX_MIG_GET_VCPU_STATE, reserved0, 1);
	TD_EXPECT_ERRNO(EFAULT, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0,
						BAD_ADDRESS));
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 1,
						(u64)&good));

	vcpu = s.d.vcpus[0];
	BAD_STATE(KVM_TDX_MIG_SET_VCPU_STATE, version, 0);
	BAD_STATE(KVM_TDX_MIG_SET_VCPU_STATE, size, sizeof(good) + 8);
	BAD_STATE(KVM_TDX_MIG_SET_VCPU_STATE, reserved0, 1);
	BAD_STATE(KVM_TDX_MIG_SET_VCPU_STATE, exit_reason, BIT(16));
	for (i = 0; i < ARRAY_SIZE(good.reserved); i++)
		BAD_STATE(KVM_TDX_MIG_SET_VCPU_STATE, reserved[i], 1);
	TD_EXPECT_ERRNO(EFAULT, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0,
						BAD_ADDRESS));
	scene_import_rest(&s);
	td_vcpu_run_to_sync(vcpu, 2);
	scene_free(&s);
}

TD_TEST(vcpu_state_reads_as_it_was_set)
{
	static const u32 reasons[] = {
		0, EXIT_REASON_EXTERNAL_INTERRUPT, EXIT_REASON_HLT, EXIT_REASON_EPT_VIOLATION,
		EXIT_REASON_TDCALL, 0xffff,
	};
	struct kvm_tdx_mig_vcpu_state set, get;
	struct kvm_vcpu *vcpu;
	struct scene s;
	__u64 *reg;
	int i;

	scene_create(&s, guest_mask_irqs, 0);
	scene_import_vcpu(&s);
	vcpu = s.d.vcpus[0];
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		set = s.m.vcpu_state[0].tdx;
		set.exit_reason = reasons[i];
		for (reg = &set.rdx; reg <= &set.rsi; reg++)
			*reg = (u64)(reg - &set.rdx + 1) << 32 | i;
		get = (struct kvm_tdx_mig_vcpu_state) {
			.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
			.size = sizeof(get),
		};
		td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&set);
		td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&get);
		TEST_ASSERT(!memcmp(&get, &set, sizeof(get)),
			    "Exit reason %u reads as %u, or a register has changed", reasons[i],
			    get.exit_reason);
	}
	scene_import_rest(&s);
	td_vcpu_run_to_sync(vcpu, 2);
	scene_free(&s);
}

TD_TEST(vcpu_state_waits_for_the_end_of_an_io_access)
{
	struct kvm_tdx_mig_vcpu_state state = {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_read_port, &vcpu);

	td_launch(vm);
	vcpu_run(vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_IO);
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state));
	vcpu->run->immediate_exit = 1;
	TD_EXPECT_ERRNO(EINTR, __vcpu_run(vcpu));
	vcpu->run->immediate_exit = 0;
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
