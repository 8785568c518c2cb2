/*
 * State of TD vCPUs that KVM keeps
 *
 * The TDX module exports the registers of a vCPU, which nobody else can access.
 * What remains is with KVM: the response to a hypercall under way, the emulated
 * part of the local APIC with interrupts that the TDX module has not seen yet,
 * MSRs that KVM emulates, pending events, and whether the vCPU is halted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "cpu.h"
#include "tdx-mig-vcpu.h"

#include <linux/kvm.h>

#define MSR_MC0_CTL2 0x280

/* KVM_GET_MSRS and KVM_SET_MSRS take no more at once */
#define TDX_MIG_MAX_MSRS 255

typedef struct TdxMigMsrs {
    struct kvm_msrs head;
    struct kvm_msr_entry entries[TDX_MIG_MAX_MSRS];
} TdxMigMsrs;

typedef struct TdxMigVcpu {
    struct kvm_tdx_mig_vcpu_state state;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    TdxMigMsrs msrs;

    /* Result of the function that runs on the vCPU */
    Error *err;
} TdxMigVcpu;

static bool tdx_mig_vcpu_ioctl(CPUState *cpu, TdxMigVcpu *vcpu,
                               unsigned long request, void *arg,
                               const char *name)
{
    int ret = kvm_vcpu_ioctl(cpu, request, arg);

    if (ret < 0) {
        error_setg_errno(&vcpu->err, -ret, "TDX migration: %s of vCPU %d "
                         "failed", name, cpu->cpu_index);
        return false;
    }
    return true;
}

static bool tdx_mig_vcpu_command(CPUState *cpu, TdxMigVcpu *vcpu, uint32_t cmd,
                                 const char *name)
{
    struct kvm_tdx_cmd tdx_cmd = {
        .id = cmd,
        .data = (uintptr_t)&vcpu->state,
    };

    return tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_MEMORY_ENCRYPT_OP, &tdx_cmd, name);
}

/* An MSR that the vCPU does not have needs not be moved. */
static bool tdx_mig_has_msr(CPUState *cpu, uint32_t index, uint64_t *value)
{
    TdxMigMsrs msrs = { .head.nmsrs = 1, .entries[0].index = index };

    if (kvm_vcpu_ioctl(cpu, KVM_GET_MSRS, &msrs) != 1) {
        return false;
    }
    *value = msrs.entries[0].data;
    return true;
}

static void tdx_mig_add_msr(CPUState *cpu, TdxMigVcpu *vcpu, uint32_t index)
{
    struct kvm_msrs *head = &vcpu->msrs.head;
    uint64_t value;

    if (!tdx_mig_has_msr(cpu, index, &value)) {
        return;
    }
    if (head->nmsrs == TDX_MIG_MAX_MSRS) {
        if (!vcpu->err) {
            error_setg(&vcpu->err, "TDX migration: KVM emulates more than %d "
                       "MSRs", TDX_MIG_MAX_MSRS);
        }
        return;
    }
    vcpu->msrs.entries[head->nmsrs++] = (struct kvm_msr_entry) {
        .index = index,
        .data = value,
    };
}

/*
 * KVM lists the MSRs that are worth saving, of which a TD has only some, but
 * for MTRRs and the banks of machine checks, which other MSRs count.
 */
