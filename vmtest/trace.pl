#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Which functions the instructions of a migration are spent in, and which locks are held
# meanwhile.  For each figure of tdx_mig_count at its largest batch: what a trace of the
# same span has counted, beside what the program has, and the functions that matter.  For
# that batch and for one of 64: each lock, how often a call acquires it, the instructions
# per page with the lock held, and the function that acquires it; and the functions that
# have atomic instructions, with their number per page.  Fails, with a last line that says
# so, if a figure of any batch is not the same in the trace as in the program.
#
# Usage: trace.pl COUNTS TRACE SYSTEM-MAP SYMBOLS LOCKS
# COUNTS and SYMBOLS are lines of the program, TRACE those of trace.c.  LOCKS is written,
# with a line for each lock, separated by tabs: figure, batch, kind, function, how often,
# instructions of the call.
use strict;
use warnings;
# All machines here have 64 bits.
no warnings 'portable';

# Percent of all below which a function is not worth a line.
use constant LEAST => 2;
# Percent by which both may differ: the trace leaves out an interrupt that comes right
# after a SEAMCALL.
use constant MOST_APART => 1;

my ($counts, $trace, $system_map, $symbols, $locks) = @ARGV;

sub lines_of {
	my ($file) = @_;
	open my $f, '<', $file or die "$file: $!\n";
	chomp(my @lines = <$f>);
	return @lines;
}

my (@figures, @rows, %wanted);
for (lines_of($counts)) {
	my (undef, $what, $batch, undef, undef, $span, $of_span) = split /\t/;
	push @figures, { what => $what, batch => $batch, span => $span, of_span => $of_span };
	# The batches of a figure ascend.
	pop @rows if @rows && $rows[-1]{what} eq $what && $rows[-1]{batch} != 64;
	push @rows, $figures[-1];
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
my (%total, %by_function, %atomic, %by_lock);
open my $f, '<', $trace or die "$trace: $!\n";
while (<$f>) {
	if (my ($span, $kind, $site, $acquired, $count) = /^lock (\S+) (\S+) (\S+) (\S+) (\S+)/) {
		next if !$wanted{$span};
		my $lock = $by_lock{$span}{"$kind " . function_at(hex $site)} //= {};
		$lock->{acquired} += $acquired;
		$lock->{count} += $count;
		next;
	}
	my ($span, $pc, $count, $is_atomic) = split;
	$total{$span} += $count;
	next if !$wanted{$span};
	my $function = function_at(hex $pc);
	$by_function{$span}{$function} += $count;
	$atomic{$span}{$function} += $count if $is_atomic;
}

# What the trace has counted; nothing if it has no such span.
sub traced {
	my ($row) = @_;
	return exists $total{$row->{span}} ? $total{$row->{span}} - $total{1} : 0;
}

sub print_functions {
	my ($row, $all) = @_;
	my $of = $by_function{$row->{span}};

	for (sort { $of->{$b} <=> $of->{$a} || $a cmp $b } keys %$of) {
		last if $of->{$_} * 100 < LEAST * $all;
		printf "%12.1f %5.1f %%  %s\n", $of->{$_} / $row->{batch}, $of->{$_} * 100 / $all, $_;
	}
}

open my $out, '>', $locks or die "$locks: $!\n";

sub print_locks {
	my ($row) = @_;
	my $of = $by_lock{$row->{span}};

	for (sort { $of->{$b}{count} <=> $of->{$a}{count} || $a cmp $b } keys %$of) {
		my ($kind, $function) = split / /;
		printf "%12.1f held, %4d times: %s\n", $of->{$_}{count} / $row->{batch},
			$of->{$_}{acquired}, $_;
		print $out join("\t", $row->{what}, $row->{batch}, $kind, $function,
			$of->{$_}{acquired}, $of->{$_}{count}), "\n";
	}
}

sub print_atomic {
	my ($row) = @_;
	my $of = $atomic{$row->{span}};

	for (sort { $of->{$b} <=> $of->{$a} || $a cmp $b } keys %$of) {
		printf "%12.3f atomic: %s\n", $of->{$_} / $row->{batch}, $_;
	}
}

for my $i (0 .. $#rows) {
	my $row = $rows[$i];
	my $all = traced($row);
	my $is_largest = $i == $#rows || $rows[$i + 1]{what} ne $row->{what};

	printf "\n%s, batch of %d: %d instructions in the trace, %d by the TSC\n", $row->{what},
		$row->{batch}, $all, $row->{of_span};
	print_functions($row, $all) if $is_largest;
	print_locks($row);
	print_atomic($row);
}

# Percent of what the TSC has counted.
sub apart {
	my ($row) = @_;
	return abs(traced($row) - $row->{of_span}) * 100 / $row->{of_span};
}

my @apart = sort { apart($b) <=> apart($a) } grep { apart($_) > MOST_APART } @figures;
if (@apart) {
	my $row = $apart[0];

	printf "\nFAIL trace and TSC differ by more than %d %% in %d of %d figures, most in %s, " .
		"batch of %d: %d and %d instructions\n", MOST_APART, scalar @apart,
		scalar @figures, $row->{what}, $row->{batch}, traced($row), $row->{of_span};
	exit 1;
}
printf "\ntrace and TSC differ by no more than %d %% in %d figures\n", MOST_APART,
	scalar @figures;
