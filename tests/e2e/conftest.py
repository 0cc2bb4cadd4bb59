# SPDX-License-Identifier: Apache-2.0
"""Puts the whole run into namespaces of its own, bounds every test, shows the agent's log on failure."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from lab import private  # noqa: E402
from lab.node import BIN, Node  # noqa: E402
from lab.wait import SLOW  # noqa: E402

TEST_SECONDS = 40


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): a bound of its own on each test, with what is set up for it")
    if private.is_inside():
        private.prepare()
        return
    if "--collect-only" in config.invocation_params.args or "--help" in config.invocation_params.args:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.stop_global_capturing()
    try:
        private.enter([sys.executable, "-m", "pytest", *config.invocation_params.args], str(config.invocation_params.dir))
    except PermissionError as e:
        pytest.exit(str(e), 4)


def pytest_sessionstart(session):
    for program in ("bpfast", "bpfastd"):
        if not os.access(os.path.join(BIN, program), os.X_OK) and not os.environ.get("BPFAST_LAB_ONLY"):
            pytest.exit(f"{os.path.join(BIN, program)} is missing: run make first", 4)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("seconds")
    seconds = (marker.args[0] if marker else TEST_SECONDS) * SLOW

    def late(*_):
        raise TimeoutError(f"the test took longer than {seconds} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


_nodes = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for node in _nodes:
            report.sections.append((f"agent of {node.name}", node.log_since()[-4000:]))


@pytest.fixture(scope="module")
def nodes():
    """Makes nodes that are gone at the end of the file."""
    made = []

    def make(**kw):
        node = Node(**kw)
        made.append(node)
        _nodes.append(node)
        return node

    yield make
    for node in made:
        _nodes.remove(node)
        node.close()
