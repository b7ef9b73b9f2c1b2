#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_layers.py ROOT: every file of the library stands in scripts/layers.txt, includes only files of its own layer or
of lower ones, declares no class or function that a higher layer defines, and no headers include each other in a circle.

A line of the table is `LAYER FILE...`: a layer's number and files of it, as they are included (`muster/task.hpp`) or from
the root (`src/loops/event_loop.cpp`), with `*` if need be. A name without `*` wins over a pattern, and a longer pattern
over a shorter one. Within the layer of integrations the part behind the point orders those that build on each other.
"""
import fnmatch
import pathlib
import re
import sys

# A type that is declared in a namespace or as a friend, and one that is defined in a namespace (there nothing is indented).
DECLARED = re.compile(r"^(?:template <[^;{]*>\s*)?(?:[ \t]*friend )?(?:class|struct|union|enum class|enum) (\w+)(?: : [\w:]+)?;", re.M)
DEFINED = re.compile(r"^(?:template <[^;{]*>\s*)?(?:requires [^;{]*\s)?(?:class|struct|union|enum class|enum) (?:\[\[[^\]]*\]\] )?(\w+)(?: final)?(?: :[^;{(]*)?\s*\{", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def read_table(path):
    """name or pattern -> layer, and the errors."""
    table, errors = {}, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not re.fullmatch(r"\d+(\.\d+)?", words[0]) or len(words) == 1:
            errors.append(f"{path.name}:{number}: a line is 'LAYER FILE...', not: {line}")
            continue
        for name in words[1:]:
            if name in table:
                errors.append(f"{path.name}:{number}: {name} is listed twice")
            table[name] = float(words[0])
    return table, errors


def layer_of(name, table):
    if name in table:
        return table[name]
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

    layers = {name: layer_of(name, table) for name in files}
    for name, layer in layers.items():
        if layer is None:
            errors.append(f"{name} has no layer: add it to a line of scripts/layers.txt")
    for name, others in graph.items():
        for other in sorted(others):
            if None not in (layers[name], layers[other]) and layers[other] > layers[name]:
                errors.append(f"{name} (layer {layers[name]:g}) includes {other} (layer {layers[other]:g})")
    # A name that stands in several layers (a nested class, say) is the business of the lowest that defines it.
    defined = {}
    for name, path in files.items():
        for match in DEFINED.finditer(path.read_text(encoding="utf-8")):
            if layers[name] is not None:
                defined[match[1]] = min(layers[name], defined.get(match[1], layers[name]))
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        for match in DECLARED.finditer(text):
            if layers[name] is not None and defined.get(match[1], 0) > layers[name]:
                line = text[: match.start(1)].count("\n") + 1
                errors.append(f"{name}:{line}: (layer {layers[name]:g}) declares {match[1]}, which layer {defined[match[1]]:g} defines")
    circle = find_circle(graph)
    if circle:
        errors.append("a circle of includes: " + " -> ".join(circle))
    for name in table:
        if "*" not in name and name not in files:
            errors.append(f"scripts/layers.txt lists {name}, which does not exist: take it out")

    print("\n".join(errors + [f"{len(files)} files, {len(errors)} errors"]))
    sys.exit(bool(errors))


main()
