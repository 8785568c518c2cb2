# SPDX-License-Identifier: GPL-2.0
"""The list of tests, and how they are run.  TAP."""

import re
import time
import traceback

import settings
from lab import Lab

CASES = []


class Case:
    """A test: a function of a lab, and the sentence that it proves."""

    def __init__(self, topic, name, run, smoke, long):
        self.topic, self.name, self.run, self.smoke, self.long = topic, name, run, smoke, long


def case(name, smoke=False, long=False):
    """Decorate a test with its name.  One that is long runs only if it is selected by name or topic."""
    def add(run):
        topic = run.__module__.removeprefix("test_")
        CASES.append(Case(topic, name, run, smoke, long))
        return run
    return add


def run_one(lab, number, test):
    """The result of a test.  What it leaves is gone if it has failed."""
    slug = f"{number}-{re.sub('[^a-z0-9]+', '-', test.name.lower())[:60]}"
    since = time.monotonic()
    try:
        test.run(lab)
        lab.end_test()
        good = True
    except Exception as error:  # pylint: disable=broad-except
        good = False
        trace = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(trace) if "test_" in f.filename), trace[-1])
        print(f"# {type(error).__name__}: {error}")
        print(f"# at {frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}: {frame.line}")
        for name, lines in lab.save_logs(slug):
            for line in lines:
                print(f"# {name}: {line}")
        print(f"# more in {settings.LOGS}/{slug}")
        lab.reset()
    print(f"# {time.monotonic() - since:.0f} s")
    print(f"{'ok' if good else 'not ok'} {number} {test.topic}: {test.name}", flush=True)
    return good


def run_all(tests):
    """Run tests; true if all have passed."""
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    lab = Lab()
    results = [run_one(lab, number, test) for number, test in enumerate(tests, 1)]
    lab.reset()
    return all(results)
