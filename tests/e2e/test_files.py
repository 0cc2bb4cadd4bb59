# SPDX-License-Identifier: Apache-2.0
"""The files of the agent: flow records and the log, rotated, moved away by others, on a full disk."""

import glob
import json
import os
import signal
import stat
import subprocess
import tempfile

import pytest
from lab import servers
from lab.http import ask, get
from lab.node import BIN, ROOT, Node
from lab.policy import http, payload
from lab.wait import until

MIB = 1 << 20


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.web, node.cart = node.pod("web"), node.pod("cart")
    node.web.serve(servers.Echo(node.web.ns, 80))
    node.records = os.path.join(node.log_dir, "flows.json")
    begin(node, "--records-file", "flows.json")
    node.web.guard()
    node.cart.guard()
    node.apply(payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, 80, {"method": "GET", "path": "/ok/.*"})]))
    return node


def begin(node, *args):
    if node.agent:
        node.stop_agent()
    for name in glob.glob(f"{node.log_dir}/*"):
        os.unlink(name)
    node.start_agent("--records-per-second", "1000000", *args, ready=False)
    until(lambda: node.bpfast("status").code == 0, 15, "the agent answers")


def lines(*paths):
    """Every line of the files is a whole record."""
    out = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert text == "" or text.endswith("\n"), path
        out += [json.loads(line) for line in text.splitlines()]
    return out


def urls(*paths):
    return [r["flow"]["l7"]["http"]["url"] for r in lines(*paths) if r["flow"].get("l7")]


def seen(path, url):
    return os.path.exists(path) and any(url in u for u in urls(path))


def untimed(records):
    """The kernel's clock is turned into that of people anew each time, which differs in nanoseconds."""
    return [dict(r, time=None, flow=dict(r["flow"], time=None)) for r in records]


def asked(node, path):
    return ask(node.cart.ns, node.web.ip4, 80, get(path))


def many(node, n):
    """n requests, each of which is a record, and its answer another."""
    r = node.cart.run("wrk", "-t1", "-c8", "-d1", f"http://{node.web.ip4}/ok/many")
    for _ in range(20):
        if node.metrics()["bpfast_records_read_total"] >= n:
            return
        r = node.cart.run("wrk", "-t1", "-c8", "-d1", f"http://{node.web.ip4}/ok/many")
    raise AssertionError(r.stdout)


def test_records_are_those_of_observe(room):
    assert asked(room, "/ok/one?token=secret") == 200
    assert asked(room, "/no/two") == 403
    until(lambda: seen(room.records, "/no/two"), 3, "records in the file")
    shown = room.observe()
    assert untimed(lines(room.records)[-len(shown) :]) == untimed(shown)
    assert "secret" not in open(room.records, encoding="utf-8").read(), "query strings are redacted"
    assert stat.S_IMODE(os.stat(room.records).st_mode) == 0o640
    s = room.cli("-o", "json", "status").json
    assert s["records_file"] == {"path": room.records, "written": len(lines(room.records)), "lost": 0, "error": ""}
    assert s["log_file"] is None


def test_nothing_is_written_unless_asked(room):
    begin(room)
    assert asked(room, "/ok/unseen") == 200
    until(lambda: room.observe(), 3, "a record")
    assert os.listdir(room.log_dir) == []


def test_a_new_agent_goes_on_in_the_same_file(room):
    begin(room, "--records-file", "flows.json")
    assert asked(room, "/ok/before") == 200
    room.stop_agent()
    assert any("/ok/before" in u for u in urls(room.records)), "an agent that ends leaves nothing unwritten"
    room.start_agent("--records-file", "flows.json")
    assert asked(room, "/ok/after") == 200
    until(lambda: seen(room.records, "/ok/after"), 3, "the new one writes")
    assert any("/ok/before" in u for u in urls(room.records))


def test_rotation_under_load(room):
    begin(room, "--records-file", "flows.json", "--records-file-mib", "1", "--records-file-backups", "2")
    many(room, 8000)
    until(lambda: room.metrics()["bpfast_records_file_written_total"] == room.metrics()["bpfast_records_read_total"], 3, "all are written")
    files = sorted(os.listdir(room.log_dir))
    assert files == ["flows.json", "flows.json.1", "flows.json.2"]
    sizes = [os.path.getsize(f"{room.log_dir}/{f}") for f in files]
    assert max(sizes) <= MIB and min(sizes[1:]) > MIB // 2
    kept = lines(*(f"{room.log_dir}/{f}" for f in reversed(files)))
    assert untimed(kept) == untimed(room.observe(last=len(kept))), "none is missing, none stands twice, in order"
    assert room.metrics()["bpfast_records_file_lost_total"] == 0


