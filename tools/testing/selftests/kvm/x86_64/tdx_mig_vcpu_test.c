// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs with many vCPUs are migrated while each vCPU does something else, and every
 * vCPU goes on with it: what KVM, not the TDX module, knows about a vCPU moves
 * too.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_runner.h"
#include "tdx_test.h"

#define IO_PORT			0x80
#define IO_VALUE		0xc0ffee11U

/* Every vCPU has a vector of its own. */
#define FIRST_VECTOR		0x40

/* A one-shot timer that does not expire while the TD is on the source. */
#define LONG_COUNT		0xffffffffU
#define SHORT_COUNT		1000
#define PERIOD_COUNT		10000
#define NR_PERIODS		3
/* Likewise, in cycles of the TSC. */
#define LONG_DEADLINE		BIT_ULL(50)

#define APIC_TDR_DIV_128	0xa

/* What a vCPU is doing when the TD is stopped. */
enum role {
	/* It has got the answer to a hypercall, and not seen it yet. */
	ROLE_IO,
	/* Halted, with a timer. */
	ROLE_ONE_SHOT,
	ROLE_DEADLINE,
	/* Halted, with an interrupt that is on its way. */
	ROLE_MSI,
	/* Halted, until ROLE_SPIN sends an IPI. */
	ROLE_WAIT_IPI,
	/* Computing. */
	ROLE_SPIN,
	/* Computing, with a periodic timer. */
	ROLE_PERIODIC,
	/* Computing, with an NMI that KVM has not delivered. */
	ROLE_NMI,
	NR_ROLES,
};

/* In memory that host and guest share. */
struct shared {
	/* By vector. */
	u64 nr_irqs[256];
	/* By vCPU: it has got to where it is to be stopped. */
	u64 ready[TD_MIG_MAX_VCPUS];
	/* Set by the host after the migration. */
	u64 go;
};

static struct shared *shared;
/* For the guest: index of the vCPU that waits for an IPI, and its APIC id. */
static u64 ipi_vcpu, ipi_apic_id;

static u8 vcpu_vector(u64 index)
{
	return FIRST_VECTOR + index;
}

static void guest_count_irq(struct ex_regs *regs)
{
	__atomic_fetch_add(&shared->nr_irqs[regs->vector], 1, __ATOMIC_RELAXED);
	if (regs->vector != NMI_VECTOR)
		td_x2apic_eoi();
}

static void guest_start_timer(u64 index, u32 mode, u32 count)
{
	td_x2apic_write(APIC_LVTT, mode | vcpu_vector(index));
	td_x2apic_write(APIC_TDCR, APIC_TDR_DIV_128);
	td_x2apic_write(APIC_TMICT, count);
}

static void guest_io(u64 index)
{
	u64 value = 0;

	WRITE_ONCE(shared->ready[index], 1);
	GUEST_ASSERT_EQ(tdvmcall_io_read(IO_PORT, sizeof(u32), &value), 0ULL);
	GUEST_ASSERT_EQ((u32)value, IO_VALUE);
}

static void guest_halt(u64 index)
{
	WRITE_ONCE(shared->ready[index], 1);
	td_halt_until(&shared->nr_irqs[vcpu_vector(index)]);
}

static void guest_spin_until(const u64 *flag, u64 min)
{
	u64 n = 0, sum = 0;

	while (READ_ONCE(*flag) < min)
		sum += ++n;
	GUEST_ASSERT_EQ(sum, n * (n + 1) / 2);
}

