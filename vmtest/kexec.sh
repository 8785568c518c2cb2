#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot the machine, and replace its kernel by kexec while TDs migrate in it.
#
# Usage: kexec.sh OBJDIR
# Environment: TIMES=n, how often; SEED=n, of the moments; SLOW=n multiplies the time limit
. "$(dirname "$0")/lib.sh"

obj=$1
tests=$BUILD/tests
run=$BUILD/run-kexec
boot=$BUILD/kexec-boot
program=tdx_mig_parallel_stress_test
mkdir -p "$tests" "$boot"

"$TOP/vmtest/selftests.sh" "$obj" "$tests" "x86/$program"
build_init "$tests/init"
gcc -static -O2 -Wall -Wextra -Werror -o "$tests/kexec" "$TOP/vmtest/kexec.c"

echo "tdx_mig_kexec $((120 * ${SLOW:-1})) tdx=1,tdx_mig=1 /tests/kexec ${TIMES:-3} ${SEED:-1} /tests/$program" \
	>"$tests/kexec.list"
"$TOP/vmtest/initramfs.sh" "$boot/initramfs" "$obj" "$tests/init" "$tests/kexec.list" \
	"$tests/kexec" "$tests/x86/$program"
cp "$obj/arch/x86/boot/bzImage" "$boot/kernel"

say "booting the machine; its kernel is replaced ${TIMES:-3} times, seed ${SEED:-1}"
DEVICES="-virtfs
local,path=${boot//,/,,},mount_tag=boot,security_model=none,readonly=on" \
	"$TOP/vmtest/run.sh" "$run" "$boot/kernel" "$boot/initramfs" "$tests/kexec.list" tdxsim=on
"$TOP/vmtest/judge.sh" "$run"
