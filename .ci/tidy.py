#!/usr/bin/env python3
"""Checks what no compiler does: sizes of files, unfinished work, and that documents say what the code says.

Usage: .ci/tidy.py     (from anywhere; reads the working tree, tracked or not; exit code 1 when something is found)
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES_MAX = 600
# Top-level folders. In backticks, a text that begins with one of them is the path of a file that must be there.
FOLDERS = ("src", "gateway", "admin", "policies", "tests", "docs", ".ci")
COMMANDS = {"EDGE": "serve, gateway", "CONTROL": "serve, admin", "ALL": "all", "GATEWAY": "gateway"}

found = []


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def files(*endings):
    """Paths of the project's own files with these endings, relative to its root."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name != ".git" and not name.startswith("target"))
        own = pathlib.Path(folder).relative_to(ROOT)
        yield from (own / name for name in sorted(names) if name.endswith(endings))


def check_sizes():
    for path in files(".rs"):
        lines = read(path).count("\n")
        if lines > LINES_MAX:
            found.append(f"{path}: {lines} lines, {LINES_MAX} at most")


def check_finished():
    # Written so that this line is none.
    marks = re.compile(r"\b(?:TO[D]O|FIX[M]E|X{3})\b|\b(?:to[d]o|unimplemente[d])!\(")
    for path in files(".rs", ".md", ".toml", ".sh", ".sql", ".wit", ".py"):
        for number, line in enumerate(read(path).splitlines(), 1):
            if marks.search(line):
                found.append(f"{path}:{number}: unfinished: {line.strip()}")


def check_paths():
    named = re.compile(r"`((?:[A-Za-z0-9_.-]+/)+[A-Za-z0-9_.-]*)`")
    linked = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    for path in files(".md", ".rs", ".toml", ".sh"):
        text, here = read(path), (ROOT / path).parent
        document = path.suffix == ".md"
        for name in named.findall(text):
            first = name.split("/")[0]
            # Documents below the root, such as those of policies, may name what lies beside them.
            beside = document and (here / first).is_dir()
            if (first in FOLDERS or beside) and not ((ROOT / name).exists() or (here / name).exists()):
                found.append(f"{path}: names {name}, which is not there")
        for name in linked.findall(text) if document else []:
            if not (here / name).exists():
                found.append(f"{path}: links to {name}, which is not there")


def check_keys():
    """Each key of the configuration has its row, with the words and the default of the code, and there are no others."""
    code = re.findall(
        r'name: "(\w+)".*?help: "(.*?)", default: (?:None|Some\("(.*?)"\)), commands: (\w+)', read("src/config/keys.rs")
    )
    rows = {
        f"| `{name}` | {COMMANDS[commands]} | {f'`{default}`' if default else ''} | {help_text} |"
        for name, help_text, default, commands in code
    }
    compare("docs/configuration.md", rows, set(re.findall(r"^\| `\w+` \|.*\|$", read("docs/configuration.md"), re.M)))


def check_reasons():
    """Each reason of a refusal has its row, with its status code, and there are no others."""
    code = re.findall(r'\(R::\w+, "([a-z-]+)", S::(\w+),', read("gateway/src/refusal.rs"))
    numbers = dict(re.findall(r'\("([a-z-]+)", (\d{3})\)', read("tests/harness/refusal.rs")))
    theirs = re.findall(r'=> \(\s*"([a-z-]+)",', read("admin/src/error.rs"))
    gateway, _, admin = read("docs/refusals.md").partition("## Of the admin service")
    rows = {(reason, numbers.get(reason)) for reason, _ in code}
    compare("docs/refusals.md", rows, set(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", gateway, re.M)))
    compare("docs/refusals.md", set(theirs), set(re.findall(r"^\| `([a-z-]+)` \| \d{3} \|", admin, re.M)))


def check_metrics():
    """Each metric is told of, and no other is."""
    paths = (
        "gateway/src/metrics.rs",
        "gateway/src/decision_log.rs",
        "gateway/src/kept/mod.rs",
        "gateway/src/policies/metrics.rs",
        "gateway/src/upstream/metrics.rs",
        "src/run/control.rs",
        "src/run/reload.rs",
    )
    code = "".join(read(path) for path in paths)
    names = set(re.findall(r'"(postern_\w+)"', code))
    documented = set(re.findall(r"`(postern_\w+)`", read("docs/logging-and-metrics.md").partition("## Metrics")[2]))
    # Counters and units have endings that the text format puts on.
    bare = {re.sub(r"_(total|seconds)$", "", name) for name in documented}
    compare("docs/logging-and-metrics.md", names, bare)


def check_decisions():
    """Decisions have numbers without gaps, and a number in a document is one of them."""
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    if numbers != [f"{number:04}" for number in range(1, len(pages) + 1)]:
        found.append(f"docs/decisions: the numbers are not 0001 to {len(pages):04}: {numbers}")
    for path in files(".md", ".rs", ".toml"):
        for number in re.findall(r"[Dd]ecisions? (\d{4})\b|\((\d{4})\)", read(path)):
            number = "".join(number)
            if number.startswith("00") and number not in numbers:
                found.append(f"{path}: there is no decision {number}")


def compare(document, code, told):
    if not code:
        found.append(f"{document}: nothing was found in the code to compare it with")
    found.extend(f"{document} lacks {row}" for row in sorted(code - told, key=str))
    found.extend(f"{document} has {row}, which the code does not" for row in sorted(told - code, key=str))


for check in (
    check_sizes,
    check_finished,
    check_paths,
    check_keys,
    check_reasons,
    check_metrics,
    check_decisions,
):
    check()
print("\n".join(found))
sys.exit(bool(found))
