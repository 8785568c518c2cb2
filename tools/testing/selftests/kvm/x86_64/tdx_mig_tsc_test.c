// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs whose TSC has another frequency than the host's: what the guest is told,
 * the rate that it sees, timers, and all of it across a migration.
 *
 * Rates and times are compared with the host's TSC of the same moments, so that
 * it does not matter how slow the machine is.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define UNIT_KHZ		25000U
#define SLOW_KHZ		(40 * UNIT_KHZ)
#define MIN_KHZ			(4 * UNIT_KHZ)
#define MAX_KHZ			(400 * UNIT_KHZ)
#define TIMER_VECTOR		0x40
#define APIC_TDR_DIV_1		0xb
#define TIMER_NS		20000000UL
#define NSEC_PER_MSEC		1000000UL
/* KVM lets deadline timers expire that early. */
#define TIMER_ADVANCE_NS	5000UL
#define NR_TRIES		10
#define NR_READS		2000
/* Percent.  The native frequency can be between two units, e.g. at 2494 MHz. */
#define TOLERANCE		2
#define TEST_TSC_AUX		0x4711U

struct shared {
	/* When the timer was taken, and the least delay of all that were. */
	u64 irq_tsc;
	u64 least_delay;
};

static struct shared *shared;

/* --------------------------------------------------------------------- guest */

static u32 guest_khz(void)
{
	u32 denominator, numerator, crystal, unused;

	__cpuid(0x15, 0, &denominator, &numerator, &crystal, &unused);
	GUEST_ASSERT_EQ(denominator, 1U);
	return (u64)crystal * numerator / denominator / 1000;
}

static u64 guest_ticks(u64 ns)
{
	return ns * guest_khz() / NSEC_PER_MSEC;
}

static void guest_note_irq(struct ex_regs *regs)
{
	WRITE_ONCE(shared->irq_tsc, rdtsc());
	td_x2apic_eoi();
}

static void guest_report_tsc(void)
{
	for (;;)
		GUEST_SYNC(rdtsc());
}

static void guest_report_khz(void)
{
	GUEST_SYNC(guest_khz());
	GUEST_DONE();
}

/* All ways to read it, in a row: none of them is of another clock. */
static void guest_read_in_all_ways(void)
{
	u64 tsc = rdtsc(), next;
	u32 aux;
	int i;

	wrmsr(MSR_TSC_AUX, TEST_TSC_AUX);
	for (i = 0; i < NR_READS; i++) {
		next = rdtscp(&aux);
		__GUEST_ASSERT(next >= tsc, "RDTSCP: %lx after %lx", next, tsc);
		GUEST_ASSERT_EQ(aux, TEST_TSC_AUX);
		tsc = rdmsr(MSR_IA32_TSC);
		__GUEST_ASSERT(tsc >= next, "RDMSR: %lx after %lx", tsc, next);
		next = rdtsc();
		__GUEST_ASSERT(next >= tsc, "RDTSC: %lx after %lx", next, tsc);
		tsc = next;
	}
	GUEST_DONE();
}

static void guest_read_often(void)
{
	int i;

	for (;;) {
		for (i = 0; i < NR_READS; i++)
			rdtsc();
		GUEST_SYNC(1);
	}
}

static void guest_arm_deadline(u64 deadline)
{
	WRITE_ONCE(shared->irq_tsc, 0);
	td_x2apic_write(APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | TIMER_VECTOR);
	GUEST_ASSERT_EQ(tdvmcall_wrmsr(MSR_IA32_TSC_DEADLINE, deadline), 0ULL);
}

static void guest_arm_one_shot(u64 ns)
{
	WRITE_ONCE(shared->irq_tsc, 0);
	td_x2apic_write(APIC_LVTT, APIC_LVT_TIMER_ONESHOT | TIMER_VECTOR);
	td_x2apic_write(APIC_TDCR, APIC_TDR_DIV_1);
	td_x2apic_write(APIC_TMICT, ns);
}

