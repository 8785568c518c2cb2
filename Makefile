# SPDX-License-Identifier: GPL-2.0
# Live migration of Intel TDX guests: the verbs.
#
#   make demo         watch a Linux TD guest move from one VM to another
#   make check        build everything and run all tests
#   make host         a TDX host with QEMU and a shell, to boot TDs of your own
#                     (SHARE=/path to your files; RUN=command to run just that)
#   make hosts        two hosts, and a TD with a database that moves between them
#                     (MOVES=n times; VCPUS=n; PULL=a|b, a host that loses its power)
#
#   make tree         build/tree: the base kernel with this series
#   make kernel       build/kernel: the kernel under test, and of the guest
#   make test         the tests inside the machine alone (TEST=names for some;
#                     PROFILE=1.5.01 or 1.5.24 for another TDX module;
#                     MACHINE=amd for those of VMs that are no TDs)
#   make kunit        the KUnit tests of the driver alone
#   make fail-nth     each allocation and SEAMCALL of a migration fails once
#                     (TEST=name of one scenario); takes long
#   make fuzz-kvm     noise for the interface under KASAN, lockdep and friends,
#                     until it is stopped (LASTS=seconds; SEED=n; PROGRAM=...
#                     carries out the one that was printed)
#   make kill         the VMMs of a migration are killed before, in and after each
#                     ioctl (TEST=name of one scenario); takes long
#   make kexec        the kernel is replaced again and again while TDs migrate
#                     (TIMES=n; SEED=n)
#   make migtd        start a migration TD from a TDVF image (IMAGE=/path, or ours)
#   make mutate-driver
#                     put a fault after another into the driver: would the tests
#                     notice? (MUTANTS=regex for some; N=n by lot, SEED=n;
#                     LASTS=seconds; WORKERS=n at a time; it goes on where it
#                     was) takes long
#   make bench        measure what a migration costs in KVM, beside the limits, and
#                     do what make count does
#   make count        count the instructions of a migration in KVM, and compare
#                     them with the goals and the last ones (UPDATE=1 to accept
#                     them; TRACE=1 to see in which functions and under which locks
#                     they are)
#   make check-qemu   the tests of QEMU's migration (TEST=words for some of them)
#   make test-debug   the same under KASAN, lockdep and friends, and once more under
#                     KCSAN; says what they had on (CHECKERS=debug or kcsan for one)
#   make coverage     which lines and branches of the series the tests reach, and
#                     which they do not (BOOTS=names of some boots, or TEST=names of
#                     some tests, add to what was counted before)
#   make conformance  replay the traces of the real module on the module model
#   make static       sparse, W=1, checkpatch and warnings of the new files
#   make series       the three series as mails in build/series
#   make stack        the series as a git branch in build/stack, to be edited;
#                     make unstack writes it back, make rebase BASE=/path moves
#                     it to another kernel
#   make series-check what those who get the mails would check, with a kernel
#                     built after each of them
#   make qemu         build/qemu: QEMU with its series, see vmm/qemu/README.md;
#                     qemu-tree, qemu-stack, qemu-unstack, qemu-rebase, qemu-series
#                     and qemu-check are what they are without qemu-
#   make clean        remove what was built, keep the base kernel
#
# LINUX=/path takes a Linux tree that is there already as the base; QEMU=/path
# one of QEMU, and DISTFILES=/path a folder with its source package.

include base.mk

BUILD	:= $(CURDIR)/build
LINUX	?= $(BUILD)/base
QEMU	?= $(BUILD)/qemu-base
TEST	?=
BOOTS	?=
CHECKERS ?=
MACHINE ?= intel
PROFILE ?=
export BUILD MACHINE PROFILE

KERNEL	:= $(BUILD)/kernel
DEBUG	:= $(BUILD)/kernel-debug
KCSAN	:= $(BUILD)/kernel-kcsan
FUZZ	:= $(BUILD)/kernel-fuzz
COVERAGE := $(BUILD)/kernel-coverage
SIM_MAKE := $(MAKE) --no-print-directory -C tools/testing/tdx-sim O=$(BUILD)/tdx-sim