static void guest_main(u64 arg)
{
	const enum role role = arg >> 32;
	const u64 index = (u32)arg;
	u64 *irqs = &shared->nr_irqs[vcpu_vector(index)];

	td_x2apic_enable();
	sti_nop();

	switch (role) {
	case ROLE_IO:
		guest_io(index);
		break;
	case ROLE_ONE_SHOT:
		guest_start_timer(index, APIC_LVT_TIMER_ONESHOT, LONG_COUNT);
		guest_halt(index);
		break;
	case ROLE_DEADLINE:
		td_x2apic_write(APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | vcpu_vector(index));
		GUEST_ASSERT_EQ(tdvmcall_wrmsr(MSR_IA32_TSC_DEADLINE, rdtsc() + LONG_DEADLINE),
				0ULL);
		guest_halt(index);
		break;
	case ROLE_MSI:
	case ROLE_WAIT_IPI:
		guest_halt(index);
		break;
	case ROLE_SPIN:
		WRITE_ONCE(shared->ready[index], 1);
		guest_spin_until(&shared->go, 1);
		td_x2apic_send_ipi(ipi_apic_id, vcpu_vector(ipi_vcpu));
		break;
	case ROLE_PERIODIC:
		guest_start_timer(index, APIC_LVT_TIMER_PERIODIC, PERIOD_COUNT);
		WRITE_ONCE(shared->ready[index], 1);
		guest_spin_until(&shared->go, 1);
		guest_spin_until(irqs, READ_ONCE(*irqs) + NR_PERIODS);
		td_x2apic_write(APIC_TMICT, 0);
		break;
	case ROLE_NMI:
		WRITE_ONCE(shared->ready[index], 1);
		guest_spin_until(&shared->nr_irqs[NMI_VECTOR], 1);
		break;
	default:
		GUEST_FAIL("vCPU %lu has no role", index);
	}
	GUEST_DONE();
}

/* A TD whose vCPU N, with id @ids[N] or N, has role @roles[N]. */
struct scene {
	const enum role *roles;
	int nr_vcpus;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TD_MIG_MAX_VCPUS];
	struct td_runner runners[TD_MIG_MAX_VCPUS];
	struct shared *shared;
};

static void scene_create(struct scene *s, const enum role *roles, const u32 *ids, int nr_vcpus)
{
	gva_t gva;
	int i;

	*s = (struct scene) { .roles = roles, .nr_vcpus = nr_vcpus };
	/* The first vCPU has id 0. */
	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, nr_vcpus * DEFAULT_STACK_PGS, guest_main,
			    s->vcpus);

	gva = vm_alloc_shared(s->vm, sizeof(*shared), KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, shared, (struct shared *)gva);
	s->shared = addr_gva2hva(s->vm, gva);
	vm_install_exception_handler(s->vm, NMI_VECTOR, guest_count_irq);

	for (i = 0; i < nr_vcpus; i++) {
		if (i)
			s->vcpus[i] = vm_vcpu_add(s->vm, ids ? ids[i] : i, guest_main);
		td_vcpu_set_arg(s->vcpus[i], (u64)roles[i] << 32 | i);
		vm_install_exception_handler(s->vm, vcpu_vector(i), guest_count_irq);
		if (roles[i] == ROLE_WAIT_IPI) {
			write_guest_global(s->vm, ipi_vcpu, (u64)i);
			write_guest_global(s->vm, ipi_apic_id, (u64)s->vcpus[i]->id);
		}
	}
	td_launch(s->vm);
}

static void scene_start(struct scene *s, struct kvm_vcpu *vcpus[])
{
	int i;

	for (i = 0; i < s->nr_vcpus; i++) {
		s->runners[i] = (struct td_runner) {
			.vcpu = vcpus[i],
			.io_value = IO_VALUE,
			.stop_at_io = true,
		};
		td_runner_start(&s->runners[i]);
	}
}

/* Stop all vCPUs, each in the midst of what its role says. */
static void scene_stop(struct scene *s)
{
	int i;

	for (i = 0; i < s->nr_vcpus; i++) {
		while (!READ_ONCE(s->shared->ready[i]))
			usleep(1000);
	}

	for (i = 0; i < s->nr_vcpus; i++) {
		switch (s->roles[i]) {
		case ROLE_IO:
			td_runner_join(&s->runners[i]);
			break;
		case ROLE_ONE_SHOT:
		case ROLE_DEADLINE:
		case ROLE_WAIT_IPI:
			td_runner_stop_halted(&s->runners[i]);
			break;
		case ROLE_MSI:
			td_runner_stop_halted(&s->runners[i]);
			td_signal_msi(s->vcpus[i], vcpu_vector(i));
			break;
		case ROLE_NMI:
			td_runner_stop(&s->runners[i]);
			vcpu_ioctl(s->vcpus[i], KVM_NMI, NULL);
			break;
		default:
			td_runner_stop(&s->runners[i]);
		}
	}
}

