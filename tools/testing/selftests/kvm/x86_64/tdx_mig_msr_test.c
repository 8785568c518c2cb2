// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MSRs that KVM emulates for a TD move with it.  Which these are is not written
 * down here: the guest writes to all that KVM lets it write to, and what it has
 * changed has to be among those that a VMM finds and moves.
 */
#include "apic.h"
#include "kvm_util.h"
#include "mce.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define NR_VCPUS		2
#define BATCH			2048U
#define NR_EXTRA_PAGES		64

#define FIRST_X2APIC_MSR	0x800U
#define LAST_X2APIC_MSR		0x8ffU

#define MSR_MTRR_DEF_TYPE	0x2ff

#define SETUP_MCE_BANKS		8
#define MC3_STATUS		(MSR_IA32_MC0_STATUS + 3 * 4)
#define MC3_STATUS_VALUE	(MCI_STATUS_VAL | MCI_STATUS_EN | 5)

/* Where MSRs are, and what KVM makes up. */
static const struct {
	u32 first;
	u32 nr;
} ranges[] = {
	{ 0x00000000, 0x2000 },
	{ 0x40000000, 0x400 },
	{ 0x4b564d00, 0x100 },
	{ 0xc0000000, 0x2000 },
	{ 0xc0010000, 0x2000 },
};

enum op {
	OP_READ,
	OP_WRITE,
	OP_END,
};

struct msr {
	u32 index;
	u32 is_refused;
	u64 value;
};

/* What a vCPU is to do, in memory that host and guest share. */
struct request {
	u64 op;
	u64 nr;
	struct msr msrs[BATCH];
};

static struct request *requests;

static void guest_main(u64 vcpu_index)
{
	struct request *r = &requests[vcpu_index];
	struct msr *msr;
	u64 i;

	for (;;) {
		GUEST_SYNC(1);
		if (READ_ONCE(r->op) == OP_END)
			break;

		for (i = 0; i < r->nr; i++) {
			msr = &r->msrs[i];
			msr->is_refused = r->op == OP_READ ?
					  !!tdvmcall_rdmsr(msr->index, &msr->value) :
					  !!tdvmcall_wrmsr(msr->index, msr->value);
		}
	}
	GUEST_DONE();
}

/* A source and, from scene_migrate() on, its destination. */
struct scene {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct request *requests;
	struct td_mig m;
	struct td_mig_dest d;
};

static void setup_mce(struct kvm_vcpu *vcpu)
{
	u64 cap;

	kvm_ioctl(vcpu->vm->kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap);
	cap |= SETUP_MCE_BANKS;
	vcpu_ioctl(vcpu, KVM_X86_SETUP_MCE, &cap);
}

static void scene_create(struct scene *s, bool has_mce)
{
	gva_t gva;
	int i;

	*s = (struct scene) {};
	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_VCPUS, NR_EXTRA_PAGES, guest_main,
			    s->vcpus);
	gva = vm_alloc_shared(s->vm, NR_VCPUS * sizeof(*requests), KVM_UTIL_MIN_VADDR,
			      MEM_REGION_TEST_DATA);
	write_guest_global(s->vm, requests, (struct request *)gva);
	s->requests = addr_gva2hva(s->vm, gva);
	for (i = 0; i < NR_VCPUS; i++) {
		td_vcpu_set_arg(s->vcpus[i], i);
		if (has_mce)
			setup_mce(s->vcpus[i]);
	}
	td_launch(s->vm);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(s->vcpus[i], 1);
}

static void scene_migrate(struct scene *s, bool has_mce)
{
	int i;

	td_mig_init(&s->m, s->vm, s->vcpus, NR_VCPUS, 1);
	td_mig_export(&s->m);
	td_mig_dest_create(&s->d, &s->m);
	for (i = 0; has_mce && i < NR_VCPUS; i++)
		setup_mce(s->d.vcpus[i]);
	td_mig_import_rest(&s->d, &s->m, 0);
}

static void scene_free(struct scene *s)
{
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		s->requests[i].op = OP_END;
		td_vcpu_run_to_done(s->d.vcpus[i]);
	}
	td_mig_dest_free(&s->d);
	td_mig_free(&s->m);
	kvm_vm_free(s->vm);
}

/* ----------------------------------------------------------------- all MSRs */

/* MSRs, in any number. */
struct msrs {
	struct msr *msrs;
	u32 nr;
};

static void msrs_add(struct msrs *m, u32 index)
{
	m->msrs = realloc(m->msrs, (m->nr + 1) * sizeof(*m->msrs));
	TEST_ASSERT(m->msrs, "-ENOMEM");
	m->msrs[m->nr++] = (struct msr) { .index = index };
}

static struct msrs msrs_copy(const struct msrs *m)
{
	struct msrs copy = *m;

	copy.msrs = malloc(m->nr * sizeof(*m->msrs));
	TEST_ASSERT(copy.msrs, "-ENOMEM");
	memcpy(copy.msrs, m->msrs, m->nr * sizeof(*m->msrs));
	return copy;
}