def test_without_backups_the_file_begins_anew(room):
    begin(room, "--records-file", "flows.json", "--records-file-mib", "1", "--records-file-backups", "0")
    many(room, 4000)
    assert os.listdir(room.log_dir) == ["flows.json"]
    assert 0 < os.path.getsize(room.records) <= MIB


def test_full_disk_is_seen_and_stops_nobody(room):
    room.stop_agent()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=750", "small", room.log_dir], check=True)
    try:
        begin(room, "--records-file", "flows.json")
        mark = len(room.log_since())
        many(room, 2000)
        assert asked(room, "/ok/full") == 200 and asked(room, "/no/full") == 403
        lost = until(lambda: room.metrics()["bpfast_records_file_lost_total"], 3, "lost records are counted")
        # Once nothing is on its way any more.
        until(lambda: room.metrics()["bpfast_records_file_written_total"] == len(lines(room.records)) > 0, 3, "whole lines, and all of them are counted")
        m = room.metrics()
        assert m["bpfast_records_read_total"] == m["bpfast_records_file_written_total"] + m["bpfast_records_file_lost_total"]
        for _ in range(3):  # and no line that still fits makes it look well
            warnings = room.cli("-o", "json", "status").json["warnings"]
            assert any("flow records are lost" in w and "No space left on device" in w for w in warnings), warnings
            asked(room, "/ok/full")
        until(lambda: "flow records are lost" in room.log_since(mark), 8, "the log says so")
        subprocess.run(["mount", "-o", "remount,size=8m", room.log_dir], check=True)
        assert asked(room, "/ok/room") == 200
        until(lambda: seen(room.records, "/ok/room"), 3, "there is room again")
        until(lambda: "flow records are written again" in room.log_since(mark), 8, "the log says so")
        assert room.log_since(mark).count("flow records are lost") == 1
        assert not any("flow records are lost" in w for w in room.cli("-o", "json", "status").json["warnings"])
        assert room.metrics()["bpfast_records_file_lost_total"] >= lost
    finally:
        room.stop_agent()
        subprocess.run(["umount", "-l", room.log_dir], check=True)


def test_file_moved_away_by_others(room):
    begin(room, "--records-file", "flows.json", "--log-file", "bpfastd.log")
    assert asked(room, "/ok/old") == 200
    until(lambda: seen(room.records, "/ok/old"), 3, "the old file")
    os.rename(room.records, room.records + "-moved")
    room.agent.send_signal(signal.SIGHUP)
    until(lambda: "opening log files" in open(f"{room.log_dir}/bpfastd.log", encoding="ascii").read(), 3, "SIGHUP is seen")
    assert asked(room, "/ok/new") == 200
    until(lambda: seen(room.records, "/ok/new"), 3, "the new file")
    assert not any("/ok/new" in u for u in urls(room.records + "-moved"))
    # Removed, and nobody said so: found by looking.
    os.unlink(room.records)
    until(lambda: asked(room, "/ok/newer") == 200 and os.path.exists(room.records), 8, "a file again")


def test_logrotate(room):
    begin(room, "--records-file", "flows.json", "--log-file", "bpfastd.log", "--records-file-mib", "0", "--log-file-mib", "0")
    assert asked(room, "/ok/first") == 200
    until(lambda: seen(room.records, "/ok/first"), 3, "a record")
    with open(f"{ROOT}/deploy/logrotate/bpfast", encoding="ascii") as f:
        text = f.read()
    hup = "systemctl kill -s HUP bpfastd.service"
    assert "/var/log/bpfast/" in text and hup in text
    conf = f"{room.dir}/logrotate.conf"
    with open(conf, "w", encoding="ascii") as f:
        f.write(text.replace("/var/log/bpfast/", room.log_dir + "/").replace(hup, f"kill -HUP {room.agent.pid}"))
    subprocess.run(["logrotate", "-f", "-s", f"{room.dir}/logrotate.state", conf], check=True)
    assert asked(room, "/ok/second") == 200
    until(lambda: seen(room.records, "/ok/second"), 3, "the new file")
    assert any("/ok/first" in u for u in urls(room.records + ".1"))
    assert "ready" in open(f"{room.log_dir}/bpfastd.log.1", encoding="ascii").read()


