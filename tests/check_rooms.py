#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to its rooms: who may include whom, which rooms are pure, and a few house rules that a machine can see.

`make check` runs it. It first tries its own rules on texts that break them, so that a rule that has gone blind is found.
docs/design/overview.md says why the arrows point where they point.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# room -> rooms it may include, itself aside. include/bpfast is open to all.
USER = {
    "base": set(),
    "match": {"base"},
    "policy": {"base", "match"},
    "ids": {"base", "match"},
    "shield": {"base"},
    "datapath": {"base"},
    "observe": {"base"},
    "replay": {"base", "policy", "datapath", "observe"},
    "discover": {"base"},
    "agent": {"base", "policy", "ids", "shield", "datapath", "observe"},
    "client": {"base"},
    "cli": {"base", "policy", "ids", "observe", "replay", "client", "discover"},
    "cni": {"base", "client"},
    "static": {"base"},
}
KERNEL = {
    "match": set(),
    "proto": {"match"},
    "stage": {"match", "proto"},
    "stream": {"match", "proto", "stage"},
    "shield": set(),
    "": {"match", "proto", "stage", "stream", "shield"},
}

# Single headers beside the arrows, each with its reason.
ALSO = {
    ("observe", "policy/compile.h"): "what an identity and an attribution are",
    ("observe", "datapath/datapath.h"): "struct bf_datapath_status, to print it",
    ("cli", "datapath/datapath.h"): "`bpfast down` works without an agent",
    ("static", "discover/ask.h"): "stands in for what is behind it",
    ("discover", "agent/netlink.h"): "rtnetlink is spoken in one place",
    ("cli", "datapath/shield/shield.h"): "the name of a program that is in the way, which the agent may not read",
    ("cli", "datapath/shield/share.h"): "libxdp wants CAP_SYS_ADMIN, which the agent has given up",
    ("cli", "agent/policies.h"): "`policy check` and `apply` read files as the agent does",
    ("cli", "agent/endpoints.h"): "commands without an agent are told who the endpoints are",
    ("cli", "agent/explain.h"): "`policy explain` over files, without an agent",
}

# Kernel side headers that are compiled for user space too: the pure room's name for bpf/'s match and proto.
SHARED = {"policy": ("match/lookup.h", "match/arena.h", "match/dfa.h", "match/sets.h", "proto/"), "shield": ("shield/dns_match.h", "shield/fingerprint_match.h")}

PURE = {"base", "match", "policy", "ids", "shield"}
LIBRARIES = {
    r"bpf/.*|.*\.skel\.h": {"datapath"},
    r"yaml\.h": {"policy", "agent"},
    r"jansson\.h": {"policy", "observe", "discover", "agent", "client", "cli", "cni"},
    r"xdp/.*": {"datapath"},
    r"microhttpd\.h": {"agent"},
    r"pcap/.*|pcap\.h": {"replay"},
    r"curl/.*": {"discover", "agent"},
    r"libmnl/.*": {"agent", "datapath", "cni", "static"},
    r"cap-ng\.h": {"agent", "cli", "datapath"},
    r"(sys/(socket|un|epoll|eventfd|timerfd|signalfd|inotify|mount|ioctl)|netdb|poll|linux/(netlink|rtnetlink|bpf)|pthread|time|sys/time)\.h":
        set(USER) - PURE,
}
IMPURE_CALLS = "fopen|open|creat|printf|exit|abort|socket|connect|bind|listen|recv|send|time|gettimeofday|clock_gettime|rand|random|getenv|fork|system|popen"
BANNED_CALLS = "gets|strcat|sprintf|vsprintf|strtok|alloca|system|popen|mktemp|tmpnam|atol"
LINES_MAX = 800

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def licence(path):
    both = path.startswith(("bpf/", "include/"))
    return "GPL-2.0-only OR BSD-2-Clause" if both else "Apache-2.0"


