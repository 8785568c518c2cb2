# SPDX-License-Identifier: GPL-2.0
"""A migration from one TD to another."""

import socket

import settings
from check import Failed, expect, poll

ENDED = ("completed", "failed", "cancelled")
PAGE_SIZE = 4096
# A migration that does not end before it is told to: the guest is never good enough.
ENDLESS = {"downtime-limit": 1}
# One that stops the guest as soon as it can, and leaves most of the memory for then.
AT_ONCE = {"downtime-limit": 2000000}
SLOWLY = {"max-bandwidth": 1 << 20}
DEFAULTS = {
    "downtime-limit": 300, "max-bandwidth": 128 << 20, "multifd-channels": 2, "max-postcopy-bandwidth": 0,
    "cpu-throttle-initial": 20, "cpu-throttle-increment": 10,
}
CAPABILITIES = ("multifd", "postcopy-ram", "postcopy-preempt", "pause-before-switchover", "auto-converge")


class Migration:
    """Source and destination may have any state; nothing is checked that nobody asks for."""

    count = 0

    def __init__(self, source, destination, transport="unix", relay=None, capabilities=(),
                 **parameters):
        Migration.count += 1
        self.source = source
        self.destination = destination
        self.listen(f"unix:{relay.path}" if relay else transport)
        self.set_up(source, capabilities, parameters)
        if destination:
            self.set_up(destination, capabilities, parameters)
            destination.ask("migrate-incoming",
                            uri=f"unix:{relay.destination}" if relay else self.uri)

    @staticmethod
    def set_up(td, capabilities, parameters):
        td.ask("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": name in capabilities} for name in CAPABILITIES])
        td.ask("migrate-set-parameters", **{**DEFAULTS, **parameters})

    def listen(self, transport):
        if transport == "unix":
            self.uri = f"unix:{settings.RUN}/migration.{Migration.count}"
        elif transport == "tcp":
            self.uri = f"tcp:127.0.0.1:{20000 + Migration.count}"
        elif transport == "fd":
            self.uri = "fd:migration"
            for td, end in zip((self.source, self.destination), socket.socketpair()):
                td.ask("getfd", fds=(end.fileno(),), fdname="migration")
                end.close()
        else:
            self.uri = transport

    def start(self):
        self.source.ask("migrate", uri=self.uri)
        return self

    def query(self):
        return self.source.ask("query-migrate")

    def status(self):
        return self.query().get("status")

    def set(self, **parameters):
        self.source.ask("migrate-set-parameters", **parameters)

    def wait(self, status):
        """Wait for a status that lasts."""
        def look():
            info = self.query()
            now = info.get("status")
            if now == status:
                return info
            if now in ENDED:
                raise Failed(f"the migration has {now} instead of reaching {status}: "
                             f"{info.get('error-desc', 'no reason')}")
            return None
        return poll(look, f"the migration does not reach {status}")

    def wait_pass(self, number):
        """Wait until some memory has been sent in a pass."""
        def look():
            info = self.query()
            expect(info.get("status") not in ENDED,
                   f"the migration has {info.get('status')}: {info.get('error-desc')}")
            ram = info.get("ram")
            good = ram and ram["normal"] and ram["dirty-sync-count"] >= number
            return info if good else None
        return poll(look, f"the migration makes no pass {number}")

    def wait_stuck(self):
        """Wait until nothing is sent for a while, to a destination that takes nothing."""
        last = [-1, 0]

        def look():
            transferred = self.query()["ram"]["transferred"]
            last[:] = transferred, last[1] + 1 if transferred == last[0] else 0
            return last[1] >= 10
        poll(look, "the migration goes on without a destination", 0.2)

    def wait_end(self):
        """What query-migrate says in the end, whatever that is."""
        def look():
            info = self.query()
            return info if info.get("status") in ENDED else None
        return poll(look, "the migration does not end")

    def cancel(self):
        self.source.ask("migrate_cancel")
        info = self.wait_end()
        expect(info["status"] == "cancelled",
               f"a migration that is cancelled has {info['status']}: {info.get('error-desc')}")
        return info

    def proceed(self):
        """Go on after pause-before-switchover.  QEMU may answer when all has been sent."""
        self.source.qmp.events.clear()
        self.source.qmp.tell("migrate-continue", state="pre-switchover")

    # What has to be then

    def check_arrived(self):
        """The guest has moved, and is whole."""
        info = self.wait("completed")
        # The migration has completed a moment earlier.
        poll(lambda: self.source.status() == "postmigrate", "the source does not give up the TD")
        self.destination.take_over(self.source)
        self.destination.check_runs(beats=10)
        return info

    def check_stayed(self, exits=True):
        """The guest runs where it was, and QEMU of the destination has given up."""
        self.source.check_runs()
        if exits and self.destination:
            status = self.destination.wait_exit()
            expect(status != 0, "QEMU of the destination ends as if all was well")

    def wait_reason(self, reasons):
        """What the destination says may come a moment after the migration has failed."""
        def look():
            said = self.query().get("error-desc", "")
            return not reasons or any(reason in said for reason in reasons)
        try:
            poll(look, "", limit=10 * settings.SLOW)
        except Failed:
            raise Failed(f"expected '{' or '.join(reasons)}', got '{self.query().get('error-desc')}'") from None

    def check_failed(self, *reasons):
        """It fails for a reason, and the guest stays."""
        info = self.wait_end()
        expect(info["status"] == "failed", f"the migration has {info['status']}")
        self.wait_reason(reasons)
        self.check_stayed()
        return self.query()
