# The base kernel: the one place that names it.
#
# Debian's source package of that series is fetched and verified by apt;
# LINUX=/path takes a tree that is there already.
BASE_SERIES	:= 7.3
BASE_PACKAGE	:= linux-source-$(BASE_SERIES)
# Suites that may carry the package; the newest point release found wins.
BASE_SUITES	:= trixie-backports trixie forky sid