def user_include(room, quote, name):
    """What is wrong with an include in src/ROOM, or None."""
    for pattern, rooms in LIBRARIES.items():
        if re.fullmatch(pattern, name):
            return None if room in rooms else f"only {', '.join(sorted(rooms))} may include <{name}>"
    if quote == "<" or name.startswith("bpfast/"):
        return None
    name = re.sub(r"^(\.\./)+bpf/", "", name)
    if any(name == s or (s.endswith("/") and name.startswith(s)) for s in SHARED.get(room, ())):
        return None
    other = name.split("/")[0] if "/" in name else room
    if other == room or other in USER[room] or (room, name) in ALSO:
        return None
    return f'{room} may not include "{name}"; it may include {", ".join(sorted(USER[room])) or "nothing"}'


def kernel_include(folder, quote, name):
    if quote == "<":
        ok = re.fullmatch(r"bpf/bpf_(helpers|endian|core_read|tracing)\.h|linux/.*|stddef\.h|endian\.h|stdint\.h|string\.h", name)
        return None if ok else f"<{name}> is not for the kernel side"
    if name.startswith("bpfast/"):
        return None
    if name == "maps.h":
        return None if folder in ("stage", "stream", "") else f"{folder}/ is compiled for user space too and may not know the maps"
    other = name.split("/")[0] if "/" in name else folder
    if other == folder or other in KERNEL.get(folder, set()):
        return None
    return f'bpf/{folder or "*.bpf.c"} may not include "{name}"'


def check_file(path, text):
    """-> list of (line, what)"""
    flaws = []
    at = lambda pos: text.count("\n", 0, pos) + 1
    first = text.split("\n", 2)[:2]
    if not any(f"SPDX-License-Identifier: {licence(path)}" in line for line in first):
        flaws.append((1, f"the first line shall say SPDX-License-Identifier: {licence(path)}"))
    if text.count("\n") > LINES_MAX:
        flaws.append((LINES_MAX, f"longer than {LINES_MAX} lines"))
    if not path.endswith((".c", ".h")):
        return flaws
    parts = path.split("/")
    code = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    for m in INCLUDE.finditer(text):
        what = None
        if parts[0] == "src":
            what = user_include(parts[1], m.group(1), m.group(2)) if parts[1] in USER else f"src/{parts[1]} is no room"
        elif parts[0] == "bpf":
            what = kernel_include(parts[1] if len(parts) > 2 else "", m.group(1), m.group(2))
        elif parts[0] == "include" and m.group(1) == '"' and "/" in m.group(2):
            what = "the contract includes nothing but itself and <linux/...>"
        if what:
            flaws.append((at(m.start()), what))
    calls = BANNED_CALLS if parts[0] in ("src", "bpf", "include") else "gets|strcat|tmpnam"
    for m in re.finditer(rf"(?<![\w.>])({calls})\s*\(", code):
        flaws.append((at(m.start()), f"{m.group(1)}() is banned"))
    if parts[0] == "src" and parts[1] in PURE:
        for m in re.finditer(rf"(?<![\w.>])({IMPURE_CALLS})\s*\(", code):
            flaws.append((at(m.start()), f"{m.group(1)}() in a pure room"))
    if parts[0] == "bpf":
        for m in re.finditer(r"^\}\s*(\w+)\s+SEC\(\"\.maps\"\)", text, re.M):
            if not re.fullmatch(r"bpfast_\w{1,8}", m.group(1)):
                flaws.append((at(m.start()), f"map {m.group(1)}: bpfast_WHAT, at most 15 characters"))
        for m in re.finditer(r'SEC\("(?:tc|tcx|xdp)[^"]*"\)\s*int\s+(\w+)', text):
            if not m.group(1).startswith("bpfast_"):
                flaws.append((at(m.start()), f"program {m.group(1)}: bpfast_HOOK"))
    return flaws


