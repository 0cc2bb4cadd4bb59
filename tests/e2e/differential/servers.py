# SPDX-License-Identifier: Apache-2.0
"""Five real servers that answer whatever they understand with 200, and tell what that was.

Each gives executed(): one Entry a request, in the order in which it wrote them down. What a server
refuses by itself (400, 404, 501 ...) is no execution.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass

from lab.servers import Process, _directory

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Entry:
    port: int  # the client's, which names the connection
    method: str
    raw: str  # the target as it came
    path: str  # as this server understood it, decoded; None: it leaves that to others
    host: str  # as this server understood it; None: it knows none
    header: str  # the value of Host as it came
    tenant: str  # X-Tenant, as it would give it to a program
    body: int  # bytes; None: it does not tell


class Told:
    """A server process, and the file in which it tells."""

    name = None
    port = 80

    def __init__(self, ns):
        self.dir = _directory(self.name)
        os.chmod(self.dir, 0o777)
        self.at = 0
        self.processes = []
        self.file = os.path.join(self.dir, "told")
        self.start(ns)

    def run(self, ns, cmd, ports):
        process = Process(ns, cmd, ports, self.dir)
        self.processes.append(process)
        return process

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def stop(self):
        for process in self.processes:
            process.stop()
        subprocess.run(["rm", "-rf", self.dir], check=False)

    def executed(self):
        """What was told since the last call."""
        try:
            with open(self.file, "rb") as f:
                f.seek(self.at)
                data = f.read()
        except FileNotFoundError:
            return []
        data = data[: data.rfind(b"\n") + 1]  # no half lines
        self.at += len(data)
        entries = (self.entry(line) for line in data.split(b"\n") if line)
        return [e for e in entries if e]


def _text(value):
    return None if value in ("", "-", None) else value


def _path(value):
    """UTF-8 that a JSON writer made of bytes, back to one character a byte."""
    return value


class Nginx(Told):
    name = "nginx"

    def start(self, ns):
        d = self.dir
        conf = self.write(
            "conf",
            f"""
user root; daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error crit;
events {{ worker_connections 2048; }}
http {{
  log_format told escape=json '{{"port":$remote_port,"method":"$request_method","raw":"$request_uri","path":"$uri",'
    '"host":"$host","header":"$http_host","tenant":"$http_x_tenant","status":$status}}';
  access_log {self.file} told;
  keepalive_requests 100000; keepalive_timeout 3; client_header_timeout 3; client_body_timeout 3; lingering_close off;
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  client_max_body_size 0; server_tokens off;
  server {{ listen 80 backlog=1024; listen [::]:80; server_name none; location / {{ return 200 "ok\\n"; }} }}
}}
""",
        )
        self.run(ns, ["nginx", "-p", d, "-c", conf], [80])

    def entry(self, line):
        o = json.loads(line.decode("latin-1"))
        if o["status"] != 200:
            return None
        return Entry(o["port"], o["method"], o["raw"], o["path"], o["host"], _text(o["header"]), _text(o["tenant"]), None)


class Apache(Told):
    name = "apache"

    def start(self, ns):
        d = self.dir
        modules = "".join(
            f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in ("mpm_event", "authz_core", "rewrite")
        )
        conf = self.write(
            "conf",
            f"""