/* Let the guest read or write all of them, on the vCPU that takes its requests from @r. */
static void guest_do(struct kvm_vcpu *vcpu, struct request *r, u64 op, struct msrs *m)
{
	u32 i, nr;

	for (i = 0; i < m->nr; i += nr) {
		nr = min(m->nr - i, BATCH);
		r->op = op;
		r->nr = nr;
		memcpy(r->msrs, m->msrs + i, nr * sizeof(*m->msrs));
		td_vcpu_run_to_sync(vcpu, 1);
		memcpy(m->msrs + i, r->msrs, nr * sizeof(*m->msrs));
	}
}

/*
 * The registers of the local APIC have an ioctl of their own.  The deadline of its
 * timer is tested where the timer runs.
 */
static bool is_apic_msr(u32 index)
{
	return (index >= FIRST_X2APIC_MSR && index <= LAST_X2APIC_MSR) ||
	       index == MSR_IA32_TSC_DEADLINE;
}

/* All that the guest can read, which is no more than the host can. */
static struct msrs find_readable(struct scene *s)
{
	struct msrs all = {}, readable = {}, unreadable = {};
	u64 value;
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (j = 0; j < ranges[i].nr; j++) {
			if (!is_apic_msr(ranges[i].first + j))
				msrs_add(&all, ranges[i].first + j);
		}
	}
	guest_do(s->vcpus[0], s->requests, OP_READ, &all);
	for (i = 0; i < all.nr; i++) {
		const u32 index = all.msrs[i].index;

		if (all.msrs[i].is_refused) {
			msrs_add(&unreadable, index);
			continue;
		}
		TEST_ASSERT(td_mig_msr_get(s->vcpus[0], index, &value),
			    "The host cannot read MSR 0x%x", index);
		TEST_ASSERT(value == all.msrs[i].value, "MSR 0x%x: 0x%lx, guest 0x%lx", index,
			    value, all.msrs[i].value);
		msrs_add(&readable, index);
	}

	/* Nor is there anything behind the others. */
	guest_do(s->vcpus[0], s->requests, OP_WRITE, &unreadable);
	for (i = 0; i < unreadable.nr; i++)
		TEST_ASSERT(unreadable.msrs[i].is_refused, "MSR 0x%x can be written only",
			    unreadable.msrs[i].index);
	free(unreadable.msrs);
	free(all.msrs);
	return readable;
}

/* Some value that differs from @old and that MSRs of this kind take. */
static u64 candidate(int nr, u32 index, u64 old)
{
	const u64 values[] = {
		/* Any value, so that none is like another one. */
		0x5a00000000000000ULL | index,
		old ^ 1,
		~0ULL,
		/* Types of memory, and what goes with them. */
		0x0606060606060606ULL,
		0x1006,
		0x0800,
		0x0c06,
		0,
	};

	return nr < ARRAY_SIZE(values) ? values[nr] : old;
}

#define NR_CANDIDATES	8

/* Let the guest change each of @readable that it can; returns those. */
static struct msrs change_all(struct scene *s, struct msrs *readable)
{
	struct msrs changed = {}, before, todo, after;
	u32 i, nr;

	todo = msrs_copy(readable);
	for (nr = 0; nr < NR_CANDIDATES; nr++) {
		u32 left = 0;

		before = msrs_copy(&todo);
		guest_do(s->vcpus[0], s->requests, OP_READ, &before);
		for (i = 0; i < todo.nr; i++)
			todo.msrs[i].value = candidate(nr, todo.msrs[i].index,
						       before.msrs[i].value);
		guest_do(s->vcpus[0], s->requests, OP_WRITE, &todo);
		after = msrs_copy(&todo);
		guest_do(s->vcpus[0], s->requests, OP_READ, &after);

		for (i = 0; i < todo.nr; i++) {
			if (after.msrs[i].value != before.msrs[i].value)
				msrs_add(&changed, todo.msrs[i].index);
			else
				todo.msrs[left++] = todo.msrs[i];
		}
		todo.nr = left;
		free(after.msrs);
		free(before.msrs);
	}
	free(todo.msrs);
	return changed;
}

static bool contains(const struct msrs *m, u32 index)
{
	u32 i;

	for (i = 0; i < m->nr; i++) {
		if (m->msrs[i].index == index)
			return true;
	}
	return false;
}

