# SPDX-License-Identifier: GPL-2.0
"""What tests expect."""

import time

import settings


class Failed(Exception):
    """Something is not as it should be."""


def expect(good, otherwise):
    if not good:
        raise Failed(otherwise)


def expect_in(text, said):
    expect(text in said, f"expected '{text}', got '{said}'")


def poll(look, otherwise, pause=0.1, limit=None):
    """What a function returns once that is something."""
    deadline = time.monotonic() + (limit or settings.LIMIT)
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(pause)
