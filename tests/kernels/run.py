# SPDX-License-Identifier: Apache-2.0
"""Runs the tests that touch the kernel on the kernels that Debian has, in emulated machines.

    run.py                          everything that is run there, on every kernel
    run.py --core                   what CI runs: loading everywhere, end to end on the oldest
    run.py --kernel 6.1 COMMAND     one command there, from the top of the sources
    run.py --kernel 6.1 --save FILE COMMAND
                                    and FILE is then here as the command left it there
"""

import argparse
import fcntl
import glob
import os
import re
import selectors
import shlex
import shutil
import signal
import sys
import tempfile
import time

from guest import Guest, Job

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(TOP, "build")
KERNELS = ["6.1", "6.12"]
# What cannot run there: Linux 6.1 has no TCX.
MAY_SKIP = {
    "6.1": ["guards_tcx", "adoption_tcx", "tcx_order_among_others", "down_restores_tcx", "adoption_without_a_gap_tcx", "another_layout_tcx", "killed_tcx"],
    "6.12": [],
}
PYTEST = "BPFAST_LAB_SLOW=4 /usr/bin/python3 -m pytest -q --color=no -p no:cacheprovider"
# Loading, which is once for each file, takes the longest here.
SKELETON = "tests/e2e/test_skeleton.py -k '{hook}-ipv4 or ({hook} and hook_kind)'"
REPLAY = "tests/e2e/test_replay.py -k 'golden and (pipelined or super)'"
HTTP = "tests/e2e/test_http.py -k 'keep_alive or pipelined or denial or audit or chunks or one_byte or (test_table and 4-echo)'"
EVASION = "tests/e2e/test_http_evasion.py"
# Bytes that change behind the hook: what tells of them is found in other ways on kernels before 6.2.
STREAMS = ("tests/e2e/test_stream_shared.py tests/e2e/test_stream_attacks.py tests/e2e/test_stream_replaced.py "
           "-k 'shared or checksum_written or (replaced and checksum)'")
# Beside other XDP programs: the kernel that builds may refuse it.
SHARED = "tests/e2e/test_shield_shared.py"
LIFE = "tests/e2e/test_lifecycle.py tests/e2e/test_spoofing.py tests/e2e/test_adoption.py"


def bpf(name, seconds):
    return Job(name, f"build/tests/bpf/{name}", seconds)


def e2e(name, args, seconds):
    return Job(f"e2e {name}", f"{PYTEST} {args}", seconds)


def core(kernel):
    jobs = [bpf("test_budget", 120), bpf("test_pod", 240)]
    if kernel == KERNELS[0]:
        jobs += [e2e("skeleton", SKELETON.format(hook="clsact"), 300), e2e("http", HTTP, 300), e2e("evasion", EVASION, 300), e2e("streams", STREAMS, 400)]
    else:
        jobs.append(e2e("shared XDP", SHARED, 600))
    return jobs


def everything(kernel):
    jobs = [bpf("test_budget", 120), bpf("test_pod", 240)]
    jobs += [bpf(n, 400) for n in ("test_datapath", "test_datapath_arena", "test_datapath_carry", "test_datapath_crash", "test_datapath_hooks")]
    # Every split in two, a quarter of a million; of the others here and there one.
    jobs += [bpf("test_quota", 120), bpf("test_concurrency", 300), Job("test_invariance", "BPFAST_INVARIANCE_PACKAGINGS=4 build/tests/bpf/test_invariance", 600)]
    jobs += [e2e("skeleton", SKELETON.format(hook="clsact"), 300)]
    if kernel != KERNELS[0]:
        jobs.append(e2e("skeleton with TCX", SKELETON.format(hook="tcx"), 300))
    return jobs + [e2e("http", HTTP, 300), e2e("evasion", EVASION, 300), e2e("streams", STREAMS, 400), e2e("replay", REPLAY, 300), e2e("shared XDP", SHARED, 600), e2e("life", LIFE, 900)]


