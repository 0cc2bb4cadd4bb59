# SPDX-License-Identifier: Apache-2.0
"""The guest's first file system: busybox, init, and the modules that bring the real root."""

import gzip
import lzma
import os
import shlex
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
BUSYBOX = "/bin/busybox"
# For the root over 9p and the overlay on it. Whatever else is needed the guest loads from there itself.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]


def release_of(kernel):
    """The name of the one kernel that scripts/kernels.sh put into the directory."""
    (release,) = os.listdir(os.path.join(kernel, "lib", "modules"))
    return release


def _module_files(kernel, release):
    """Paths of the modules, each behind those that it needs."""
    files = []
    for module in MODULES:
        cmd = ["modprobe", "-d", kernel, "-S", release, "--show-depends", module]
        out = subprocess.run(cmd, check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod" and path.strip() not in files:
                files.append(path.strip())
    return files


def build(kernel, top, job, directory):
    """Writes directory/initramfs; the guest will run the shell text job in top. Returns its path."""
    release = release_of(kernel)
    stage, image = os.path.join(directory, "stage"), os.path.join(directory, "initramfs")
    shutil.rmtree(stage, ignore_errors=True)
    os.makedirs(os.path.join(stage, "bin"))
    os.makedirs(os.path.join(stage, "modules"))
    shutil.copy(BUSYBOX, os.path.join(stage, "bin", "busybox"))
    shutil.copy(os.path.join(HERE, "init"), os.path.join(stage, "init"))
    os.chmod(os.path.join(stage, "init"), 0o755)
    order = []
    for path in _module_files(kernel, release):
        name = os.path.basename(path)
        with open(path, "rb") as f:
            data = f.read()
        if name.endswith(".xz"):
            name, data = name[:-3], lzma.decompress(data)
        with open(os.path.join(stage, "modules", name), "wb") as f:
            f.write(data)
        order.append(name)
    with open(os.path.join(stage, "modules", "order"), "w", encoding="ascii") as f:
        f.write("".join(f"{name}\n" for name in order))
    with open(os.path.join(stage, "job"), "w", encoding="utf-8") as f:
        for name, value in (("MODULES", os.path.join(kernel, "lib", "modules")), ("TOP", top), ("JOB", job)):
            f.write(f"{name}={shlex.quote(value)}\n")
    names = sorted(os.path.relpath(os.path.join(d, n), stage) for d, dirs, files in os.walk(stage) for n in dirs + files)
    cpio = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=stage, input="\n".join(names).encode(), capture_output=True, check=True)
    with gzip.open(image, "wb", compresslevel=1) as f:
        f.write(cpio.stdout)
    shutil.rmtree(stage)
    return image
