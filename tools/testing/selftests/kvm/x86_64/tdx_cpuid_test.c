// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_TDX_GET_CPUID: what the host reads is what the guest sees, and when it can
 * be read at all.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define MAX_ENTRIES	256
#define BAD_ADDRESS	1UL

/* A TD without CPUID 0xB and 0x1F gets a #VE for them. */
#define TDCS_TD_CTLS		0x1110000300000017ULL
#define TD_CTLS_ENUM_TOPOLOGY	BIT(1)
#define MSR_X2APIC_ID		0x802

/* Bits that follow the state of the vCPU, or that KVM adds for userspace. */
static const struct kvm_cpuid_entry2 dynamic_bits[] = {
	/* APIC id, OSXSAVE */
	{ .function = 0x1, .ebx = GENMASK(31, 24), .ecx = BIT(27) },
	/* OSPKE */
	{ .function = 0x7, .ecx = BIT(4) },
	/* Sizes for the present XCR0 and IA32_XSS */
	{ .function = 0xd, .index = 0, .ebx = ~0U },
	{ .function = 0xd, .index = 1, .ebx = ~0U },
	/* SYSCALL */
	{ .function = 0x80000001, .edx = BIT(11) },
	/* GuestPhysAddrSize */
	{ .function = 0x80000008, .eax = GENMASK(23, 16) },
};

struct shared {
	/* The TD can see its topology. */
	u64 has_topology;
	u64 nr;
	struct kvm_cpuid_entry2 entries[MAX_ENTRIES];
};

static struct shared *shared;

static void guest_read_cpuid(void)
{
	struct tdcall_regs regs = {
		.rdx = TDCS_TD_CTLS, .r8 = TD_CTLS_ENUM_TOPOLOGY, .r9 = TD_CTLS_ENUM_TOPOLOGY,
	};
	struct kvm_cpuid_entry2 *e, topology;
	int i;

	/* A bit that cannot be set before 1.5.05. */
	GUEST_ASSERT_EQ(!tdcall(TDG_VM_WR, &regs), shared->has_topology);

	for (i = 0; i < shared->nr; i++) {
		e = &shared->entries[i];
		__cpuid(e->function, e->index, &e->eax, &e->ebx, &e->ecx, &e->edx);
		/* Raised for what the TDX module does not virtualize. */
		__GUEST_ASSERT(!td_ve_stats.nr_ve, "#VE for CPUID %x.%x", e->function, e->index);
	}
	__cpuid(0x1f, 0, &topology.eax, &topology.ebx, &topology.ecx, &topology.edx);
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, !shared->has_topology);
	if (shared->has_topology) {
		GUEST_ASSERT(topology.ebx);
		GUEST_ASSERT_EQ(topology.edx, rdmsr(MSR_X2APIC_ID));
	}
	GUEST_DONE();
}

static void guest_stop(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

static int get_cpuid(struct kvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid, u32 nent)
{
	cpuid->nent = nent;
	return __td_vcpu_ioctl(vcpu, KVM_TDX_GET_CPUID, 0, (u64)cpuid);
}

/* The caller frees it. */
static struct kvm_cpuid2 *alloc_cpuid(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) +
					  MAX_ENTRIES * sizeof(cpuid->entries[0]));

	TEST_ASSERT(cpuid, "Insufficient Memory");
	return cpuid;
}

static void check_equal(const struct kvm_cpuid_entry2 *a, const struct kvm_cpuid_entry2 *b)
{
	struct kvm_cpuid_entry2 ignore = {};
	int i;

	for (i = 0; i < ARRAY_SIZE(dynamic_bits); i++) {
		if (dynamic_bits[i].function == a->function && dynamic_bits[i].index == a->index)
			ignore = dynamic_bits[i];
	}
	TEST_ASSERT(!((a->eax ^ b->eax) & ~ignore.eax) && !((a->ebx ^ b->ebx) & ~ignore.ebx) &&
		    !((a->ecx ^ b->ecx) & ~ignore.ecx) && !((a->edx ^ b->edx) & ~ignore.edx),
		    "CPUID %x.%x: %x %x %x %x and %x %x %x %x", a->function, a->index,
		    a->eax, a->ebx, a->ecx, a->edx, b->eax, b->ebx, b->ecx, b->edx);
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *cpuid, u32 function)
{
	int i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function)
			return &cpuid->entries[i];
	}
	TEST_FAIL("CPUID %x is missing", function);
	return NULL;
}

