#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the host of QEMU without a machine: the image of its user space, from packages
# made here, and how it is booted, on an emulator that only writes down its options.  TAP.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

# expect NAME COMMAND...
expect() {
	local name=$1 out ret=0
	shift
	out=$("$@" 2>&1) || ret=$?
	verdict "$name" $ret "$out"
}

# A tree of its own, whose list is a short one.
top=$work/top
mkdir -p "$top" "$work/bin" "$work/debs" "$work/obj/usr" "$work/obj/arch/x86/boot"
cp -r "$TOP/host" "$TOP/vmtest" "$top"
export BUILD=$work/build PATH=$work/bin:$PATH
mkdir "$BUILD"

echo "TAP version 13"

# ---------------------------------------------------------------------- the list

twice=$(lines_of "$TOP/host/packages.list" | awk '{ for (i = 2; i <= NF; i++) print $i }' | sort | uniq -d)
verdict "no package is listed twice" "${#twice}" "$twice"

# --------------------------------------------------------------------- the image

# package NAME FILE=TEXT...
package() {
	local name=$1 dir=$work/debs/$1 file
	shift
	mkdir -p "$dir/DEBIAN"
	printf 'Package: %s\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody\nDescription: none\n' \
		"$name" >"$dir/DEBIAN/control"
	for file; do
		mkdir -p "$dir/$(dirname "${file%%=*}")"
		printf '%s\n' "${file#*=}" >"$dir/${file%%=*}"
		chmod 755 "$dir/${file%%=*}"
	done
	dpkg-deb --root-owner-group -b "$dir" "$work/debs/$name.deb" >/dev/null
}

package base-passwd usr/share/base-passwd/passwd.master=root:x:0:0 \
	usr/share/base-passwd/group.master=root:x:0:
package busybox-static "usr/bin/busybox=#!/bin/sh
printf '%s\n' busybox awk vi"
package old lib/old.so=old bin/awk=awk usr/share/doc/old/README=old
printf '%s\n' "one base-passwd busybox-static" "two old" "without dpkg" >"$top/host/packages.list"

cat >"$work/bin/apt-get" <<END
#!/bin/bash
for word; do case \$word in Dir::Cache=*) cache=\${word#*=} ;; Dir::State=*) state=\${word#*=} ;; esac; done
case " \$* " in
*" indextargets "*) echo "http://mirror.invalid/debian Debian" ;;
*" install "*)
	echo "\$*" >>"$work/installs"
	cp "\$state"/../{preferences,sources.list} "\$state/status" "$work"
	cp "$work"/debs/*.deb "\$cache/archives"
	;;
esac
END
chmod +x "$work/bin/apt-get"

# has PATTERN FILE
has() { grep -q -- "$1" "$2" || { cat "$2"; return 1; }; }
in_image() { debugfs -R "$1" "$BUILD/host/root.img" 2>/dev/null; }
# image REQUEST PATTERN: what debugfs says of the image.
image() { in_image "$1" >"$work/said"; has "$2" "$work/said"; }
lacks() { image "stat /" "Type: directory" && ! image "$@" >/dev/null; }

expect "the image is made" "$top/host/root.sh"
expect "of the packages of the list" has 'install base-passwd busybox-static old$' "$work/installs"
expect "from the suites of the list" has ' two main$' "$work/sources.list"
expect "each from its own" grep -qzP 'Package: old\nPin: release n=two\nPin-Priority: 900\n' "$work/preferences"
expect "without what it is to be without" has '^Package: dpkg$' "$work/status"
expect "its versions are recorded" has '^old 1.2-3$' "$BUILD/host/root.versions"
expect "files below /lib and /bin are below /usr" image "stat /usr/lib/old.so" "Type: regular"
expect "/lib stays a link" image "stat /lib" "Type: symlink"
expect "documents are left out" lacks "stat /usr/share/doc/old/README" "Type: regular"
expect "busybox fills in for what is missing" image "stat /usr/bin/vi" 'Fast link dest: "busybox"'
expect "and for nothing else" image "stat /usr/bin/awk" "Type: regular"
expect "there is a root user" image "cat /etc/passwd" "^root:x:0:0"
"$top/host/root.sh" >/dev/null
expect "it is made once" [ "$(wc -l <"$work/installs")" -eq 1 ]
echo "# another list" >>"$top/host/packages.list"
"$top/host/root.sh" >/dev/null
expect "and again when the list has changed" [ "$(wc -l <"$work/installs")" -eq 2 ]
rm "$work/debs/base-passwd.deb"
echo "# yet another list" >>"$top/host/packages.list"
expect "an image that cannot be made is an error" eval "! '$top/host/root.sh'"
expect "and no image" [ ! -e "$BUILD/host/root.state" ]

# ------------------------------------------------------------------ the machine

printf '#!/bin/bash\ncat "$1"\n' >"$work/obj/usr/gen_init_cpio"
mkdir -p "$work/obj/virt" "$work/obj/arch/x86/kvm" "$work/obj/drivers/virt"
: >"$work/obj/arch/x86/boot/bzImage"
cat >"$work/bin/qemu-system-x86_64" <<END
#!/bin/bash
printf '%s\n' "\$@" >"$work/options"
while [ \$# -gt 0 ]; do
	case \$1 in
	-serial) log=\${2#file:} ;;
	-append) nonce=\${2#*vmtest.nonce=} ;;
	esac
	shift
done
printf '%s\n' "# start host" "hello" "# end host status \${STATUS:-0} 0.1" "# verdict \${nonce%% *} complete" >"\$log"
END
chmod +x "$work/obj/usr/gen_init_cpio" "$work/bin/qemu-system-x86_64"
export ACCEL=kvm

host() { "$top/host/run.sh" "$work/obj" "$@" </dev/null; }

expect "a command that succeeds passes" host ./x.py 1 2
expect "it is what runs in the host" has '^host 600 tdx=1,tdx_mig=1 /tests/enter ./x.py 1 2$' "$BUILD/host/a/tests.list"
expect "its output is kept" has '^hello$' "$BUILD/run-host-a/results.log"
expect "host a has a as its end of the network" has "local.path=$BUILD/host/net.a,.*remote.path=$BUILD/host/net.b$" "$work/options"
HOST_NAME=b SHARE=$work/with,comma host true >/dev/null
expect "and host b the other one" has "local.path=$BUILD/host/net.b,.*remote.path=$BUILD/host/net.a$" "$work/options"
expect "the folder to be shared is an option" has "path=$work/with,,comma,mount_tag=share" "$work/options"
HOST_DEVICES=$(printf '%s\n' -device "one, and more") host true >/dev/null
expect "so are more devices" has "^one, and more$" "$work/options"
exec {lock}>"$BUILD/host/a/lock"
flock "$lock"
expect "a host that runs is not started again" eval "! host true {lock}>&-"
expect "but the other one is" env HOST_NAME=b "$top/host/run.sh" "$work/obj" true
exec {lock}>&-
expect "a command that fails does not" eval "! STATUS=3 host false"
expect "there are two hosts" eval "! HOST_NAME=c host true"
expect "a shell needs a terminal" eval "! host"

echo "1..$n"
[ $bad -eq 0 ]
