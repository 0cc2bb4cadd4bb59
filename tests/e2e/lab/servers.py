# SPDX-License-Identifier: Apache-2.0
"""Real servers, and one of our own that tells exactly which bytes it executed."""

import hashlib
import os
import select
import socket
import subprocess
import tempfile
import threading

from .wait import until


def listening(ns, port):
    """True once something listens on the TCP port."""
    with ns.inside():
        for table in ("/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"):
            with open(table, encoding="ascii") as f:
                for line in f:
                    part = line.split()
                    if part[3] == "0A" and part[1].endswith(f":{port:04X}"):
                        return True
    return False


class Process:
    """A server process with a directory of its own."""

    def __init__(self, ns, cmd, ports, directory, prefix=()):
        self.dir = directory
        self.log = open(os.path.join(directory, "output"), "w", encoding="utf-8")
        self.proc = ns.popen(*prefix, *cmd, stdout=self.log, stderr=subprocess.STDOUT, cwd=directory)
        for port in ports:
            until(lambda p=port: self.proc.poll() is not None or listening(ns, p), 10, f"{cmd[0]} on port {port}")
        if self.proc.poll() is not None:
            raise RuntimeError(f"{cmd[0]} ended at once: {open(self.log.name, encoding='utf-8').read()}")

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.log.close()

    def lines(self, name):
        try:
            with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []


def _directory(what):
    path = tempfile.mkdtemp(prefix=f"bpfast-{what}-", dir="/run")
    os.chmod(path, 0o755)
    return path


def make_files(root):
    os.makedirs(os.path.join(root, "files"), exist_ok=True)
    with open(os.path.join(root, "files", "small"), "wb") as f:
        f.write(b"small file\n")
    with open(os.path.join(root, "files", "big"), "wb") as f:
        block = bytes(range(256)) * 4096
        for _ in range(16):  # 16 MiB
            f.write(block)


def nginx(ns, port=80, tls_port=None, prefix=(), access_log=True, extra=""):
    """Answers every target with 200 and its name; /files/ holds a small and a big file."""
    d = _directory("nginx")
    make_files(d)
    tls = ""
    if tls_port:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=web", "-keyout", f"{d}/key.pem", "-out", f"{d}/cert.pem"], check=True, capture_output=True)
        tls = (f"listen {tls_port} ssl http2; listen [::]:{tls_port} ssl http2;"
               f"ssl_certificate {d}/cert.pem; ssl_certificate_key {d}/key.pem;")
    log = f"access_log {d}/access told;" if access_log else "access_log off;"
    conf = f"""
user root; daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error;
events {{ worker_connections 1024; }}
http {{
  log_format told '$request_method $request_uri $status';
  {log}
  sendfile on; tcp_nopush on; keepalive_requests 100000000; client_max_body_size 0;
  client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/fcgi;
  uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
  server {{
    listen {port} backlog=1024; listen [::]:{port} backlog=1024; {tls}
    root {d}; default_type text/plain; {extra}
    location / {{ return 200 "nginx $request_method $uri\\n"; }}
    location = /hello {{ return 200 "hello world\\n"; }}
    location /files/ {{ }}
  }}
}}
"""
    with open(f"{d}/conf", "w", encoding="utf-8") as f:
        f.write(conf)
    ports = [port] + ([tls_port] if tls_port else [])
    return Process(ns, ["nginx", "-p", d, "-c", f"{d}/conf"], ports, d, prefix)


def apache(ns, port=8080):
    """Static files only: /hello, /files/, /api/v1/items, /admin/users. Its processes as Debian sets them (mpm_event.conf)."""
    d = _directory("apache")
    make_files(d)
    for path in ("hello", "api/v1/items", "admin/users"):
        os.makedirs(os.path.dirname(f"{d}/{path}"), exist_ok=True)
        with open(f"{d}/{path}", "w", encoding="utf-8") as f:
            f.write(f"apache /{path}\n")
    conf = f"""
ServerRoot {d}
DefaultRuntimeDir {d}
ServerName web
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadLimit 64
MaxRequestWorkers 150
ThreadsPerChild 25
User nobody
Group nogroup
Listen {port}
PidFile {d}/pid
ErrorLog {d}/error
LogFormat "%m %U%q %>s" told
CustomLog {d}/access told
DocumentRoot {d}
KeepAlive On
MaxKeepAliveRequests 0
"""
    with open(f"{d}/conf", "w", encoding="utf-8") as f:
        f.write(conf)
    return Process(ns, ["apache2", "-DFOREGROUND", "-f", f"{d}/conf"], [port], d)


def tinyproxy(ns, port=8888, connect_port=9000):
    """A forward proxy that lets CONNECT reach one port."""
    d = _directory("tinyproxy")
    with open(f"{d}/conf", "w", encoding="utf-8") as f:
        f.write(f"Port {port}\nLogFile \"{d}/told\"\nPidFile \"{d}/pid\"\nMaxClients 20\nConnectPort {connect_port}\n")
    return Process(ns, ["tinyproxy", "-d", "-c", f"{d}/conf"], [port], d)


