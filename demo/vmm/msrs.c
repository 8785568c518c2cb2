// SPDX-License-Identifier: GPL-2.0
/*
 * MSRs that KVM emulates for a TD. KVM lists those that are worth saving, but for
 * the MTRRs and the banks of the machine check architecture, which are described by
 * MSRs of their own; and of all those a TD has only some.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "msrs.h"

#define MSR_MTRRCAP		0xfe
#define MTRRCAP_NR_VARIABLE	0xff
#define MTRRCAP_FIXED		BIT(8)
#define MSR_MTRR_PHYS_BASE0	0x200
#define MSR_MTRR_DEF_TYPE	0x2ff

#define MSR_MCG_CAP		0x179
#define MCG_CAP_NR_BANKS	0xff
#define MSR_MC0_CTL		0x400
#define MSR_MC0_CTL2		0x280
#define MSRS_PER_BANK		4

static const u32 fixed_mtrrs[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
};

struct msr_list {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[WIRE_MAX_MSRS];
};

static u32 found[WIRE_MAX_MSRS];
static u32 nr_found;

static bool get_msr(const struct vcpu *vcpu, u32 index, u64 *val)
{
	struct msr_list list = { .head.nmsrs = 1, .entries[0].index = index };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &list) != 1)
		return false;
	*val = list.entries[0].data;
	return true;
}

/* An MSR that the vCPU does not have, it does not need. */
static void find_msr(const struct vcpu *vcpu, u32 index)
{
	u64 val;

	if (!get_msr(vcpu, index, &val))
		return;
	if (nr_found == WIRE_MAX_MSRS)
		die("KVM emulates more MSRs than can be saved at once");
	found[nr_found++] = index;
}

static struct kvm_msr_list *index_list(void)
{
	struct kvm_msr_list *list = NULL, head = {};
	int kvm = kvm_open();

	if (!ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &head) || errno == E2BIG)
		list = malloc(sizeof(*list) + head.nmsrs * sizeof(list->indices[0]));
	if (!list)
		die("KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));

	list->nmsrs = head.nmsrs;
	if (ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list))
		die("KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	close(kvm);
	return list;
}

void msrs_find(const struct vcpu *vcpu)
{
	struct kvm_msr_list *list = index_list();
	u64 cap;
	u32 i;

	nr_found = 0;
	for (i = 0; i < list->nmsrs; i++)
		find_msr(vcpu, list->indices[i]);
	free(list);

	if (get_msr(vcpu, MSR_MTRRCAP, &cap)) {
		for (i = 0; i < 2 * (cap & MTRRCAP_NR_VARIABLE); i++)
			find_msr(vcpu, MSR_MTRR_PHYS_BASE0 + i);
		for (i = 0; cap & MTRRCAP_FIXED && i < ARRAY_SIZE(fixed_mtrrs); i++)
			find_msr(vcpu, fixed_mtrrs[i]);
		find_msr(vcpu, MSR_MTRR_DEF_TYPE);
	}

	if (get_msr(vcpu, MSR_MCG_CAP, &cap)) {
		for (i = 0; i < MSRS_PER_BANK * (cap & MCG_CAP_NR_BANKS); i++)
			find_msr(vcpu, MSR_MC0_CTL + i);
		for (i = 0; i < (cap & MCG_CAP_NR_BANKS); i++)
			find_msr(vcpu, MSR_MC0_CTL2 + i);
	}
}

void msrs_save(const struct vcpu *vcpu, struct wire_vcpu *wire)
{
	struct msr_list list = { .head.nmsrs = nr_found };
	u32 i;
	int n;

	for (i = 0; i < nr_found; i++)
		list.entries[i].index = found[i];
	n = ioctl(vcpu->fd, KVM_GET_MSRS, &list);
	if (n != (int)nr_found)
		die("vCPU %u has lost an MSR: KVM_GET_MSRS returned %d of %u", vcpu->id, n,
		    nr_found);

	wire->nr_msrs = nr_found;
	memcpy(wire->msrs, list.entries, nr_found * sizeof(list.entries[0]));
}

void msrs_load(const struct vcpu *vcpu, const struct wire_vcpu *wire)
{
	struct msr_list list = { .head.nmsrs = wire->nr_msrs };
	const struct kvm_msr_entry *refused;
	int n;

	memcpy(list.entries, wire->msrs, wire->nr_msrs * sizeof(list.entries[0]));
	n = ioctl(vcpu->fd, KVM_SET_MSRS, &list);
	if (n < 0)
		die("vCPU %u: KVM_SET_MSRS: %s", vcpu->id, strerror(errno));
	if (n < (int)wire->nr_msrs) {
		refused = &list.entries[n];
		die("vCPU %u does not take MSR 0x%x = 0x%llx", vcpu->id, refused->index,
		    (unsigned long long)refused->data);
	}
}
