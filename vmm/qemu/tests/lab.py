# SPDX-License-Identifier: GPL-2.0
"""What tests share: two hosts with migration TDs, and a TD that moves between them.

Both hosts are this one.  A TD boots for half a minute, so each test goes on with what the
one before has left, as long as that has passed.
"""

import glob
import os
import shutil

import disk
import settings
from check import expect
from migration import Migration
from migtd import Migtd
from relay import Relay
from td import Config, Td


class Lab:
    """All processes that there are."""

    def __init__(self):
        self.migtds = [Migtd("a"), Migtd("b")]
        self.tds = []
        self.current = None
        self.deferred = []

    def defer(self, undo):
        """Call a function when the test has ended, and the TDs with it if it has failed."""
        self.deferred.append(undo)

    def undo(self):
        while self.deferred:
            self.deferred.pop()()

    def migtd(self, other_than=None):
        for migtd in self.migtds:
            migtd.start()
        free = [m for m in self.migtds if m is not other_than]
        return free[0]

    def start(self, config, migtd, **options):
        """A TD in any state, as is.  One that begins here has an empty disk."""
        if not options.get("incoming"):
            disk.create()
        td = Td(config, migtd if config.migtd else None, **options)
        td.migtd = migtd
        self.tds.append(td)
        td.connect()
        return td

    def td(self, config=None):
        """A TD that runs, of a configuration."""
        config = config or Config()
        td = self.current
        if td and td.alive() and td.config == config and td.status() == "running":
            self.migtd()
            return td
        self.drop()
        self.current = self.start(config, self.migtd())
        self.current.wait_beat(3)
        self.current.check_runs()
        return self.current

    def destination(self, source, config=None, migtd=None, **options):
        """A TD that waits for another one, on the other host."""
        migtd = migtd or self.migtd(other_than=source.migtd)
        return self.start(config or source.config, migtd, incoming=True, **options)

    def migration(self, config=None, **options):
        """A migration of the current TD, which is ready to start."""
        source = self.td(config)
        return Migration(source, self.destination(source), **options)

    def adopt(self, migration):
        """Go on with the destination of a migration."""
        migration.source.quit()
        self.current = migration.destination
        return self.current

    def move(self, config=None, **options):
        """Migrate the current TD, and look at it; returns what query-migrate says."""
        migration = self.migration(config, **options).start()
        info = migration.check_arrived()
        self.adopt(migration)
        return info

    def relayed(self, **options):
        """A migration of the current TD of which something is held back, see Relay."""
        relay = Relay(f"{settings.RUN}/relay.{Migration.count}", **options)
        self.defer(relay.remove)
        return self.migration(relay=relay), relay

    def drop(self):
        """End all TDs."""
        for td in self.tds:
            if td.alive():
                td.kill()
        self.tds.clear()
        self.current = None

    def leave(self):
        """End all that uses KVM."""
        self.drop()
        for migtd in self.migtds:
            if migtd.process:
                migtd.stop()

    def reset(self):
        """Nothing is left of a test that has failed."""
        self.leave()
        self.undo()

    def end_test(self):
        """What the test has started beside the current TD has to be gone, or goes now."""
        for td in self.tds:
            if td is not self.current and td.alive():
                td.kill()
        self.tds = [td for td in self.tds if td is self.current]
        self.undo()
        if self.current:
            expect(self.current.alive(), "QEMU of the TD has ended")

    def save_logs(self, name):
        """Leave what QEMU and the guests have said where it outlives the machine."""
        folder = f"{settings.LOGS}/{name}"
        os.makedirs(folder, exist_ok=True)
        for td in self.tds:
            shutil.copy(td.stderr, folder)
            shutil.copy(td.serial, folder)
        for path in glob.glob(f"{settings.RUN}/*.migtd.err"):
            shutil.copy(path, folder)
        return [(td.name, td.errors().splitlines()[-4:]) for td in self.tds]
