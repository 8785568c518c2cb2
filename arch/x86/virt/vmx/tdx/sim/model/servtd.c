// SPDX-License-Identifier: GPL-2.0
/*
 * Service TDs: binding one to a TD, and the measurements that this rests on.
 */
#include "leaves.h"
#include "metadata_table.h"

#define SERVTD_HASH_ALIGN	64

/* A service TD must be able to run. */
#define SERVTD_OP_STATES	(BIT(OP_RUNNABLE) | BIT(OP_LIVE_EXPORT) | \
				 BIT(OP_PAUSED_EXPORT) | BIT(OP_POST_EXPORT) | \
				 BIT(OP_POST_IMPORT) | BIT(OP_LIVE_IMPORT))

/* What is measured of a TD. */
struct tdinfo {
	u64 attributes;
	u64 xfam;
	u8 mrtd[48];
	u8 mrconfigid[48];
	u8 mrowner[48];
	u8 mrownerconfig[48];
	u8 rtmr[4][48];
	u8 servtd_hash[48];
	u8 reserved[64];
};

static_assert(sizeof(struct tdinfo) == SIM_TDINFO_SIZE);

/* SERVTD_ATTR 47:32, by field of TDINFO. */
enum tdinfo_ignore {
	IGNORE_ATTRIBUTES, IGNORE_XFAM, IGNORE_MRTD, IGNORE_MRCONFIGID, IGNORE_MROWNER,
	IGNORE_MROWNERCONFIG, IGNORE_RTMR0, IGNORE_SERVTD_HASH = IGNORE_RTMR0 + 4,
};

void sim_tdinfo(struct sim_td *td, u64 ignore, u8 out[SIM_TDINFO_SIZE])
{
	const struct tdcs *tdcs = td->tdcs;
	u32 skip = ignore >> 32;
	struct tdinfo info = {};
	int i;

	if (!(skip & BIT(IGNORE_ATTRIBUTES)))
		info.attributes = tdcs->attributes;
	if (!(skip & BIT(IGNORE_XFAM)))
		info.xfam = tdcs->xfam;
	if (!(skip & BIT(IGNORE_MRTD)))
		memcpy(info.mrtd, tdcs->mrtd, sizeof(info.mrtd));
	if (!(skip & BIT(IGNORE_MRCONFIGID)))
		memcpy(info.mrconfigid, tdcs->mrconfigid, sizeof(info.mrconfigid));
	if (!(skip & BIT(IGNORE_MROWNER)))
		memcpy(info.mrowner, tdcs->mrowner, sizeof(info.mrowner));
	if (!(skip & BIT(IGNORE_MROWNERCONFIG)))
		memcpy(info.mrownerconfig, tdcs->mrownerconfig, sizeof(info.mrownerconfig));
	for (i = 0; i < (int)ARRAY_SIZE(info.rtmr); i++) {
		if (!(skip & BIT(IGNORE_RTMR0 + i)))
			memcpy(info.rtmr[i], tdcs->rtmr[i], sizeof(info.rtmr[i]));
	}
	if (!(skip & BIT(IGNORE_SERVTD_HASH)))
		memcpy(info.servtd_hash, tdcs->servtd_hash, sizeof(info.servtd_hash));
	memcpy(out, &info, sizeof(info));
}

void sim_measure(const void *data, size_t len, u8 digest[48])
{
	struct sim_sha384 sha;

	sim_sha384_init(&sha);
	sim_sha384_update(&sha, data, len);
	sim_sha384_final(&sha, digest);
}

void sim_servtd_info_hash(struct sim_td *td, u64 attributes, u8 digest[48])
{
	u8 info[SIM_TDINFO_SIZE];

	sim_tdinfo(td, attributes, info);
	sim_measure(info, sizeof(info), digest);
}

void sim_servtd_finalize(struct sim_td *td)
{
	const struct servtd_binding *b = &td->tdcs->servtd[0];
	struct {
		u8 info_hash[48];
		u16 type;
		u64 attributes;
	} __packed measured;

	memset(td->tdcs->servtd_hash, 0, sizeof(td->tdcs->servtd_hash));
	if (b->state == SERVTD_NOT_BOUND)
		return;
	memcpy(measured.info_hash, b->info_hash, sizeof(measured.info_hash));
	measured.type = b->type;
	measured.attributes = b->attributes;
	sim_measure(&measured, sizeof(measured), td->tdcs->servtd_hash);
}

/* ---------------------------------------------------------------- binding */

/* Slot in R8, type in R9, attributes in R10. */
static u64 check_binding_operands(struct sim_call *c)
{
	if (c->in.r[R8] >= SIM_MAX_SERVTDS)
		return SIM_OPERAND_INVALID | R8;
	if (c->in.r[R9] != SERVTD_TYPE_MIGTD)
		return SIM_OPERAND_INVALID | R9;
	if (c->in.r[R10] & ~SIM_SERVTD_ATTRIBUTES_FIXED0)
		return SIM_OPERAND_INVALID | R10;
	return SIM_SUCCESS;
}

