# SPDX-License-Identifier: Apache-2.0
"""Waiting that is bounded and polls."""

import os
import time

# Every bound in time is this many times longer: on an emulated machine all takes longer.
SLOW = int(os.environ.get("BPFAST_LAB_SLOW", "1"))


class Late(AssertionError):
    pass


def until(fn, timeout=5.0, what="", every=0.01):
    """Calls fn until it returns something true, and returns that."""
    end = time.monotonic() + timeout * SLOW
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise Late(f"not within {timeout * SLOW} s: {what or getattr(fn, '__name__', 'condition')} (last: {got!r})")
        time.sleep(every)


def stays(fn, seconds=0.3, what="", every=0.02):
    """fn must be true all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert fn(), what or "did not stay true"
        time.sleep(every)
