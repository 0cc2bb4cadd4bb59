#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the documents to the code: links, examples, commands, metrics, reasons, files and functions that they name.

`make check` runs it after a build: examples of policies go through `bpfast policy check`, commands are looked up in `--help`. It first
tries its own checks on texts that are wrong.
"""

import os
import re
import subprocess
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BPFAST = os.path.join(os.environ.get("BPFAST_BIN", os.path.join(ROOT, "build", "bin")), "bpfast")
BLOCK = re.compile(r"((?:<!-- [a-z ]+ -->\n)?)```(\w*)\n(.*?)\n```", re.S)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
TREE = re.compile(r"`((?:bpf|src|tests|docs|include|scripts|bench|deploy)/[\w./*-]*[\w*])`")


def slurp(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def sources(*tops):
    out = []
    for top in tops:
        for base, _, names in os.walk(os.path.join(ROOT, top)):
            out += [os.path.join(base, n) for n in names if n.endswith((".c", ".h", ".py", ".sh"))]
    return "\n".join(open(p, encoding="utf-8").read() for p in out)


class Facts:
    """What the code says."""

    def __init__(self):
        header = slurp("include/bpfast/reasons.h")
        self.reasons = set(re.findall(r'X\(\w+,\s*"([a-z0-9-]+)"', header.replace("\\\n", "")))
        exposition = slurp("src/observe/exposition.c")
        self.metrics = {"bpfast_" + m for m in re.findall(r'(?:\bone|\bhead|by_direction)\(t, "([a-z0-9_]+)"', exposition)}
        self.metrics |= set(re.findall(r"# TYPE (process_[a-z_]+)", exposition))
        self.settings = set(re.findall(r'\{"([a-z-]+)", (?:TEXT|NUMBER|SWITCH)', slurp("src/agent/config.c")))
        self.targets = set(re.findall(r"^([a-z-]+):.*## ", slurp("Makefile"), re.M)) | set(re.findall(r"^([a-z-]+):", slurp("Makefile"), re.M))
        self.functions = set(re.findall(r"\b([a-z_0-9]+)\(", sources("bpf", "src", "include", "tests", "bench")))
        self.helps = {}

    def help(self, *words):
        if words not in self.helps:
            r = subprocess.run([BPFAST, *words, "--help"], capture_output=True, text=True, check=False)
            self.helps[words] = r.stdout if r.returncode == 0 else ""
        return self.helps[words]


def anchors(text):
    out = set()
    for title in re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.M):
        title = re.sub(r"[^\w\s-]", "", title.lower())
        out.add(re.sub(r"\s", "-", title))
    return out


def check_links(path, text):
    for m in LINK.finditer(BLOCK.sub("", text)):
        target = m.group(1)
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        where = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), name)) if name else os.path.join(ROOT, path)
        if not os.path.exists(where):
            yield f"link to {target}: there is no such file"
        elif anchor and where.endswith(".md"):
            there = text if not name else slurp(os.path.relpath(where, ROOT))
            if anchor not in anchors(there):
                yield f"link to {target}: there is no such heading"


def check_yaml(facts, mark, block):
    try:
        documents = [d for d in yaml.safe_load_all(block) if d is not None]
    except yaml.YAMLError as e:
        yield f"example is not YAML: {e}"
        return
    if any(isinstance(d, dict) and "apiVersion" in d for d in documents):
        r = subprocess.run([BPFAST, "policy", "check", "-f", "-"], input=block, capture_output=True, text=True, check=False)
        if "refused" in mark and r.returncode == 0:
            yield f"example is not refused:\n{block}"
        if "refused" not in mark and r.returncode != 0:
            yield f"example is refused: {r.stderr}{r.stdout}"
    for d in documents:
        if isinstance(d, dict) and "groups" in d:
            for rule in (r for g in d["groups"] for r in g["rules"]):
                for name in re.findall(r"\b(?:bpfast|process)_[a-z_]+", rule["expr"]):
                    if re.sub(r"_(bucket|sum|count)$", "", name) not in facts.metrics:
                        yield f"alert {rule.get('alert')}: there is no metric {name}"
                for word in re.findall(r'reason=~?"([^"]*)"', rule["expr"]):
                    if not set(word.split("|")) <= facts.reasons:
                        yield f"alert {rule.get('alert')}: no such reason in {word}"


def check_command(facts, line):
    """One line of a shell block."""
    line = re.sub(r"^\$ ", "", line.strip())
    line = re.sub(r"\s#\s.*$|\s+\|.*$|\s>.*$", "", line)
    make = re.match(r"(?:sudo )?make ([a-z][a-z-]*)", line)
    if make and make.group(1) not in facts.targets:
        yield f"make has no target {make.group(1)}"
    m = re.match(r"(?:sudo )?bpfast((?: .*)?)$", line)
    if not m:
        return
    words = re.findall(r"'[^']*'|\S+", m.group(1))
    plain = [w for w in words if re.fullmatch(r"[a-z]+", w)]
    known = next((tuple(plain[:n]) for n in (2, 1) if len(plain) >= n and f"Usage: bpfast {' '.join(plain[:n])}" in facts.help(*plain[:n])), None)
    if not plain or (not known and plain[0] != "help"):
        yield f"bpfast has no such command: {line}"
        return
    for option in re.findall(r"(?<!\S)(--[a-z-]+)", " ".join(words)):
        if option not in facts.help(*known) and option not in facts.help():
            yield f"bpfast {' '.join(known)} has no option {option}"


def check_page(facts, path, text):
    yield from check_links(path, text)
    for mark, kind, block in BLOCK.findall(text):
        if kind == "yaml":
            yield from check_yaml(facts, mark, block)
        elif kind == "sh":
            for line in block.split("\n"):
                yield from check_command(facts, line)
        elif kind == "console":
            for line in block.split("\n"):
                if line.startswith("$ "):
                    yield from check_command(facts, line)
        elif not kind:
            pass
    rest = BLOCK.sub("", text)
    for word in re.findall(r"`((?:http|tcp)-[a-z0-9-]+)`", rest):
        if word not in facts.reasons | facts.settings:
            yield f"{word} is neither a reason nor a setting"
    for name in re.findall(r"`(bpfast_[a-z_]+_(?:total|seconds|bytes|limit))\b", rest):
        if name not in facts.metrics:
            yield f"there is no metric {name}"
    for name in TREE.findall(rest):
        here = os.path.join(ROOT, name)
        stem = re.sub(r"[\w-]*\*.*$", "", here)
        if not (os.path.exists(here) or ("*" in name and os.path.isdir(stem)) or name.startswith("build")):
            yield f"there is no {name} in the tree"
    if path.startswith("docs/internals/life-of-a-packet"):
        for name in re.findall(r"`([a-z_0-9]+)\(\)`", rest):
            if name not in facts.functions and not name.startswith("bpf_"):
                yield f"there is no function {name}()"
    for word in re.findall(r"(/home/\S*|/root/\S*|localhost\.localdomain)", text):
        yield f"{word} does not belong into a document"


def check_settings(example, man):
    """The commented file has each setting, with its default; so has the man page."""
    text = subprocess.run([BPFAST + "d", "--help"], capture_output=True, text=True, check=True).stdout
    shown = dict(re.findall(r"^# ([a-z-]+): (.*)$", example, re.M))
    for name, tells in re.findall(r"^  --([a-z-]+) [A-Z].*?  +(.*)$", text, re.M):
        default = re.search(r"\bdefault ([\w./:-]+)", tells)
        if name == "config":
            continue
        if name not in shown or (default and shown[name].strip("()").split(" ")[0] not in (default.group(1).rstrip(":."), "nobody")):
            yield "deploy/systemd/bpfast.yaml", f"{name}: {shown.get(name)} is not the default of: {tells}"
        if f"--{name} " not in man and f"--{name}\n" not in man:
            yield "docs/man/bpfastd.8", f"does not tell of --{name}"


def check_whole(facts):
    """What needs all pages."""
    r = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "reasons.py"), "--check"], capture_output=True, text=True, check=False)
    if r.returncode:
        yield "docs/guide/reasons.md", r.stderr.strip()
    observe = slurp("docs/guide/observe.md")
    for name in sorted(facts.metrics):
        if f"`{name}`" not in observe:
            yield "docs/guide/observe.md", f"metric {name} is not explained"
    limits = dict(re.findall(r"^#define (BPFAST_\w+) (\d+)$", slurp("include/bpfast/limits.h"), re.M))
    for path, before, name, after in SIZES:
        want = f"{before}{int(limits[name]):,}{after}"
        if want not in slurp(path):
            yield path, f"{name} is {limits[name]}, so it shall say: {want}"
    yield from check_settings(slurp("deploy/systemd/bpfast.yaml"), slurp("docs/man/bpfastd.8").replace("\\-", "-"))
    if not list(check_settings("# flows: 1\n", "")):
        yield "tests/check_docs.py", "is blind: it takes any settings"
    index = slurp("docs/README.md")
    for base, _, names in os.walk(os.path.join(ROOT, "docs")):
        for n in names:
            rel = os.path.relpath(os.path.join(base, n), os.path.join(ROOT, "docs"))
            if n.endswith(".md") and rel != "README.md" and f"({rel})" not in index:
                yield "docs/README.md", f"does not name {rel}"


SIZES = [
    ("docs/guide/observe.md", "The request line is kept to ", "BPFAST_FLOW_TEXT", " bytes"),
    ("docs/guide/limits.md", "| request line kept for a record | ", "BPFAST_FLOW_TEXT", " bytes"),
    ("docs/guide/limits.md", "| endpoints on one node | ", "BPFAST_ENDPOINTS_MAX", " |"),
    ("docs/guide/limits.md", "| addresses of one endpoint, IPv4 and IPv6 together | ", "BPFAST_ENDPOINT_ADDRS", " |"),
    ("docs/guide/limits.md", "| flows (one for each connection and endpoint) | ", "BPFAST_FLOWS_DEFAULT", ";"),
    ("docs/guide/limits.md", "| HTTP rules that meet on one peer and port | ", "BPFAST_RULES_MAX", " |"),
    ("docs/guide/limits.md", "| different header names in the rules that meet there | ", "BPFAST_HEADER_SLOTS", " |"),
    ("docs/guide/limits.md", "| request head | ", "BPFAST_HEAD_MAX", " bytes"),
    ("docs/guide/limits.md", "| pipelined requests waiting for their responses | ", "BPFAST_PIPELINE_MAX", " "),
    ("docs/guide/limits.md", "| denial text (head and body of the 403) | ", "BPFAST_REPLY_MAX", " bytes"),
    ("docs/guide/limits.md", "| fragmented datagrams followed at once | ", "BPFAST_FRAGS_MAX", " |"),
    ("docs/guide/packets.md", "The ports of ", "BPFAST_FRAGS_MAX", " fragmented packets"),
]

BAD = [
    "[a](nowhere.md)",
    "[a](README.md#no-such-heading)",
    "```yaml\na: [\n```",
    "```yaml\napiVersion: bpfast.io/v1alpha1\nkind: PayloadPolicy\nmetadata: {name: x}\nspec: {endpointSelector: {}, ingres: []}\n```",
    "<!-- refused -->\n```yaml\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n```",
    "```yaml\ngroups: [{name: x, rules: [{alert: A, expr: bpfast_nothing_total > 1}]}]\n```",
    '```yaml\ngroups: [{name: x, rules: [{alert: A, expr: \'bpfast_http_denied_total{reason="http-nothing"}\'}]}]\n```',
    "```console\n$ sudo bpfast policy aply -f x.yaml\n```",
    "```sh\nbpfast observe --verdikt dropped\n```",
    "```sh\nsudo make coffee\n```",
    "`http-nothing`",
    "`bpfast_nothing_total`",
    "`src/policy/nothing.c`",
    "see /home/me/main",
]


def main():
    if not os.access(BPFAST, os.X_OK):
        sys.exit(f"{BPFAST} is missing: run make first")
    facts = Facts()
    if len(facts.metrics) < 20 or len(facts.reasons) < 30 or len(facts.settings) < 10:
        sys.exit("tests/check_docs.py does not find metrics, reasons or settings in the sources any more")
    for text in BAD:
        if not list(check_page(facts, "README.md", text)):
            sys.exit(f"tests/check_docs.py is blind: it takes\n{text}")
    pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    for base, _, names in os.walk(os.path.join(ROOT, "docs")):
        pages += [os.path.relpath(os.path.join(base, n), ROOT) for n in names if n.endswith(".md")]
    flaws = [(p, what) for p in sorted(pages) for what in check_page(facts, p, slurp(p))] + list(check_whole(facts))
    for path, what in flaws:
        print(f"{path}: {what}", file=sys.stderr)
    print(f"check_docs: {len(pages)} pages, {len(BAD)} rules tried, {len(flaws)} flaws")
    sys.exit(1 if flaws else 0)


if __name__ == "__main__":
    main()
