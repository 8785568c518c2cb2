// SPDX-License-Identifier: GPL-2.0-only
/*
 * What benchmarks rely on: the accounts that the software TDX platform keeps of
 * its calls, and its null cipher.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_bench.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		4UL

#define LEAF_VP_ENTER		0
#define LEAF_EXPORT_MEM		68
#define LEAF_EXPORT_ABORT	64

#define NULL_CIPHER		"/sys/kernel/debug/tdx_sim/null_cipher"

static u64 value_of(u64 page)
{
	return 0x0123456789abcdefUL * (page + 1);
}

static void guest_write_and_check(void)
{
	u64 page;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (page = 0; page < MEM_PAGES; page++)
		WRITE_ONCE(*(u64 *)(MEM_GPA + page * PAGE_SIZE), value_of(page));
	GUEST_SYNC(1);
	for (page = 0; page < MEM_PAGES; page++)
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(MEM_GPA + page * PAGE_SIZE)), value_of(page));
	GUEST_DONE();
}

static struct kvm_vm *create_td(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES,
					guest_write_and_check, vcpu);

	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	return vm;
}

/* Returns -1 with errno, like write(). */
static int write_null_cipher(const char *value)
{
	int fd = open(NULL_CIPHER, O_WRONLY), ret, err;

	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d", NULL_CIPHER, errno);
	ret = write(fd, value, strlen(value));
	err = errno;
	close(fd);
	errno = err;
	return ret < 0 ? -1 : 0;
}

static int read_null_cipher(void)
{
	FILE *f = td_sim_open("null_cipher", "r");
	int on;

	TEST_ASSERT_EQ(fscanf(f, "%d", &on), 1);
	fclose(f);
	return on;
}

static void export_pages(struct td_mig *m, struct td_mig_bundle *b)
{
	u64 gpa_list[MEM_PAGES], hw_error, page;
	int ret;

	for (page = 0; page < MEM_PAGES; page++)
		gpa_list[page] = (MEM_GPA + page * PAGE_SIZE) |
				 (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	ret = __td_mig_export_mem(&m->streams[0], gpa_list, MEM_PAGES, b, &hw_error);
	TEST_ASSERT(!ret, "Export of memory failed, errno %d, hw_error 0x%lx", errno, hw_error);
}

static bool is_plain(const struct td_mig_bundle *b)
{
	u64 page, nr = 0;

	for (page = 0; page < MEM_PAGES; page++)
		nr += *(u64 *)(b->pages + page * PAGE_SIZE) == value_of(page);
	TEST_ASSERT(!nr || nr == MEM_PAGES, "%lu pages of %lu are plain", nr, MEM_PAGES);
	return nr;
}

static bool export_is_plain(void)
{
	struct td_mig_bundle b;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(&vcpu);
	struct td_mig m;
	bool plain;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);
	export_pages(&m, &b);
	plain = is_plain(&b);
	td_mig_bundle_free(&b);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
	return plain;
}

TD_TEST(null_cipher_is_off_and_takes_0_and_1)
{
	TEST_ASSERT_EQ(read_null_cipher(), 0);
	TD_EXPECT_ERRNO(EINVAL, write_null_cipher("2"));
	TD_EXPECT_ERRNO(EINVAL, write_null_cipher("x"));
	TEST_ASSERT_EQ(read_null_cipher(), 0);
	TEST_ASSERT(!write_null_cipher("1"), "errno %d", errno);
	TEST_ASSERT_EQ(read_null_cipher(), 1);
	td_sim_set_null_cipher(false);
	TEST_ASSERT_EQ(read_null_cipher(), 0);
}

TD_TEST(cipher_does_not_change_during_a_session)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(&vcpu);
	struct td_mig m;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	TD_EXPECT_ERRNO(EBUSY, write_null_cipher("1"));
	td_mig_export_pause(&m);
	TD_EXPECT_ERRNO(EBUSY, write_null_cipher("1"));
	TEST_ASSERT_EQ(read_null_cipher(), 0);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	TEST_ASSERT(!write_null_cipher("1"), "errno %d", errno);
	td_sim_set_null_cipher(false);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(memory_is_plain_with_the_null_cipher_alone)
{
	TEST_ASSERT(!export_is_plain(), "The TDX module does not encrypt");
	td_sim_set_null_cipher(true);
	TEST_ASSERT(export_is_plain(), "The null cipher encrypts");
	td_sim_set_null_cipher(false);
}

TD_TEST(td_is_migrated_with_the_null_cipher)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct td_mig_dest d;
	struct td_mig m;

	td_sim_set_null_cipher(true);
	vm = create_td(&vcpu);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_migrate(&m, &d);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
	td_sim_set_null_cipher(false);
}

TD_TEST(calls_are_counted_with_their_cycles)
{
	struct td_sim_calls before, after;
	struct td_sim_trap trap;
	u64 start, cycles;

	td_sim_read_calls(&before);
	start = rdtsc();
	export_is_plain();
	cycles = rdtsc() - start;
	td_sim_read_calls(&after);

	TEST_ASSERT_EQ(td_sim_calls_since(&before, LEAF_EXPORT_MEM), 1);
	TEST_ASSERT_EQ(td_sim_calls_since(&before, LEAF_EXPORT_ABORT), 1);
	TEST_ASSERT(after.calls[LEAF_VP_ENTER] > before.calls[LEAF_VP_ENTER], "No TD ran");
	TEST_ASSERT(after.cycles[LEAF_EXPORT_MEM] > before.cycles[LEAF_EXPORT_MEM] &&
		    after.cycles[LEAF_EXPORT_MEM] - before.cycles[LEAF_EXPORT_MEM] < cycles,
		    "%lu cycles of %lu", after.cycles[LEAF_EXPORT_MEM] -
		    before.cycles[LEAF_EXPORT_MEM], cycles);
	/* A TD is entered with interrupts disabled, its memory exported with interrupts enabled. */
	TEST_ASSERT_EQ(after.irqs_off[LEAF_VP_ENTER] - before.irqs_off[LEAF_VP_ENTER],
		       after.calls[LEAF_VP_ENTER] - before.calls[LEAF_VP_ENTER]);
	TEST_ASSERT_EQ(after.irqs_off[LEAF_EXPORT_MEM], before.irqs_off[LEAF_EXPORT_MEM]);

	td_sim_read_trap(&trap);
	TEST_ASSERT(trap.irqs_on && trap.irqs_off, "A trap costs nothing");
}

TD_TEST(last_bundle_names_the_pages_of_the_stream)
{
	unsigned int leaf;
	struct td_mig_bundle b;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(&vcpu);
	u64 entry, buffer, new_page, page;
	struct td_mig m;
	FILE *f;

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);
	export_pages(&m, &b);

	f = td_sim_open("last_bundle", "r");
	for (page = 0; fscanf(f, "leaf=%u entry=0x%lx buffer=0x%lx new_page=0x%lx\n", &leaf,
			      &entry, &buffer, &new_page) == 4; page++) {
		TEST_ASSERT(page < MEM_PAGES, "Too many pages");
		TEST_ASSERT_EQ(leaf, LEAF_EXPORT_MEM);
		TEST_ASSERT_EQ(entry, b.gpa_list[page]);
		TEST_ASSERT_EQ(buffer / PAGE_SIZE,
			       td_page_frame(m.streams[0].buf + page * PAGE_SIZE));
		TEST_ASSERT_EQ(new_page, 0);
	}
	TEST_ASSERT_EQ(page, MEM_PAGES);
	fclose(f);

	td_mig_bundle_free(&b);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
