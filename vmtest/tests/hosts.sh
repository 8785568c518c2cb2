#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of two hosts without a machine: the judge, on ledgers and databases made here, the
# client, with SQLite in the place of a TD, the disk after a power failure, and the record
# of a move.  TAP.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tap.sh"

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$TOP/hosts BUILD=$work

# python NAME < PROGRAM: passes if the program does.
python() {
	local out ret=0
	out=$(cd "$work" && timeout 60 python3 - 2>&1) || ret=$?
	verdict "$1" $ret "$out"
}

# judged NAME STATUS PATTERN: what the judge says of the ledger and the database.
judged() {
	local out ret=0
	out=$("$TOP/hosts/judge.py" "$work/ledger" "$work/db" seed 2>&1) || ret=$?
	[ $ret -eq "$2" ] && grep -q -- "$3" <<<"$out" && ret=0 || ret=1
	verdict "$1" $ret "$out"
}

# A hundred commits, all acknowledged.
fresh() {
	rm -f "$work"/{ledger,db}*
	(cd "$work" && python3 -) <<END
import judge, sqlite3
with sqlite3.connect("db") as db, open("ledger", "w") as ledger:
	db.execute(judge.SCHEMA)
	for n in range(1, 101):
		db.execute("INSERT INTO commits(number, text) VALUES(?, ?)", (n, judge.text("seed", n)))
		print(n, n, n + 0.5, file=ledger)
END
}

# spoil SQL: change the database behind the client's back.
spoil() {
	fresh
	(cd "$work" && python3 -c 'import sqlite3, sys; db = sqlite3.connect("db"); db.executescript(sys.argv[1])' "$1")
}

echo "TAP version 13"

# --------------------------------------------------------------------- the judge

fresh
judged "a database that has all commits once is good" 0 "100 commits acknowledged, 100 in the database: lost 0, repeated 0$"