def test_log_file(room):
    mark = len(room.log_since())
    if room.agent:
        room.stop_agent()
    mark = len(room.log_since())
    room.start_agent("--log-file", "bpfastd.log", ready=False)
    log = f"{room.log_dir}/bpfastd.log"
    until(lambda: os.path.exists(log) and " ready " in open(log, encoding="ascii").read().split("ended")[-1], 15, "ready in the file")
    assert room.log_since(mark) == ""
    with open(f"{room.policy_dir}/bad.yaml", "w", encoding="ascii") as f:
        f.write("kind: Nonsense\n")
    try:
        until(lambda: "bad.yaml" in room.log_since(mark), 5, "errors go to standard error too")
        assert "bad.yaml" in open(log, encoding="ascii").read()
    finally:
        os.unlink(f"{room.policy_dir}/bad.yaml")
    assert stat.S_IMODE(os.stat(log).st_mode) == 0o640


@pytest.mark.parametrize("what, why", [("pipe", "not a regular file"), ("link", "symbolic link"), ("directory", "Is a directory"), ("taken", "another process")])
def test_what_cannot_be_the_file(room, what, why):
    if room.agent:
        room.stop_agent()
    path = f"{room.log_dir}/odd"
    subprocess.run(["rm", "-rf", path], check=True)
    held = None
    if what == "pipe":
        os.mkfifo(path)
        held = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    elif what == "link":
        os.symlink("/etc/passwd", path)
    elif what == "directory":
        os.mkdir(path)
    else:
        held = os.open(path, os.O_WRONLY | os.O_CREAT)
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        room.start_agent("--records-file", "odd")
        assert asked(room, "/ok/odd") == 200
        said = until(lambda: [w for w in room.cli("-o", "json", "status").json["warnings"] if "records are lost" in w], 3, "a warning")
        assert why in said[0] and path in said[0]
    finally:
        if held is not None:
            os.close(held)
        subprocess.run(["rm", "-rf", path], check=True)


@pytest.mark.parametrize(
    "mode, owner, group, safe",
    [
        (0o777, 0, 0, False),
        (0o1777, 0, 0, False),
        (0o770, 0, 4, False),
        (0o700, 65534, 0, False),
        (0o770, 0, 0, True),
        (0o755, 0, 4, True),
    ],
)
def test_who_may_write_to_the_directory(room, mode, owner, group, safe):
    """Whoever may could own the file before the agent makes it, and read the records."""
    if room.agent:
        room.stop_agent()
    where = tempfile.mkdtemp(prefix="bpfast-shared-", dir="/run")
    os.chown(where, owner, group)
    os.chmod(where, mode)
    if mode & 0o002:  # the attack: somebody else's file, that nothing says is not ours
        subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", f"umask 0; echo > {where}/flows.json"], check=True, cwd="/")
    try:
        room.start_agent("--records-file", f"{where}/flows.json", "--log-file", f"{where}/bpfastd.log", ready=False)
        until(lambda: room.bpfast("status").code == 0, 15, "the agent answers")
        assert asked(room, "/ok/shared") == 200
        if safe:
            until(lambda: seen(f"{where}/flows.json", "/ok/shared"), 3, "a record")
            assert os.path.getsize(f"{where}/bpfastd.log")
            return
        said = until(lambda: [w for w in room.cli("-o", "json", "status").json["warnings"] if "records are lost" in w], 3, "a warning")
        assert f"{where}/flows.json: others can write to its directory: make that root's with mode 0750, or set log-dir to one that is" in said[0]
        assert any("the log goes to standard error" in w and "others can write" in w for w in room.cli("-o", "json", "status").json["warnings"])
        assert sum(os.path.getsize(f"{where}/{f}") for f in os.listdir(where)) == (1 if mode & 0o002 else 0)
        # Made safe, it is written: nobody has to start anything again.
        if mode & 0o002:
            os.unlink(f"{where}/flows.json")
        os.chown(where, 0, 0)
        os.chmod(where, 0o750)
        until(lambda: asked(room, "/ok/safe") == 200 and seen(f"{where}/flows.json", "/ok/safe"), 8, "a record")
    finally:
        room.stop_agent()
        subprocess.run(["rm", "-rf", where], check=True)


def test_bad_settings(room):
    bad = [
        (("--records-file", "logs/"), "records-file"),
        (("--records-file", ".."), "records-file"),
        (("--log-file", "/"), "log-file"),
        (("--log-file", "a/."), "log-file"),
        (("--records-file-mib", "-1"), "records-file-mib"),
        (("--log-file", "one.log", "--records-file", "one.log"), "both"),
        (("--log-dir", room.log_dir, "--log-file", f"{room.log_dir}/one.log", "--records-file", "one.log"), "both"),
    ]
    for args, what in bad:
        r = subprocess.run([f"{BIN}/bpfastd", "--config", room.config, *args], capture_output=True, text=True, check=False, timeout=10)
        assert r.returncode == 2 and what in r.stderr and r.stderr.count("\n") == 1
