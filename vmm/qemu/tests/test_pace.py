# SPDX-License-Identifier: GPL-2.0
"""The limits of a migration are kept, as far as a busy machine can tell."""

import time

from cases import case
from check import expect, poll
from migration import ENDLESS
from td import Config

# Seconds of a measurement.
WINDOW = 10


@case("max-bandwidth limits what is sent, and can be raised")
def bandwidth(lab):
    limit = 1 << 20
    migration = lab.migration(max_bandwidth=limit).start()
    first = migration.wait_pass(1)["ram"]["transferred"]
    since = time.monotonic()
    time.sleep(WINDOW)
    last = migration.query()["ram"]
    rate = (last["transferred"] - first) / (time.monotonic() - since)
    print(f"# {rate / limit:.2f} of the limit")
    expect(rate <= 1.5 * limit, f"{rate:.0f} bytes per second are sent, with a limit of {limit}")
    expect(last["transferred"] > first, "nothing is sent")
    migration.set(max_bandwidth=128 << 20)
    migration.check_arrived()
    lab.adopt(migration)


@case("a TD that writes is not paused for longer than downtime-limit")
def downtime(lab):
    limit = 2000
    info = lab.move(downtime_limit=limit)
    print(f"# downtime {info['downtime']} ms, limit {limit} ms")
    expect(info["downtime"] <= 5 * limit, f"the TD is down for {info['downtime']} ms")


@case("a migration makes passes over memory until downtime-limit can be kept")
def passes(lab):
    migration = lab.migration(**ENDLESS).start()
    info = migration.wait_pass(6)
    expect(info["status"] == "active", f"the migration is {info['status']}")
    expect(info["expected-downtime"] >= 1, "nothing is expected")
    migration.set(downtime_limit=20000)
    migration.check_arrived()
    lab.adopt(migration)


@case("auto-converge slows a TD down that writes too fast")
def auto_converge(lab):
    config = Config(options=("td_pool=2048", "td_writes=256"))
    migration = lab.migration(config, capabilities=["auto-converge"], cpu_throttle_initial=50,
                              cpu_throttle_increment=20, **ENDLESS).start()
    migration.wait_pass(2)
    # Less than the TD writes.
    migration.set(max_bandwidth=1 << 20)
    poll(lambda: migration.query().get("cpu-throttle-percentage", 0) >= 70, "the TD is not slowed down")
    migration.set(max_bandwidth=128 << 20, downtime_limit=20000)
    migration.check_arrived()
    expect(not migration.query().get("cpu-throttle-percentage"), "the TD is still slowed down")
    lab.adopt(migration)