/* What was saved shows that the vCPUs were doing what they were to do. */
static void scene_check_saved(struct scene *s, struct td_mig_vcpu_state *states)
{
	int i;

	for (i = 0; i < s->nr_vcpus; i++) {
		struct td_mig_vcpu_state *state = &states[i];
		struct kvm_lapic_state *lapic = &state->lapic;

		switch (s->roles[i]) {
		case ROLE_IO:
			TEST_ASSERT_EQ((u32)state->tdx.r11, IO_VALUE);
			break;
		case ROLE_ONE_SHOT:
			TEST_ASSERT_EQ(td_lapic_get(lapic, APIC_TMICT), LONG_COUNT);
			TEST_ASSERT(td_lapic_get(lapic, APIC_TMCCT), "The timer has expired");
			td_lapic_set(lapic, APIC_TMCCT, SHORT_COUNT);
			break;
		case ROLE_DEADLINE:
			TEST_ASSERT(state->tsc_deadline > LONG_DEADLINE, "The timer has expired");
			state->tsc_deadline -= LONG_DEADLINE;
			break;
		case ROLE_MSI:
			TEST_ASSERT(td_lapic_irr_test(lapic, vcpu_vector(i)), "No interrupt");
			TEST_ASSERT_EQ(state->mp_state.mp_state, KVM_MP_STATE_HALTED);
			break;
		case ROLE_WAIT_IPI:
			TEST_ASSERT(!td_lapic_irr_test(lapic, vcpu_vector(i)), "An interrupt");
			TEST_ASSERT_EQ(state->mp_state.mp_state, KVM_MP_STATE_HALTED);
			break;
		case ROLE_PERIODIC:
			TEST_ASSERT_EQ(td_lapic_get(lapic, APIC_TMICT), PERIOD_COUNT);
			break;
		case ROLE_NMI:
			TEST_ASSERT(state->events.nmi.pending, "No NMI");
			break;
		default:
			break;
		}
	}
}

static void scene_finish(struct scene *s, struct kvm_vcpu *vcpus[])
{
	int i;

	WRITE_ONCE(s->shared->go, 1);
	scene_start(s, vcpus);
	for (i = 0; i < s->nr_vcpus; i++) {
		td_runner_join(&s->runners[i]);
		TEST_ASSERT(s->runners[i].done, "vCPU %d, role %u", i, s->roles[i]);
	}

	for (i = 0; i < s->nr_vcpus; i++) {
		const u64 nr_irqs = s->shared->nr_irqs[vcpu_vector(i)];

		switch (s->roles[i]) {
		case ROLE_IO:
		case ROLE_SPIN:
			TEST_ASSERT_EQ(nr_irqs, 0UL);
			break;
		case ROLE_NMI:
			TEST_ASSERT_EQ(nr_irqs, 0UL);
			TEST_ASSERT_EQ(s->shared->nr_irqs[NMI_VECTOR], 1UL);
			break;
		case ROLE_PERIODIC:
			TEST_ASSERT(nr_irqs >= NR_PERIODS, "%lu ticks", nr_irqs);
			break;
		default:
			TEST_ASSERT_EQ(nr_irqs, 1UL);
		}
	}
}

static void migrate_scene(const enum role *roles, const u32 *ids, int nr_vcpus, bool reverse)
{
	struct td_mig_dest d;
	struct td_mig m;
	struct scene s;

	scene_create(&s, roles, ids, nr_vcpus);
	scene_start(&s, s.vcpus);
	scene_stop(&s);

	td_mig_init(&m, s.vm, s.vcpus, nr_vcpus, 1);
	m.reverse_vcpus = reverse;
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	scene_check_saved(&s, m.vcpu_state);
	td_mig_import_rest(&d, &m, 0);
	scene_finish(&s, d.vcpus);

	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(s.vm);
}

