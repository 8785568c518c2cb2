# The bases: the one place that names them.
#
# The kernel: Debian's source package of that series is fetched and verified by apt;
# LINUX=/path takes a tree that is there already.
BASE_SERIES	:= 7.3
BASE_PACKAGE	:= linux-source-$(BASE_SERIES)
# Suites that may carry the package; the newest point release found wins.
BASE_SUITES	:= trixie-backports trixie forky sid

# QEMU likewise: Debian's source package, or the same files in DISTFILES=/path, and
# QEMU=/path for a tree.  Whatever they come from, they have these SHA-256 sums.
QEMU_VERSION	:= 10.2.2+ds-1
QEMU_SUITES	:= sid forky trixie-backports trixie
QEMU_SHA256	:= \
	f1684b3aa5ec500c3389d346c6501dee45041ea91656c6556d4da9023b7987dd  qemu_10.2.2+ds-1.dsc \
	be05230fe47a6937cd29f28f562932c8125f9c93c2a82c625198f7a4aa601dfb  qemu_10.2.2+ds.orig.tar.xz \
	ddf75aceab4f8f77374f3cb34fc97b41514895aeb293ce8b2ddd5e072bb0f5c0  qemu_10.2.2+ds-1.debian.tar.xz
