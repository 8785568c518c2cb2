#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two hosts and a TD with a database that moves between them while a client uses it.  The
# exit status tells whether the database has all that the client was told, once.
#
# Usage: run.sh OBJDIR
# Environment: MOVES=n moves, back and forth; VCPUS=n of the TD; PULL=b, that host loses its power in a move before
# these, and comes back; PULL=a, the TD's host loses it, which ends the TD; SEED=n says when; SLOW=n multiplies time limits
# Leaves build/hosts/report.txt, migration-N.svg for each move, and logs/.
. "$(dirname "$0")/../vmtest/lib.sh"

obj=$1
out=$BUILD/hosts
parts=$out/parts
root=$BUILD/host/root.img
qemu=$BUILD/qemu/install/bin/qemu-system-x86_64

[ -x "$qemu" ] || die "there is no QEMU in $qemu" "make qemu builds it"
[[ ${MOVES:-1} =~ ^[1-9][0-9]?$ ]] || die "MOVES=$MOVES is no number from 1 to 99"
[[ ${VCPUS:-1} =~ ^[1-8]$ ]] || die "VCPUS=$VCPUS is no number from 1 to 8"
[[ ${PULL:-} =~ ^[ab]?$ ]] || die "PULL=$PULL is neither a nor b"
[[ ${SEED:-} =~ ^[0-9]*$ ]] || die "SEED=$SEED is no number"
rm -rf "$out"
mkdir -p "$parts" "$out/share" "$out/logs"

# image REQUEST: what debugfs answers about the user space of the hosts, and of the TD.
image() { debugfs -R "$1" "$root" 2>/dev/null; }

# What Debian's kernel needs to reach its disk and the network, in this order.
modules="failover net_failover virtio_net virtio_blk"
kernel=$(image "ls -p /usr/lib/modules" | awk -F/ '$6 ~ /^[0-9]/ { print $6 }')
[ -n "$kernel" ] || die "there is no kernel in $root"
image "cat /usr/lib/modules/$kernel/modules.order" >"$parts/modules.order"
echo "$modules" >"$parts/order"
cat >"$parts/td.list" <<END
dir /dev 0755 0 0
nod /dev/console 0600 0 0 c 5 1
dir /bin 0755 0 0
dir /modules 0755 0 0
file /bin/busybox $BUILD/host/busybox 0755 0 0
file /init $TOP/hosts/td-init 0755 0 0
file /modules/order $parts/order 0644 0 0
END
for ko in $modules; do
	path=$(grep "/$ko\.ko$" "$parts/modules.order") || die "Debian's kernel $kernel has no module $ko"
	image "cat /usr/lib/modules/$kernel/$path.xz" | xz -d >"$parts/$ko.ko" ||
		die "the module $ko cannot be read"
	echo "file /modules/$ko.ko $parts/$ko.ko 0644 0 0" >>"$parts/td.list"
done
"$obj/usr/gen_init_cpio" "$parts/td.list" >"$out/share/td.cpio"
cp "$TOP/hosts/node" "$out/share/"

logged "$parts/mke2fs.log" "the disk of the database cannot be made" \
	mke2fs -q -t ext4 -E root_owner=0:0 "$out/database.img" 64M
logged "$parts/picture.log" "the program that draws does not build" \
	make -s -C "$TOP/demo" O="$parts" picture

export BUILD MOVES=${MOVES:-1} VCPUS=${VCPUS:-1} PULL=${PULL:-} SEED=${SEED:-} SLOW=${SLOW:-1} PYTHONDONTWRITEBYTECODE=1
ret=0
python3 -u "$TOP/hosts/main.py" "$obj" "$kernel" | (trap '' INT && tee "$out/report.txt") || ret=$?
for record in "$out"/logs/migration-*.record; do
	[ -e "$record" ] || continue
	picture=$out/$(basename "$record" .record).svg
	"$parts/picture" <"$record" >"$picture" || {
		rm -f "$picture"
		die "the migration cannot be drawn" "its record is $record"
	}
	say "picture: $picture"
done
say "report:  $out/report.txt"
[ $ret -eq 0 ] || die "the database did not move as it should" "all that was said is in $out/logs"
