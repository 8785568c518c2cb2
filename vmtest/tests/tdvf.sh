#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the parser of TDVF images: good ones and bad ones.  TAP.
#
# Usage: tdvf.sh
. "$(dirname "$0")/../lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined \
	-fno-sanitize-recover=all -I "$TOP/demo" -I "$TOP/demo/vmm" -o "$work/tdvf" \
	"$TOP/vmtest/tests/tdvf.c" "$TOP/demo/vmm/tdvf.c" || die "the tests do not build"
"$work/tdvf"
