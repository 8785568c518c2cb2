#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Report which lines and branches of some files were reached: a table, and the places that
# were not.  Of a file that the base has, only lines that are new count.
#
# A place is a row of lines of a function of which none was reached.  Each needs a reason
# in ALLOW, whose lines are
#	FILE FUNCTION TEXT -- REASON
# with a part of the first line of the place, or "*" for all places of the function.  An
# entry without such a place is an error, unless its reason begins with "by chance:".
#
# Lines that were reached, but not left in each way, go to the file BRANCHES.
#
# Usage: coverage.pl TREE BASE ALLOW BRANCHES FILE... <COUNTS
# COUNTS are documents of gcov --json-format, one a line.  The last line of the output is
# the totals of what is checked; the exit status is 1 if that fails.
use strict;
use warnings;
use JSON::PP;

# What has to be reached, in percent.
use constant GOAL => 95;

my ($tree, $base, $allow, $branches, @files) = @ARGV;
my (%added, %lines, %texts, %functions, %group);
my ($passed, $failed) = (0, 0);

END { $? = 2 if $? > 1 }

sub check {
	my ($good, $what) = @_;
	if ($good) {
		$passed++;
	} else {
		$failed++;
		print "FAIL $what\n";
	}
}

# The numbers of the lines that a file has and the base has not, or undef if all are.
sub added_lines {
	my ($file) = @_;
	return undef unless -e "$base/$file";
	open my $diff, '-|', 'diff', '--old-line-format=', '--unchanged-line-format=',
		'--new-line-format=%dn ', "$base/$file", "$tree/$file" or die "diff: $!\n";
	my %numbers = map { $_ => 1 } split ' ', do { local $/; <$diff> } // '';
	close $diff;
	return \%numbers;
}

for my $file (@files) {
	$added{$file} = added_lines($file);
	open my $f, '<', "$tree/$file" or die "$tree/$file: $!\n";
	# gcov has no name for what was inlined.
	my $function = '';
	while (<$f>) {
		$function = $1 if /^[a-z].*?(\w+)\(/i;
		$functions{$file}[$.] = $function;
		$texts{$file}[$.] = s/^\s+|\s+$//gr;
	}
	close $f;
	$group{$file} = $file =~ m{^arch/x86/kvm/mmu} ? 'the MMU' : $added{$file} ? 'elsewhere' : 'the driver';
}

my $json = JSON::PP->new->utf8;
while (<STDIN>) {
	next unless /^\{/;
	for my $of (@{$json->decode($_)->{files}}) {
		my $file = $of->{file} =~ s{^(?:\Q$tree\E|(?:\.\./)+tree|\.)/}{}r;
		next unless $texts{$file};
		for my $l (@{$of->{lines}}) {
			my $nr = $l->{line_number};
			next if $added{$file} && !$added{$file}{$nr};
			my $line = $lines{$file}{$nr} //= {};
			$line->{count} += $l->{count};
			# A function that was inlined has copies, of which each may be another part.
			my @branches = @{$l->{branches} // []};
			$line->{branches}{@branches . ":$_"} += $branches[$_]{count} for 0 .. $#branches;
		}
	}
}

# The table.
sub percent { $_[1] ? sprintf('%.1f', 100 * $_[0] / $_[1]) : '-' }

sub row {
	my ($what, $s) = @_;
	printf "%-44s %6d %6d %6s %9d %6d %6s\n", $what, $s->{reached}, $s->{lines},
		percent($s->{reached}, $s->{lines}), $s->{taken}, $s->{branches},
		percent($s->{taken}, $s->{branches});
}

sub summary {
	my %s = (reached => 0, lines => 0, taken => 0, branches => 0);
	for my $line (map { values %{$lines{$_} // {}} } @_) {
		my @branches = values %{$line->{branches} // {}};
		$s{lines}++;
		$s{reached}++ if $line->{count};
		$s{branches} += @branches;
		$s{taken} += grep { $_ } @branches;
	}
	return \%s;
}

printf "%-44s %6s %6s %6s %9s %6s %6s\n", 'lines and branches that tests reach', '', 'lines', '%', '', 'branch', '%';
for my $group ('the driver', 'the MMU', 'elsewhere') {
	my @of = grep { $group{$_} eq $group && $lines{$_} } @files;
	for my $file (@of) {
		row($added{$file} ? "$file +" : $file, summary($file));
	}
	my $s = summary(@of);
	row("== $group", $s);
	# Elsewhere, a few lines each are new.
	check($s->{lines} && 100 * $s->{reached} >= GOAL * $s->{lines},
		"$group: less than " . GOAL . ' % of the lines') unless $group eq 'elsewhere';
}
print "+ only the lines that the series adds\n";

# Sources that are compiled have counts, even if nothing runs.  They may add declarations only.
check($lines{$_}, "$_: no counts") for grep { /\.c$/ && !$added{$_} } @files;

# The places that were not reached.
my @places;
open my $out, '>', $branches or die "$branches: $!\n";
for my $file (@files) {
	my $place;
	for my $nr (sort { $a <=> $b } keys %{$lines{$file} // {}}) {
		my $line = $lines{$file}{$nr};
		my $function = $functions{$file}[$nr];
		if ($line->{count}) {
			undef $place;
			my @ways = values %{$line->{branches} // {}};
			my $taken = grep { $_ } @ways;
			print $out "$file:$nr: $taken of ", scalar @ways, "  $texts{$file}[$nr]\n" if $taken < @ways;
		} elsif ($place && $place->{function} eq $function) {
			push @{$place->{lines}}, $nr;
		} else {
			$place = { file => $file, function => $function, lines => [$nr] };
			push @places, $place;
		}
	}
}

close $out;

my @allowed;
open my $f, '<', $allow or die "$allow: $!\n";
while (<$f>) {
	next if /^(#|$)/;
	chomp;
	my ($file, $function, $text, $reason) = /^(\S+) (\S+) (.+?) -- (.+)$/
		or die "$allow:$.: not FILE FUNCTION TEXT -- REASON\n";
	push @allowed, { file => $file, function => $function, text => $text, reason => $reason };
}

sub fits {
	my ($entry, $file, $nr) = @_;
	return $entry->{file} eq $file && $entry->{function} eq $functions{$file}[$nr] &&
		($entry->{text} eq '*' || index($texts{$file}[$nr], $entry->{text}) >= 0);
}

sub show {
	my ($place) = @_;
	printf "%s:%d: %s()\n", $place->{file}, $place->{lines}[0], $place->{function};
	printf "%6d  %s\n", $_, $texts{$place->{file}}[$_] for @{$place->{lines}};
}

my @unknown;
for my $place (@places) {
	my ($entry) = grep { fits($_, $place->{file}, $place->{lines}[0]) } @allowed;
	if ($entry) {
		push @{$entry->{places}}, $place;
	} else {
		push @unknown, $place;
	}
}

print "\nnot reached, for a reason\n";
for my $entry (@allowed) {
	next unless $entry->{places};
	show($_) for @{$entry->{places}};
	print "        -- $entry->{reason}\n";
}
print "\nnot reached\n";
show($_) for @unknown;

print "\n";
check(0, "$_->{file}:$_->{lines}[0]: not reached, without a reason") for @unknown;
for my $entry (@allowed) {
	my $file = $entry->{file};
	my $known = grep { fits($entry, $file, $_) } keys %{$lines{$file} // {}};
	my $by_chance = $entry->{reason} =~ /^by chance: /;
	check($entry->{places} || $known && $by_chance,
		"coverage.allow: $file $entry->{function} $entry->{text}: " .
		($known ? 'reached' : 'no such line'));
}
print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);