.DEFAULT_GOAL := help
.PHONY: help demo migtd check check-qemu host hosts tree kernel test kunit fail-nth fuzz-kvm kill kexec mutate-driver test-debug coverage bench count conformance static series series-check stack unstack rebase \
	clean base deps sim-deps host-deps \
	qemu qemu-deps qemu-base qemu-tree qemu-stack qemu-unstack qemu-rebase qemu-series qemu-check

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

deps:
	@vmtest/deps.sh build vm

sim-deps:
	@vmtest/deps.sh sim

host-deps:
	@vmtest/deps.sh host

base: | deps
	@[ "$(LINUX)" != "$(BUILD)/base" ] || vmtest/fetch.sh $(BASE_PACKAGE) $(BASE_SUITES)

tree: base
	@vmtest/tree.sh $(LINUX)

kernel: tree
	@vmtest/kernel.sh $(KERNEL) "the kernel" "bzImage modules" -- $(CURDIR)/vmtest/kernel.config

check: sim-deps host-deps kernel qemu
	@vmtest/check.sh $(KERNEL) $(LINUX) $(QEMU)

test: kernel
	@vmtest/test.sh $(KERNEL) "$(TEST)"

kunit: kernel
	@vmtest/kunit.sh $(KERNEL)

fail-nth: kernel
	@vmtest/scenarios.sh $(KERNEL) tdx_mig_fail_nth_test "$(TEST)"

kill: kernel
	@vmtest/scenarios.sh $(KERNEL) tdx_mig_kill_test "$(TEST)"

kexec: kernel
	@vmtest/kexec.sh $(KERNEL)

mutate-driver: kernel
	@vmtest/mutate_driver.sh $(KERNEL)

# The sources that the series brings or edits, but for the tests.
PRODUCT = $(sort $(filter-out $(wildcard arch/x86/kvm/vmx/*_kunit*),$(wildcard arch/x86/kvm/*/*.c arch/x86/virt/vmx/tdx/*.c)) \
	$(shell sed -n 's,^+++ b/\([^\t]*[.]c\)$$,\1,p' patches/product/*.patch))
# $(call instrument,GCOV_PROFILE): arguments of the kernel's make that set that variable for
# their objects, by their paths, and for no other.
instrument = $(1)=$$($(1)_$$(obj)/$$(target-stem).o)n \
	$(patsubst %.c,$(1)_%.o=y,$(PRODUCT:virt/kvm/%=arch/x86/kvm/../../../virt/kvm/%))

# While the boot CPU is identified, its features are unknown for a moment.  KASAN
# takes any interrupt at that time for a wild access if there are 5-level page tables.
#
# SLUB keeps stale pointers to what it has handed out, in the sheaves of caches that are
# not debugged.  kmemleak sees them, and misses most leaks.
CHECKED := no5lvl slab_debug=U

test-debug: export KERNEL_OPTIONS = $(CHECKED)
test-debug: tree
	@[ "$(CHECKERS)" = kcsan ] || vmtest/kernel.sh $(DEBUG) "the debug kernel" "bzImage modules" -- \
		$(CURDIR)/vmtest/kernel.config $(CURDIR)/vmtest/debug.config
	@[ "$(CHECKERS)" = debug ] || vmtest/kernel.sh $(KCSAN) "the kernel with KCSAN" \
		'bzImage modules $(call instrument,KCSAN_SANITIZE)' -- \
		$(CURDIR)/vmtest/kernel.config $(CURDIR)/vmtest/kcsan.config
	@vmtest/debug.sh "$(TEST)" $(or $(CHECKERS),debug kcsan)

coverage: tree
	@vmtest/kernel.sh $(COVERAGE) "the kernel that counts lines" 'bzImage modules $(call instrument,GCOV_PROFILE)' -- \
		$(CURDIR)/vmtest/kernel.config $(CURDIR)/vmtest/coverage.config
	@vmtest/coverage.sh $(COVERAGE) $(LINUX) "$(BOOTS)" "$(TEST)"

# The objects that tell which of their places are reached, by their names in arch/x86/kvm.
FUZZ_GUIDES := $(patsubst arch/x86/kvm/%.c,%,$(filter-out %kunit%,$(wildcard arch/x86/kvm/*/*.c))) vmx/tdx mmu/mmu mmu/tdp_mmu lapic \
	$(addprefix ../../../virt/kvm/,kvm_main guest_memfd dirty_ring)