WEBSOCKETS = """
import asyncio, sys, websockets

async def talk(ws, path=None):
    await ws.send("hello")  # the server is the first to say something
    async for message in ws:
        if message == "push":
            for i in range(5):
                await ws.send(f"push {i}")
        else:
            await ws.send(message)

async def main():
    async with websockets.serve(talk, None, int(sys.argv[1]), ping_interval=None, max_size=None):
        await asyncio.Future()

asyncio.run(main())
"""


def websocket(ns, port=9000):
    """Debian's python3-websockets: says hello, sends every message back, and five for "push"."""
    d = _directory("websocket")
    with open(f"{d}/server.py", "w", encoding="utf-8") as f:
        f.write(WEBSOCKETS)
    return Process(ns, ["/usr/bin/python3", f"{d}/server.py", str(port)], [port], d)


class Told:
    """One request that the echo server executed."""

    def __init__(self, method, target, headers, body, connection):
        self.method, self.target, self.headers = method, target, headers
        self.body_size, self.body_hash = len(body), hashlib.sha256(body).hexdigest()
        self.connection = connection

    def __repr__(self):
        return f"{self.method} {self.target}"


class Echo:
    """A plain HTTP/1.1 server that notes every request it executes and every byte it read.

    /slow/SECONDS answers late, /bytes/N answers with N bytes, /chunked/N the same in chunks, /until-close/N
    until it closes, /upgrade switches protocols and echoes, /hold, and whatever has a header X-Hold, answers
    when release() is called.
    """

    def __init__(self, ns, port=9000, protocol=0):
        self.ns, self.port = ns, port
        self.requests, self.raw, self.errors = [], {}, []
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.count = 0
        with ns.inside():
            s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        s.listen(512)
        self.sock = s
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.count += 1
                n = self.count
            threading.Thread(target=self._serve, args=(c, n), daemon=True).start()

    def stop(self):
        self.gate.set()
        # close() alone does not wake a thread in accept().
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def release(self):
        self.gate.set()

    def clear(self):
        with self.lock:
            self.requests.clear()
            self.raw.clear()
            self.gate.clear()

    def targets(self):
        with self.lock:
            return [r.target for r in self.requests]

    def _serve(self, c, n):
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with self.lock:
            raw = self.raw[n] = bytearray()

        def more():
            nonlocal buffer
            got = c.recv(65536)
            if not got:
                raise EOFError
            raw.extend(got[:65536])
            buffer += got

        def line():
            nonlocal buffer
            while b"\r\n" not in buffer:
                more()
            got, buffer = buffer.split(b"\r\n", 1)
            return got

        def take(size):
            nonlocal buffer
            while len(buffer) < size:
                more()
            got, buffer = buffer[:size], buffer[size:]
            return got

        try:
            while True:
                method, target, _ = line().decode("latin-1").split(" ", 2)
                headers = {}
                while h := line():
                    k, v = h.decode("latin-1").split(":", 1)
                    headers[k.lower()] = v.strip()
                if headers.get("expect") == "100-continue":
                    c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = b""
                if headers.get("transfer-encoding") == "chunked":
                    while size := int(line(), 16):
                        body += take(size)
                        line()
                    while line():
                        pass
                elif "content-length" in headers:
                    body = take(int(headers["content-length"]))
                with self.lock:
                    self.requests.append(Told(method, target, headers, body, n))
                if self._answer(c, method, target, headers, body):
                    return
        except (EOFError, ConnectionError):
            pass
        except (ValueError, OSError) as e:
            self.errors.append(repr(e))
        finally:
            c.close()

    def _answer(self, c, method, target, headers, body):
        path = target.split("?")[0].strip("/").split("/")
        number = path[1] if len(path) > 1 else "0"
        if path[0] == "slow":
            select.select([], [], [], float(number))
        if path[0] == "hold" or "x-hold" in headers:
            self.gate.wait(10)
        if path[0] == "upgrade":
            c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            while got := c.recv(65536):
                c.sendall(got)
            return True
        if path[0] == "until-close":
            c.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * int(number))
            return True
        if path[0] == "chunked":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            left = int(number)
            while left:
                size = min(left, 7000)
                c.sendall(b"%x\r\n%s\r\n" % (size, b"c" * size))
                left -= size
            c.sendall(b"0\r\n\r\n")
            return False
        if path[0] == "bytes":
            data = b"b" * int(number)
        else:
            data = f"{method} {target} {len(body)} {hashlib.sha256(body).hexdigest()}\n".encode("latin-1")
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + (b"" if method == "HEAD" else data))
        return headers.get("connection", "").lower() == "close"


class UdpEcho:
    """Answers every datagram with itself."""

    def __init__(self, ns, port=5353):
        with ns.inside():
            self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.sock.bind(("::", port))
        self.got = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, who = self.sock.recvfrom(65536)
                if data == b"bye" and who[1] == self.sock.getsockname()[1]:
                    return
                self.got.append(data)
                self.sock.sendto(data, who)
            except OSError:
                return

    def stop(self):
        self.sock.close()