static const enum role halted_and_in_a_hypercall[] = {
	ROLE_IO, ROLE_ONE_SHOT, ROLE_MSI, ROLE_DEADLINE,
};

static const enum role running_and_waiting_for_each_other[] = {
	ROLE_SPIN, ROLE_WAIT_IPI, ROLE_PERIODIC, ROLE_NMI,
};

static const enum role all_roles[NR_ROLES] = {
	ROLE_NMI, ROLE_WAIT_IPI, ROLE_IO, ROLE_PERIODIC,
	ROLE_DEADLINE, ROLE_SPIN, ROLE_MSI, ROLE_ONE_SHOT,
};

TD_TEST(four_vcpus_that_wait_go_on_after_the_migration)
{
	migrate_scene(halted_and_in_a_hypercall, NULL, 4, false);
}

TD_TEST(four_vcpus_that_compute_go_on_after_the_migration)
{
	migrate_scene(running_and_waiting_for_each_other, NULL, 4, false);
}

TD_TEST(eight_vcpus_in_eight_situations_go_on_after_the_migration)
{
	migrate_scene(all_roles, NULL, NR_ROLES, false);
}

TD_TEST(vcpus_are_named_by_ids_with_holes_and_created_in_another_order)
{
	static const u32 ids[] = { 0, 3, 5, 12 };

	migrate_scene(running_and_waiting_for_each_other, ids, 4, true);
	migrate_scene(halted_and_in_a_hypercall, ids, 4, true);
}

TD_TEST(vcpus_go_on_after_an_abort_as_if_their_state_had_not_been_read)
{
	struct td_mig m;
	struct scene s;
	int i;

	scene_create(&s, all_roles, NULL, NR_ROLES);
	scene_start(&s, s.vcpus);
	scene_stop(&s);

	td_mig_init(&m, s.vm, s.vcpus, NR_ROLES, 1);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);
	td_mig_export_all_mem(&m);
	td_mig_export_td_and_vcpus(&m);
	scene_check_saved(&s, m.vcpu_state);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	/* Nobody but the host can make the long timers short ones here. */
	for (i = 0; i < NR_ROLES; i++) {
		if (s.roles[i] == ROLE_ONE_SHOT || s.roles[i] == ROLE_DEADLINE)
			td_signal_msi(s.vcpus[i], vcpu_vector(i));
		td_mig_vcpu_save(s.vcpus[i], &m.vcpu_state[i]);
	}
	scene_finish(&s, s.vcpus);
	td_mig_free(&m);
	kvm_vm_free(s.vm);
}

/* ------------------------------------------------------------------- the TSC */

#define NR_TSC_VCPUS	4

static void guest_read_tsc(void)
{
	GUEST_SYNC(rdtsc());
	GUEST_SYNC(rdtsc());
	GUEST_DONE();
}

static u64 run_to_tsc(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_SYNC);
	return uc.args[1];
}

TD_TEST(tsc_goes_on_and_is_the_same_on_all_vcpus)
{
	struct kvm_vcpu *vcpus[NR_TSC_VCPUS];
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_TSC_VCPUS, 0,
					guest_read_tsc, vcpus);
	struct td_mig_dest d;
	struct td_mig m;
	u64 tsc, last = 0;
	int i;

	td_launch(vm);
	for (i = 0; i < NR_TSC_VCPUS; i++) {
		tsc = run_to_tsc(vcpus[i]);
		TEST_ASSERT(tsc > last, "vCPU %d: TSC %lu after %lu", i, tsc, last);
		last = tsc;
	}

	td_mig_init(&m, vm, vcpus, NR_TSC_VCPUS, 1);
	td_mig_migrate(&m, &d);

	/* In the other order, so that an offset of one vCPU shows. */
	for (i = NR_TSC_VCPUS - 1; i >= 0; i--) {
		tsc = run_to_tsc(d.vcpus[i]);
		TEST_ASSERT(tsc > last, "vCPU %d: TSC %lu after %lu", i, tsc, last);
		last = tsc;
		TEST_ASSERT_EQ(__vcpu_ioctl(d.vcpus[i], KVM_GET_TSC_KHZ, NULL),
			       __vcpu_ioctl(vcpus[i], KVM_GET_TSC_KHZ, NULL));
	}
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* -------------------------------------------------------- MapGPA in progress */