ServerRoot {d}
DefaultRuntimeDir {d}
ServerName none
UseCanonicalName Off
{modules}
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 256
User nobody
Group nogroup
Listen 80
PidFile {d}/pid
ErrorLog {d}/error
LogFormat "%{{remote}}p\\t%m\\t%>s\\t%U\\t%r\\t%V\\t%{{Host}}i\\t%{{X-Tenant}}i" told
CustomLog {self.file} told
DocumentRoot {d}
KeepAlive On
KeepAliveTimeout 3
Timeout 3
MaxKeepAliveRequests 0
RewriteEngine On
RewriteRule ^ - [R=200,L]
""",
        )
        self.run(ns, ["apache2", "-DFOREGROUND", "-f", conf], [80])

    _escape = re.compile(r"\\(x[0-9a-f]{2}|.)")
    _short = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}

    def _plain(self, text):
        return self._escape.sub(lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) == 3 else self._short.get(m[1], m[1]), text)

    def entry(self, line):
        port, method, status, path, request, host, header, tenant = (self._plain(x) for x in line.decode("latin-1").split("\t"))
        if status != "200":
            return None
        raw = request.split(" ")[1] if " " in request else request
        return Entry(int(port), method, raw, path, host, _text(header), _text(tenant), None)


class Haproxy(Told):
    """What HAProxy hands to a server behind it is what it executes."""

    name = "haproxy"

    def start(self, ns):
        conf = self.write(
            "conf",
            """
global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 3s
  timeout server 5s
  timeout http-request 3s
  timeout http-keep-alive 3s
frontend all
  bind :::80 v4v6 backlog 1024
  http-request set-header X-Client-Port %[src_port]
  default_backend recorder
backend recorder
  http-reuse always
  server one 127.0.0.1:8000
""",
        )
        behind = self.run(ns, ["node", os.path.join(HERE, "recorder.js"), "behind", "8000"], [8000])
        self.file = behind.log.name
        # A log of its own: the directory's "output" is the recorder's.
        self.run(ns, ["sh", "-c", f"exec haproxy -db -f {conf} > {self.dir}/haproxy 2>&1"], [80])

    def entry(self, line):
        o = json.loads(line)
        return Entry(o["port"], o["method"], o["raw"], None, o["host"], o["host"], o["tenant"], o["body"])


class Node(Told):
    name = "node"

    def start(self, ns):
        process = self.run(ns, ["node", os.path.join(HERE, "recorder.js"), "node", "80"], [80])
        self.file = process.log.name

    def entry(self, line):
        o = json.loads(line)
        return Entry(o["port"], o["method"], o["raw"], o["path"], o["host"], o["host"], o["tenant"], o["body"])


class Lighttpd(Told):
    name = "lighttpd"

    def start(self, ns):
        d = self.dir
        script = self.write(
            "tell.lua",
            f"""
local r = lighty.r
local a = r.req_attr
if a["request.method"] ~= "CONNECT" and not r.req_body.collect then return 0 end
local function hex(s)
  if s == nil then return "-" end
  return "=" .. s:gsub(".", function (c) return string.format("%02x", c:byte()) end)
end
local f = io.open("{self.file}", "a")
f:write(table.concat({{tostring(a["request.remote-port"]), hex(a["request.method"]), hex(a["request.orig-uri"]),
  hex(a["uri.path"]), hex(a["uri.authority"]), hex(r.req_header["Host"]), hex(r.req_header["X-Tenant"]),
  tostring(r.req_body.len)}}, " "), "\\n")
f:close()
r.resp_body.set("ok\\n")
return 200
""",
        )
        conf = self.write(
            "conf",
            f"""
server.modules = ("mod_magnet")
server.document-root = "{d}"
server.port = 80
server.bind = "[::]"
server.errorlog = "{d}/error"
server.max-keep-alive-idle = 3
server.max-keep-alive-requests = 100000
server.max-read-idle = 3
server.listen-backlog = 1024
magnet.attract-raw-url-to = ("{script}")
$SERVER["socket"] == "0.0.0.0:80" {{ }}
""",
        )
        self.run(ns, ["lighttpd", "-D", "-f", conf], [80])

    def entry(self, line):
        port, *texts, body = line.decode("ascii").split(" ")
        method, raw, path, host, header, tenant = (bytes.fromhex(t[1:]).decode("latin-1") if t[0] == "=" else None for t in texts)
        return Entry(int(port), method, raw, path, host, header, tenant, int(body))


SERVERS = (Nginx, Apache, Haproxy, Node, Lighttpd)
