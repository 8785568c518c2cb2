#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot a TDX host with Debian's QEMU, with a shell on the terminal, or to run something.
#
# Usage: run.sh OBJDIR [COMMAND [ARGUMENT...]]
# Environment: HOST_NAME=a|b; both can run at once and share a network; HOST_MEM=MiB,
#	SHARE=/path of the folder that the host has as /share, LIMIT=SECONDS that
#	COMMAND may be silent, HOST_DEVICES=more options of QEMU, one a line, and that of
#	machine.sh
# COMMAND runs in the host, in /share.  Its output is in build/run-host-a/results.log, and
# its exit status decides.
. "$(dirname "$0")/../vmtest/lib.sh"
. "$(dirname "$0")/../vmtest/machine.sh"

obj=$1
shift
name=${HOST_NAME:-a}
mem=${HOST_MEM:-4096}
out=$BUILD/host
parts=$out/$name
share=$(realpath -m "${SHARE:-$out/share}")
case $name in
a) peer=b ;;
b) peer=a ;;
*) die "HOST_NAME=$name is neither a nor b" ;;
esac
mkdir -p "$share" "$parts"
exec {lock}>"$parts/lock"
flock -n "$lock" || die "host $name runs already"

cat >"$parts/guest.list" <<END
dir /bin 0755 0 0
dir /dev 0755 0 0
nod /dev/console 0600 0 0 c 5 1
file /bin/busybox $out/busybox 0755 0 0
file /init $TOP/host/guest 0755 0 0
END
"$obj/usr/gen_init_cpio" "$parts/guest.list" >"$parts/guest.cpio"

# Migration TDs, and the QEMU that migrates TDs, if they have been built.
programs=()
for program in "$BUILD/tests/x86/tdx_migtd" "$BUILD/qemu/install/bin/qemu-system-x86_64"; do
	[ ! -x "$program" ] || programs+=("$program")
done

echo "host ${LIMIT:-600} tdx=1,tdx_mig=1 /tests/enter $*" >"$parts/tests.list"
build_init "$parts/init"
"$TOP/vmtest/initramfs.sh" "$parts/machine.cpio" "$obj" "$parts/init" "$parts/tests.list" \
	"host-init=$TOP/host/init" "$TOP/host/enter" "$TOP/host/td" "$TOP/host/boot_test" "$out/busybox" \
	"$parts/guest.cpio" "$obj/arch/x86/boot/bzImage" "${programs[@]}"

# Datagrams, so that either host may come first, and again.
devices=(
	-drive "if=none,id=root,format=raw,snapshot=on,file=$out/root.img"
	-device "virtio-blk-pci,drive=root"
	-virtfs "local,path=${share//,/,,},mount_tag=share,security_model=none,multidevs=remap"
	-netdev "dgram,id=net,local.type=unix,local.path=$out/net.$name,remote.type=unix,remote.path=$out/net.$peer"
	-device "virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:0$name"
)
if [ -n "${HOST_DEVICES:-}" ]; then
	mapfile -t more <<<"$HOST_DEVICES"
	devices+=("${more[@]}")
fi
options=(tdxsim=on "host.name=$name")

if [ $# -gt 0 ]; then
	run=$BUILD/run-host-$name
	export MEM=$mem DEVICES
	DEVICES=$(printf '%s\n' "${devices[@]}")
	SHOW=demo "$TOP/vmtest/run.sh" "$run" "$obj/arch/x86/boot/bzImage" "$parts/machine.cpio" \
		"$parts/tests.list" "${options[@]}"
	exec "$TOP/vmtest/judge.sh" "$run"
fi

[ -t 0 ] || die "a host without a command needs a terminal"
read -r rows columns < <(stty size)
machine_begin "$mem"
say "booting host $name; /share there is $share"
exec qemu-system-x86_64 "${machine_options[@]}" "${devices[@]}" -name "$name" \
	-kernel "$obj/arch/x86/boot/bzImage" -initrd "$parts/machine.cpio" \
	-echr 0x1d -serial mon:stdio -append "console=ttyS0 loglevel=3 panic=-1 rdinit=/tests/host-init \
$kernel_options ${options[*]} host.rows=$rows host.columns=$columns host.term=$TERM"