/* KVM does that in steps of 2 MiB. */
#define MAP_SLOT	TD_SLOT_UNACCEPTED
#define MAP_GPA		0x40000000UL
#define MAP_STEP	(2UL << 20)
#define MAP_STEPS	3

static void guest_map_gpa(void)
{
	td_map_gpa(MAP_GPA | TD_SHARED_BIT, MAP_STEPS * MAP_STEP);
	GUEST_DONE();
}

static struct kvm_vm *create_mapping_td(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1,
					MAP_STEPS * MAP_STEP / PAGE_SIZE, guest_map_gpa, vcpu);

	td_add_unaccepted_memory(vm, MAP_SLOT, MAP_GPA, MAP_STEPS * MAP_STEP / PAGE_SIZE);
	td_launch(vm);
	vcpu_run(*vcpu);
	td_handle_map_gpa(*vcpu);
	return vm;
}

static int complete_exit(struct kvm_vcpu *vcpu)
{
	int ret;

	vcpu->run->immediate_exit = 1;
	ret = __vcpu_run(vcpu);
	vcpu->run->immediate_exit = 0;
	return ret;
}

TD_TEST(td_is_not_paused_in_the_midst_of_a_hypercall)
{
	struct kvm_tdx_mig_vcpu_state state = {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_mapping_td(&vcpu);
	struct td_mig m;
	int steps = 1;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(&m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE, NULL,
					       NULL));
	TD_EXPECT_ERRNO(EBUSY, __td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state));
	while (!complete_exit(vcpu)) {
		td_handle_map_gpa(vcpu);
		steps++;
	}
	TEST_ASSERT_EQ(errno, EINTR);
	TEST_ASSERT_EQ(steps, MAP_STEPS);
	td_mig_export_pause(&m);
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(vcpu);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(rest_of_a_long_mapgpa_is_done_after_the_migration)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_mapping_td(&vcpu);
	struct td_mig_dest d;
	struct kvm_run *run;
	struct td_mig m;
	struct ucall uc;
	int i;

	/* The second step is refused for now; the guest has to come back for it. */
	TEST_ASSERT(!complete_exit(vcpu), "One step for all, errno %d", errno);
	vcpu->run->hypercall.ret = EAGAIN;
	TD_EXPECT_ERRNO(EINTR, complete_exit(vcpu));

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_migrate(&m, &d);
	run = d.vcpus[0]->run;
	for (i = 1; i < MAP_STEPS; i++) {
		vcpu_run(d.vcpus[0]);
		TEST_ASSERT_KVM_EXIT_REASON(d.vcpus[0], KVM_EXIT_HYPERCALL);
		TEST_ASSERT_EQ(run->hypercall.args[0], MAP_GPA + i * MAP_STEP);
		TEST_ASSERT_EQ(run->hypercall.args[1], MAP_STEP / PAGE_SIZE);
		vm_mem_set_shared(d.vm, run->hypercall.args[0], MAP_STEP);
		run->hypercall.ret = 0;
	}
	vcpu_run(d.vcpus[0]);
	TEST_ASSERT_EQ(get_ucall(d.vcpus[0], &uc), UCALL_DONE);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* --------------------------------------------- vCPUs without a state */

#define NR_GAP_PAGES	4
#define GAP_GPA		0x40000000UL
#define GAP_SLOT	TD_SLOT_UNACCEPTED

/* vCPUs 1 and 3 are never initialized. */
#define NR_GAP_VCPUS	4

static void guest_use_own_page(u64 id)
{
	u64 *page = (u64 *)(GAP_GPA + id * PAGE_SIZE);

	GUEST_SYNC(1);
	td_accept_pages((gpa_t)page, 1);
	WRITE_ONCE(*page, id + 1);
	GUEST_ASSERT_EQ(READ_ONCE(*page), id + 1);
	GUEST_DONE();
}

