#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the replay notice a wrong model?  Build copies of the model with one
# line changed in each; the traces have to fail on every one of them.
#	mutate.sh MODEL OUTPUT TRACES ATTACKS PROFILES MENDED
set -u

model=$1
out=$2
traces=$3
attacks=$4
profiles=$5
mended=$6
here=$(cd "$(dirname "$0")" && pwd)
count=0
bad=0

# replay: build the copy as it is and print the totals of all profiles.
replay()
{
	if ! make -s -C "$here" MODEL="$out/model" O="$out/build" "$out/build/plain/tdx_replay" \
			> "$out/make.log" 2>&1; then
		tail -n 5 "$out/make.log" >&2
		echo "build failed"
		return
	fi
	{
		for profile in $profiles; do
			"$out/build/plain/tdx_replay" --profile "$profile" "$traces" \
				2> /dev/null | tail -n 1
		done
		for profile in $profiles $mended; do
			"$out/build/plain/tdx_replay" --profile "$profile" "$attacks" \
				2> /dev/null | tail -n 1
		done
	} | awk '
		{ passed += $1; failed += $3 }
		END { print passed " passed, " failed " failed" }'
}

report()
{
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		bad=$((bad + 1))
	fi
}

# mutate NAME FILE SED: exactly one line of FILE changes.
mutate()
{
	cp "$model/$2" "$out/model/$2"
	sed -i "$3" "$out/model/$2"
	lines=$(diff "$model/$2" "$out/model/$2" | grep -c '^<')
	if [ "$lines" != 1 ]; then
		report 1 "$1: changes $lines lines of $2, not one"
	else
		totals=$(replay)
		echo "$totals" | grep -q '^[0-9]* passed, [1-9][0-9]* failed$'
		report $? "$1: $totals"
	fi
	cp "$model/$2" "$out/model/$2"
}

rm -rf "$out/model"
mkdir -p "$out/model" || exit 1
cp "$model"/*.[ch] "$out/model"

totals=$(replay)
echo "$totals" | grep -q '^[1-9][0-9]* passed, 0 failed$'
report $? "the model as it is passes: $totals"

mutate "a write-blocked page stays writable" sept.c \
	'/^	case SEPT_EXPORTED_DIRTY_BLOCKEDW:$/{n;s/SEPT_R | SEPT_X;/SEPT_RWX;/}'
mutate "a bundle is taken on any stream" mbmd.c \
	's/mbmd->migs_index == index &&/mbmd->migs_index >= 0 \&\&/'
mutate "an epoch token may repeat the epoch" token.c \
	's/mbmd->mig_epoch > tdcs->mig_epoch/mbmd->mig_epoch >= tdcs->mig_epoch/'
mutate "a page may return in the epoch of its removal" import_mem.c \
	's/\(FIELD_GET(SEPT_REMOVED_EPOCH, w->entry)\) >= /\1 > /'
mutate "live export does not wait for TLB tracking" export_mem.c \
	's/if (!sim_tlb_tracked(tdcs, READ_ONCE(tdcs->bw_epoch)))/if (!tdcs)/'
mutate "a page exported again stays counted as dirty" export_mem.c \
	's/sim_atomic_dec64(&tdcs->dirty_count);/(void)0;/'
mutate "a decryption key serves more than one session" mig.c \
	's/tdcs->mig_dec_key_set = 0;/(void)0;/'
mutate "a reader does not keep a writer out" lock.c \
	's/if (old & (SIM_LOCK_EXCL | LOCK_READERS))/if (old \& SIM_LOCK_EXCL)/'
mutate "a page with a wrong MAC is imported" import_mem.c \
	's/if (!sim_gcm_verify(/if (m == NULL \&\& !sim_gcm_verify(/'
mutate "a topology can do without cores" cpuid.c \
	's/type == TOPOLOGY_END ? !has_cores :/type == TOPOLOGY_END ? !level :/'
mutate "two vCPUs can have one x2APIC id" vp.c \
	's/if (td->x2apic_ids\[i\] == id)/if (td->x2apic_ids[i] == id \&\& !td)/'
mutate "a list may end before its last sequence" metadata_list.c \
	's/if (sim_profile()->located_list_errors \&\& l->left < MD_MIN_SEQUENCE) {/if (!l) {/'
mutate "a TD whose import has begun is initialised" mng_init.c \
	's/if (sim_profile()->guarded_import/if (!c/'
mutate "a list that is shorter than its header is a long one" metadata_list.c \
	's/if (sim_profile()->bounded_lists/if (!l->t/'
mutate "an IV is used twice" mbmd.c \
	's/s->ctx->iv_counter++;/s->ctx->iv_counter += !s->ctx->iv_counter;/'

echo "1..$count"
[ $bad -eq 0 ]
