#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the picture that the demo draws: a recorded migration, what the
# picture has to say of it, and records that are odd, damaged or hostile.  TAP.
#
# Usage: picture.sh [SEED]
. "$(dirname "$0")/../lib.sh"

good=$TOP/vmtest/tests/migration.log
seed=${1:-$RANDOM}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
svg=$work/svg
err=$work/err
n=0
bad=0

make -s -C "$TOP/demo" O="$work" \
	CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" picture ||
	die "the program that draws does not build"

# ok NAME COMMAND...: a test that passes if the command does.
ok() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		sed 's/^/# /' "$err" | head -n 20
		bad=$((bad + 1))
	fi
}

draw() {
	local ret=0
	"$work/picture" <"$log" >"$svg" 2>"$err" || ret=$?
	return $ret
}

fresh() { cp "$good" "$log"; }
edit() { sed -i "$1" "$log"; }

# Elements are closed in order, attributes quoted, nothing else has markup.
well_formed() {
	perl -0777 -e '
		my ($s, @open) = (<STDIN>);
		while ($s =~ /\G(?:([^<>&]+)|<(\w+)((?:\s+[\w:.-]+="[^"<>&]*")*)\s*(\/?)>|<\/(\w+)>)/gc) {
			exit 1 if defined $1 && !@open && $1 =~ /\S/;
			push @open, $2 if defined $2 && !$4;
			exit 1 if defined $5 && (pop @open // "") ne $5;
			exit 1 if defined $2 && $2 eq "svg" && $seen++;
		}
		exit 1 if @open || !$seen || (pos($s) // 0) != length $s;
		exit 1 if $s =~ /nan|inf\b|="[^"]*-?\d{6,}\./;
	' <"$svg"
}

# It must be drawn, and say so.
drawn() { draw && well_formed && { [ $# -eq 0 ] || grep -q -- "$1" "$svg"; }; }

# It must be refused with a line that says why, and nothing drawn.
refused() {
	local ret=0
	draw || ret=$?
	[ $ret -eq 1 ] && [ ! -s "$svg" ] && [ "$(wc -l <"$err")" -eq 1 ] && grep -q -- "$1" "$err"
}

count() { [ "$(grep -o -- "$1" "$svg" | wc -l)" -eq "$2" ]; }

records() { grep -c "^# trace: [0-9]* $1" "$log"; }

group() { perl -pe '1 while s/^(\d+)(\d{3})/$1,$2/' <<<"$1"; }

# Each round has its bar, its point and its numbers.
has_each_round() {
	local pages dirty
	count 'class="round"' "$(records 'phase .* memory')" || return 1
	count 'class="dirty"' "$(records round)" || return 1
	while read -r pages; do
		grep -q -- ">$(group "$pages")</text>" "$svg" || return 1
	done < <(sed -n 's/^# trace: .* phase .* pages=\([0-9]*\) .* memory$/\1/p' "$log")
	while read -r dirty; do
		grep -q -- ">$(group "$dirty")</text>" "$svg" || return 1
	done < <(sed -n 's/^# trace: .* round .* dirty=\([0-9]*\) .*/\1/p' "$log")
}

has_blackout_of_report() {
	local blackout
	blackout=$(sed -n 's/^  blackout  *\([0-9.]* s\)  .*/\1/p' "$log")
	[ -n "$blackout" ] && grep -q -- ">blackout $blackout</text>" "$svg"
}

has_pages_of_report() {
	local private shared
	read -r private shared < <(
		sed -n 's/^  pages sent  *\([0-9]*\) private, \([0-9]*\) shared.*/\1 \2/p' "$log")
	grep -q -- ">$(group $((private + shared)))</text>" "$svg"
}

has_heartbeats() { [ "$(grep 'class="ticks"' "$svg" | grep -c 'd="M')" -eq 2 ]; }

stands_alone() { ! grep -Eiq '<script|href|url\(|<image|<style|<foreign' "$svg"; }

# Damage one byte or cut the end off, many times: either a picture or a reason.
survives_damage() {
	local i ret
	for ((i = 0; i < 150; i++)); do
		perl -e '
			srand($ARGV[1]);
			open F, "<", $ARGV[0]; my @l = <F>;
			my @t = grep { $l[$_] =~ /^# trace/ } 0 .. $#l;
			my $i = $t[rand @t];
			my $k = rand 4;
			if ($k < 1) { substr($l[$i], 9 + rand(length($l[$i]) - 10), 1) = chr(32 + rand 95) }
			elsif ($k < 2) { $l[$i] =~ s/\d+/int(rand(2) * 10 ** rand(21))/e for 1 .. 2 }
			elsif ($k < 3) { splice @l, $i, 1 + rand 40 }
			else { $l[$i] = $l[$t[rand @t]] }
			print @l' "$good" $((seed + i)) >"$log"
		ret=0
		draw || ret=$?
		case $ret in
		0) well_formed ;;
		1) [ ! -s "$svg" ] && [ -s "$err" ] ;;
		*) false ;;
		esac || {
			echo "# damage with seed $((seed + i))"
			return 1
		}
	done
}

echo "TAP version 13"

fresh
ok "a migration is drawn" drawn "Live migration of a TDX guest"
ok "each round is in the picture" has_each_round
ok "the blackout is the one of the report" has_blackout_of_report
ok "the pages are those of the report" has_pages_of_report
ok "both VMs have heartbeats" has_heartbeats
ok "the picture needs nothing else" stands_alone

fresh
edit 's/^\(# trace: [0-9]*\) begin .*/&\n\1 hosts from=2 to=1/'
ok "a database that moves between hosts is drawn as that" drawn ">host b to host a, .* a database commits"
ok "both hosts have commits" count 'class="commits" fill="[^"]*" d="M' 2
ok "and no heartbeats" count 'class="ticks"' 0
ok "how long the client waited for one is in it" count '>longest time without a commit<' 1

edit '/^# trace/s/bad=0 passed=1/bad=2 passed=0/'
ok "a database that is damaged is drawn as that" drawn "the database is damaged"

edit 's/ to=1$/ to=27/'
ok "another host is refused" refused "no such hosts"

fresh
edit '/^# trace: [0-9]* \(round\|progress\|phase.*memory\)/d'
ok "a migration without rounds is drawn as that" drawn "none: all memory was sent"

fresh
edit '/^# trace: [0-9]* resumed/d; s/^\(# trace: [0-9]*\) migrated/\1 aborted/'
ok "an aborted migration is drawn as that" drawn "aborted: the guest went on in VM 1"
ok "it has no blackout" count 'class="blackout"' 0

fresh
edit '/^# trace: [0-9]* stopped/,$d'
ok "a record that breaks off is drawn as that" drawn "the record breaks off"

fresh
edit '/^# trace/s/passed=1/passed=0/'
ok "a demo that has failed is drawn as that" drawn "the demo has failed"

fresh
edit '/^# trace: [0-9]* round number=2/,$d'
ok "a round that was not reported is drawn" drawn 'class="round"'

fresh
edit '1i VM 1   0.000 | # trace: 1 begin version=1'
ok "the console of the guest is no record" drawn "Live migration"

: >"$log"
ok "no output is no migration" refused "no record of a migration"

fresh
edit '/^# trace: [0-9]* migrate$/,$d'
ok "a demo without a migration is not drawn" refused "did not begin"

fresh
edit '/^# trace: [0-9]* begin/d'
ok "a record has a beginning" refused "before the beginning"

fresh
edit '/^# trace: [0-9]* begin/p'
ok "a record has one beginning" refused "a second record"

fresh
edit 's/version=1/version=2/'
ok "another version is refused" refused "another version"

fresh
edit 's/^# trace: [0-9]* end.*/&\n# trace: 99999999 stopped/'
ok "nothing comes after the end" refused "after the end"

fresh
edit 's/^\(# trace: [0-9]*\) stopped/\1 <script>/'
ok "an unknown line is refused" refused "is unknown"

fresh
edit 's/\(phase start=\)[0-9]*\(.*rest\)$/\1999999999999\2/'
ok "a phase that starts after its end is refused" refused "starts after its end"

fresh
edit 's/ rest$/ <b>/'
ok "a name with markup is refused" refused "has no name"

fresh
edit 's/pages=[0-9]* \(.*rest\)$/pages=-1 \1/'
ok "a negative number is refused" refused "no number 'pages'"

fresh
edit 's/dirty=[0-9]*/dirty=99999999999999999999/'
ok "a number out of range is refused" refused "no number 'dirty'"

fresh
edit 's/round=1 pages/round=3 pages/'
ok "a round that is missing is refused" refused "comes after round"

fresh
edit '/^# trace: [0-9]* resumed/d; s/^# trace: [0-9]* migrate$/&\n# trace: 1 resumed/'
ok "a guest that resumes before it stops is refused" refused "impossible order"

fresh
edit 's/^# trace: [0-9]* migrated/&\n# trace: 99999999 aborted/'
ok "a migration cannot be completed and aborted" refused "completed and aborted"

ok "a damaged record is drawn or refused, but never breaks the program [seed $seed]" survives_damage

echo "1..$n"
[ "$bad" -eq 0 ]