static void tdx_mig_get_msrs(CPUState *cpu, TdxMigVcpu *vcpu)
{
    static const uint32_t fixed_mtrrs[] = {
        MSR_MTRRfix64K_00000, MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000,
        MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_C8000, MSR_MTRRfix4K_D0000,
        MSR_MTRRfix4K_D8000, MSR_MTRRfix4K_E0000, MSR_MTRRfix4K_E8000,
        MSR_MTRRfix4K_F0000, MSR_MTRRfix4K_F8000,
    };
    g_autofree struct kvm_msr_list *list = NULL;
    struct kvm_msr_list head = {};
    uint64_t cap;
    unsigned i;
    int ret;

    ret = kvm_ioctl(kvm_state, KVM_GET_MSR_INDEX_LIST, &head);
    if (ret < 0 && ret != -E2BIG) {
        error_setg_errno(&vcpu->err, -ret, "KVM_GET_MSR_INDEX_LIST failed");
        return;
    }
    list = g_malloc0(sizeof(*list) + head.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = head.nmsrs;
    ret = kvm_ioctl(kvm_state, KVM_GET_MSR_INDEX_LIST, list);
    if (ret < 0) {
        error_setg_errno(&vcpu->err, -ret, "KVM_GET_MSR_INDEX_LIST failed");
        return;
    }

    for (i = 0; i < list->nmsrs; i++) {
        tdx_mig_add_msr(cpu, vcpu, list->indices[i]);
    }

    if (tdx_mig_has_msr(cpu, MSR_MTRRcap, &cap)) {
        for (i = 0; i < 2 * (cap & 0xff); i++) {
            tdx_mig_add_msr(cpu, vcpu, MSR_MTRRphysBase(0) + i);
        }
        for (i = 0; i < ARRAY_SIZE(fixed_mtrrs); i++) {
            tdx_mig_add_msr(cpu, vcpu, fixed_mtrrs[i]);
        }
        tdx_mig_add_msr(cpu, vcpu, MSR_MTRRdefType);
    }

    if (tdx_mig_has_msr(cpu, MSR_MCG_CAP, &cap)) {
        unsigned banks = cap & 0xff;

        for (i = 0; i < 4 * banks; i++) {
            tdx_mig_add_msr(cpu, vcpu, MSR_MC0_CTL + i);
        }
        for (i = 0; i < banks; i++) {
            tdx_mig_add_msr(cpu, vcpu, MSR_MC0_CTL2 + i);
        }
    }
}

static void tdx_mig_vcpu_get(CPUState *cpu, run_on_cpu_data data)
{
    TdxMigVcpu *vcpu = data.host_ptr;

    vcpu->state.version = KVM_TDX_MIG_VCPU_STATE_VERSION;
    vcpu->state.size = sizeof(vcpu->state);
    if (!tdx_mig_vcpu_command(cpu, vcpu, KVM_TDX_MIG_GET_VCPU_STATE,
                              "KVM_TDX_MIG_GET_VCPU_STATE") ||
        !tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_GET_LAPIC, &vcpu->lapic,
                            "KVM_GET_LAPIC") ||
        !tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_GET_VCPU_EVENTS, &vcpu->events,
                            "KVM_GET_VCPU_EVENTS") ||
        !tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_GET_MP_STATE, &vcpu->mp_state,
                            "KVM_GET_MP_STATE")) {
        return;
    }
    tdx_mig_get_msrs(cpu, vcpu);
}

static void tdx_mig_vcpu_set(CPUState *cpu, run_on_cpu_data data)
{
    TdxMigVcpu *vcpu = data.host_ptr;
    int ret;

    if (!tdx_mig_vcpu_command(cpu, vcpu, KVM_TDX_MIG_SET_VCPU_STATE,
                              "KVM_TDX_MIG_SET_VCPU_STATE") ||
        !tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_SET_LAPIC, &vcpu->lapic,
                            "KVM_SET_LAPIC")) {
        return;
    }

    /*
     * The deadline of the timer counts only once the local APIC has its mode.
     */
    ret = kvm_vcpu_ioctl(cpu, KVM_SET_MSRS, &vcpu->msrs);
    if (ret < 0) {
        error_setg_errno(&vcpu->err, -ret, "TDX migration: KVM_SET_MSRS of "
                         "vCPU %d failed", cpu->cpu_index);
        return;
    }
    if (ret < vcpu->msrs.head.nmsrs) {
        error_setg(&vcpu->err, "TDX migration: vCPU %d does not take 0x%" PRIx64
                   " for MSR 0x%x", cpu->cpu_index,
                   (uint64_t)vcpu->msrs.entries[ret].data,
                   vcpu->msrs.entries[ret].index);
        return;
    }

    if (tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_SET_VCPU_EVENTS, &vcpu->events,
                           "KVM_SET_VCPU_EVENTS")) {
        tdx_mig_vcpu_ioctl(cpu, vcpu, KVM_SET_MP_STATE, &vcpu->mp_state,
                           "KVM_SET_MP_STATE");
    }
}