echo "101 101" >>"$work/ledger"
judged "a commit that was not acknowledged may be missing" 0 "lost 0"
(cd "$work" && python3 -c 'import judge, sqlite3
with sqlite3.connect("db") as db: db.execute("INSERT INTO commits(number, text) VALUES(101, ?)", (judge.text("seed", 101),))')
judged "or there" 0 "100 commits acknowledged, 101 in the database: lost 0, repeated 0$"

spoil "DELETE FROM commits WHERE number = 57"
judged "a lost commit is found" 1 "lost 1 (57), repeated 0"
spoil "DELETE FROM commits WHERE number > 90"
judged "so are the last ones" 1 "lost 10 (91, 92, 93, 94, 95, ...)"
spoil "INSERT INTO commits(number, text) SELECT number, text FROM commits WHERE number = 100"
judged "a repeated commit is found" 1 "lost 0, repeated 1 (100)"
spoil "UPDATE commits SET number = 41, text = (SELECT text FROM commits WHERE number = 41) WHERE number = 42"
judged "one in the place of another, too" 1 "lost 1 (42), repeated 1 (41)"
spoil "UPDATE commits SET text = 'x' WHERE number = 7"
judged "a commit with other contents is found" 1 "altered 1 (7)"
spoil "INSERT INTO commits(number, text) VALUES(200, 'x')"
judged "one that nobody has sent is found" 1 "never sent 1 (200)"
spoil "UPDATE commits SET place = 1000 WHERE number = 50"
judged "and one out of order" 1 "out of order"
fresh
: >"$work/ledger"
judged "a client without any commit proves nothing" 1 "0 commits acknowledged"
fresh
dd if=/dev/urandom of="$work/db" bs=4096 seek=1 count=1 conv=notrunc status=none
judged "a database that is damaged is not good" 1 "cannot be judged"
rm -f "$work/db"
judged "nor is none" 1 "cannot be judged"

# -------------------------------------------------------------------- the client

# A server that answers as SQLite in the TD does, with FAULT(number) before each commit.
cat >"$work/serve.py" <<'END'
import socket, sqlite3, threading
import client, judge

def serve(fault):
	db = sqlite3.connect("db", isolation_level=None, check_same_thread=False)
	listener = socket.create_server(("127.0.0.1", 0))
	def run():
		sock = listener.accept()[0]
		number = 0
		for line in sock.makefile("r"):
			if "INSERT" in line:
				number += 1
				if fault(db, number):
					sock.shutdown(socket.SHUT_RDWR)
					return
			last = None
			for sql in line.split(";")[:-1]:
				last = db.execute(sql).fetchone() or last
			sock.sendall("|".join(map(str, last)).encode() + b"\n")
	threading.Thread(target=run, daemon=True).start()
	return listener.getsockname()

class Gateway:
	def __init__(self, address):
		self.address = address
	def connect(self, *_):
		return socket.create_connection(self.address, timeout=20)

def use(fault):
	c = client.Client(Gateway(serve(fault)), "ledger", "seed")
	assert c.open()
	c.start()
	return c
END

rm -f "$work"/{ledger,db}*
python "the client commits until it is stopped" <<'END'
import time, serve
c = serve.use(lambda db, number: False)
while len(c.acks) < 50:
	time.sleep(0.01)
c.stop()
END
judged "and the judge is content with it" 0 "lost 0, repeated 0"

# broken NAME FAULT REASON
broken() {
	rm -f "$work"/{ledger,db}*
	python "$1" <<END
import serve
c = serve.use(lambda db, number: number == 20 and ($2))
c.join(20)
assert len(c.acks) == 19, len(c.acks)
assert "$3" in str(c.error), c.error
END
}
broken "the client notices a commit that is lost while it works" \
	'db.execute("DELETE FROM commits WHERE number = 19") and False' "instead of 'committed|20|20'"
broken "one that is repeated" \
	'db.execute("INSERT INTO commits(number, text) SELECT number, text FROM commits WHERE number = 19") and False' \
	"instead of 'committed|20|20'"
broken "and a connection that does not outlive the move" True "connection to the database is lost"
judged "of which all that was acknowledged is there" 0 "19 commits acknowledged, 19 in the database"

# -------------------------------------------------------------- the power failure

mke2fs -q -t ext4 "$work/image" 8M >/dev/null 2>&1
rm -f "$work"/{ledger,db}*
(cd "$work" && python3 -) <<'END'
import judge, shutil, sqlite3
db = sqlite3.connect("ledger.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute(judge.SCHEMA)
with open("ledger", "w") as ledger:
	for n in range(1, 11):
		db.execute("INSERT INTO commits(number, text) VALUES(?, ?)", (n, judge.text("seed", n)))
		print(n, n, n, file=ledger)
# With the database open, so nobody has tidied up.
for end in ("", "-wal"):
	shutil.copy("ledger.db" + end, "copy" + end)
END
for end in "" -wal; do
	debugfs -w -R "write $work/copy$end ledger.db$end" "$work/image" >/dev/null 2>&1
done
rm -f "$work"/ledger.db*
python "the database is read from the disk" <<'END'
import shutil
from disk import read_database
shutil.copy(read_database("image", "."), "db")
shutil.copy("ledger.db-wal", "db-wal")
END
judged "with what has only reached its log" 0 "10 commits acknowledged, 10 in the database"
python "a disk that is damaged is an error" <<'END'
from check import Failed
from disk import read_database
with open("image", "r+b") as image:
	image.write(bytes(1 << 20))
try:
	read_database("image", ".")
except Failed:
	pass
else:
	raise SystemExit("it is not")
END

# ------------------------------------------------------------------- the monitor

cat >"$work/monitor.py" <<'END'
import json, socket, threading
import qmp

def serve(answers):
	"""A QEMU that has answers, and else is gone."""
	ours, theirs = socket.socketpair()
	def run():
		with theirs, theirs.makefile("rw") as stream:
			print('{"QMP": {}}', file=stream, flush=True)
			for line in stream:
				answer = answers.get(json.loads(line)["execute"])
				if answer is None:
					return
				print(answer, file=stream, flush=True)
	threading.Thread(target=run, daemon=True).start()
	return qmp.Qmp("x", ours)
END
python "the monitor answers, also after events" <<'END'
import monitor
q = monitor.serve({"qmp_capabilities": '{"event": "STOP"}\n{"return": {}}', "query-status": '{"return": {"status": "running"}}'})
assert q.ask("query-status") == {"status": "running"}
assert q.first("STOP") and not q.first("RESUME")
END
python "what QEMU refuses is a failure, and so is that it has gone" <<'END'
import monitor
from check import Failed
q = monitor.serve({"qmp_capabilities": '{"return": {}}', "migrate": '{"error": {"desc": "no"}}'})
for command, said in (("migrate", "x: migrate: no"), ("query-status", "x: QEMU is gone")):
	try:
		q.ask(command)
	except Failed as failed:
		assert str(failed) == said, failed
	else:
		raise SystemExit(f"{command} is none")
END
python "a QEMU that ends without an answer has ended" <<'END'
import monitor
monitor.serve({"qmp_capabilities": '{"return": {}}'}).quit()
END

# -------------------------------------------------------------------- the record

make -s -C "$TOP/demo" O="$work" picture || die "the program that draws does not build"

# A QEMU that tells of a migration in two rounds.
cat >"$work/pretend.py" <<'END'
import time
import judge, move

class Report:
	def __getattr__(self, name):
		return lambda *_: None

class Qmp:
	def __init__(self, events, infos=()):
		self.events, self.infos, self.asked = events, list(infos), []
	def ask(self, command, **_):
		self.asked.append(command)
		return self.infos.pop(0) if command == "query-migrate" else {}
	def first(self, name, since=0.0, **data):
		return next((since + when for when, event, has in self.events
			     if event == name and data.items() <= has.items()), None)
	def quit(self):
		pass

class Host:
	def __init__(self, name, qmp):
		self.name, self.qmp, self.pages = name, qmp, 0
	def start_td(self, incoming):
		return self
	def statistics(self):
		self.pages += 900
		return {"exported_pages": self.pages, "exported_bytes": self.pages * 5000}

def info(status, count, pages, left=0):
	return {"status": status, "total-time": 9000, "downtime": 700, "error-desc": "no cable",
		"ram": {"dirty-sync-count": count, "normal": pages, "transferred": pages * 5000, "remaining": left * 4096}}

def moved(last="completed"):
	# An event in the past of the first look at what it tells of.
	source = Qmp([(0.1, "MIGRATION_PASS", {"pass": 1}), (0.4, "MIGRATION_PASS", {"pass": 2}),
		      (9, "MIGRATION", {"status": "completed"})],
		     [info("setup", 0, 0), info("active", 1, 500, 500), info("active", 2, 850, 100), info(last, 3, 1000)])
	m = move.Move(1, Host("b", source), Host("a", Qmp([(8.9, "RESUME", {})])), Report())
	look = m._look
	def stop():
		if len(source.infos) == 1:
			source.events.append((8, "STOP", {}))
		return look()
	m._look = stop
	m.run()
	return m
END
python "a move has its rounds, and what came after them" <<'END'
import judge, pretend
m = pretend.moved()
assert [r.pages for r in m.rounds] == [500, 350], m.rounds
assert m.rounds[0].dirty == 100 and m.rest == 150
assert (m.pages, m.private, m.shared) == (1000, 900, 100)
rows = [(1, 1, judge.text("seed", 1))]
# resumed counts from 0 here
m.resumed += m.begun
m.write_record("record", m.begun - 2, [m.begun - 1, m.begun + 1, m.begun + 8.95], judge.Verdict({1}, {1}, rows, "seed"))
END
draw() {
	local out ret=0
	out=$("$work/picture" <"$work/record" 2>&1) || ret=$?
	grep -q ">host b to host a, .*a database commits" <<<"$out" && grep -q ">blackout 0.900 s<" <<<"$out" || ret=1
	verdict "$1" $ret "$out"
}
draw "and the picture shows it"
python "a migration that fails is a failure" <<'END'
import pretend
from check import Failed
try:
	pretend.moved("failed")
except Failed as failed:
	assert str(failed) == "the migration has failed: no cable", failed
else:
	raise SystemExit("it is not")
END

echo "1..$n"
[ $bad -eq 0 ]
