/*
 * What the source and the destination of a TD's migration have in common
 *
 * KVM and the TDX module compare the TD that arrives with what was announced,
 * but do not tell what differs.  Say that in the words of QEMU's options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "cpu.h"
#include "tdx.h"
#include "tdx-mig-session.h"

#include <linux/kvm.h>

#define TDX_MIG_MAX_CPUID   256
#define TDX_MIG_TSC_MHZ     25

static uint32_t tdx_mig_nr_vcpus(void)
{
    uint32_t nr = 0;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        nr++;
    }
    return nr;
}

/* The TDX module counts in units. */
static uint32_t tdx_mig_tsc_mhz(void)
{
    int khz = kvm_vm_ioctl(kvm_state, KVM_GET_TSC_KHZ, 0);

    return khz < 0 ? 0 : khz / (TDX_MIG_TSC_MHZ * 1000) * TDX_MIG_TSC_MHZ;
}

void tdx_mig_save_config(QEMUFile *f)
{
    const struct kvm_tdx_init_vm *init_vm =
        TDX_GUEST(current_machine->cgs)->init_vm;
    uint32_t i;

    qemu_put_be32(f, TDX_MIG_CONFIG);
    qemu_put_be32(f, tdx_mig_nr_vcpus());
    qemu_put_be32(f, tdx_mig_tsc_mhz());
    qemu_put_be64(f, init_vm->attributes);
    qemu_put_be64(f, init_vm->xfam);
    qemu_put_be32(f, init_vm->cpuid.nent);
    for (i = 0; i < init_vm->cpuid.nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &init_vm->cpuid.entries[i];

        qemu_put_be32(f, entry->function);
        qemu_put_be32(f, entry->index);
        qemu_put_be32(f, entry->eax);
        qemu_put_be32(f, entry->ebx);
        qemu_put_be32(f, entry->ecx);
        qemu_put_be32(f, entry->edx);
    }
}

static const struct kvm_cpuid_entry2 *
tdx_mig_find_cpuid(const struct kvm_cpuid2 *cpuid, uint32_t function,
                   uint32_t index)
{
    uint32_t i;

    for (i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function == function &&
            cpuid->entries[i].index == index) {
            return &cpuid->entries[i];
        }
    }
    return NULL;
}

/*
 * Some bits do not matter, which depends on the TDX module.  So this is only
 * told if the TD is not what KVM expects.
 */
static void tdx_mig_compare_cpuid(const struct kvm_cpuid_entry2 *source)
{
    static const char *const names[] = { "EAX", "EBX", "ECX", "EDX" };
    const struct kvm_tdx_init_vm *init_vm =
        TDX_GUEST(current_machine->cgs)->init_vm;
    const struct kvm_cpuid_entry2 *here =
        tdx_mig_find_cpuid(&init_vm->cpuid, source->function, source->index);
    const uint32_t there[] = {
        source->eax, source->ebx, source->ecx, source->edx
    };
    uint32_t values[ARRAY_SIZE(names)] = {};
    unsigned i;

    if (here) {
        values[0] = here->eax;
        values[1] = here->ebx;
        values[2] = here->ecx;
        values[3] = here->edx;
    }
    for (i = 0; i < ARRAY_SIZE(names); i++) {
        if (there[i] != values[i] && !tdx_mig.difference) {
            tdx_mig.difference =
                g_strdup_printf("TDX migration: %s of CPUID leaf 0x%x.%u is "
                                "0x%x at the source, 0x%x here", names[i],
                                source->function, source->index, there[i],
                                values[i]);
        }
    }
}

static bool tdx_mig_load_cpuid(QEMUFile *f, Error **errp)
{
    uint32_t nr = qemu_get_be32(f);
    uint32_t i;

    if (nr > TDX_MIG_MAX_CPUID) {
        error_setg(errp, "TDX migration: %u CPUID leaves, of %u at most", nr,
                   TDX_MIG_MAX_CPUID);
        return false;
    }
    for (i = 0; i < nr; i++) {
        struct kvm_cpuid_entry2 entry = {};

        entry.function = qemu_get_be32(f);
        entry.index = qemu_get_be32(f);
        entry.eax = qemu_get_be32(f);
        entry.ebx = qemu_get_be32(f);
        entry.ecx = qemu_get_be32(f);
        entry.edx = qemu_get_be32(f);
        tdx_mig_compare_cpuid(&entry);
    }
    return true;
}

bool tdx_mig_load_config(QEMUFile *f, Error **errp)
{
    const struct kvm_tdx_init_vm *init_vm =
        TDX_GUEST(current_machine->cgs)->init_vm;
    uint32_t nr_vcpus = qemu_get_be32(f);
    uint32_t tsc_mhz = qemu_get_be32(f);
    uint64_t attributes = qemu_get_be64(f);
    uint64_t xfam = qemu_get_be64(f);
    int ret = qemu_file_get_error(f);

    if (ret) {
        error_setg_errno(errp, -ret, "TDX migration: the stream ends in the "
                         "configuration");
        return false;
    }
    if (nr_vcpus != tdx_mig_nr_vcpus()) {
        error_setg(errp, "TDX migration: the TD has %u vCPUs at the source, %u "
                   "here", nr_vcpus, tdx_mig_nr_vcpus());
        return false;
    }
    if (tsc_mhz != tdx_mig_tsc_mhz()) {
        error_setg(errp, "TDX migration: the TSC of the TD has %u MHz at the "
                   "source, %u here, see tsc-freq", tsc_mhz,
                   tdx_mig_tsc_mhz());
        return false;
    }
    if (attributes != init_vm->attributes) {
        error_setg(errp, "TDX migration: the TD has attributes 0x%" PRIx64
                   " at the source, 0x%" PRIx64 " here", attributes,
                   (uint64_t)init_vm->attributes);
        return false;
    }
    if (xfam != init_vm->xfam) {
        error_setg(errp, "TDX migration: the TD has XFAM 0x%" PRIx64 " at the "
                   "source, 0x%" PRIx64 " here", xfam,
                   (uint64_t)init_vm->xfam);
        return false;
    }
    return tdx_mig_load_cpuid(f, errp);
}