static void move_all_msrs(bool has_mce)
{
	struct msrs readable, changed, before, after;
	struct td_mig_msrs *saved;
	struct scene s;
	u64 value;
	u32 i;

	scene_create(&s, has_mce);
	readable = find_readable(&s);
	changed = change_all(&s, &readable);
	/* What only a machine check can write, and the guest clear. */
	vcpu_set_msr(s.vcpus[0], MC3_STATUS, MC3_STATUS_VALUE);

	/* To show that the guest got somewhere. */
	TEST_ASSERT(contains(&changed, MSR_IA32_POWER_CTL), "No IA32_POWER_CTL");
	TEST_ASSERT(contains(&changed, MSR_MISC_FEATURES_ENABLES), "No CPUID faulting");
	TEST_ASSERT(contains(&changed, MSR_MTRR_DEF_TYPE), "No MTRRs");
	TEST_ASSERT(contains(&changed, MSR_IA32_MC0_CTL + 4), "No MCE banks");
	TEST_ASSERT(contains(&changed, MSR_IA32_MCG_CTL) == has_mce, "IA32_MCG_CTL");
	TEST_ASSERT(contains(&changed, MSR_IA32_MC0_CTL2) == has_mce, "IA32_MC0_CTL2");
	TEST_ASSERT(contains(&changed, MSR_IA32_MCG_EXT_CTL) == has_mce, "IA32_MCG_EXT_CTL");

	before = msrs_copy(&readable);
	guest_do(s.vcpus[0], s.requests, OP_READ, &before);
	scene_migrate(&s, has_mce);

	saved = &s.m.vcpu_state[0].msrs;
	for (i = 0; i < changed.nr; i++)
		TEST_ASSERT(td_mig_msrs_find(saved, changed.msrs[i].index),
			    "The guest can write MSR 0x%x, which is not moved",
			    changed.msrs[i].index);
	pr_info("%u MSRs that the guest can read, %u that it can change, %u moved\n",
		readable.nr, changed.nr, saved->head.nmsrs);

	for (i = 0; i < before.nr; i++) {
		TEST_ASSERT(td_mig_msr_get(s.d.vcpus[0], before.msrs[i].index, &value),
			    "MSR 0x%x is gone", before.msrs[i].index);
		TEST_ASSERT(value == before.msrs[i].value, "MSR 0x%x: 0x%lx, was 0x%lx",
			    before.msrs[i].index, value, before.msrs[i].value);
	}
	after = msrs_copy(&before);
	guest_do(s.d.vcpus[0], s.requests, OP_READ, &after);
	for (i = 0; i < before.nr; i++)
		TEST_ASSERT(!after.msrs[i].is_refused &&
			    after.msrs[i].value == before.msrs[i].value,
			    "MSR 0x%x: the guest reads 0x%lx, was 0x%lx", before.msrs[i].index,
			    after.msrs[i].value, before.msrs[i].value);

	scene_free(&s);
	free(after.msrs);
	free(before.msrs);
	free(changed.msrs);
	free(readable.msrs);
}

TD_TEST(all_msrs_that_a_guest_can_write_move_with_it)
{
	move_all_msrs(false);
}

TD_TEST(all_msrs_move_if_the_vmm_offers_machine_checks)
{
	move_all_msrs(true);
}

/* ------------------------------------------------------------------- each vCPU */

TD_TEST(each_vcpu_keeps_its_own_msrs)
{
	struct msrs msrs = {};
	struct scene s;
	int i;

	scene_create(&s, false);
	msrs_add(&msrs, MSR_IA32_POWER_CTL);
	for (i = 0; i < NR_VCPUS; i++) {
		msrs.msrs[0].value = 0x1234 + i;
		guest_do(s.vcpus[i], &s.requests[i], OP_WRITE, &msrs);
		TEST_ASSERT(!msrs.msrs[0].is_refused, "IA32_POWER_CTL cannot be written");
	}
	scene_migrate(&s, false);
	for (i = 0; i < NR_VCPUS; i++) {
		guest_do(s.d.vcpus[i], &s.requests[i], OP_READ, &msrs);
		TEST_ASSERT_EQ(msrs.msrs[0].value, (u64)(0x1234 + i));
	}
	scene_free(&s);
	free(msrs.msrs);
}

/* --------------------------------------------------------------- read-only MSRs */

/* What can be read can be set to what was read, so that a VMM needs no list of these. */
TD_TEST(msrs_that_are_read_only_can_be_written_back)
{
	static const u32 read_only[] = { MSR_IA32_FEAT_CTL, MSR_EFER, MSR_IA32_APICBASE };
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create(1, guest_main, &vcpu);
	struct td_mig_msrs msrs;
	u64 value;
	int i;

	for (i = 0; i < ARRAY_SIZE(read_only); i++) {
		TEST_ASSERT(td_mig_msr_get(vcpu, read_only[i], &value), "No MSR 0x%x",
			    read_only[i]);
		TEST_ASSERT(_vcpu_set_msr(vcpu, read_only[i], value) == 1,
			    "MSR 0x%x does not take 0x%lx, which it has", read_only[i], value);
		TEST_ASSERT(_vcpu_set_msr(vcpu, read_only[i], value ^ BIT(11)) == 0,
			    "MSR 0x%x can be changed", read_only[i]);
		TEST_ASSERT_EQ(vcpu_get_msr(vcpu, read_only[i]), value);
	}
	td_mig_msrs_save(vcpu, &msrs);
	td_mig_msrs_load(vcpu, &msrs);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
