# SPDX-License-Identifier: Apache-2.0
"""One kernel in an emulated machine, which runs jobs one after the other and tells how each ended."""

import os
import re
import subprocess
import time

import initramfs

BOOT_SECONDS = 120
# With several threads the emulator now and then runs into code that the kernel is just patching, and the kernel
# panics before it has begun (int3 in sched_clock_cpu()). Nothing of ours ran: it may try again.
BOOTS = 3
MEMORY = "2G"
# What the kernel must not have said. A slow host alone makes soft lockups; the watchdog is off.
SPLAT = re.compile(r"\b(BUG:|WARNING:|Oops|kernel BUG|general protection fault|Kernel panic|possible deadlock)")
BEGIN, END = "guest: job ", "guest: ended "


class Job:
    def __init__(self, name, command, seconds):
        self.name, self.command, self.seconds = name, command, seconds
        self.passed, self.why, self.took, self.lines = None, "", 0.0, []

    def skipped(self):
        """Names of tests that say of themselves that they cannot run here."""
        return sorted({m[1] for line in self.lines if (m := re.match(r"\[  SKIPPED \] (\w+)$", line))})

    def shell(self):
        return f"echo; echo '{BEGIN}{self.name}'; ( {self.command} ); code=$?; echo; echo \"{END}$code\""


class Guest:
    """start(); then step() whenever its output can be read, and every second or so, until done."""

    def __init__(self, name, kernel, top, jobs, directory, may_skip=()):
        self.name, self.kernel, self.top, self.jobs = name, kernel, top, jobs
        self.release = initramfs.release_of(kernel)
        self.dir = os.path.join(directory, name)
        os.mkdir(self.dir)
        self.console, self.output = os.path.join(self.dir, "console"), os.path.join(self.dir, "output")
        self.may_skip = may_skip
        self.left, self.job, self.done, self.why = list(jobs), None, False, ""
        self.qemu, self.buffer, self.deadline, self.began = None, b"", 0.0, 0.0
        self.boots, self.image = 0, None

    def start(self):
        job = "; ".join(j.shell() for j in self.jobs)
        self.image = initramfs.build(self.kernel, self.top, job, self.dir)
        return self.boot()

    def boot(self):
        self.boots += 1
        # It may not outlive us, not even when we are killed.
        cmd = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", MEMORY]
        cmd += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        cmd += ["-kernel", os.path.join(self.kernel, "vmlinuz"), "-initrd", self.image]
        cmd += ["-append", "console=ttyS0 loglevel=5 panic=-1 oops=panic nowatchdog mitigations=off"]
        cmd += ["-serial", f"file:{self.console}", "-serial", "stdio"]
        cmd += ["-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"]
        self.log = open(self.output, "wb")
        self.qemu = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.qemu.stdout.fileno(), False)
        self.deadline = time.monotonic() + BOOT_SECONDS
        return self

    def step(self):
        """Reads what there is. Returns the jobs that ended with it."""
        ended, data = [], None
        try:
            data = os.read(self.qemu.stdout.fileno(), 65536)
        except BlockingIOError:
            pass
        if data:
            self.log.write(data)
            self.log.flush()
            self.buffer += data.replace(b"\r", b"")
            *lines, self.buffer = self.buffer.split(b"\n")
            for line in lines:
                ended += self._line(line.decode(errors="replace"))
        elif data == b"":
            self._end()
        if not self.done and time.monotonic() > self.deadline:
            self.why = f"took longer than {self.job.seconds} s" if self.job else f"did not boot within {BOOT_SECONDS} s"
            self.qemu.kill()
            self._end()
        return ended

    def _line(self, line):
        now = time.monotonic()
        if line.startswith(BEGIN):
            self.job, self.began = self.left.pop(0), now
            self.deadline = now + self.job.seconds
        elif line.startswith(END):
            job, self.job = self.job, None
            job.took, job.passed = now - self.began, line == END + "0"
            job.why = "" if job.passed else f"exit {line[len(END):]}"
            if job.passed and not set(job.skipped()) <= set(self.may_skip):
                job.passed, job.why = False, f"skipped {', '.join(job.skipped())}"
            self.deadline = now + 30
            return [job]
        elif self.job:
            self.job.lines.append(line)
        elif line.startswith("guest: cannot") or line.startswith("guest: no"):
            self.why = line
        return []

    def _end(self):
        """The machine is gone: whatever was not told did not pass."""
        self.qemu.wait()
        self.qemu.stdout.close()
        self.log.close()
        if not self.job and len(self.left) == len(self.jobs) and not self.why and self.boots < BOOTS:
            print(f"{self.name:5} did not come up; once more", flush=True)
            self.boot()
            return
        for job in ([self.job] if self.job else []) + self.left:
            job.passed, job.why = False, self.why or "the machine stopped before it ended"
        self.job, self.left, self.done = None, [], True

    def splats(self):
        """Lines in which the kernel complained of itself."""
        with open(self.console, encoding="utf-8", errors="replace") as f:
            return [line.strip() for line in f if SPLAT.search(line)]

    def keep_logs(self, directory):
        """Moves what it said to directory/NAME.{console,output}."""
        os.makedirs(directory, exist_ok=True)
        for path in (self.console, self.output):
            if os.path.exists(path):
                os.replace(path, os.path.join(directory, f"{self.name}.{os.path.basename(path)}"))
