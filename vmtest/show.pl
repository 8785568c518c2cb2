#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Show what a program in the machine prints, from its results, while it runs.  A line
# that ends with a carriage return is one that the next line is to replace.
use strict;
use warnings;

my $buf = "";
$| = 1;
while (sysread STDIN, $buf, 4096, length $buf) {
	while ($buf =~ s/^([^\r\n]*[\r\n])//) {
		my $line = $1;
		print $line unless $line =~ /^# /;
	}
}
