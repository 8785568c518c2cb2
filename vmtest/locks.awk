# SPDX-License-Identifier: GPL-2.0
# The functions of a System.map that acquire or release a lock, for trace.c: address,
# kind of the lock, which ends with _try if the function may fail, and which of both.

function print_lock(kind) {
	print $1, kind ($3 ~ /trylock/ ? "_try" : ""),
		$3 ~ /unlock|^up_/ ? "release" : "acquire"
}

$3 ~ /^_raw_(spin|read|write)_(trylock|lock|unlock)(_|$)/ {
	split($3, word, "_")
	print_lock(word[3] == "spin" ? "spin" : "rwlock_" word[3])
}

$3 ~ /^mutex_(lock|trylock|unlock)(_killable|_interruptible|_io)?$/ {
	print_lock("mutex")
}

$3 ~ /^(down|up)_(read|write)(_killable|_interruptible|_trylock)?$/ {
	split($3, word, "_")
	print_lock("rwsem_" word[2])
}
