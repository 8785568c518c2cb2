#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Faults that are put into the driver on purpose, from the lists in a folder like mutants/.
#
# Usage: mutant.pl DIR names			the names of all faults
#	 mutant.pl DIR show NAME		file, tests and reason, a line each, behind a tab
#	 mutant.pl DIR text NAME		what it depends on: all but the reason
#	 mutant.pl DIR apply NAME <FILE		FILE with the fault
#	 mutant.pl DIR check TREE TESTS-LIST SOURCES
#		what is wrong with them: they are of another tree, or name tests that are
#		not in TESTS-LIST, or cases that are not in SOURCES, their folder
use strict;
use warnings;

my ($dir, $what, @args) = @ARGV;
my (@mutants, %by_name, $m);

local @ARGV = glob "$dir/*.list" or die "$dir has no list of faults\n";
while (<>) {
	my $at = "$ARGV:$.";
	chomp;
	if ($_ eq '') {
		undef $m;
	} elsif (/^#/) {
		next;
	} elsif (!$m) {
		die "$at: a fault begins with its name\n" if /^[-+\s]/;
		die "$at: a second '$_'\n" if $by_name{$_};
		$m = $by_name{$_} = { name => $_, tests => [], old => '', new => '', diff => '' };
		push @mutants, $m;
	} elsif (/^\t(in|test|survives) (.+)$/) {
		if ($1 eq 'test') {
			push @{$m->{tests}}, $2;
		} else {
			die "$at: a second '$1'\n" if $m->{$1};
			$m->{$1} = $2;
		}
	} elsif (/^([-+ ])(.*)$/) {
		$m->{diff} .= "$_\n";
		$m->{old} .= "$2\n" if $1 ne '+';
		$m->{new} .= "$2\n" if $1 ne '-';
	} else {
		die "$at: '$_' is no part of a fault\n";
	}
} continue {
	if (eof) {
		undef $m;
		close ARGV;
	}
}

# In how many places of a text a fault can be.
sub places {
	my ($m, $text) = @_;
	my $count = () = "\n$text" =~ /\n\Q$m->{old}\E/g;

	return $count;
}

# What is wrong with a fault, whatever the tree.
sub nonsense {
	my ($m) = @_;

	return "names no file" unless $m->{in};
	return "names no test" unless @{$m->{tests}};
	return "changes nothing" if $m->{old} eq $m->{new};
	return "has no line of the file" if $m->{old} eq '';
	return;
}

sub find {
	my ($name) = @_;

	return $by_name{$name} || die "no fault is called '$name'\n";
}

# What is wrong with a fault in a tree.
sub findings {
	my ($m, $tree, $tests, $sources) = @_;
	my $wrong = nonsense($m);
	my @found = $wrong // ();

	if (!$wrong) {
		my $text = slurp("$tree/$m->{in}");
		if (!defined $text) {
			push @found, "names $m->{in}, which is not there";
		} elsif ((my $places = places($m, $text)) != 1) {
			push @found, "fits in $places places of $m->{in}, not in one";
		}
	}
	for (@{$m->{tests}}) {
		my ($test, @cases) = split ' ';
		if ($tests !~ m,^\Q$test\E\s.*/(\w+),m) {
			push @found, "names $test, which is no test";
			next;
		}
		my $source = @cases ? slurp("$sources/$1.c") // '' : '';
		push @found, map { "names $_, which is no case of $test" }
			grep { $source !~ /^(?:TD_)?TEST(?:_F)?(?:_\w+)?\((?:\w+, )?\Q$_\E\)/m } @cases;
	}
	return @found;
}

sub slurp {
	my ($path) = @_;

	open my $f, '<', $path or return;
	local $/;
	return scalar <$f>;
}

if ($what eq 'names') {
	print "$_->{name}\n" for @mutants;
} elsif ($what eq 'show') {
	my $m = find(@args);
	print "in\t$m->{in}\n";
	print "test\t$_\n" for @{$m->{tests}};
	print "survives\t$m->{survives}\n" if $m->{survives};
} elsif ($what eq 'text') {
	my $m = find(@args);
	print map { "$_\n" } $m->{name}, $m->{in}, @{$m->{tests}};
	print $m->{diff};
} elsif ($what eq 'apply') {
	my $m = find(@args);
	my $wrong = nonsense($m);
	my $text = do { local $/; <STDIN> };
	my $places = $wrong ? 0 : places($m, $text);

	die "it $wrong\n" if $wrong;
	die "it fits in $places places of $m->{in}, not in one\n" if $places != 1;
	$text = "\n$text";
	$text =~ s/\n\Q$m->{old}\E/\n$m->{new}/;
	print substr($text, 1);
} elsif ($what eq 'check') {
	my ($tree, $tests_list, $sources) = @args;
	my $tests = slurp($tests_list) // die "$tests_list: $!\n";
	for my $m (@mutants) {
		print "$m->{name}: it $_\n" for findings($m, $tree, $tests, $sources);
	}
} else {
	die "what is '$what'?\n";
}
