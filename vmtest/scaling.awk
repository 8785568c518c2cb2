# SPDX-License-Identifier: GPL-2.0
# A model of several streams, each on a CPU of its own, from counts of instructions: how
# much more they transfer than one, and which lock is the bound then.  It says what the
# locks of KVM and of the memory management allow; it is arithmetic, and no measurement.
#
# A page takes its instructions, at 2 per cycle, and its encryption.  What is under a lock
# that others want exclusively, too, queues up for it, as mean value analysis has it.  Each
# time that a lock changes its state, its cache line comes from another CPU, once there are
# two streams, also if it is acquired for read; lines queue up as well.
#
# Usage: awk -f scaling.awk locks.list LOCKS COUNTS
# LOCKS is what trace.pl has written, COUNTS lines of tdx_mig_count.

BEGIN {
	FS = "\t"
	line_cycles = 200
	nr_ns = split("1 2 4 8 16", ns, " ")
	nr_ciphers = split("0 0.16 0.64", ciphers, " ")
	nr_whats = split("EXPORT_MEM, page|IMPORT_MEM, new page|IMPORT_MEM, page imported before",
			 whats, "|")
	nr_batches = split("64 512", batches, " ")
}

FILENAME == ARGV[1] {
	if (/^#/ || !NF)
		next
	owner[$1, $2] = $3
	most[$1, $2] = $4
	name[$1, $2] = $5
	next
}

FILENAME == ARGV[2] {
	nr = ++nr_locks[$1, $2]
	kind[$1, $2, nr] = $3
	site[$1, $2, nr] = $4
	times[$1, $2, nr] = $5
	held[$1, $2, nr] = $6
	next
}

$1 == "count" {
	total[$2, $3] = $4
}

function fail(text) {
	if (text in failed)
		return
	failed[text]
	failures = failures "FAIL " text "\n"
}

function is_exclusive(k) {
	return k !~ /_read(_try)?$/
}

# The stations where streams queue up.
function find_stations(what, batch,   i, k, id) {
	nr_stations = 0
	for (i = 1; i <= nr_locks[what, batch]; i++) {
		k = kind[what, batch, i] SUBSEP site[what, batch, i]
		id = sprintf("%s, batch of %d: %s in %s", what, batch, kind[what, batch, i],
			     site[what, batch, i])
		if (!(k in owner)) {
			fail(id " is not in locks.list")
			continue
		}
		if (owner[k] != "shared")
			continue
		if (most[k] != "-" && times[what, batch, i] > most[k])
			fail(sprintf("%s %d times, not %d", id, times[what, batch, i], most[k]))

		add_to_station(name[k], times[what, batch, i] / batch,
			       is_exclusive(kind[what, batch, i]) ? held[what, batch, i] / batch : 0)
	}
}

# What a page takes of a lock: how often, and the instructions under it.
function add_to_station(lock, acquired, instructions,   i) {
	for (i = 1; i <= nr_stations && station[i] != lock; i++)
		continue
	if (i > nr_stations) {
		nr_stations = i
		station[i] = lock
		busy[i] = moves[i] = 0
	}
	busy[i] += instructions / 2
	moves[i] += 2 * acquired * line_cycles
}

# Pages per cycle of @n streams.
function throughput(n, cycles,   i, j, rest, all, x) {
	rest = cycles
	for (i = 1; i <= nr_stations; i++) {
		rest -= busy[i]
		service[i] = busy[i] + (n > 1 ? moves[i] : 0)
		queue[i] = 0
	}
	for (j = 1; j <= n; j++) {
		all = rest
		for (i = 1; i <= nr_stations; i++) {
			wait[i] = service[i] * (1 + queue[i])
			all += wait[i]
		}
		x = j / all
		for (i = 1; i <= nr_stations; i++)
			queue[i] = x * wait[i]
	}
	return x
}

function print_gains(what, batch,   c, i, cycles, one, gain) {
	for (c = 1; c <= nr_ciphers; c++) {
		cycles = total[what, batch] / 2 + ciphers[c] * 4096
		one = throughput(1, cycles)
		printf "%-34s %5d %5s %7.0f", c == 1 ? what : "", batch, ciphers[c], cycles
		for (i = 1; i <= nr_ns; i++) {
			gain = throughput(ns[i], cycles) / one
			printf " %6.2f", gain
			if (ns[i] == 2 && batch == 512 && ciphers[c] && gain < 1.9)
				fail(sprintf("%s: %.2f with 2 streams, not 1.9", what, gain))
		}
		printf "\n"
	}
}

# With the fastest cipher.
function print_stations(what, batch,   i, cycles, one, many) {
	cycles = total[what, batch] / 2 + ciphers[2] * 4096
	one = throughput(1, cycles)
	many = throughput(ns[nr_ns], cycles)
	for (i = 1; i <= nr_stations; i++) {
		printf "%-34s %5d %7.1f %7.1f %6.1f %% %6.1f %% %8.0f  %s\n", i == 1 ? what : "",
			batch, busy[i], moves[i], one * busy[i] * 100,
			many * (busy[i] + moves[i]) * 100, cycles / (busy[i] + moves[i]), station[i]
	}
}

END {
	printf "%-34s %5s %5s %7s %6d %6d %6d %6d %6d\n", "gain of so many streams", "batch",
		"AES", "cycles", 1, 2, 4, 8, 16
	for (b = nr_batches; b; b--) {
		for (w = 1; w <= nr_whats; w++) {
			find_stations(whats[w], batches[b])
			print_gains(whats[w], batches[b])
		}
	}
	printf "\n%-34s %5s %7s %7s %8s %8s %8s\n", "cycles per page under a lock", "batch", "held",
		"moved", "1 stream", "16", "saturates"
	for (b = nr_batches; b; b--) {
		for (w = 1; w <= nr_whats; w++) {
			find_stations(whats[w], batches[b])
			print_stations(whats[w], batches[b])
		}
	}
	if (failures)
		printf "\n%s", failures
	exit failures ? 1 : 0
}
