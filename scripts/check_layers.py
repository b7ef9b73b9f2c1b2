#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_layers.py ROOT: every file of the library stands in scripts/layers.txt, includes only files of its own layer or
of lower ones, and no headers include each other in a circle.

A line of the table is `LAYER FILE...`: a layer's number and files of it, as they are included (`muster/task.hpp`) or from
the root (`src/event_loop.cpp`), with `*` if need be. A name without `*` wins over a pattern, and a longer pattern over a
shorter one. A source file that is not listed by name belongs to the layer of the header that it is named after.
"""
import fnmatch
import pathlib
import re
import sys

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def read_table(path):
    """name or pattern -> layer, and the errors."""
    table, errors = {}, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not words[0].isdigit() or len(words) == 1:
            errors.append(f"{path.name}:{number}: a line is 'LAYER FILE...', not: {line}")
            continue
        for name in words[1:]:
            if name in table:
                errors.append(f"{path.name}:{number}: {name} is listed twice")
            table[name] = int(words[0])
    return table, errors


def layer_of(name, table, files):
    if name in table:
        return table[name]
    if name.startswith("src/") and name.endswith(".cpp"):
        stem = name[len("src/") : -len(".cpp")]
        for header in (f"muster/{stem}.hpp", f"muster/detail/{stem}.hpp"):
            if header in files:
                return layer_of(header, table, files)
    patterns = [p for p in table if "*" in p and fnmatch.fnmatchcase(name, p)]
    return table[max(patterns, key=len)] if patterns else None


def find_circle(graph):
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name) :] + [name]
        if name in done:
            return None
        path.append(name)
        for other in sorted(graph[name]):
            circle = visit(other)
            if circle:
                return circle
        done.add(path.pop())
        return None

    for name in sorted(graph):
        circle = visit(name)
        if circle:
            return circle
    return None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    table, errors = read_table(root / "scripts" / "layers.txt")

    files = {}  # name -> path
    for base, folder in (("include", "include/muster"), ("", "src"), ("", "tools")):
        for path in sorted((root / folder).rglob("*.[ch]pp")):
            files[path.relative_to(root / base).as_posix()] = path
    by_path = {path: name for name, path in files.items()}

    graph = {name: set() for name in files}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            bracket, target = match.groups()
            number = text[: match.start(2)].count("\n") + 1
            found = None
            if bracket == '"':
                beside = (path.parent / target).resolve()
                found = by_path.get(beside) or by_path.get((root / "src" / target).resolve())
                if found is None and not target.startswith("muster/"):
                    errors.append(f'{name}:{number}: includes "{target}", which is not in the project')
                if name.startswith("muster/"):
                    errors.append(f'{name}:{number}: write <muster/...> and not "{target}"')
            if found is None and target.startswith("muster/"):
                found = target
                if target not in files:
                    errors.append(f"{name}:{number}: includes <{target}>, which does not exist")
                    continue
            if found:
                graph[name].add(found)

    layers = {name: layer_of(name, table, files) for name in files}
    for name, layer in layers.items():
        if layer is None:
            errors.append(f"{name} has no layer: add it to a line of scripts/layers.txt")
    for name, others in graph.items():
        for other in sorted(others):
            if None not in (layers[name], layers[other]) and layers[other] > layers[name]:
                errors.append(f"{name} (layer {layers[name]}) includes {other} (layer {layers[other]})")
    circle = find_circle(graph)
    if circle:
        errors.append("a circle of includes: " + " -> ".join(circle))
    for name in table:
        if "*" not in name and name not in files:
            errors.append(f"scripts/layers.txt lists {name}, which does not exist: take it out")

    print("\n".join(errors + [f"{len(files)} files, {len(errors)} errors"]))
    sys.exit(bool(errors))


main()