TD_TEST(host_reads_what_the_guest_sees)
{
	struct kvm_cpuid2 *cpuid = alloc_cpuid();
	struct shared *s;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_read_cpuid);
	gva_t gva;
	int i;

	TEST_ASSERT_EQ(get_cpuid(vcpu, cpuid, MAX_ENTRIES), 0);
	TEST_ASSERT_EQ(find(cpuid, 0x0)->ebx, 0x756e6547U);
	TEST_ASSERT_EQ(find(cpuid, 0x21)->ebx, 0x65746e49U);
	TEST_ASSERT_EQ(find(cpuid, 0x15)->ecx, 25000000U);
	TEST_ASSERT_EQ(find(cpuid, 0x80000000)->eax, 0x80000008U);

	gva = vm_alloc_shared(vm, sizeof(*shared), KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(vm, shared, (struct shared *)gva);
	s = addr_gva2hva(vm, gva);
	s->has_topology = td_module_version() >= TD_MODULE(1, 5, 5);
	s->nr = cpuid->nent;
	for (i = 0; i < cpuid->nent; i++) {
		s->entries[i].function = cpuid->entries[i].function;
		s->entries[i].index = cpuid->entries[i].index;
	}
	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	for (i = 0; i < cpuid->nent; i++)
		check_equal(&cpuid->entries[i], &s->entries[i]);

	free(cpuid);
	kvm_vm_free(vm);
}

TD_TEST(cpuid_is_not_read_into_short_buffers_nor_after_the_launch)
{
	struct kvm_cpuid2 *cpuid = alloc_cpuid();
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_stop);
	u32 nent;

	TEST_ASSERT_EQ(get_cpuid(vcpu, cpuid, MAX_ENTRIES), 0);
	nent = cpuid->nent;
	TD_EXPECT_ERRNO(E2BIG, get_cpuid(vcpu, cpuid, 0));
	TEST_ASSERT_EQ(cpuid->nent, nent);
	TD_EXPECT_ERRNO(E2BIG, get_cpuid(vcpu, cpuid, nent - 1));
	TEST_ASSERT_EQ(get_cpuid(vcpu, cpuid, nent), 0);
	TD_EXPECT_ERRNO(EFAULT, __td_vcpu_ioctl(vcpu, KVM_TDX_GET_CPUID, 0, BAD_ADDRESS));

	td_launch(vm);
	TD_EXPECT_ERRNO(EINVAL, get_cpuid(vcpu, cpuid, MAX_ENTRIES));
	free(cpuid);
	kvm_vm_free(vm);
}

TD_TEST(destination_has_the_cpuid_of_the_source_once_it_was_imported)
{
	struct kvm_cpuid2 *src = alloc_cpuid(), *dst = alloc_cpuid();
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_stop, &vcpu);
	struct td_mig_dest d;
	struct td_mig m;
	int i;

	TEST_ASSERT_EQ(get_cpuid(vcpu, src, MAX_ENTRIES), 0);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	TD_EXPECT_ERRNO(EIO, get_cpuid(d.vcpus[0], dst, MAX_ENTRIES));

	td_mig_export(&m);
	td_mig_import(&d, &m, 0, 0);
	TEST_ASSERT_EQ(get_cpuid(d.vcpus[0], dst, MAX_ENTRIES), 0);
	TEST_ASSERT_EQ(dst->nent, src->nent);
	for (i = 0; i < src->nent; i++) {
		TEST_ASSERT_EQ(dst->entries[i].function, src->entries[i].function);
		TEST_ASSERT_EQ(dst->entries[i].index, src->entries[i].index);
		check_equal(&src->entries[i], &dst->entries[i]);
	}

	td_mig_import_rest(&d, &m, 1);
	TD_EXPECT_ERRNO(EINVAL, get_cpuid(d.vcpus[0], dst, MAX_ENTRIES));
	td_vcpu_run_to_done(d.vcpus[0]);

	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
	free(src);
	free(dst);
}

static void *read_cpuid_for_ever(void *vcpu)
{
	struct kvm_cpuid2 *cpuid = alloc_cpuid();

	for (;;) {
		pthread_testcancel();
		TEST_ASSERT(!get_cpuid(vcpu, cpuid, MAX_ENTRIES), "CPUID: errno %d", errno);
	}
	return NULL;
}

/* The streams are created with a lock that a reader needs. */
TD_TEST(cpuid_is_read_while_streams_are_created)
{
	struct td_mig_stream streams[TD_MIG_MAX_STREAMS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	pthread_t thread;
	int i, j;

	for (i = 0; i < 10; i++) {
		vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_stop, &vcpu);
		kvm_pthread_create(&thread, NULL, read_cpuid_for_ever, vcpu);
		for (j = 0; j < TD_MIG_MAX_STREAMS; j++)
			td_mig_stream_open(&streams[j], vm, j, TDX_MIG_BUF_LIST_PAGES_MAX);
		pthread_cancel(thread);
		kvm_pthread_join(thread, NULL);
		while (j--)
			td_mig_stream_close(&streams[j]);
		td_launch(vm);
		td_vcpu_run_to_sync(vcpu, 1);
		kvm_vm_free(vm);
	}
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
