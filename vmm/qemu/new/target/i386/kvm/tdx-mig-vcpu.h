/*
 * State of TD vCPUs that KVM keeps
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_I386_TDX_MIG_VCPU_H
#define QEMU_I386_TDX_MIG_VCPU_H

#include "hw/core/cpu.h"
#include "migration/qemu-file-types.h"

/* Write the state of a vCPU that is stopped; called from any thread. */
bool tdx_mig_vcpu_save(QEMUFile *f, CPUState *cpu, Error **errp);

/* Read the state of a vCPU, after its bundle was imported. */
bool tdx_mig_vcpu_load(QEMUFile *f, CPUState *cpu, Error **errp);

#endif
