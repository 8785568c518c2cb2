#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Show a run while it goes on, from its results: a line for each test with its count of
# cases, on a terminal a living one.
use strict;
use warnings;

my $tty = -t STDOUT;
my ($name, $ok, $bad, $skip) = ("", 0, 0, 0);
$| = 1;
while (<STDIN>) {
	if (/^# vmtest: (.*)/) {
		print "   $1\n";
	} elsif (/^# start (\S+)/) {
		($name, $ok, $bad, $skip) = ($1, 0, 0, 0);
		printf "   %-32s", $name if $tty;
	} elsif (/^ *not ok /) {
		$bad++;
	} elsif (/^ *ok .*# *SKIP/) {
		$skip++;
	} elsif (/^ *ok /) {
		$ok++;
		printf "\r   %-32s %4d", $name, $ok if $tty;
	} elsif (/^# end \S+ (\S+) (\S+) (\S+)/) {
		my $how = $1 eq "signal" ? ", killed by signal $2" :
			  $2 && $2 != 4 && !$bad ? ", exit status $2" : "";
		printf "%s   %-32s %4d ok%s%s%s  %s s\n", $tty ? "\r" : "", $name, $ok,
			$bad ? ", $bad FAILED" : "", $skip ? ", $skip skipped" : "", $how, $3;
	} elsif (/^# failure: (.*)/) {
		print "   $1\n";
	}
}
