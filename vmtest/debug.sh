#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The machine's tests under kernels that look for what tests alone do not see.  Says for
# each kernel what it had switched on, by its configuration.  Ends with a line of totals.
#
# Usage: debug.sh TESTS CHECKERS...   TESTS: names of vmtest/tests.list, "" for all;
#	CHECKERS: names of fragments in vmtest/ and of kernels in build/, debug and kcsan
. "$(dirname "$0")/lib.sh"

only=$1
shift
tests=$BUILD/tests
skipped=0
said=()

# switched_on NAME: what the fragment asks for and the kernel has.
switched_on() {
	awk 'FNR == NR { set[$0]; next }
		/^CONFIG_.*=y$/ && $0 in set { gsub(/^CONFIG_|=y$/, ""); printf " %s", $0 }' \
		"$BUILD/kernel-$1/.config" "$TOP/vmtest/$1.config"
}

# What a module leaks on purpose has to fail a run: it is 20 objects of the slab
# allocator, of which some may be missed by chance, and some others.
find_leaks() {
	local obj=$1 module=kmemleak-test.ko run=$BUILD/run-debug-leaks ret=0 found

	say "a module that leaks"
	build_init "$tests/init"
	echo "leaks 60 - /tests/$module none" >"$tests/leaks.list"
	"$TOP/vmtest/initramfs.sh" "$tests/leaks.cpio" "$obj" "$tests/init" "$tests/leaks.list" \
		"$module=$obj/samples/kmemleak/$module"
	SHOW=none "$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$tests/leaks.cpio" \
		"$tests/leaks.list" tdxsim=on
	"$TOP/vmtest/judge.sh" "$run" >"$run/judgement" || ret=$?
	found=$(grep -c '^FAIL kmemleak: unreferenced object 0xffff8' "$run/judgement") || true
	say "kmemleak has found $found objects"
	[ "$ret" -eq 1 ] && [ "$found" -ge 16 ]
}

mkdir -p "$tests"
for name; do
	obj=$BUILD/kernel-$name
	case $name in
	debug)
		slow=8
		result "kmemleak finds what leaks" "$(find_leaks "$obj" >&2 && echo 0 || echo 1)"
		;;
	kcsan)
		slow=4
		result "the driver is instrumented for KCSAN" \
			"$(grep -q 'sanitize=thread' "$obj/arch/x86/kvm/vmx/.tdx_mig_export.o.cmd"; echo $?)"
		;;
	*) die "nothing is called '$name'" "the names are: debug kcsan" ;;
	esac
	say "the machine with kernel-$name"
	RUN_NAME=$name SLOW=$slow "$TOP/vmtest/test.sh" "$obj" "$only" | tee "$tests/log" || true
	# Without totals, the machine has not even booted.
	read -r p f s < <(sed -n '$s/ passed, \| failed, \| skipped/ /gp' "$tests/log") || true
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
	skipped=$((skipped + ${s:-0}))
	said+=("kernel-$name: ${p:-0} passed, ${f:-1} failed, with$(switched_on "$name")")
done

say "in all"
printf '   %s\n' "${said[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