/* The structures of KVM's interface are little endian on any x86 host. */
static void tdx_mig_put_struct(QEMUFile *f, const void *data, uint32_t size)
{
    qemu_put_be32(f, size);
    qemu_put_buffer(f, data, size);
}

static bool tdx_mig_get_struct(QEMUFile *f, void *data, uint32_t size,
                               const char *name, Error **errp)
{
    uint32_t actual = qemu_get_be32(f);

    if (actual != size) {
        error_setg(errp, "TDX migration: %s has %u bytes, not %u", name, actual,
                   size);
        return false;
    }
    if (qemu_get_buffer(f, data, size) != size) {
        error_setg(errp, "TDX migration: the stream ends in %s", name);
        return false;
    }
    return true;
}

bool tdx_mig_vcpu_save(QEMUFile *f, CPUState *cpu, Error **errp)
{
    g_autofree TdxMigVcpu *vcpu = g_new0(TdxMigVcpu, 1);

    run_on_cpu(cpu, tdx_mig_vcpu_get, RUN_ON_CPU_HOST_PTR(vcpu));
    if (vcpu->err) {
        error_propagate(errp, vcpu->err);
        return false;
    }

    tdx_mig_put_struct(f, &vcpu->state, sizeof(vcpu->state));
    tdx_mig_put_struct(f, &vcpu->lapic, sizeof(vcpu->lapic));
    tdx_mig_put_struct(f, &vcpu->events, sizeof(vcpu->events));
    tdx_mig_put_struct(f, &vcpu->mp_state, sizeof(vcpu->mp_state));
    qemu_put_be32(f, vcpu->msrs.head.nmsrs);
    tdx_mig_put_struct(f, vcpu->msrs.entries, vcpu->msrs.head.nmsrs *
                                              sizeof(vcpu->msrs.entries[0]));
    return true;
}

bool tdx_mig_vcpu_load(QEMUFile *f, CPUState *cpu, Error **errp)
{
    g_autofree TdxMigVcpu *vcpu = g_new0(TdxMigVcpu, 1);
    uint32_t nmsrs;

    if (!tdx_mig_get_struct(f, &vcpu->state, sizeof(vcpu->state),
                            "the state of a vCPU", errp) ||
        !tdx_mig_get_struct(f, &vcpu->lapic, sizeof(vcpu->lapic),
                            "a local APIC", errp) ||
        !tdx_mig_get_struct(f, &vcpu->events, sizeof(vcpu->events),
                            "the events of a vCPU", errp) ||
        !tdx_mig_get_struct(f, &vcpu->mp_state, sizeof(vcpu->mp_state),
                            "the MP state of a vCPU", errp)) {
        return false;
    }

    nmsrs = qemu_get_be32(f);
    if (nmsrs > TDX_MIG_MAX_MSRS) {
        error_setg(errp, "TDX migration: %u MSRs, of %d at most", nmsrs,
                   TDX_MIG_MAX_MSRS);
        return false;
    }
    vcpu->msrs.head.nmsrs = nmsrs;
    if (!tdx_mig_get_struct(f, vcpu->msrs.entries,
                            nmsrs * sizeof(vcpu->msrs.entries[0]), "the MSRs",
                            errp)) {
        return false;
    }

    run_on_cpu(cpu, tdx_mig_vcpu_set, RUN_ON_CPU_HOST_PTR(vcpu));
    if (vcpu->err) {
        error_propagate(errp, vcpu->err);
        return false;
    }
    return true;
}
