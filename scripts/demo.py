#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows BPFast at work on this machine alone: `sudo make demo`.

Everything happens in private mount, PID and network namespaces. When this program ends, by Ctrl-C too,
the kernel takes all of it away; but for empty control groups, which a second process removes that waits for
the end. The exit status is 0 only if every request ended as announced.

Where containerd, runc and CNI's plugins are, the workloads are containers; else, or with --namespaces, they
are network namespaces.
"""

import os
import select
import signal
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

    def namespaces(self):
        from lab import servers

        self.title("Three workloads, each in a network namespace behind a veth on a bridge")
        node = self.node
        pods = [node.pod(name, namespace="shop") for name in ("cart", "stranger", "web")]
        pods[2].serve(servers.nginx(pods[2].ns))
        for pod in pods:
            role = "nginx on port 80" if pod.name == "web" else "client"
            print(f"   {pod.name:<9} app={pod.labels['app']:<9} {pod.ip4:<11} {pod.ip6:<13} {role}")
        return pods

    def guard_namespaces(self):
        for pod in self.node.pods.values():
            self.command("endpoint", "add", pod.name, "--iface", pod.iface, "--namespace", "shop", "--label", f"app={pod.name}")

    def containers(self):
        """The same in containers; None where these cannot be."""
        import demo_containers

        why = demo_containers.missing()
        try:
            self.boxes = None if why else demo_containers.start(self.node)
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            why = "containerd cannot run here: " + " ".join(str(e).split())[:200]
        if why:
            self.say(f"({why}; network namespaces will do.)")
            return None
        self.title("Three workloads, each in a container: containerd, runc, and CNI's bridge")
        for box in self.boxes:
            role = "nginx on port 80" if box.name == "web" else "client"
            print(f"   {box.name:<9} app={box.name:<9} {box.ip4:<11} pid {box.container.pid():<6} {role}")
        return self.boxes

    def guard_containers(self):
        self.say("They were there before the agent. It finds them, with their names and labels:")
        self.command("endpoint", "discover")
        self.command("endpoint", "add", "--container", "web", "--namespace", "shop")
        self.command("endpoint", "discover", "--add-all", "--namespace", "shop")

    def run(self):
        from lab.node import BIN, Node

        if not os.access(os.path.join(BIN, "bpfastd"), os.X_OK):
            sys.exit("build/bin/bpfastd is missing: run make first")
        print(bold("BPFast: what containers may say to each other, decided inside the kernel"))
        self.node = node = Node("demo")
        node.pin_dir = "/sys/fs/bpf/bpfast"  # the default; here it is a bpffs of our own
        made = None if "--namespaces" in sys.argv else self.containers()
        guard = self.guard_containers if made else self.guard_namespaces
        cart, stranger, self.web = made or self.namespaces()

        self.title("Without a policy everything is open")
        self.request(cart, "GET", "/api/v1/items", 200)
        self.request(cart, "DELETE", "/api/v1/items", 200)
        self.request(stranger, "GET", "/api/v1/items", 200)

        self.title("Start the agent, put the three workloads under guard, apply a policy")
        node.start_agent()
        guard()
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


def sweep_after(pid):
    """A process that waits until that one has ended, and removes the control groups of its containers."""
    if os.fork():
        return
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watched = os.pidfd_open(pid)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # who waits for the end of our output does not wait for this
        os.dup2(null, fd)
    select.select([watched], [], [])
    import demo_containers

    demo_containers.sweep()
    os._exit(0)


def main():
    if not private.is_inside():
        try:
            if os.geteuid() == 0:
                sweep_after(os.getpid())
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
