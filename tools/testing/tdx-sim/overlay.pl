#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
#
# Make an overlay: what differs between two folders with traces of the same tests.
#	overlay.pl BASE OTHER RULE... > PROFILE.overlay
# A RULE is "LEAF FROM TO".  FORMAT.md describes overlays.
use strict;
use warnings;

my ($base, $other, @rules) = @ARGV;
die "usage: overlay.pl BASE OTHER [\"LEAF FROM TO\"]...\n" unless defined $other;
@rules = map { [split] } @rules;

# Blocks and tests of a file, in their order: kind, name, lines.
sub owners {
	my ($path) = @_;
	my (@owners, $lines);

	open(my $in, '<', $path) or die "$path: $!\n";
	while (<$in>) {
		s/^\s+|\s+$//g;
		next if $_ eq '' || /^#/;
		if (defined $lines) {
			push @$lines, $_ if $_ ne 'end';
			$lines = undef if $_ eq 'end';
		} elsif (/^(def|test) (\S+)/) {
			$lines = [];
			push @owners, [$1, $2, $lines];
		}
	}
	close($in);
	return @owners;
}

sub apply_rules {
	my ($line) = @_;

	for my $rule (@rules) {
		my ($leaf, $from, $to) = @$rule;
		next unless $line =~ /^call\w* \Q$leaf\E /;
		my $at = index($line, $from);
		substr($line, $at, length $from) = $to if $at >= 0;
	}
	return $line;
}

# The longest common part of two lists of lines, as pairs of indices.
sub common {
	my ($a, $b) = @_;
	my (@len, @pairs);

	# As a rule, lines are changed, not added.
	if (@$a == @$b) {
		@pairs = map { [$_, $_] } grep { apply_rules($a->[$_]) eq $b->[$_] } 0 .. $#$a;
		return (@pairs, [scalar @$a, scalar @$b]);
	}
	for my $i (reverse 0 .. @$a) {
		for my $j (reverse 0 .. @$b) {
			if ($i == @$a || $j == @$b) {
				$len[$i][$j] = 0;
			} elsif (apply_rules($a->[$i]) eq $b->[$j]) {
				$len[$i][$j] = $len[$i + 1][$j + 1] + 1;
			} else {
				my ($down, $right) = ($len[$i + 1][$j], $len[$i][$j + 1]);
				$len[$i][$j] = $down > $right ? $down : $right;
			}
		}
	}
	for (my ($i, $j) = (0, 0); $i < @$a && $j < @$b;) {
		if (apply_rules($a->[$i]) eq $b->[$j]) {
			push @pairs, [$i++, $j++];
		} elsif ($len[$i + 1][$j] > $len[$i][$j + 1]) {
			$i++;
		} else {
			$j++;
		}
	}
	return (@pairs, [scalar @$a, scalar @$b]);
}

# Every edit begins with a line to be replaced, if need be by itself and more.
sub edits {
	my ($a, $b) = @_;
	my ($i, $j, $out) = (0, 0, '');

	for my $pair (common($a, $b)) {
		my ($next_i, $next_j) = @$pair;
		my @new = @{$b}[$j .. $next_j - 1];

		if ($i == $next_i && @new && $i < @$a) {
			$next_i++;
			push @new, $b->[$next_j++];
		}
		die "nothing to replace by \"@new\"\n" if $i == $next_i && @new;
		while ($i < $next_i && ($i < $pair->[0] || @new)) {
			my $nr = $i == $next_i - 1 ? @new : @new > 1 ? 1 : @new;

			$out .= "- $a->[$i++]\n";
			$out .= "+ $_\n" for splice(@new, 0, $nr);
		}
		($i, $j) = ($pair->[0] + 1, $pair->[1] + 1);
	}
	return $out;
}

print "# Made by overlay.pl; what it means is in FORMAT.md.\n";
print "rule @$_\n" for @rules;
for my $path (glob("$base/*.trace")) {
	my $name = $path =~ s,.*/,,r;
	next unless -e "$other/$name";
	my %theirs = map { ("$_->[0] $_->[1]" => $_->[2]) } owners("$other/$name");

	for my $owner (owners($path)) {
		my ($kind, $id, $lines) = @$owner;
		my $new = $theirs{"$kind $id"};
		my $edits = defined $new ? edits($lines, $new) : '';

		print "drop $id\n" unless defined $new;
		print "$kind $id\n$edits" if $edits ne '';
	}
}
