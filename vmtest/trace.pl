#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Which functions the instructions of a migration are spent in: for each figure of
# tdx_mig_count at its largest batch, what a trace of the same span has counted, beside
# what the program has, and the functions that matter.
#
# Usage: trace.pl COUNTS TRACE SYSTEM-MAP SYMBOLS
# COUNTS and SYMBOLS are lines of the program, TRACE those of trace.c.
use strict;
use warnings;
# All machines here have 64 bits.
no warnings 'portable';

# Percent of all below which a function is not worth a line.
use constant LEAST => 2;

my ($counts, $trace, $system_map, $symbols) = @ARGV;

sub lines_of {
	my ($file) = @_;
	open my $f, '<', $file or die "$file: $!\n";
	chomp(my @lines = <$f>);
	return @lines;
}

my (@rows, %wanted);
for (lines_of($counts)) {
	my (undef, $what, $batch, undef, undef, $span, $of_span) = split /\t/;
	# The batches of a figure ascend.
	pop @rows if @rows && $rows[-1]{what} eq $what;
	push @rows, { what => $what, batch => $batch, span => $span, of_span => $of_span };
}
$wanted{$_->{span}} = 1 for @rows;

my @functions;
for (lines_of($system_map), map { s/^symbol //r } lines_of($symbols)) {
	push @functions, [hex $1, $2] if /^([0-9a-f]+) [tTwW] (\S+)/;
}
@functions = sort { $a->[0] <=> $b->[0] } @functions;

sub function_at {
	my ($pc) = @_;
	my ($low, $high) = (0, scalar @functions);

	return 'user space' if $pc < 1 << 47;
	while ($high - $low > 1) {
		my $middle = int(($low + $high) / 2);
		if ($functions[$middle][0] <= $pc) { $low = $middle } else { $high = $middle }
	}
	return $functions[$low][1];
}

# The first span is empty, but for what each has.
my (%total, %by_function);
open my $f, '<', $trace or die "$trace: $!\n";
while (<$f>) {
	my ($span, $pc, $count) = split;
	$total{$span} += $count;
	$by_function{$span}{function_at(hex $pc)} += $count if $wanted{$span};
}

for my $row (@rows) {
	my $all = $total{$row->{span}} - $total{1};
	my $of = $by_function{$row->{span}};

	printf "\n%s, batch of %d: %d instructions in the trace, %d by the TSC\n", $row->{what},
		$row->{batch}, $all, $row->{of_span};
	for (sort { $of->{$b} <=> $of->{$a} || $a cmp $b } keys %$of) {
		last if $of->{$_} * 100 < LEAST * $all;
		printf "%12.1f %5.1f %%  %s\n", $of->{$_} / $row->{batch}, $of->{$_} * 100 / $all, $_;
	}
}