/* The timer is not early; returns how late it is. */
static u64 guest_take_timer(u64 due, u64 tolerance)
{
	u64 tsc;

	td_halt_until(&shared->irq_tsc);
	cli();
	tsc = READ_ONCE(shared->irq_tsc);
	__GUEST_ASSERT(tsc + tolerance >= due, "Due at %lx, taken at %lx", due, tsc);
	return tsc > due ? tsc - due : 0;
}

static void guest_take_timers(void)
{
	u64 due, delay, least = ~0UL;
	int i;

	td_x2apic_enable();
	cli();
	for (i = 0; i < NR_TRIES; i++) {
		due = rdtsc() + guest_ticks(TIMER_NS);
		guest_arm_deadline(due);
		delay = guest_take_timer(due, guest_ticks(TIMER_ADVANCE_NS));
		least = min(least, delay);

		due = rdtsc() + guest_ticks(TIMER_NS);
		guest_arm_one_shot(TIMER_NS);
		guest_take_timer(due, guest_ticks(TIMER_NS) / 100);
	}
	shared->least_delay = least;
	GUEST_DONE();
}

/* Migrated at each sync. */
static void guest_travel(void)
{
	u64 tsc, due;
	int i;

	td_x2apic_enable();
	cli();
	for (i = 0; i < 2; i++) {
		tsc = rdtsc();
		due = tsc + guest_ticks(TIMER_NS);
		guest_arm_deadline(due);
		GUEST_SYNC(guest_khz());
		__GUEST_ASSERT(rdtsc() > tsc, "The TSC went back");
		guest_take_timer(due, guest_ticks(TIMER_ADVANCE_NS));
	}
	guest_report_tsc();
}

/* ---------------------------------------------------------------------- host */

static u32 host_khz(void)
{
	struct kvm_vm *vm = td_create_barebones();
	int khz = __vm_ioctl(vm, KVM_GET_TSC_KHZ, NULL);

	TEST_ASSERT(khz > 0, "The host does not know its TSC");
	kvm_vm_free(vm);
	return khz;
}

struct scene {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct shared *shared;
	u32 khz;
	u32 host_khz;
};

/* @khz of 0 is what a VMM gets that does not ask. */
static void scene_create(struct scene *s, u32 khz, void *guest_code)
{
	const u64 attributes = kvm_has_tdx_mig() ? TDX_TD_ATTR_MIGRATABLE : 0;
	gva_t gva;

	*s = (struct scene) { .khz = khz, .host_khz = host_khz() };
	s->vm = td_create_uninitialized(1, 0);
	if (khz)
		vm_ioctl(s->vm, KVM_SET_TSC_KHZ, (void *)(u64)khz);
	td_init_vm(s->vm, attributes);
	s->vcpu = vm_vcpu_add(s->vm, 0, guest_code);
	td_migtd_bind(td_mig_src_migtd(), s->vm, 0);

	gva = vm_alloc_shared(s->vm, sizeof(*shared), KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, shared, (struct shared *)gva);
	s->shared = addr_gva2hva(s->vm, gva);
	vm_install_exception_handler(s->vm, TIMER_VECTOR, guest_note_irq);
	td_launch(s->vm);
}

static u32 round_to_unit(u32 khz)
{
	return khz - khz % UNIT_KHZ;
}

#define NR_FREQUENCIES	3

/* One below the native frequency, that one, and one above. */
static u32 frequency(int i)
{
	const u32 native = host_khz();

	return i ? round_to_unit(i * native) : SLOW_KHZ;
}

struct reading {
	u64 before, after, tsc;
};

static struct reading read_tsc(struct kvm_vcpu *vcpu)
{
	struct reading r;
	struct ucall uc;

	r.before = rdtsc();
	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_SYNC);
	r.after = rdtsc();
	r.tsc = uc.args[1];
	return r;
}

/* Ticks of the guest in so many of the host. */
static u64 expected_ticks(const struct scene *s, u64 host_ticks)
{
	const u32 khz = round_to_unit(s->khz);

	/* The host's own frequency is as near as a TD can get to it. */
	if (!khz || khz == round_to_unit(s->host_khz))
		return host_ticks;
	return host_ticks / s->host_khz * khz + host_ticks % s->host_khz * khz / s->host_khz;
}

