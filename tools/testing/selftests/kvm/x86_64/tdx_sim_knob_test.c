// SPDX-License-Identifier: GPL-2.0-only
/*
 * Knobs of the software TDX platform: TDs that it makes as another VMM would have, by
 * td_params and ept_levels, and SEAMCALLs that fail.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_fail.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

#define KNOBS			"/sys/kernel/debug/tdx_sim/"
/* From there. */
#define FAIL_SEAMCALL		"../fail_seamcall/"

#define TDX_OPERAND_BUSY	0x8000020000000000UL
#define TDX_RND_NO_ENTROPY	"0x8000020300000000"

/* TD_PARAMS: EPTP_CONTROLS, and a CPUID configuration. */
#define PARAMS_EPTP		24
#define PARAMS_CPUID(i)		(256 + 16 * (i))
#define CPUID_7_EBX_TSX		(BIT(4) | BIT(11))
#define CPUID_7_ECX_WAITPKG	BIT(5)

enum { HAS_TSX = 1, HAS_WAITPKG = 2 };

/* Returns -1 with errno, like write(). */
static int write_knob(const char *name, const char *text)
{
	int fd, ret, err;
	char path[64];

	snprintf(path, sizeof(path), KNOBS "%s", name);
	fd = open(path, O_WRONLY);
	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d", path, errno);
	ret = write(fd, text, strlen(text));
	err = errno;
	close(fd);
	errno = err;
	return ret < 0 ? -1 : 0;
}

static void set_knob(const char *name, const char *text)
{
	TEST_ASSERT(!write_knob(name, text), "Knob %s refuses '%s', errno %d", name, text, errno);
}

static void expect_knob(const char *name, const char *expected)
{
	char path[64], text[128] = {};
	int fd;

	snprintf(path, sizeof(path), KNOBS "%s", name);
	fd = open(path, O_RDONLY);
	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d", path, errno);
	TEST_ASSERT(read(fd, text, sizeof(text) - 1) >= 0, "Cannot read %s", path);
	close(fd);
	TEST_ASSERT(!strcmp(text, expected), "Knob %s is '%s'", name, text);
}

TD_TEST(changes_of_td_params_are_checked)
{
	static const char * const nonsense[] = {
		"24", "24 1", "24 1 1 1", "x 1 1", "26 1 1", "1024 0 0", "24 1 0x100000000",
		"24 1 1\n24 1", "-4 1 1",
	};
	int i;

	set_knob("td_params", "24 0xff 0x26\n  32 4 0\n");
	for (i = 0; i < ARRAY_SIZE(nonsense); i++)
		TEST_ASSERT(write_knob("td_params", nonsense[i]), "'%s' was taken", nonsense[i]);
	expect_knob("td_params", "24 0xff 0x26\n32 0x4 0x0\n");
	set_knob("td_params", "\n");
	expect_knob("td_params", "");
}

static void guest_report_cpuid(void)
{
	u32 eax, ebx, ecx, edx;
	u64 found = 0;

	cpuid(7, &eax, &ebx, &ecx, &edx);
	if ((ebx & CPUID_7_EBX_TSX) == CPUID_7_EBX_TSX)
		found |= HAS_TSX;
	if (ecx & CPUID_7_ECX_WAITPKG)
		found |= HAS_WAITPKG;
	GUEST_SYNC(found);
	GUEST_DONE();
}

static void expect_features(u64 expected)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = __td_create(0, 1, 0, guest_report_cpuid, &vcpu);

	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, expected);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* As KVM and the TDX module list the CPUID configurations. */
static unsigned int config_of_leaf_7(void)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	u32 i;

	for (i = 0; i < caps->cpuid.nent; i++) {
		if (caps->cpuid.entries[i].function == 7 && !caps->cpuid.entries[i].index)
			break;
	}
	TEST_ASSERT(i < caps->cpuid.nent, "CPUID 7 cannot be configured");
	TEST_ASSERT(!(caps->cpuid.entries[i].ebx & CPUID_7_EBX_TSX) &&
		    !(caps->cpuid.entries[i].ecx & CPUID_7_ECX_WAITPKG),
		    "KVM offers features that it does not support");
	free(caps);
	kvm_vm_free(vm);
	return i;
}

