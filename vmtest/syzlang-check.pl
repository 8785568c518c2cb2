#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Compare the description of the interface for syzkaller with the header: each command is
# described, each constant exists, and each struct has the fields, offsets and size that it
# has in C.  Prints what differs, one line each.
#
# usage: syzlang-check.pl DESCRIPTION HEADERS   the folder of the installed headers
use strict;
use warnings;
use File::Temp qw(tempdir);

die "usage: syzlang-check.pl DESCRIPTION HEADERS\n" if @ARGV != 2;
my ($description, $headers) = @ARGV;

sub slurp {
	my ($file) = @_;
	open my $f, '<', $file or die "$file: $!\n";
	local $/;
	return <$f>;
}

my $text = slurp($description);
$text =~ s/^#.*//mg;
my $header = slurp("$headers/asm/kvm.h");
my $say = 0;
sub differs { print "$description: @_\n"; $say++ }

# Types of another name, and what the arguments of a template are.
my %alias = (FLAGS => 'int32', DATA => 'int64');
$alias{$1} = $2 while $text =~ /^type (\w+) (.+)$/mg;

# in_c STRUCT: its name there.  One of the base also has the name of what is made with it.
sub in_c {
	my ($name) = @_;
	$name =~ s/_(?:tdx_mig|none)$// if $name =~ /^kvm_(?:create_device|device_attr|cpuid2)_/;
	return $name;
}

# size TYPE: as an expression in C.
sub size {
	my ($type) = @_;
	return $1 / 8 if $type =~ /^int(8|16|32|64)\b/ || $type =~ /^\w+\[.*\bint(8|16|32|64)\]$/ && $type !~ /^array/;
	return 8 if $type =~ /^ptr64\[/;
	return 4 if $type =~ /^fd_\w+$/;
	return "(" . size($1) . ") * ($2)" if $type =~ /^array\[(.+), (\w+)\]$/;
	return size($alias{$type}) if $alias{$type};
	return "sizeof(struct " . in_c($type) . ")" if $type =~ /^\w+$/;
	die "$description: the type $type is unknown\n";
}

my $c = "#include <stddef.h>\n#include <linux/mman.h>\n#include <linux/kvm.h>\n";

# The names of enumerators cannot be asked for by the preprocessor.
my %constants = map { $_ => 1 } $text =~ /\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b/g;
delete @constants{grep { $text =~ /\$$_\b/ && $header !~ /\b$_\b/ } keys %constants};
$c .= "_Static_assert(($_) || 1, \"\");\n" for sort keys %constants;

my $structs = 0;
while ($text =~ /^(?:type )?(\w+)(?:\[[A-Z, ]+\])? \{\n(.*?)^\}/msg) {
	my ($name, $fields, $offset) = ($1, $2, "0");
	$name = in_c($name);
	for my $field (split /\n/, $fields) {
		my ($member, $type) = $field =~ /^\t(\w+)\t+(.*?)(?:\t\(out\))?$/ or
			die "$description: cannot understand '$field'\n";
		my $size = size($type);
		$c .= "_Static_assert(offsetof(struct $name, $member) == $offset, \"$name.$member: offset\");\n" .
			"_Static_assert(sizeof(((struct $name *)0)->$member) == $size, \"$name.$member: size\");\n";
		$offset .= " + $size";
	}
	$c .= "_Static_assert(sizeof(struct $name) == $offset, \"$name: size\");\n";
	$structs++;
}
differs("it has no structs") if !$structs;

# As the type of a constant or a flag, only a plain integer will do.
for ($text =~ /\b(?:const|flags|bytesize|len)\[[^\[\],]+, (\w+)\]/g) {
	differs("the base type $_ is no integer") if !/^int(8|16|32|64)$/;
}

my $dir = tempdir(CLEANUP => 1);
open my $f, '>', "$dir/check.c" or die "$dir/check.c: $!\n";
print $f $c;
close $f;
for (split /\n/, `gcc -fsyntax-only -isystem $headers $dir/check.c 2>&1`) {
	differs($1) if /error: (.*)/;
}
differs("the compiler cannot be run") if $? && !$say;

# Each command has a description, of the file to which it belongs.
for my $enum (['kvm_tdx_mig_cmd_id', qr/fd_tdx_mig/], ['kvm_tdx_mig_vm_cmd_id', qr/fd_kvmvm|fd_kvmcpu/]) {
	my ($name, $fd) = @$enum;
	my ($body) = $header =~ /^enum $name \{(.*?)\}/ms or die "asm/kvm.h has no enum $name\n";
	for my $command ($body =~ /\b(KVM_TDX_\w+)/g) {
		next if $command =~ /_NR_MAX$/;
		differs("$command is not described") if
			$text !~ /^ioctl\$$command(?:_id)?\(fd $fd, cmd const\[KVM_MEMORY_ENCRYPT_OP\], .*\[$command\b/m;
	}
}
exit($say ? 1 : 0);
