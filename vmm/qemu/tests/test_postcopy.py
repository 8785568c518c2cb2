# SPDX-License-Identifier: GPL-2.0
"""A TD runs on the destination before all of its memory is there."""

from cases import case
from check import expect, expect_in, poll

# Hardly anything comes unless a vCPU asks for it, so that the guest runs before it is all there.
ON_DEMAND = {"max-postcopy-bandwidth": 1 << 20}
POSTCOPY = ("postcopy-active", "completed")


def switch(lab, *capabilities, passes=1, trace=None, **parameters):
    """Begin with pre-copy, then let the TD go on elsewhere; returns the migration."""
    migration = lab.migration(capabilities=["postcopy-ram", *capabilities], **{**ON_DEMAND, **parameters})
    if trace:
        migration.destination.trace(trace)
    migration.start().wait_pass(passes)
    migration.source.ask("migrate-start-postcopy")

    def look():
        info = migration.query()
        expect(info.get("status") not in ("failed", "cancelled"),
               f"the migration has {info.get('status')}: {info.get('error-desc')}")
        return info.get("status") in POSTCOPY
    poll(look, "the TD does not go on elsewhere")
    return migration


def arrive(lab, migration, missing=True):
    """The guest runs with what is there, and then with all of it."""
    migration.destination.take_over(migration.source)
    migration.destination.check_runs()
    requests = migration.query()["ram"]["postcopy-requests"]
    expect(requests > 0 or not missing, "no page was asked for")
    migration.set(**{"max-postcopy-bandwidth": 0})
    info = migration.wait("completed")
    print(f"# asked for {info['ram']['postcopy-requests']} pages, downtime {info['downtime']} ms", flush=True)
    migration.destination.check_runs(beats=10)
    lab.adopt(migration)


@case("a TD runs while its memory follows, and asks for what it needs")
def first_pass(lab):
    arrive(lab, switch(lab))


@case("what a TD has written since it was sent is there when it goes on elsewhere")
def later_pass(lab):
    arrive(lab, switch(lab, passes=3, **{"downtime-limit": 1}), missing=False)


@case("memory follows a TD that has begun to move with multifd")
def multifd(lab):
    arrive(lab, switch(lab, "multifd"))


@case("pages that a TD asks for have a stream of their own")
def preempt(lab):
    arrive(lab, switch(lab, "postcopy-preempt"))


@case("pages that a TD asks for, and those that it does not, come over two streams of multifd")
def preempt_multifd(lab):
    arrive(lab, switch(lab, "postcopy-preempt", "multifd", **{"max-postcopy-bandwidth": 16 << 20}))


@case("a TD moves on after it has come by post-copy")
def onward(lab):
    lab.move()


@case("a migration that could switch to post-copy, but does not, is like any other")
def unused(lab):
    lab.move(capabilities=["postcopy-ram"])


@case("nobody pauses or recovers a post-copy, which cannot go on over another connection")
def lost(lab):
    migration = switch(lab)
    expect_in("cannot be recovered", migration.source.refusal("migrate-pause"))
    migration.source.ask("yank", instances=[{"type": "migration"}])
    migration.wait("failed")
    migration.wait_reason(["may run there"])
    migration.source.wait_status("internal-error")
    poll(lambda: migration.destination.ask("query-migrate").get("status") == "postcopy-paused",
         "the destination does not notice")
    expect_in("cannot be recovered", migration.destination.refusal("migrate-recover", uri="unix:/run/nobody"))
    status = migration.destination.status()
    expect(status == "running", f"the destination is {status}")
    migration.destination.quit()
    lab.drop()
