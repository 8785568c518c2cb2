# SPDX-License-Identifier: GPL-2.0
"""What fails, and waiting for what has to be."""

import time


class Failed(Exception):
    """Something is not as it has to be."""


def poll(look, failure, limit, interval=0.2):
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + limit
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(failure)
        time.sleep(interval)
