# SPDX-License-Identifier: GPL-2.0
"""Where things are, and how long they may take."""

import os
import random

SHARE = "/share"
QEMU = f"{SHARE}/qemu-system-x86_64"
MIGTD = f"{SHARE}/tdx_migtd"
GUEST = f"{SHARE}/guest.cpio"
LOGS = f"{SHARE}/logs"
RUN = "/run"

SLOW = int(os.environ.get("SLOW", "1"))
# No wait is longer.  It says nothing about how long anything should take.
LIMIT = 300 * SLOW
# What the clock of a guest may differ from ours, in seconds: reading both takes a while.
CLOCK_SLACK = 15 * SLOW

# What QEMU's messages have besides: how sessions begin and end.
TRACE = ["tdx_migration_*", "tdx_migtd_*"]

# How long the tests of the topic "soak" are, and what they draw their lots from.
MOVES = int(os.environ.get("MOVES") or "100")
ACCIDENTS = int(os.environ.get("ACCIDENTS") or "50")
SEED = int(os.environ.get("SEED") or random.randrange(1 << 30))
