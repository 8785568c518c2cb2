#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests of QEMU's migration, in the host.

Usage: main.py all|smoke|WORD... [trace=PATTERN]...
A WORD selects the tests that have it in their name, where _ stands for a space, or the
topic that it is; the PATTERN of names of QEMU's trace points, what its messages have
besides.
"""

import os
import shutil
import sys

import settings
import test_cancel
import test_commands
import test_transport
import test_destination
import test_numbers
import test_pace
import test_postcopy
import test_multifd
import test_refusal
import test_devices
import test_image
import test_silence
import test_soak
import test_states
import test_vcpus
from cases import CASES, run_all

TOPICS = (test_cancel, test_transport, test_commands, test_destination, test_numbers, test_pace, test_multifd,
          test_postcopy, test_refusal, test_silence, test_devices, test_vcpus, test_image, test_states, test_soak)


def selected(words):
    if words == ["all"]:
        return [test for test in CASES if not test.long]
    if words == ["smoke"]:
        return [test for test in CASES if test.smoke]
    return [test for test in CASES if test.topic in words or any(word.replace("_", " ") in test.name for word in words)]


def main():
    words = sys.argv[1:]
    settings.TRACE += [word.removeprefix("trace=") for word in words if word.startswith("trace=")]
    tests = selected([word for word in words if not word.startswith("trace=")])
    if not tests:
        sys.exit(f"no test of {', '.join(m.__name__.removeprefix('test_') for m in TOPICS)} is selected")
    shutil.rmtree(settings.LOGS, ignore_errors=True)
    os.makedirs(settings.LOGS)
    sys.exit(0 if run_all(tests) else 1)


main()
