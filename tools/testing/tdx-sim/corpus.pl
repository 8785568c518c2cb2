#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
#
# Corpus of the fuzzer: one text file here, a folder of inputs for libFuzzer.
#	corpus.pl unpack seeds.hex FOLDER
#	corpus.pl pack FOLDER > seeds.hex
use strict;
use warnings;

my ($verb, @args) = @ARGV;
die "usage: corpus.pl unpack FILE FOLDER | pack FOLDER\n" unless defined $verb;

if ($verb eq 'unpack' && @args == 2) {
	my ($file, $folder) = @args;
	my $n = 0;

	open(my $in, '<', $file) or die "$file: $!\n";
	while (<$in>) {
		chomp;
		next if /^#/;
		die "$file:$.: not hexadecimal\n" unless /^(?:[0-9a-f]{2})+$/;
		my $name = sprintf('%s/seed-%04d', $folder, $n++);
		open(my $out, '>:raw', $name) or die "$name: $!\n";
		print $out pack('H*', $_);
		close($out) or die "$name: $!\n";
	}
	close($in);
} elsif ($verb eq 'pack' && @args == 1) {
	my @lines;

	for my $name (glob("$args[0]/*")) {
		open(my $in, '<:raw', $name) or die "$name: $!\n";
		local $/;
		my $data = <$in>;
		close($in);
		push @lines, unpack('H*', $data) if length $data;
	}
	print "# Inputs of fuzz_model, one a line, in hexadecimal.  See corpus.pl.\n";
	print "$_\n" for sort { length $a <=> length $b || $a cmp $b } @lines;
} else {
	die "corpus.pl: wrong arguments\n";
}
