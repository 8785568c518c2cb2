# SPDX-License-Identifier: GPL-2.0
#
# Change one expectation of every test of a trace, another one for each seed:
#	awk -v seed=N -f alter.awk in.trace > out.trace
# Every test of the result must fail on a model that passes the original.

function flip_digit(hex,	n, d)
{
	n = length(hex)
	d = substr(hex, n)
	return substr(hex, 1, n - 1) (d == "0" ? "1" : "0")
}

# Expressions are evaluated from left to right, so this changes any of them.
function altered(line,	t, n, i, k, out)
{
	n = split(line, t, " ")
	if (t[1] == "call" || t[1] == "tdcall") {
		for (i = 1; t[i] != "=>"; i++)
			;
		# The status, or one of the results that have a value.
		k = i + 1
		for (i += 2; i <= n; i++)
			if (t[i] ~ /=[^*>]/ && rand() < 0.5)
				k = i
		if (t[k] ~ /^(enter_td|exit:ept_violation)$/)
			t[k] = "0"
		else if (!sub("/", "^1/", t[k]))
			t[k] = t[k] "^1"
	} else if (t[1] ~ /^(expect64|expect_gpa_fill|expect_fill)$/) {
		k = t[1] == "expect64" ? 3 : 4
		t[k] = t[k] "^1"
	} else if (t[1] ~ /^(expect_bytes|expect_gpa_sha384|expect_sha384)$/) {
		t[n] = flip_digit(t[n])
	} else if (t[1] == "guest_load" && t[n] != "ept_violation") {
		t[n] = t[n] "^1"
	} else if (t[1] == "guest_load" || t[1] == "guest_store") {
		t[n] = t[n] != "ept_violation" ? "ept_violation" : t[1] == "guest_load" ? "0" : "ok"
	} else if (t[1] == "gcm_open") {
		t[n] = t[n] == "ok" ? "bad" : "ok"
	} else {
		return ""
	}
	out = " "
	for (i = 1; i <= n; i++)
		out = out " " t[i]
	return out
}

BEGIN {
	srand(seed)
}

$1 == "test" {
	in_test = 1
	nr = chosen = candidates = 0
}

!in_test {
	print
	next
}

{
	body[++nr] = $0
	change = altered($0)
	if ($1 != "test" && change != "" && rand() * ++candidates < 1) {
		chosen = nr
		replacement = change
	}
}

$1 == "end" {
	for (i = 1; i <= nr; i++)
		print i == chosen ? replacement : body[i]
	in_test = 0
}