TD_TEST(td_has_features_that_another_vmm_would_give_it)
{
	u32 config = PARAMS_CPUID(config_of_leaf_7());
	char text[128];

	expect_features(0);
	snprintf(text, sizeof(text), "%u 0 0x%lx\n%u 0 0x%lx\n", config + 4,
		 (unsigned long)CPUID_7_EBX_TSX, config + 8, (unsigned long)CPUID_7_ECX_WAITPKG);
	set_knob("td_params", text);
	expect_features(HAS_TSX | HAS_WAITPKG);
	set_knob("td_params", "\n");
	expect_features(0);
}

static int init_td(void)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);
	int ret = __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init, NULL);

	free(init);
	kvm_vm_free(vm);
	return ret;
}

TD_TEST(number_of_ept_levels_depends_on_the_processor)
{
	TEST_ASSERT(write_knob("ept_levels", "3"), "Three levels were taken");
	TEST_ASSERT(write_knob("ept_levels", "6"), "Six levels were taken");
	expect_knob("ept_levels", "4\n");

	set_knob("td_params", "24 0xff 0x26");
	TEST_ASSERT(init_td(), "A TD has five levels where the processor has four");
	set_knob("ept_levels", "5");
	TEST_ASSERT(!init_td(), "A processor with five levels has no TD with five");
	set_knob("td_params", "\n");
	TEST_ASSERT(!init_td(), "A processor with five levels has no TD with four");
	set_knob("ept_levels", "4");
}

/* Create a TD while a leaf fails. */
static int init_td_and_fail(struct td_fail *f, unsigned int leaf, const char *status,
			    unsigned int repeat)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);
	char number[16];
	int ret, err;

	td_fail_plan(f, 1, 0, repeat);
	snprintf(number, sizeof(number), "%u", leaf);
	set_knob(FAIL_SEAMCALL "leaf", number);
	set_knob(FAIL_SEAMCALL "status", status);
	/* Allocations are points as well. */
	set_knob("../failslab/ignore-gfp-wait", "Y");
	set_knob("../fail_page_alloc/ignore-gfp-wait", "Y");
	td_fail_arm(f);
	ret = __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init, NULL);
	td_fail_disarm(f);
	err = errno;
	td_fail_end(f);
	TEST_ASSERT(f->reached, "Leaf %u was not to fail", leaf);
	free(init);
	kvm_vm_free(vm);
	errno = err;
	return ret;
}

TD_TEST(seamcall_fails_as_often_as_it_is_to)
{
	struct td_fail f;

	TEST_ASSERT(!init_td_and_fail(&f, TDH_MNG_INIT, "0", 1), "errno %d", errno);
	TEST_ASSERT_EQ(f.leaf, TDH_MNG_INIT);
	TEST_ASSERT_EQ(f.nr_variants, 1);
	TEST_ASSERT_EQ(f.status & TDX_STATUS_MASK, TDX_OPERAND_BUSY);

	TEST_ASSERT(!init_td_and_fail(&f, TDH_MNG_CREATE, TDX_RND_NO_ENTROPY, 1), "errno %d",
		    errno);
	TEST_ASSERT_EQ(f.leaf, TDH_MNG_CREATE);
	TD_EXPECT_ERRNO(EAGAIN, init_td_and_fail(&f, TDH_MNG_CREATE, TDX_RND_NO_ENTROPY, 100));
	TEST_ASSERT(!init_td(), "What has failed goes on failing");
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());
	TEST_REQUIRE(td_sim_is_present() && td_fail_is_present());

	return test_harness_run(argc, argv);
}