S, B = "/* SPDX-License-Identifier: Apache-2.0 */\n", "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n"
BAD = [
    ("src/policy/x.c", "// nothing\n"),
    ("src/policy/x.c", S + '#include "datapath/datapath.h"\n'),
    ("src/policy/x.c", S + '#include "agent/agent.h"\n'),
    ("src/match/x.c", S + '#include "policy/model.h"\n'),
    ("src/match/x.c", S + '#include "proto/http1.h"\n'),
    ("src/policy/x.c", S + "#include <bpf/libbpf.h>\n"),
    ("src/policy/x.c", S + "#include <sys/socket.h>\n"),
    ("src/policy/x.c", S + "long t(void) { return time(0); }\n"),
    ("src/agent/x.c", S + "#include <bpf/bpf.h>\n"),
    ("src/agent/x.c", S + '#include "pod.skel.h"\n'),
    ("src/agent/x.c", S + '#include "match/nfa.h"\n'),
    ("src/agent/x.c", S + "void f(char *a) { sprintf(a, a); }\n"),
    ("src/datapath/x.c", S + '#include "policy/model.h"\n'),
    ("src/datapath/x.c", S + "#include <jansson.h>\n"),
    ("src/cli/x.c", S + '#include "agent/agent.h"\n'),
    ("src/cni/x.c", S + '#include "datapath/datapath.h"\n'),
    ("src/cni/x.c", S + '#include "cli/cli.h"\n'),
    ("src/client/x.c", S + '#include "agent/server.h"\n'),
    ("src/cli/x.c", S + "#include <pcap/pcap.h>\n"),
    ("src/cli/x.c", S + "#include <xdp/libxdp.h>\n"),
    ("src/replay/x.c", S + "#include <bpf/bpf.h>\n"),
    ("src/agent/x.c", S + '#include "replay/replay.h"\n'),
    ("src/shield/x.c", S + '#include "datapath/datapath.h"\n'),
    ("src/shield/x.c", S + "#include <bpf/bpf.h>\n"),
    ("src/shield/x.c", S + "long t(void) { return time(0); }\n"),
    ("src/attic/x.c", S + '#include "base/error.h"\n'),
    ("bpf/x.bpf.c", S),
    ("bpf/match/x.h", B + '#include "proto/http1.h"\n'),
    ("bpf/match/x.h", B + '#include "maps.h"\n'),
    ("bpf/proto/x.h", B + '#include "stream/tcp.h"\n'),
    ("bpf/stage/x.h", B + '#include "stream/tcp.h"\n'),
    ("bpf/stage/x.h", B + "#include <stdio.h>\n"),
    ("bpf/maps.h", B + 'struct {\n} flows SEC(".maps");\n'),
    ("bpf/maps.h", B + 'struct {\n} bpfast_far_too_long SEC(".maps");\n'),
    ("bpf/x.bpf.c", B + 'SEC("tc")\nint from_pod(void *c)\n'),
    ("include/bpfast/x.h", B + '#include "stage/types.h"\n'),
    ("src/policy/x.c", S + "\n" * (LINES_MAX + 1)),
]
GOOD = [
    ("src/policy/x.c", S + '#include "match/ruleset.h"\n#include "match/lookup.h"\n#include "proto/http1.h"\n/* time() is told */\n'),
    ("src/datapath/x.c", S + "#include <bpf/libbpf.h>\n#include \"datapath/internal.h\"\n"),
    ("src/cli/x.c", S + '#include "policy/read.h"\n#include "datapath/datapath.h"\n'),
    ("bpf/stream/x.h", B + '#include "stage/flow.h"\n#include "maps.h"\n'),
    ("bpf/maps.h", B + 'struct {\n} bpfast_flow SEC(".maps");\n'),
]


def try_the_rules():
    for path, text in BAD:
        if not check_file(path, text):
            sys.exit(f"tests/check_rooms.py is blind: it takes {path} with\n{text[:300]}")
    for path, text in GOOD:
        if check_file(path, text):
            sys.exit(f"tests/check_rooms.py is wrong: it refuses {path}: {check_file(path, text)}")
    return len(BAD) + len(GOOD)


def main():
    tried = try_the_rules()
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = listed.stdout.split("\n") if listed.returncode == 0 else [
        os.path.relpath(os.path.join(base, f), ROOT) for base, _, names in os.walk(ROOT) for f in names if "/build" not in base and "/.git" not in base]
    kinds = (".c", ".h", ".cc", ".py", ".sh", "Makefile")
    files = sorted(f for f in files if f.endswith(kinds) and os.path.isfile(os.path.join(ROOT, f)))
    wrong = 0
    for path in files:
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            for line, what in check_file(path, f.read()):
                print(f"{path}:{line}: {what}", file=sys.stderr)
                wrong += 1
    print(f"check_rooms: {len(files)} files, {tried} rules tried, {wrong} flaws")
    sys.exit(1 if wrong or len(files) < 50 else 0)


if __name__ == "__main__":
    main()
