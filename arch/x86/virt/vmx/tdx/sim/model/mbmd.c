// SPDX-License-Identifier: GPL-2.0
/*
 * Headers of migration bundles (MBMD): the operand that points to one, how an
 * exporter fills it, what an importer finds plausible, and its MAC.
 */
#include "mig.h"

#define MBMD_ALIGN		128

#define HPA_AND_SIZE_HPA	GENMASK_ULL(51, 0)
#define HPA_AND_SIZE_SIZE	GENMASK_ULL(63, 52)

u64 mbmd_operand(u64 r8, struct sim_mbmd **host)
{
	u64 hpa = r8 & HPA_AND_SIZE_HPA;
	u64 err;

	if (FIELD_GET(HPA_AND_SIZE_SIZE, r8) < sizeof(struct sim_mbmd))
		return SIM_OPERAND_INVALID | R8;
	err = sim_check_shared_hpa(hpa, MBMD_ALIGN, R8);
	if (err)
		return err;
	*host = sim_ptr(hpa);
	return SIM_SUCCESS;
}

void mbmd_read(struct sim_mbmd *mbmd, const struct sim_mbmd *host)
{
	memcpy(mbmd, host, sizeof(*mbmd));
	/* Whatever the host does from now on, decide on what was read. */
	barrier();
}

void mbmd_write(struct sim_mbmd *host, const struct sim_mbmd *mbmd)
{
	memcpy(host, mbmd, sizeof(*mbmd));
}

void mbmd_next(struct mig_stream *s, const struct tdcs *tdcs, enum mb_type type, u64 info,
	       struct sim_mbmd *mbmd)
{
	/* Incremented first: an IV is not used again even if the bundle fails. */
	s->ctx->iv_counter++;

	*mbmd = (struct sim_mbmd) {
		.size = sizeof(*mbmd),
		.mig_version = tdcs->mig_working_version,
		.migs_index = s->index,
		.mb_type = type,
		.mb_counter = s->ctx->next_mb_counter,
		.mig_epoch = tdcs->mig_epoch,
		.iv_counter = s->ctx->iv_counter,
		.info = info,
	};
}

bool mbmd_plausible(const struct sim_mbmd *mbmd, const struct tdcs *tdcs, enum mb_type type,
		    u16 index)
{
	return mbmd->size == sizeof(*mbmd) &&
	       mbmd->mig_version == tdcs->mig_working_version &&
	       mbmd->migs_index == index &&
	       mbmd->mb_type == type &&
	       !mbmd->reserved;
}

void mbmd_auth(struct mig_stream *s, const struct sim_mbmd *mbmd)
{
	struct sim_mbmd aad = *mbmd;

	aad.migs_index = 0;
	aad.iv_counter = 0;
	mig_gcm_begin(s, mbmd->iv_counter);
	sim_gcm_auth(&s->ctx->gcm, &aad, offsetof(struct sim_mbmd, mac));
}

void mbmd_seal(struct mig_stream *s, struct sim_mbmd *mbmd)
{
	mbmd_auth(s, mbmd);
	sim_gcm_seal(&s->ctx->gcm, mbmd->mac);
}

bool mbmd_verify(struct mig_stream *s, const struct sim_mbmd *mbmd)
{
	mbmd_auth(s, mbmd);
	return sim_gcm_verify(&s->ctx->gcm, mbmd->mac);
}