/*
 * The guest has read its TSC at some time between two readings of the host's.
 * Wait until that is a small part of the whole.
 */
static void check_rate(const struct scene *s, struct kvm_vcpu *vcpu)
{
	u64 least, most, ticks, us = 50000;
	struct reading first, second;

	do {
		first = read_tsc(vcpu);
		usleep(us);
		second = read_tsc(vcpu);
		least = second.before - first.after;
		most = second.after - first.before;
		us *= 2;
	} while (most - least > least / 20);

	ticks = second.tsc - first.tsc;
	TEST_ASSERT(ticks >= expected_ticks(s, least) / 100 * (100 - TOLERANCE) &&
		    ticks <= expected_ticks(s, most) / 100 * (100 + TOLERANCE),
		    "%u kHz on a host of %u kHz: %lu ticks in %lu to %lu of the host",
		    s->khz, s->host_khz, ticks, least, most);
}

static void check_khz(const struct scene *s, struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_SYNC);
	TEST_ASSERT_EQ(uc.args[1], (u64)round_to_unit(s->khz));
}

/*
 * A clock of KVM that runs at another rate than the guest's would be off by a part
 * of the time since the host's boot.
 */
static void check_delay(const struct scene *s)
{
	TEST_ASSERT(s->shared->least_delay < expected_ticks(s, rdtsc()) / 500,
		    "%u kHz: %d timers, all late by %lu ticks and more", s->khz, NR_TRIES,
		    s->shared->least_delay);
}

TD_TEST(guest_is_told_the_frequency_that_was_asked_for)
{
	struct scene s;
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++) {
		scene_create(&s, frequency(i), guest_report_khz);
		check_khz(&s, s.vcpu);
		td_vcpu_run_to_done(s.vcpu);
		kvm_vm_free(s.vm);
	}
}

TD_TEST(tsc_has_the_rate_that_was_asked_for)
{
	struct scene s;
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++) {
		scene_create(&s, frequency(i), guest_report_tsc);
		check_rate(&s, s.vcpu);
		TEST_ASSERT_EQ(__vcpu_ioctl(s.vcpu, KVM_GET_TSC_KHZ, NULL), (int)s.khz);
		kvm_vm_free(s.vm);
	}
}

TD_TEST(tsc_has_the_rate_of_the_host_when_nothing_was_asked_for)
{
	struct scene s;

	scene_create(&s, 0, guest_report_tsc);
	check_rate(&s, s.vcpu);
	TEST_ASSERT_EQ(__vcpu_ioctl(s.vcpu, KVM_GET_TSC_KHZ, NULL), (int)s.host_khz);
	kvm_vm_free(s.vm);
}

TD_TEST(all_instructions_read_the_same_tsc)
{
	struct scene s;
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++) {
		scene_create(&s, frequency(i), guest_read_in_all_ways);
		td_vcpu_run_to_done(s.vcpu);
		kvm_vm_free(s.vm);
	}
}

static u64 cost_of_reads(u32 khz)
{
	u64 start, least = ~0UL;
	struct scene s;
	int i;

	scene_create(&s, khz, guest_read_often);
	for (i = 0; i < NR_TRIES; i++) {
		start = rdtsc();
		td_vcpu_run_to_sync(s.vcpu, 1);
		least = min(least, rdtsc() - start);
	}
	kvm_vm_free(s.vm);
	return least;
}

TD_TEST(tsc_of_the_native_frequency_is_read_without_an_exit)
{
	const u64 native = cost_of_reads(0), asked = cost_of_reads(round_to_unit(host_khz()));
	const u64 scaled = cost_of_reads(SLOW_KHZ);

	/* An exit costs many times what an emulated instruction does. */
	TEST_ASSERT(2 * native < scaled && 2 * asked < scaled,
		    "%d reads take %lu and %lu cycles, %lu when scaled", NR_READS, native, asked,
		    scaled);
}

