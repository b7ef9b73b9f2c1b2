#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_docs.py ROOT [--fix | --run BIN]: what README.md and docs/ show is compiled, and what they say to type runs.

A ```cpp block must be a region of a source file that the build compiles, named in a comment above the block:
`<!-- region: examples/01_hello.cpp name -->` stands for the lines between `// [name]` and `// [/name]`, without their
common indentation. A block of another language may be a region too (`# [name]` where `#` begins comments), or a whole
file: `<!-- file: examples/01_hello.expected -->`, for what an example prints. --fix copies both into the blocks.
`<!-- lines of: FILE -->` says that the block's lines stand in the file, one after the other.
Every relative link leads to a file of the repository, and to a heading of it where it names one. In a row of a table
whose last two columns are links to sources and names of functions, each function stands in one of the sources, and each
source has one of the functions.

A ```sh block is run by `--run BIN`, in an empty folder with BIN first in PATH, if the comment above it is `<!-- run -->`
(it must exit with 0) or `<!-- run: status N -->`. Otherwise the comment is `<!-- not run: reason -->`, or every command
stands in tests/docs_commands.txt, which lists what is run by other means.
"""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

CPP = {"cpp", "c++", "cxx", "cc", "hpp"}
SHELL = {"sh", "bash", "shell", "console", "zsh"}
COMPILED = re.compile(r"(examples|tests/consumer|benchmarks|tools/muster)/\w+\.cpp|tests/(\w+/)+\w+_test\.cpp|src/.*\.cpp")
FENCE = re.compile(r"^( *)(```+|~~~+)[ ]*([^\s`]*)")
REGION = re.compile(r"^<!-- region: (\S+) (\S+) -->$")
WHOLE = re.compile(r"^<!-- file: (\S+) -->$")
LINES = re.compile(r"^<!-- lines of: (\S+) -->$")
LINK = re.compile(r"\]\(([^()\s]+)\)")
RUN = re.compile(r"^<!-- run(?:: status (\d+))? -->$")
NOT_RUN = re.compile(r"^<!-- not run: \S.* -->$")
ROUTE = re.compile(r"^\|.*\| (\[`[^|]*) \| (`\w+`(?:, `\w+`)*) \|$")
MARKER = re.compile(r"^\s*(?://|#) \[/?[\w-]+\]\s*$")


class block:
    """A fenced block: lines[first:last] of its page, without the fences."""

    def __init__(self, page, language, comment, first, indent):
        self.page, self.language, self.comment, self.first, self.indent = page, language, comment, first, indent
        self.last, self.lines = first, []

    def where(self):
        return f"{self.page}:{self.first}"


def blocks_of(page, lines):
    found, open_block, fence, comment = [], None, "", ""
    for number, line in enumerate(lines):
        match = FENCE.match(line)
        if open_block is None and match:
            fence = match[2]
            open_block = block(page, match[3].lower(), comment, number + 1, match[1])
        elif open_block is not None and line.strip() == fence[0] * max(len(fence), len(line.strip())):
            open_block.last = number
            open_block.lines = [l[len(open_block.indent) :] for l in lines[open_block.first : number]]
            found.append(open_block)
            open_block, comment = None, ""
        elif open_block is None and line.strip():
            comment = line.strip()
    return found, open_block


def region_of(root, file, name):
    """The region's lines, or a text that says what is wrong."""
    path = root / file
    if not path.is_file():
        return f"{file} does not exist"
    lines = path.read_text(encoding="utf-8").splitlines()
    begins = [i for i, l in enumerate(lines) if l.strip() in (f"// [{name}]", f"# [{name}]")]
    ends = [i for i, l in enumerate(lines) if l.strip() in (f"// [/{name}]", f"# [/{name}]")]
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        return f"{file} has not exactly one region {name}"
    inside = [l for l in lines[begins[0] + 1 : ends[0]] if not MARKER.match(l)]
    return textwrap.dedent("\n".join(inside)).strip("\n").split("\n")


def source_of(root, comment):
    """The lines that the comment above a block names, a text that says what is wrong, or None if it names none."""
    region, whole = REGION.match(comment), WHOLE.match(comment)
    if region:
        return region_of(root, region[1], region[2])
    if whole:
        path = root / whole[1]
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else f"{whole[1]} does not exist"
    return None


def anchors_of(path):
    """GitHub's names of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def check_links(path, page, lines, blocks):
    """The errors of the links of a page, outside of its blocks."""
    code = {n for b in blocks for n in range(b.first, b.last)}
    errors = []
    for number, line in enumerate(lines):
        for link in [] if number in code else LINK.findall(line):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists():
                errors.append(f"{page}:{number + 1}: {link} does not exist")
            elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
                errors.append(f"{page}:{number + 1}: {link}: no such heading")
    return errors


def check_routes(path, page, lines):
    """The errors of the rows that name sources and functions in them."""
    errors = []
    for number, line in enumerate(lines):
        row = ROUTE.match(line)
        if not row:
            continue
        names = re.findall(r"\w+", row[2])
        words = {}
        for link in LINK.findall(row[1]):
            target = (path.parent / link).resolve()
            words[link] = set(re.findall(r"\w+", target.read_text(encoding="utf-8"))) if target.exists() else set(names)
        for name in names:
            if not any(name in of_file for of_file in words.values()):
                errors.append(f"{page}:{number + 1}: {name} stands in none of the files")
        for link, of_file in words.items():
            if of_file.isdisjoint(names):
                errors.append(f"{page}:{number + 1}: {link} has none of the functions")
    return errors


def commands_of(lines):
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    commands = (re.sub(r"^\$ ", "", l.strip()) for l in text.splitlines())
    return [c for c in commands if c and not c.startswith("#")]


def check(b, root, listed):
    """The errors of one block."""
    region = REGION.match(b.comment)
    if not b.language:
        return [f"{b.where()}: say the block's language (`text` if it has none)"]
    if b.language in CPP and not region:
        return [f"{b.where()}: a C++ block needs '<!-- region: FILE NAME -->' above it"]
    if region and b.language in CPP and not COMPILED.fullmatch(region[1]):
        return [f"{b.where()}: {region[1]} is not compiled by the build"]
    want = source_of(root, b.comment)
    if isinstance(want, str):
        return [f"{b.where()}: {want}"]
    if want is not None and want != b.lines:
        diff = difflib.unified_diff(want, b.lines, b.comment, b.where(), lineterm="")
        return [f"{b.where()}: differs from its source (--fix copies it):"] + list(diff)
    part = LINES.match(b.comment)
    if part and "\n".join(b.lines) not in (root / part[1]).read_text(encoding="utf-8"):
        return [f"{b.where()}: these lines do not stand in {part[1]}"]
    if b.language in SHELL and not region and not RUN.match(b.comment) and not NOT_RUN.match(b.comment):
        unknown = [c for c in commands_of(b.lines) if c not in listed]
        return [f"{b.where()}: neither marked nor listed in tests/docs_commands.txt: {c}" for c in unknown]
    return []


def run(b, folder):
    """The errors of one block that is marked to be run."""
    want = int(RUN.match(b.comment)[1] or 0)
    script = "\n".join(re.sub(r"^\$ ", "", l) for l in b.lines)
    try:
        done = subprocess.run(["bash", "-c", f"set -eo pipefail\n{script}"], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    except subprocess.TimeoutExpired:
        return [f"{b.where()}: no end within 300 s"]
    if done.returncode != want:
        return [f"{b.where()}: exit status {done.returncode}, expected {want}:", done.stdout.decode(errors="replace")]
    return []


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--run", metavar="BIN", type=pathlib.Path)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    list_file = root / "tests" / "docs_commands.txt"
    listed = set(commands_of(list_file.read_text(encoding="utf-8").splitlines())) if list_file.exists() else set()

    errors, count, ran = [], 0, 0
    for path in [p for p in [root / "README.md"] if p.exists()] + sorted((root / "docs").rglob("*.md")):
        page = path.relative_to(root).as_posix()
        lines = path.read_text(encoding="utf-8").splitlines()
        blocks, unclosed = blocks_of(page, lines)
        if unclosed:
            errors.append(f"{unclosed.where()}: the block is never closed")
        count += len(blocks)
        if arguments.fix:
            for b in reversed(blocks):
                text = source_of(root, b.comment)
                if isinstance(text, list):
                    lines[b.first : b.last] = [(b.indent + l).rstrip() for l in text]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            blocks, _ = blocks_of(page, lines)
        if arguments.run:
            with tempfile.TemporaryDirectory(prefix="docs-") as folder:
                os.environ["PATH"] = f"{arguments.run.resolve()}:{os.environ['PATH']}"
                for b in blocks:
                    if b.language in SHELL and RUN.match(b.comment):
                        ran += 1
                        errors += run(b, folder)
        else:
            errors += check_links(path, page, lines, blocks) + check_routes(path, page, lines)
            for b in blocks:
                errors += check(b, root, listed)

    print("\n".join(errors + [f"{count} blocks, {ran} run" if arguments.run else f"{count} blocks"]))
    sys.exit(bool(errors))


main()