class Directory:
    """One of this run alone. A run that was killed left its own; the lock on it tells that nobody is there."""

    def __enter__(self):
        self.lock = open(os.path.join(BUILD, "kernels", "lock"), "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        for old in glob.glob(os.path.join(BUILD, "kernels", "run.*")):
            fd = os.open(old, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old)
            except BlockingIOError:
                pass
            os.close(fd)
        self.path = tempfile.mkdtemp(prefix="run.", dir=os.path.join(BUILD, "kernels"))
        self.fd = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.lock.close()
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)
        os.close(self.fd)


def tell(guest, job):
    skipped = f", {len(job.skipped())} skipped for want of TCX" if job.passed and job.skipped() else ""
    print(f"{guest.name:5} {job.name:24} {'passed' if job.passed else 'FAILED: ' + job.why} ({job.took:.0f} s){skipped}", flush=True)
    if not job.passed:
        told = [line for line in job.lines if not re.match(r"\[( RUN  |=====|       OK)", line)]
        print("".join(f"    {line}\n" for line in told[-80:]), end="", flush=True)
        return
    for line in job.lines:
        if " instructions of " in line or re.match(r"\d+ passed", line):
            print(f"      {line}", flush=True)


def run(guests, told=tell):
    """All at once. Returns how many jobs passed and how many failed."""
    for guest in guests:
        guest.start()
    while running := [g for g in guests if not g.done]:
        with selectors.DefaultSelector() as waiting:
            for guest in running:
                waiting.register(guest.qemu.stdout, selectors.EVENT_READ)
            waiting.select(1)
        for guest in running:
            for job in guest.step():
                told(guest, job)
    passed = failed = 0
    for guest in guests:
        for job in guest.jobs:
            passed, failed = passed + bool(job.passed), failed + (not job.passed)
            if not job.passed and not job.took:
                told(guest, job)
        for line in guest.splats():
            print(f"{guest.name:5} the kernel says: {line}")
            failed += 1
        guest.keep_logs(os.path.join(BUILD, "kernels", "log"))
    return passed, failed


def missing():
    """What is not there, as a sentence; or None."""
    for program in ("qemu-system-x86_64", "cpio", "modprobe", "busybox"):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"{program} is missing. Install what is needed with: sudo make deps"
    for kernel in KERNELS:
        if not os.path.exists(os.path.join(BUILD, "kernels", kernel, "vmlinuz")):
            return f"kernel {kernel} is missing. Get it with: sh scripts/kernels.sh"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", action="store_true", help="what CI runs")
    parser.add_argument("--kernel", choices=KERNELS, action="append", help="only this kernel")
    parser.add_argument("--seconds", type=int, default=600, help="bound of COMMAND")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="run this and nothing else")
    parser.add_argument("--save", metavar="FILE", help="bring this file back, a text (one --kernel)")
    args = parser.parse_args()
    if args.save and (not args.command or len(args.kernel or []) != 1):
        parser.error("--save needs one --kernel and a COMMAND")
    if why := missing():
        print(f"kernels: {why}", file=sys.stderr)
        return 1
    jobs_of = core if args.core else everything
    if args.command:
        jobs_of = lambda _: [Job("command", args.command, args.seconds)]  # noqa: E731
    if args.save:
        save = Job("save", f"cat {shlex.quote(args.save)}", 20)
        jobs_of = lambda _: [Job("command", args.command, args.seconds), save]  # noqa: E731
    began = time.monotonic()

    def everything_said(guest, job):
        tell(guest, job)
        if job.passed:
            print("\n".join(job.lines))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Directory() as work:
        guests = [Guest(k, os.path.join(BUILD, "kernels", k), TOP, jobs_of(k), work, MAY_SKIP[k]) for k in args.kernel or KERNELS]
        for guest in guests:
            print(f"{guest.name:5} is Linux {guest.release}", flush=True)
        passed, failed = run(guests, everything_said if args.command and not args.save else tell)
    if args.save and not failed:
        with open(args.save, "w", encoding="utf-8") as f:
            f.write("".join(f"{line}\n" for line in save.lines[:-1]))  # the last is ours
    print(f"{passed} passed, {failed} failed in {time.monotonic() - began:.0f} s; what the machines said is in build/kernels/log")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