struct gap {
	struct kvm_vm *vm;
	/* Those that run. */
	struct kvm_vcpu *vcpus[2];
	struct kvm_vcpu *extras[2];
	struct td_mig m;
};

static void gap_create(struct gap *g)
{
	int i;

	g->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, NR_GAP_VCPUS * DEFAULT_STACK_PGS,
			    guest_use_own_page, g->vcpus);
	g->extras[0] = td_vcpu_add_uninitialized(g->vm, 1);
	g->vcpus[1] = vm_vcpu_add(g->vm, 2, guest_use_own_page);
	g->extras[1] = td_vcpu_add_uninitialized(g->vm, 3);
	td_add_unaccepted_memory(g->vm, GAP_SLOT, GAP_GPA, NR_GAP_PAGES);
	for (i = 0; i < 2; i++)
		td_vcpu_set_arg(g->vcpus[i], g->vcpus[i]->id);
	td_launch(g->vm);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_sync(g->vcpus[i], 1);
	td_mig_init(&g->m, g->vm, g->vcpus, 2, 1);
}

static void gap_export(struct gap *g)
{
	td_mig_export_immutable(&g->m);
	td_mig_export_pause(&g->m);
	td_mig_export_all_mem(&g->m);
	td_mig_export_td_and_vcpus(&g->m);
}

static void gap_finish(struct gap *g, struct td_mig_dest *d)
{
	int i;

	for (i = 0; i < 2; i++)
		td_vcpu_run_to_done(d->vcpus[i]);
	td_mig_dest_free(d);
	td_mig_free(&g->m);
	kvm_vm_free(g->vm);
}

TD_TEST(export_in_order_skips_vcpus_that_were_never_initialized)
{
	struct td_mig_bundle b;
	struct td_mig_dest d;
	struct gap g;
	u64 hw_error;
	int i;

	gap_create(&g);
	gap_export(&g);
	for (i = 0; i < 2; i++) {
		TD_EXPECT_ERRNO(ENOENT, __td_mig_export_state(&g.m.streams[0],
							      KVM_TDX_MIG_EXPORT_STATE_VP, &b,
							      &hw_error));
		TEST_ASSERT_EQ(hw_error, 0UL);
		TD_EXPECT_ERRNO(ENOENT, __td_mig_export_vcpu(&g.m.streams[0],
							     g.extras[i]->id, &b, &hw_error));
		TEST_ASSERT_EQ(hw_error, 0UL);
	}
	td_mig_export_start_token(&g.m);

	/* The destination has the vCPUs that have a state, and no others. */
	td_mig_dest_create(&d, &g.m);
	td_mig_import_rest(&d, &g.m, 0);
	gap_finish(&g, &d);
}

TD_TEST(session_after_an_abort_skips_vcpus_that_were_never_initialized)
{
	struct td_mig_dest d;
	struct gap g;

	gap_create(&g);
	gap_export(&g);
	td_mig_cmd(&g.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_forget_bundles(&g.m);
	td_mig_migrate(&g.m, &d);
	gap_finish(&g, &d);
}

TD_TEST(vcpus_that_the_source_never_initialized_are_harmless_at_the_destination)
{
	struct kvm_vcpu *extras[2];
	struct td_mig_dest d;
	struct gap g;
	int i;

	gap_create(&g);
	td_pre_fault(g.extras[0], GAP_GPA, PAGE_SIZE);
	/* All vCPUs exist on both sides, so those that move are named. */
	g.m.reverse_vcpus = true;
	td_mig_export(&g.m);
	td_mig_dest_create(&d, &g.m);
	for (i = 0; i < 2; i++)
		extras[i] = __vm_vcpu_add(d.vm, g.extras[i]->id);
	td_mig_import(&d, &g.m, 0, g.m.nr_bundles - 1);

	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	td_pre_fault(extras[0], GAP_GPA + 2 * PAGE_SIZE, PAGE_SIZE);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_pre_fault(extras[1], GAP_GPA + 1 * PAGE_SIZE, PAGE_SIZE);
	td_pre_fault(extras[0], GAP_GPA + 3 * PAGE_SIZE, PAGE_SIZE);
	gap_finish(&g, &d);
}

/* ------------------------------------------------- vCPUs that are mixed up */

#define NR_MIXED_VCPUS	2
#define OTHER_VCPU_ID	5

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

struct mixed {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_MIXED_VCPUS];
	struct td_mig m;
	struct td_mig_dest d;
	/* The first bundle of a vCPU. */
	int vp;
};

