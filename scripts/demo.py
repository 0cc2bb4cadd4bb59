#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows BPFast at work on this machine alone: `sudo make demo`.

Everything happens in private mount, PID and network namespaces. When this program ends, by Ctrl-C too,
the kernel takes all of it away. The exit status is 0 only if every request ended as announced.
"""

import os
import subprocess
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
from lab import private  # noqa: E402

COLOR = sys.stdout.isatty() and os.environ.get("NO_COLOR") is None
POLICY = os.path.join(HERE, "demo-policy.yaml")


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOR else text


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


class Demo:
    def __init__(self):
        self.step, self.surprises = 0, 0
        self.started = time.monotonic()

    def title(self, text):
        self.step += 1
        print(f"\n{bold(f'{self.step}. {text}')}", flush=True)

    def say(self, text):
        print(textwrap.fill(text, 96, initial_indent="   ", subsequent_indent="   "), flush=True)

    def command(self, *args):
        """Runs bpfast and shows what a user would see."""
        shown = " ".join(f"'{a}'" if any(c in str(a) for c in " *:") else str(a) for a in args)
        print(f"   {dim('$')} {paint('36', 'bpfast ' + shown)}")
        r = self.node.bpfast(*args)
        for line in (r.out + r.err).rstrip().splitlines():
            print(f"     {line}")
        sys.stdout.flush()
        if r.code != 0:
            self.surprises += 1
            print(paint("31;1", f"     unexpected: exit status {r.code}"))
        return r

    def request(self, pod, method, target, expected, *args):
        """expected: a status, or "blocked"."""
        options = {"POST": ["-d", "item=1"], "GET": []}.get(method, ["-X", method])
        for h in args:
            options += ["-H", h]
        status, body = pod.curl(f"http://{self.web.ip4}{target}", *options, timeout=1)
        what = f"{method} {target}" + (f"  ({', '.join(args)})" if args else "")
        if status == "blocked":
            result = paint("31", "no connection")
        elif isinstance(status, int) and status < 400:
            result = paint("32", f"{status}")
        else:
            first = body.strip().splitlines()[0] if body.strip() else ""
            result = paint("31", f"{status}") + dim(f"  {first}" if status == 403 else "")
        surprise = "" if status == expected else paint("31;1", f"   <- unexpected, should be {expected}")
        self.surprises += status != expected
        print(f"   {pod.name:<9} -> web   {what:<46} {result}{surprise}", flush=True)

    def run(self):
        from lab import servers
        from lab.node import BIN, Node

        if not os.access(os.path.join(BIN, "bpfastd"), os.X_OK):
            sys.exit("build/bin/bpfastd is missing: run make first")
        print(bold("BPFast: what containers may say to each other, decided inside the kernel"))
        self.title("Three workloads, each in a network namespace behind a veth on a bridge")
        self.node = node = Node("demo")
        node.pin_dir = "/sys/fs/bpf/bpfast"  # the default; here it is a bpffs of our own
        cart = node.pod("cart", namespace="shop")
        stranger = node.pod("stranger", namespace="shop")
        self.web = node.pod("web", namespace="shop")
        self.web.serve(servers.nginx(self.web.ns))
        for pod, role in ((cart, "client"), (stranger, "client"), (self.web, "nginx on port 80")):
            print(f"   {pod.name:<9} app={pod.labels['app']:<9} {pod.ip4:<11} {pod.ip6:<13} {role}")

        self.title("Without a policy everything is open")
        self.request(cart, "GET", "/api/v1/items", 200)
        self.request(cart, "DELETE", "/api/v1/items", 200)
        self.request(stranger, "GET", "/api/v1/items", 200)

        self.title("Start the agent, put the three workloads under guard, apply a policy")
        node.start_agent()
        for pod in node.pods.values():
            self.command("endpoint", "add", pod.name, "--iface", pod.iface, "--namespace", "shop", "--label", f"app={pod.name}")
        with open(POLICY, encoding="utf-8") as f:
            text = f.read()
        print()
        for line in text.splitlines():
            if not line.startswith("# SPDX"):
                print("     " + (dim(line) if line.startswith("#") else line))
        print()
        self.command("policy", "apply", "-f", os.path.relpath(POLICY))

        self.title("The same workloads now: no proxy, no sidecar, nothing to configure in them")
        self.request(cart, "GET", "/api/v1/items", 200)
        self.request(cart, "GET", "/api/v1/items?page=2", 200)
        self.request(cart, "POST", "/api/v1/orders", 200, "X-Tenant: blue")
        self.request(cart, "POST", "/api/v1/orders", 403, "X-Tenant: red")
        self.request(cart, "DELETE", "/api/v1/items", 403)
        self.request(cart, "GET", "/admin", 403)
        self.request(cart, "GET", "/api/v1/%2e%2e/%2e%2e/admin", 403)
        self.request(stranger, "GET", "/api/v1/items", "blocked")

        self.title("The flow log names the policy and the rule that refused")
        self.command("observe", "--last", "12", "--verdict", "DROPPED")

        self.title("Ask beforehand: explain runs the kernel's own code over the same tables")
        frm, to = ("--from", "shop/cart"), ("--to", "shop/web", "--port", "80")
        self.command("policy", "explain", *frm, *to, "--http", "GET /api/v1/items", "--header", "Host: web")
        self.command("policy", "explain", *frm, *to, "--http", "DELETE /api/v1/items", "--header", "Host: web")
        self.command("policy", "explain", "--from", "shop/stranger", *to)

        self.title("Kill the agent: the kernel goes on deciding")
        node.kill_agent()
        print(f"   {dim('$')} {paint('36', 'kill -9 $(pidof bpfastd)')}")
        self.request(cart, "GET", "/api/v1/items", 200)
        self.request(cart, "GET", "/admin", 403)
        self.request(stranger, "GET", "/api/v1/items", "blocked")

        self.title("A new agent takes over; then everything is removed")
        node.start_agent()
        self.command("policy", "list")
        self.command("down")
        self.request(stranger, "GET", "/api/v1/items", 200)

        seconds = time.monotonic() - self.started
        print(f"\n{bold('Done')} in {seconds:.0f} s. Nothing is left on this machine: no device, no program, no process.")
        print("To guard workloads of your own, read docs/guide/quickstart.md.")
        if self.surprises:
            print(paint("31;1", f"{self.surprises} results were not as announced."), file=sys.stderr)
        return 1 if self.surprises else 0


def main():
    if not private.is_inside():
        try:
            private.enter([sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
        except PermissionError as e:
            sys.exit(str(e))
    private.prepare()
    try:
        return Demo().run()
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing is left on this machine.")
        return 130
    except (AssertionError, RuntimeError, subprocess.SubprocessError, OSError) as e:
        print(f"\nThe demo could not go on: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
