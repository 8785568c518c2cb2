#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Compare what the documents say about the interface with what it is: the command
# reference with the driver's table of commands, and all names, numbers and
# structures of the interface with the uapi headers.  And what they say about cost with
# the counts that were accepted.  Ends with a line of totals.
#
# Usage: doc-check.pl LINUX-TREE   a tree with the series, e.g. build/tree
use strict;
use warnings;
use File::Basename;
no warnings "portable";		# masks have 64 bits

my $tree = shift // die "usage: doc-check.pl LINUX-TREE\n";
my ($passed, $failed) = (0, 0);

my $REFERENCE = "Documentation/virt/kvm/devices/tdx-mig-stream.rst";
my $COST = "Documentation/virt/kvm/tdx-migration-cost.rst";
my @DOCUMENTS = ($REFERENCE, "Documentation/virt/kvm/tdx-migration.rst",
		 $COST, "Documentation/virt/kvm/tdx-migration-qemu.rst",
		 "Documentation/virt/kvm/tdx-migtd.rst",
		 "Documentation/virt/kvm/x86/intel-tdx.rst", "Documentation/virt/kvm/api.rst",
		 "Documentation/virt/kvm/locking.rst");

sub slurp {
	my ($name) = @_;
	local $/;
	open my $file, '<', "$tree/$name" or die "$tree/$name: $!\n";
	return <$file>;
}

# slurp_all PATTERN: files whose place may change.
sub slurp_all {
	my ($pattern) = @_;
	my @names = map { substr $_, length "$tree/" } glob "$tree/$pattern";

	die "$tree/$pattern: no such file\n" unless @names;
	return map { slurp($_) } @names;
}

sub check {
	my ($name, @findings) = @_;
	$passed++ unless @findings;
	$failed++ if @findings;
	print "FAIL $name: $_\n" for @findings;
}

# ---------------------------------------------------------------- the interface

my $asm = slurp("arch/x86/include/uapi/asm/kvm.h");
my $uapi = $asm . slurp("include/uapi/linux/kvm.h");
my %doc_of;		# kernel-doc of each command
$doc_of{$1} = $2 while $asm =~ /^ \* \@(KVM_TDX_MIG_\w+): (.*?)(?=^ \* \@|^ \*\/)/gms;

# Drop comments, which may have braces.
(my $code = $uapi) =~ s,/\*.*?\*/,,gs;

my %value;		# constants and enumerators
my @commands;
while ($code =~ /^\s*#\s*define\s+(\w+)[ \t]+(\S[^\n]*)/gm) {
	my ($name, $text) = ($1, $2);
	$value{$name} = number($text);
}
while ($code =~ /\benum\s+(\w+)\s*\{(.*?)\}/gs) {
	my ($enum, $body, $next) = ($1, $2, 0);
	while ($body =~ /(\w+)\s*(?:=\s*([^,]+))?(?:,|$)/g) {
		my ($name, $set) = ($1, $2);
		$next = number($set) // 0 if defined $set;
		push @commands, $name if $enum eq 'kvm_tdx_mig_cmd_id' && $name !~ /_MAX$/;
		$value{$name} = $next++;
	}
}

my %members;		# structures and enums, white space aside
sub normal {
	my ($text) = @_;
	$text =~ s,/\*.*?\*/,,gs;
	# The documents name the types of the kernel.
	$text =~ s/\b__([us](?:8|16|32|64))\b/$1/g;
	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	return $text;
}
$members{$1} = normal($2) while $code =~ /^((?:struct|enum) \w+) \{\n(.*?)^\}/gms;

sub number {
	my ($text) = @_;
	$text =~ s/\s+$//;
	return oct lc $1 if $text =~ /^\(?(0[xX][0-9a-fA-F]+)[UL]*\)?$/;
	return $1 if $text =~ /^\(?(\d+)[UL]*\)?$/;
	return 1 << $1 if $text =~ /^_BITUL?L?\((\d+)\)$/;
	return $1 << $2 if $text =~ /^\(?(\d+)[UL]*\s*<<\s*(\d+)\)?$/;
	return undef;
}

# ------------------------------------------------------------ the driver's table

my ($driver) = grep { /\btdx_mig_commands\[KVM_TDX_MIG_CMD_NR_MAX\]/ }
	slurp_all("arch/x86/kvm/vmx/tdx_*.c");
