# SPDX-License-Identifier: GPL-2.0
# Print the lines of fragments that a configuration has lost.
#
# Usage: awk -f lost.awk CONFIGURATION FRAGMENT...

# The symbol of a line, "" for one that is a comment or empty.
function symbol_of(line)
{
	if (line ~ /^# CONFIG_[A-Za-z0-9_]+ is not set$/) {
		split(line, word, " ")
		return word[2]
	}
	if (line !~ /^CONFIG_[A-Za-z0-9_]+=/)
		return ""
	sub(/=.*/, "", line)
	return line
}

symbol_of($0) == "" { next }
FNR == NR { has[symbol_of($0)] = $0; next }
{ wanted[symbol_of($0)] = $0 }
END {
	for (symbol in wanted) {
		# What does not exist is not set.
		if (has[symbol] == "" && wanted[symbol] ~ /^#/)
			continue
		if (has[symbol] != wanted[symbol])
			print wanted[symbol]
	}
}
