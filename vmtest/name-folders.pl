#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Print patches/series with the names of folders for those of files, where all that
# is in a folder lands with one patch.
use strict;
use warnings;

my @lines = <>;
my (%patch, %other);
for (@lines) {
	next unless /^([^#]\S*) # \+ (.*)/;
	$patch{$_} = $1 for split / /, $2;
}
for my $file (keys %patch) {
	my $dir = $file;
	while ($dir =~ s,/[^/]*$,,) {
		$other{$dir}{$patch{$file}} = 1;
	}
}
for (@lines) {
	if (/^([^#]\S*) # \+ (.*)/) {
		my ($name, %seen) = ($1);
		my @names;
		for my $file (split / /, $2) {
			my $best = $file;
			my $dir = $file;
			$best = $dir while $dir =~ s,/[^/]*$,, && keys %{$other{$dir}} == 1;
			push @names, $best unless $seen{$best}++;
		}
		$_ = "$name # + @names\n";
	}
	print;
}
