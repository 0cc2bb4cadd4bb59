#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the completion of bash, zsh and fish to the command line: each noun, verb and option that `--help` names is offered.

bash is asked, and fish where it is installed; zsh's file is read, for zsh completes only where there is a terminal. `make check` runs it.
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("BPFAST_BIN", os.path.join(ROOT, "build", "bin"))
ENV = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
ASK = """
. deploy/completion/bpfast.bash
while read -r -a COMP_WORDS; do
	[ "${COMP_WORDS[-1]}" != . ] || COMP_WORDS[-1]=""
	[ "${COMP_WORDS[-1]}" != -. ] || COMP_WORDS[-1]=--
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
	_bpfast
	echo "${COMPREPLY[*]}"
done
"""


def bpfast(*words):
    return subprocess.run([f"{BIN}/bpfast", *words], capture_output=True, text=True, check=True).stdout


def commands():
    """-> {noun: {verb or None: [option]}}, from the help texts."""
    out = {}
    for line in bpfast("--help").splitlines():
        m = re.match(r"  ([a-z]+)( [a-z]+)?(?: \S.*?)?   +\S", line)
        if not m:
            continue
        noun, verb = m.group(1), (m.group(2) or "").strip() or None
        text = bpfast(noun, *([verb] if verb else []), "--help") if noun != "help" else ""
        out.setdefault(noun, {})[verb] = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M)
    return out


def ask_bash(lines):
    """What bash offers behind each line, whose last word is what was typed so far; `.` for nothing, `-.` for --."""
    r = subprocess.run(["bash", "--norc", "-c", ASK], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True, cwd=ROOT, env=ENV)
    return dict(zip(lines, (set(answer.split()) for answer in r.stdout.split("\n"))))


def ask_fish(lines):
    out = {}
    for line in lines:
        typed = re.sub(r"\.$", "", line) if line.endswith(" .") else re.sub(r"-\.$", "--", line)
        script = f"source deploy/completion/bpfast.fish; complete -C '{typed}'"
        r = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=ENV)
        out[line] = {answer.split("\t")[0] for answer in r.stdout.splitlines()}
    return out


def wanted(table):
    """-> {line: words that have to be offered}."""
    out = {"bpfast .": set(table)}
    for noun, verbs in table.items():
        if None not in verbs:
            out[f"bpfast {noun} ."] = set(verbs)
        for verb, options in verbs.items():
            if options:
                out[f"bpfast {noun}{' ' + verb if verb else ''} -."] = set(options)
    return out


def flaws(shell, want, answers):
    for line, words in want.items():
        missing = words - answers[line]
        if missing:
            yield f"{shell}: `{line.replace('-.', '--').rstrip(' .')}` is not completed by {', '.join(sorted(missing))}"


def zsh_flaws(want):
    with open(f"{ROOT}/deploy/completion/_bpfast", encoding="utf-8") as f:
        text = f.read()
    for line, words in want.items():
        missing = {w for w in words if not re.search(rf"(?<![\w-]){re.escape(w)}(?![\w-])", text)}
        if missing:
            yield f"zsh: there is no {', '.join(sorted(missing))} for `{line.replace('-.', '--').rstrip(' .')}`"


def main():
    table = commands()
    want = wanted(table)
    if len(table) < 8 or sum(map(len, want.values())) < 60:
        sys.exit("tests/check_completion.py is blind: it does not read the help texts")
    bash = ask_bash(want)
    fish = ask_fish(want) if shutil.which("fish") else None
    blind = dict(want, **{"bpfast .": {"nosuchnoun"}})
    if not list(flaws("bash", blind, bash)) or not list(zsh_flaws(blind)):
        sys.exit("tests/check_completion.py is blind: it takes a noun that is not offered")
    found = list(flaws("bash", want, bash)) + list(zsh_flaws(want))
    if fish:
        found += flaws("fish", want, fish)
    for flaw in found:
        print(f"deploy/completion: {flaw}")
    print(f"check_completion: {len(want)} command lines, {sum(map(len, want.values()))} words, {len(found)} flaws")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