die "no table of commands in arch/x86/kvm/vmx\n" unless defined $driver;
my ($table) = $driver =~ /tdx_mig_commands\[\w+\] = \{(.*?)^\};/ms;
my %row;
while ($table =~ /TDX_MIG_COMMAND\((\w+),\s*\w+,(.*?)\)(?=,\s*(?:TDX_MIG_COMMAND|$))/gs) {
	my ($command, $rest) = ($1, $2);
	$row{$command} = {
		phases => join(' ', sort $rest =~ /\bPHASE\((\w+)\)/g),
		map { $_ => 1 } $rest =~ /\bTDX_MIG_CMD_(\w+)/g,
	};
}
die "the table of commands cannot be read\n" unless %row;

# --------------------------------------------------------- the command reference

# phases TEXT: the phases that a cell names, e.g. "live, paused or post export".
sub phases {
	my ($text) = @_;
	return ('NONE') if $text eq 'none';
	return ('IMPORT_START') if $text eq 'import start';
	return ("? $text") unless $text =~ /^(.*) (export|import)$/;
	my ($states, $side) = ($1, uc $2);
	return map {
		/^(?:canceled|lost|closed|failed)$/ ? "${side}_" . uc : uc($_) . "_$side"
	} split /, | or /, $states;
}

my $reference = slurp($REFERENCE);
my ($rows) = $reference =~ /^  Command +Stream +vCPUs +Phase\n  =[= ]+\n(.*?)^  =[= ]+\n/ms;
die "$REFERENCE: there is no table of commands\n" unless defined $rows;
my %documented;
for (split /\n/, $rows) {
	if (!/^  ([A-Z_]+)(, done)? {2,}(\S+) {2,}(?:(\S+) {2,})?(\S.*)$/) {
		check($REFERENCE, "odd row: $_");
		next;
	}
	my ($command, $stream, $vcpus, $text) = ($1, $3, $4 // '', $5);
	my ($from, $to) = split / -> /, $text;
	my $entry = $documented{$command} //= { phases => {} };
	my @from = phases($from);
	$entry->{phases}{$_} = 1 for @from;
	push @{$entry->{stream}}, $stream;
	# vCPUs run in these phases; the column is empty where they do not.
	my $run = grep { /^(?:NONE|LIVE_EXPORT|EXPORT_CANCELED|LIVE_IMPORT)$/ } @from;
	push @{$entry->{vcpus}}, [$vcpus, $run];
	push @{$entry->{phase_names}}, @from, defined $to ? phases($to) : ();
}

my ($phase_enum) = join("", slurp_all("arch/x86/kvm/vmx/tdx_*.h")) =~
	/enum tdx_mig_phase \{(.*?)\}/s;
die "no phases in arch/x86/kvm/vmx\n" unless defined $phase_enum;
my %phase = map { $_ => 1 } $phase_enum =~ /\bTDX_MIG_(\w+)/g;

for my $name (@commands) {
	(my $command = $name) =~ s/^KVM_TDX_MIG_//;
	my $code = $row{$command};
	my $doc = $documented{$command};
	my $kernel_doc = $doc_of{$name} // '';
	my @f;

	push @f, "no row in tdx_mig_commands[]" unless $code;
	push @f, "no row in $REFERENCE" unless $doc;
	push @f, "no kernel-doc" unless $kernel_doc;
	if ($code && $doc) {
		my $phases = join ' ', sort keys %{$doc->{phases}};
		push @f, "legal in $code->{phases}, documented for $phases"
			if $phases ne $code->{phases};
		push @f, "there is no phase $_" for grep { !$phase{$_} } @{$doc->{phase_names}};
		for (@{$doc->{stream}}) {
			push @f, "stream '$_' in $REFERENCE"
				if $_ ne ($code->{STREAM0} ? '0' : 'any');
		}
		for (@{$doc->{vcpus}}) {
			my ($text, $run) = @$_;
			my $is = $code->{STOP} ? 'stop' : $code->{VCPU} ? 'itself' : $run ? 'run' : '';
			push @f, "vCPUs '$text' in $REFERENCE, not '$is'" if $text ne $is;
		}
	}
	if ($code && $kernel_doc) {
		my %said = (
			STREAM0 => scalar($kernel_doc =~ /\bStream\s+(?:\*\s+)?0\b/),
			IN => scalar($kernel_doc =~ /\(in\)/),
			OUT => scalar($kernel_doc =~ /\(out\)/),
			VCPU => scalar($kernel_doc =~ /struct\s+(?:\*\s+)?kvm_tdx_mig_state_vp\b/),
		);
		for (sort keys %said) {
			push @f, "kernel-doc " . ($said{$_} ? "has" : "lacks") . " what says TDX_MIG_CMD_$_"
				if !$said{$_} != !$code->{$_};
		}
		push @f, "kernel-doc does not say that \@data is ignored"
			if !$code->{IN} && !$code->{OUT} &&
			   $kernel_doc !~ /\@data\s+(?:\*\s+)?is\s+(?:\*\s+)?ignored/;
	}
	check($name, @f);
}
my %is_command = map { s/^KVM_TDX_MIG_//r => 1 } @commands;
check("commands that do not exist",
      map { "$_ is no command" } grep { !$is_command{$_} } sort keys %documented, keys %row);

# ------------------------------------------------------------- names and numbers

# Names that belong to this interface, in whatever document.
my $OURS = qr/\b(?:KVM_TDX_|TDX_MIG_|KVM_DEV_TDX_|KVM_DEV_TYPE_TDX_|KVM_CAP_X86_TDX_|
		KVM_MEMORY_EXIT_FLAG_)[A-Z0-9_]*[A-Z0-9]\b(?![*_])/x;
my $statuses = join "", slurp("arch/x86/include/asm/shared/tdx_errno.h"),
	slurp_all("arch/x86/virt/vmx/tdx/sim/*/status.h");

# The platform has those that KVM does not tell apart from others.
sub is_status {
	my ($name) = @_;
	$name =~ s/^TDX_//;
	return $statuses =~ /\b(?:TDX|SIM)_$name\b/;
}

my %text = map { $_ => slurp($_) } @DOCUMENTS;
$text{"kernel-doc of the interface"} = join "\n", $asm =~ m,/\*.*?\*/,gs;
for my $document (sort keys %text) {
	my $text = $text{$document};
	my (%seen, @f);
	for ($text =~ /($OURS)/g) {
		push @f, "$_ is not in the uapi headers" unless exists $value{$_} || $seen{$_}++;
	}
	# Commands and their statuses go by their short names.
	for ($text =~ /\b((?:EXPORT|IMPORT)_(?:MEM|TRACK|PAUSE|ABORT|END|COMMIT|STATE)\w*)/g) {
		push @f, "$_ is no command" unless $is_command{$_} || $seen{$_}++;
	}
	for ($text =~ /\b(?:status|statuses)\s+(?:\*\s+)?([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)\b/g,
	     $text =~ /\b(SEPT_[A-Z_]+)\b/g) {
		next if $is_command{$_} || exists $value{"TDX_MIG_GPA_STATUS_$_"}  || is_status($_);
		push @f, "there is no status $_" unless $seen{$_}++;
	}
	for ($text =~ /\b(TDX_(?!MIG_|FEATURES|TD_)[A-Z0-9]+_[A-Z0-9_]+)\b/g) {
		push @f, "there is no status $_" unless is_status($_) || $seen{$_}++;
	}
	check("$document: names", @f);

	# What a document quotes has to be what the header has.
	@f = ();
	while ($text =~ /^\s+#define\s+($OURS)\s+(\S[^\n]*)/gm) {
		my ($name, $is) = ($1, number($2));
		push @f, "$name is not $is" if defined $is && $is != ($value{$name} // -1);
	}
	while ($text =~ /^[ \t]+((?:struct|enum) (?:kvm_|tdx_)\w*tdx\w*|struct tdx_\w+) \{\n(.*?)^[ \t]+\};/gms) {
		my ($name, $is) = ($1, normal($2));
		push @f, "$name is not what the header has"
			if $is ne (exists $members{$name} ? normal($members{$name}) : '');
	}
	check("$document: quotations", @f);
}

# number_in NAME TEXT PATTERN EXPECTED: each match must be the number.
sub number_in {
	my ($name, $text, $pattern, $expected) = @_;
	my @found = $text =~ /$pattern/g;
	check($name, @found ? map { "says $_, is $expected" } grep { $_ != $expected } @found
	      : "is not said any more");
}

# size STRUCT: of one whose members leave no holes, as uapi-check.sh makes sure.
sub size {
	my ($name) = @_;
	my $sum = 0;
	while (($members{"struct $name"} // '') =~ /\b(?:__)?[a-z]*?(8|16|32|64)\s+\w+((?:\[\w+\])*)/g) {
		my ($bytes, $array) = ($1 / 8, $2);
		$bytes *= $value{$1} // $1 while $array =~ /\[(\w+)\]/g;
		$sum += $bytes;
	}
	return $sum;
}

number_in("size of the MBMD", $reference, qr/MBMD, (\d+) bytes/, $value{TDX_MIG_MBMD_SIZE});
check("TDX_MIG_MBMD_SIZE", size('tdx_mig_mbmd') == $value{TDX_MIG_MBMD_SIZE} ? () :
      "is not " . size('tdx_mig_mbmd'));
number_in("entries of the GPA list", $reference, qr/GPA list, (\d+) entries/,
	  $value{TDX_MIG_BUF_LIST_PAGES_MAX});
number_in("pages of a bundle", $reference, qr/at\s+most\s+(\d+)\s+pages/,
	  $value{TDX_MIG_BUF_LIST_PAGES_MAX});
number_in("first command of a stream", $reference, qr/start\s+at\s+(\d+)(?=,)/,
	  $value{KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE});
number_in("first command of a VM", $reference, qr/start\s+at\s+(\d+)(?=\.)/,
	  $value{KVM_TDX_SERVTD_PREBIND});

# The map of the buffers: each part begins where the one before it ends.
my $next = 0;
my @map = $reference =~ /^  (TDX_MIG_STREAM_\w+_MAP_OFFSET) +(\d+|N) /gm;
check("map of the buffers", @map == 8 ? () : "has " . @map / 2 . " parts, not 4");
while (my ($name, $pages) = splice @map, 0, 2) {
	my $offset = $value{$name} // -1;
	check($name, $offset == $next ? () : "starts at page $offset, documented at $next");
	$next = $offset + ($pages eq 'N' ? 0 : $pages);
}

# The counts, which may change a little before they are accepted again.
my %cost = (
	"KVM_CLEAR_DIRTY_LOG" => "CLEAR_DIRTY_LOG, with TRACK",
	"KVM_RESET_DIRTY_RINGS" => "RESET_DIRTY_RINGS, with TRACK",
	"EXPORT_MEM" => "EXPORT_MEM, page",
	"EXPORT_MEM, post-copy" => "EXPORT_MEM in post-copy, page",
	"IMPORT_MEM, page that is not there" => "IMPORT_MEM, new page",
	"IMPORT_MEM, page that is there" => "IMPORT_MEM, page imported before",
	"IMPORT_MEM, post-copy" => "IMPORT_MEM in post-copy, page",
	"First write of the guest to a page that is blocked" => "first write, fault to re-entry",
	"The same if it is logged in a dirty ring" => "first write, into a dirty ring",
	"Missing page in post-copy: re-entry, fault and exit of KVM_RUN" =>
		"missing page, re-entry and fault to exit",
	"The same with its export at the source and its import" =>
		"missing page, with its export and import",
	"EXPORT_TRACK, an epoch token" => "EXPORT_TRACK",
	"EXPORT_TRACK, an epoch token or the start token" => "EXPORT_TRACK, start token",
	"EXPORT_PAUSE" => "EXPORT_PAUSE",
	"EXPORT_STATE_TD" => "EXPORT_STATE_TD",
	"EXPORT_STATE_VP" => "EXPORT_STATE_VP",
	"KVM_TDX_MIG_GET_VCPU_STATE" => "KVM_TDX_MIG_GET_VCPU_STATE",
	"IMPORT_TRACK" => "IMPORT_TRACK, start token",
	"IMPORT_STATE_TD" => "IMPORT_STATE_TD",
	"IMPORT_STATE_VP" => "IMPORT_STATE_VP",
	"KVM_TDX_MIG_SET_VCPU_STATE" => "KVM_TDX_MIG_SET_VCPU_STATE",
	"IMPORT_COMMIT" => "IMPORT_COMMIT",
	"IMPORT_END, which the TD need not wait for" => "IMPORT_END",
	"A round without dirty pages, dirty rings" => "round without dirty pages, dirty rings",
	"A round without dirty pages, bitmap" => "round without dirty pages, bitmap",
	"A blackout without dirty pages, source" => "blackout without dirty pages, source",
	"A blackout without dirty pages, destination" =>
		"blackout without dirty pages, destination",
);
# Of the formula, both sides.
my %formula = (
	"T, the TD" => "per TD",
	"S, a vCPU that has to be stopped" => "per vCPU that is stopped",
	"V, a vCPU of a stream" => "per vCPU of a stream",
	"B, a bundle of a stream" => "per bundle of a stream",
	"P, a page of a stream" => "per page of a stream",
	"System calls of the TD" => "ioctls per TD",
	"System calls of a vCPU" => "ioctls per vCPU",
	"SEAMCALLs of the TD" => "SEAMCALLs per TD",
	"SEAMCALLs of a vCPU" => "SEAMCALLs per vCPU",
);
# The longest time with a lock held, by what is done.
my %holds = (
	"KVM_CLEAR_DIRTY_LOG" => "CLEAR_DIRTY_LOG",
	"EXPORT_ABORT" => "EXPORT_ABORT",
	"EXPORT_MEM" => "EXPORT_MEM",
	"IMPORT_MEM" => "IMPORT_MEM",
	"the blackout, source" => "blackout, source",
	"the blackout, destination" => "blackout, destination",
);
while (my ($row, $what) = each %formula) {
	$cost{$row} = [ "blackout, source, $what", "blackout, destination, $what" ];
}
$cost{"mmu_lock for write: $_"} = "mmu_lock held for write, $holds{$_}" for keys %holds;
my (%counts, %goal);
open my $counts, '<', dirname($0) . "/counts.list" or die "counts.list: $!\n";
while (<$counts>) {
	my ($what, $batch, $count, $goal) = /^([^#\t]+)\t(\d+)\t([\d.]+)(?:\t(\d+))?$/ or next;
	push @{$counts{$what}}, $count;
	$goal{"$what\t$batch"} = { goal => $goal, count => $count } if defined $goal;
}

# differs COUNT IS: may change a little before it is accepted again.
sub differs {
	my ($said, $is) = @_;
	return abs($said - $is) > $is * 0.05 ? "says $said, is $is" : ();
}

for my $row (sort keys %cost) {
	my ($said) = $text{$COST} =~ /^  \Q$row\E  +([\d,]+(?: +[\d,]+)*)$/m;
	my @said = map { s/,//gr } split ' ', $said // '';
	my @is = map { @{$counts{$_} // []} } ref $cost{$row} ? @{$cost{$row}} : $cost{$row};
	# Of events, the first of the equal figures of some batches.
	my @f = !@said || !@is ? "is in one of them alone" :
		map { differs($said[$_], $is[$_]) } 0 .. $#said;
	check("cost: $row", @f);
}

# The goals, each of which has to be told, with what has become of it.
my %goals = (
	"KVM_CLEAR_DIRTY_LOG, 512 pages" => "CLEAR_DIRTY_LOG, with TRACK\t512",
	"EXPORT_MEM, 512 pages" => "EXPORT_MEM, page\t512",
	"EXPORT_MEM, 512 pages that were exported before" =>
		"EXPORT_MEM, page exported before\t512",
	"IMPORT_MEM, 512 pages that are not there" => "IMPORT_MEM, new page\t512",
	"IMPORT_MEM, 512 pages that are there" => "IMPORT_MEM, page imported before\t512",
	"First write of the guest to each of 512 pages" =>
		"first write, fault to re-entry\t512",
	"Missing page in post-copy, both sides" =>
		"missing page, with its export and import\t1",
	"KiB per GiB for the dirty log, TD of 1 GiB" =>
		"memory per GiB of the TD, dirty log, KiB\t1024",
	"KiB per GiB for the dirty log, TD of 64 GiB" =>
		"memory per GiB of the TD, dirty log, KiB\t65536",
	"KiB per GiB for what was sent, TD of 1 GiB" =>
		"memory per GiB of the TD, pages that were sent, KiB\t1024",
	"KiB per GiB for what was sent, TD of 64 GiB" =>
		"memory per GiB of the TD, pages that were sent, KiB\t65536",
);
for my $row (sort keys %goals) {
	my ($goal, $count, $result) =
		map { s/,//gr } $text{$COST} =~ /^  \Q$row\E  +([\d,]+) +([\d,.]+)  (\w+)$/m;
	my $is = delete $goal{$goals{$row}};
	my @f;

	if (!defined $goal || !$is) {
		push @f, "is in one of them alone";
	} else {
		my $result_is = $is->{count} <= $is->{goal} ? "reached" : "missed";

		push @f, "says $goal, is $is->{goal}" if $goal != $is->{goal};
		push @f, differs($count, $is->{count});
		push @f, "says $result, is $result_is" if $result ne $result_is;
	}
	check("goal: $row", @f);
}
check("goals that nobody is told", map { s/\t/, batch of /r } sort keys %goal);

print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);