TD_TEST(timers_fire_when_they_are_due_in_time_of_the_guest)
{
	struct scene s;
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++) {
		scene_create(&s, frequency(i), guest_take_timers);
		td_vcpu_run_to_done(s.vcpu);
		check_delay(&s);
		kvm_vm_free(s.vm);
	}
}

TD_TEST(frequency_between_two_units_is_rounded_down_for_timers_too)
{
	struct scene s;

	scene_create(&s, SLOW_KHZ + UNIT_KHZ - 1, guest_take_timers);
	TEST_ASSERT_EQ(__vcpu_ioctl(s.vcpu, KVM_GET_TSC_KHZ, NULL), (int)SLOW_KHZ);
	td_vcpu_run_to_done(s.vcpu);
	check_delay(&s);
	kvm_vm_free(s.vm);
}

TD_TEST(frequency_out_of_range_is_refused)
{
	const u32 bad[] = { 1, MIN_KHZ - 1, MAX_KHZ + UNIT_KHZ };
	struct kvm_tdx_init_vm *init;
	struct kvm_vm *vm;
	u64 hw_error;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vm = td_create_barebones();
		init = td_alloc_init_vm(vm, 0);
		vm_ioctl(vm, KVM_SET_TSC_KHZ, (void *)(u64)bad[i]);
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init, &hw_error));
		TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OPERAND_INVALID);
		free(init);
		kvm_vm_free(vm);
	}
}

static void check_migration(u32 khz)
{
	struct td_mig_dest d;
	struct reading last;
	struct td_mig m;
	struct scene s;

	scene_create(&s, khz, guest_travel);
	check_khz(&s, s.vcpu);
	check_khz(&s, s.vcpu);

	td_mig_init(&m, s.vm, &s.vcpu, 1, 1);
	td_mig_migrate(&m, &d);
	last = read_tsc(d.vcpus[0]);
	TEST_ASSERT(read_tsc(d.vcpus[0]).tsc > last.tsc, "The TSC stands still");
	check_rate(&s, d.vcpus[0]);
	TEST_ASSERT_EQ(__vcpu_ioctl(d.vcpus[0], KVM_GET_TSC_KHZ, NULL),
		       __vcpu_ioctl(s.vcpu, KVM_GET_TSC_KHZ, NULL));

	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(s.vm);
}

TD_TEST(tsc_and_timers_go_on_after_a_migration)
{
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++)
		check_migration(frequency(i));
}

TD_TEST(rounded_frequency_goes_on_after_a_migration)
{
	check_migration(SLOW_KHZ + UNIT_KHZ - 1);
}

TD_TEST(timers_fire_when_they_are_due_at_the_destination)
{
	struct td_mig_dest d;
	struct scene s;
	struct td_mig m;
	int i;

	for (i = 0; i < NR_FREQUENCIES; i++) {
		scene_create(&s, frequency(i), guest_take_timers);
		td_mig_init(&m, s.vm, &s.vcpu, 1, 1);
		td_mig_migrate(&m, &d);
		td_vcpu_run_to_done(d.vcpus[0]);
		check_delay(&s);
		td_mig_dest_free(&d);
		td_mig_free(&m);
		kvm_vm_free(s.vm);
	}
}

TD_TEST(destination_of_another_frequency_refuses_the_td)
{
	struct td_mig_dest d;
	struct td_mig m;
	struct scene s;

	scene_create(&s, SLOW_KHZ, guest_report_tsc);
	read_tsc(s.vcpu);
	td_mig_open(&m, s.vm, &s.vcpu, 1, 1);
	m.next_dst = __td_mig_dest_create_vm(SLOW_KHZ + UNIT_KHZ);
	td_mig_exchange_keys(&m);
	td_mig_dest_create(&d, &m);
	td_mig_export_immutable(&m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(d.streams, &m.bundles[0], NULL));

	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	check_rate(&s, s.vcpu);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(s.vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	return test_harness_run(argc, argv);
}