fuzz-kvm: export KERNEL_OPTIONS = $(CHECKED)
fuzz-kvm: tree
	@vmtest/kernel.sh $(FUZZ) "the kernel for noise" "bzImage modules $(FUZZ_GUIDES:%=KCOV_INSTRUMENT_%.o=y)" -- \
		$(CURDIR)/vmtest/kernel.config $(CURDIR)/vmtest/debug.config $(CURDIR)/vmtest/fuzz.config
	@vmtest/fuzz_kvm.sh $(FUZZ)

# Count even if the host is too busy to measure a time.
bench: kernel
	@vmtest/bench.sh $(KERNEL); ret=$$?; echo; vmtest/count.sh $(KERNEL) && exit $$ret

count: kernel
	@vmtest/count.sh $(KERNEL)

host: host-deps kernel
	@host/root.sh
	@vmtest/selftests.sh $(KERNEL) $(BUILD)/tests x86/tdx_migtd
	@host/run.sh $(KERNEL) $(RUN)

hosts: host-deps kernel qemu
	@host/root.sh
	@vmtest/selftests.sh $(KERNEL) $(BUILD)/tests x86/tdx_migtd
	@hosts/run.sh $(KERNEL)

check-qemu: host-deps kernel qemu
	@host/root.sh
	@vmm/qemu/tests/run.sh $(KERNEL) $(or $(TEST),all)

demo: kernel
	@vmtest/demo.sh $(KERNEL)

migtd: kernel
	@vmtest/migtd.sh $(KERNEL) $(IMAGE)

conformance: | sim-deps
	@$(SIM_MAKE) conformance

static: kernel
	@vmtest/deps.sh static
	@vmtest/static.sh $(KERNEL)

series: base
	@vmtest/series.sh $(LINUX)

stack: base
	@vmtest/stack.sh out $(LINUX)

unstack: base
	@vmtest/stack.sh in $(LINUX)

rebase: base
	@[ -n "$(BASE)" ] || { echo "error: say BASE=/path/to/the/other/kernel" >&2; exit 1; }
	@vmtest/stack.sh rebase $(LINUX) $(BASE)

series-check: kernel
	@vmtest/selftests.sh $(KERNEL) $(BUILD)/tests
	@vmtest/series-check.sh $(LINUX) $(KERNEL) full

# QEMU: the same verbs, for the series in vmm/qemu.
IN_QEMU	:= SERIES_PATHS=vmm/qemu/paths.sh

qemu-deps:
	@vmtest/deps.sh qemu

qemu-base: | qemu-deps
	@[ "$(QEMU)" != "$(BUILD)/qemu-base" ] || vmm/qemu/fetch.sh $(QEMU_VERSION) "$(QEMU_SUITES)" $(QEMU_SHA256)

qemu-tree: qemu-base
	@$(IN_QEMU) vmtest/tree.sh $(QEMU)

qemu: qemu-tree
	@vmm/qemu/build.sh

qemu-series: qemu-base
	@$(IN_QEMU) vmtest/series.sh $(QEMU)

qemu-stack: qemu-base
	@$(IN_QEMU) vmtest/stack.sh out $(QEMU)

qemu-unstack: qemu-base
	@$(IN_QEMU) vmtest/stack.sh in $(QEMU)

qemu-rebase: qemu-base
	@[ -n "$(BASE)" ] || { echo "error: say BASE=/path/to/the/other/QEMU" >&2; exit 1; }
	@$(IN_QEMU) vmtest/stack.sh rebase $(QEMU) $(BASE)

qemu-check: qemu tree
	@vmm/qemu/check.sh $(QEMU) $(LINUX)

clean:
	rm -rf $(BUILD)/kernel $(BUILD)/kernel-* $(BUILD)/coverage $(BUILD)/tree $(BUILD)/tree.new \
		$(BUILD)/tdx-sim $(BUILD)/tests $(BUILD)/mutate $(BUILD)/run* $(BUILD)/migtd $(BUILD)/host $(BUILD)/hosts $(BUILD)/series* $(BUILD)/bisect \
		$(BUILD)/qemu $(BUILD)/qemu.log* $(BUILD)/qemu-tree* $(BUILD)/qemu-series* $(BUILD)/qemu-check* $(BUILD)/qemu-tests