/* A destination that has a vCPU more, and creates them in another order. */
static void mixed_create(struct mixed *x)
{
	struct kvm_vcpu *vcpu;
	int i;

	x->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_MIXED_VCPUS, 0, guest_sync_and_done,
			    x->vcpus);
	td_launch(x->vm);
	for (i = 0; i < NR_MIXED_VCPUS; i++)
		td_vcpu_run_to_sync(x->vcpus[i], 1);
	td_mig_init(&x->m, x->vm, x->vcpus, NR_MIXED_VCPUS, 1);
	td_mig_export(&x->m);
	x->m.reverse_vcpus = true;
	td_mig_dest_create(&x->d, &x->m);
	vcpu = __vm_vcpu_add(x->d.vm, OTHER_VCPU_ID);
	vcpu_init_cpuid(vcpu, x->vcpus[0]->cpuid);
	x->vp = td_mig_import_up_to(&x->d, &x->m, KVM_TDX_MIG_IMPORT_STATE_VP);
}

static void mixed_free(struct mixed *x)
{
	td_mig_dest_free(&x->d);
	td_mig_free(&x->m);
	kvm_vm_free(x->vm);
}

/* The bundle of the first vCPU, but not for that one. */
static int import_into(struct mixed *x, bool has_vcpu_id, u32 vcpu_id, u64 *hw_error)
{
	struct td_mig_bundle b = x->m.bundles[x->vp];

	b.has_vcpu_id = has_vcpu_id;
	b.vcpu_id = vcpu_id;
	return __td_mig_import(x->d.streams, &b, hw_error);
}

/* As of 1.5.05, KVM can see that. */
static void expect_mixed_vcpus_refused(struct mixed *x)
{
	u64 hw_error;
	int i;

	TD_EXPECT_ERRNO(EINVAL, import_into(x, true, x->vcpus[1]->id, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	TD_EXPECT_ERRNO(EINVAL, import_into(x, true, OTHER_VCPU_ID, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	/* By the order of creation, which is another one. */
	TD_EXPECT_ERRNO(EINVAL, import_into(x, false, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);

	/* Nothing has happened. */
	for (i = 0; i < NR_MIXED_VCPUS; i++) {
		x->m.bundles[x->vp + i].has_vcpu_id = true;
		x->m.bundles[x->vp + i].vcpu_id = x->vcpus[i]->id;
	}
	td_mig_import_rest(&x->d, &x->m, x->vp);
	for (i = 0; i < NR_MIXED_VCPUS; i++)
		td_vcpu_run_to_done(x->d.vcpus[i]);
}

/* Before, nobody can, so that it is up to the VMM. */
static void expect_mixed_vcpus_imported(struct mixed *x)
{
	u64 hw_error;
	int i, ret = import_into(x, true, x->vcpus[1]->id, &hw_error);

	TEST_ASSERT(!ret, "errno %d, hw_error 0x%lx", errno, hw_error);
	TD_EXPECT_ERRNO(EEXIST, import_into(x, true, x->vcpus[1]->id, &hw_error));
	td_mig_return(&x->m, &x->d);
	for (i = 0; i < NR_MIXED_VCPUS; i++)
		td_vcpu_run_to_done(x->vcpus[i]);
}

TD_TEST(vcpu_gets_the_state_of_another_one_only_if_the_module_hides_the_ids)
{
	struct mixed x;

	mixed_create(&x);
	if (td_module_version() >= TD_MODULE(1, 5, 5))
		expect_mixed_vcpus_refused(&x);
	else
		expect_mixed_vcpus_imported(&x);
	mixed_free(&x);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