u64 tdx_sim_servtd_prebind(struct sim_call *c)
{
	struct servtd_binding *b;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_SHARED, SIM_SHARED, &td);
	if (!err)
		err = sim_check_shared_hpa(c->in.r[RDX], SERVTD_HASH_ALIGN, RDX);
	if (!err)
		err = check_binding_operands(c);
	if (!err)
		err = sim_hold_or_busy(c, &td.tdcs->servtd_lock, SIM_EXCL, OPND_SERVTD_BINDINGS);
	if (err)
		return err;

	b = &td.tdcs->servtd[c->in.r[R8]];
	if (b->state == SERVTD_BOUND)
		return SIM_SERVTD_BOUND;
	if (b->state == SERVTD_NOT_BOUND)
		td.tdcs->servtd_num++;
	b->type = c->in.r[R9];
	b->attributes = c->in.r[R10];
	memcpy(b->info_hash, sim_ptr(c->in.r[RDX]), sizeof(b->info_hash));
	b->state = SERVTD_PRE_BOUND;
	return SIM_SUCCESS;
}

/* The service TD, in RDX. */
static u64 get_service_td(struct sim_call *c, struct sim_td *servtd)
{
	u64 err;

	err = sim_get_tdr(c, RDX, SIM_SHARED, servtd);
	if (err)
		return err;
	if (servtd->tdr->fatal)
		return SIM_TD_FATAL;
	if (servtd->tdr->lifecycle != TD_KEYS_CONFIGURED)
		return SIM_TD_KEYS_NOT_CONFIGURED;
	if (servtd->tdr->num_tdcx < SIM_MIN_TDCX)
		return SIM_TDCS_NOT_ALLOCATED;
	if (!sim_hold(c, &servtd->tdcs->op_state_lock, SIM_SHARED))
		return SIM_OPERAND_BUSY | OPND_OP_STATE;
	if (!(SERVTD_OP_STATES & BIT(servtd->tdcs->op_state)))
		return SIM_OP_STATE_INCORRECT;
	return SIM_SUCCESS;
}

/* What a binding that exists demands of the service TD that is bound now. */
static u64 check_rebind(const struct servtd_binding *b, struct sim_call *c,
			const u64 uuid[4], const u8 info_hash[48])
{
	bool instance = b->state == SERVTD_BOUND && !sim_profile()->rebind_by_hash &&
			(b->attributes & SIM_SERVTD_INSTANCE_BINDING);

	if (b->type != c->in.r[R9])
		return SIM_SERVTD_TYPE_MISMATCH;
	if (b->attributes != c->in.r[R10])
		return SIM_SERVTD_ATTR_MISMATCH;
	if (instance)
		return memcmp(b->uuid, uuid, sizeof(b->uuid)) ?
		       SIM_SERVTD_UUID_MISMATCH : SIM_SUCCESS;
	return memcmp(b->info_hash, info_hash, sizeof(b->info_hash)) ?
	       SIM_SERVTD_INFO_HASH_MISMATCH : SIM_SUCCESS;
}

static u64 bind(struct sim_call *c, struct sim_td *td, struct sim_td *servtd)
{
	struct servtd_binding *b = &td->tdcs->servtd[c->in.r[R8]];
	u8 info_hash[48];
	u64 err;

	err = sim_hold_or_busy(c, &servtd->tdcs->rtmr_lock, SIM_SHARED, OPND_RTMR);
	if (err)
		return err;
	sim_servtd_info_hash(servtd, c->in.r[R10], info_hash);

	if (b->state == SERVTD_NOT_BOUND) {
		/* Later the TD's measurement would not tell of it. */
		if (td->tdcs->op_state != OP_UNINITIALIZED &&
		    td->tdcs->op_state != OP_INITIALIZED)
			return SIM_OP_STATE_INCORRECT;
		b->type = c->in.r[R9];
		b->attributes = c->in.r[R10];
		td->tdcs->servtd_num++;
	} else {
		err = check_rebind(b, c, servtd->tdr->uuid, info_hash);
		if (err)
			return err;
	}
	memcpy(b->info_hash, info_hash, sizeof(b->info_hash));
	memcpy(b->uuid, servtd->tdr->uuid, sizeof(b->uuid));
	b->state = SERVTD_BOUND;
	return SIM_SUCCESS;
}

u64 tdx_sim_servtd_bind(struct sim_call *c)
{
	struct sim_td td, servtd;
	u64 *r = c->regs->r;
	u64 err;

	r[RCX] = 0;
	r[R10] = 0;
	r[R11] = 0;
	r[R12] = 0;
	r[R13] = 0;
	if (c->in.r[RCX] == c->in.r[RDX])
		return SIM_OPERAND_INVALID | RDX;
	err = sim_get_td(c, RCX, SIM_SHARED, SIM_SHARED, &td);
	if (!err)
		err = get_service_td(c, &servtd);
	if (!err)
		err = check_binding_operands(c);
	if (!err)
		err = sim_hold_or_busy(c, &td.tdcs->servtd_lock, SIM_EXCL, OPND_SERVTD_BINDINGS);
	if (!err)
		err = bind(c, &td, &servtd);
	if (err)
		return err;

	/* The handle hides the address of the TDR from other service TDs. */
	r[RCX] = (td.tdr_pa | c->in.r[R8]) + servtd.tdr->uuid[0];
	memcpy(&r[R10], td.tdr->uuid, sizeof(td.tdr->uuid));
	return SIM_SUCCESS;
}
