#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_style.py ROOT: the rules of house style that a script can see.

  public-data   a class in src/ and include/ has no public data member (a struct is data without an invariant)
  booleans      no class or struct there has more than two of them: name the states with an enum. Bit-fields of one bit and
                atomic booleans count, members of base classes and nested types do not; types named ..._options may have more
  comment       no comment in src/, include/ and tools/ has a sentence that begins with What, Who, That or Nobody and so
                leaves its subject open, and no trailing comment is a fragment that leans on the line above ("theirs")
  late-subject  the thing that a public header is named after comes by line 60
  test-name     tests are named by sentences in snake_case

Exceptions stand in scripts/style_exceptions.txt, a line each: `RULE FILE NAME: reason`. One that excuses nothing is an error.
"""
import pathlib
import re
import sys

LATEST_SUBJECT = 60
MOST_BOOLEANS = 2
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
LITERAL = re.compile(r'R"(?P<raw>\w*)\(.*?\)(?P=raw)"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'', re.S)
TOKEN = re.compile(f"{COMMENT.pattern}|{LITERAL.pattern}", re.S)
HEAD = re.compile(r"\b(class|struct|union)\s+(?:\[\[[^\]]*\]\]\s*|alignas\([^)]*\)\s*)*((?:\w+::)*\w+)?(?:<[^;{}()]*>)?\s*(?:final\s*)?(?::(?!:)[^;{}]*)?$")
NO_MEMBER = re.compile(r"^(?:using|typedef|friend|static_assert|template|enum|static|class|struct|union|public|private|protected|constexpr|explicit|virtual|operator)\b")
BOOLEAN = re.compile(r"\bbool\b|\batomic_bool\b|\batomic<bool>")
ONE_BIT = re.compile(r":\s*1\s*(?:=|\{|,|$)")
OPEN_SENTENCE = re.compile(r"(?:^|[.!?] )(What|Who|That|Nobody)\b")
# "theirs", "of both", "the same": nothing but a pronoun, or ending in one.
FRAGMENT = re.compile(r"(?:^|\s)(?:its|theirs|ours|his|hers|there|both|them|it|same|those|these|that)\W*$", re.I)
TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P)\((\w+),\s*(\w+)\)", re.M)
# Public headers that are tables of contents, or named after a topic: connect() and listen() in tcp.hpp, resolve() in dns.hpp.
NO_SUBJECT = {"muster.hpp", "http.hpp", "io.hpp", "asio.hpp", "config.hpp", "message.hpp", "dns.hpp", "tcp.hpp",
              "unix_socket.hpp", "subprocess.hpp", "postgres.hpp"}


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def bare(text):
    """The code without comments, literals, preprocessor lines; everything stays at its place."""
    text = TOKEN.sub(blank, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


class scope:
    def __init__(self, kind, name, line):
        self.kind, self.name, self.line = kind, name, line
        self.access = "private" if kind == "class" else "public"
        self.public_data, self.booleans = [], []


def declarators(statement):
    """The names that a statement declares as data; empty if it declares something else."""
    s = re.sub(r"\[\[.*?\]\]", " ", statement).strip()
    s = re.sub(r"\b(?:mutable|alignas\([^)]*\))\s*", "", s)
    if not s or NO_MEMBER.match(s):
        # `static`, `using` and the like; `struct x* member` and `class x& member` are data all the same.
        if not re.match(r"^(?:class|struct|enum)\s+[\w:]+\s*[*&]", s):
            return []
    pointer = re.match(r"^[^()=]*\(\s*[*&]\s*(\w+)\s*\)\s*\(", s)
    if pointer:
        return [pointer[1]]
    # An initialiser is not part of the declarator.
    head = re.split(r"=(?!=)|\{", s, maxsplit=1)[0]
    depth, flat = 0, ""
    for c in head:  # without template arguments, in which parentheses mean nothing here
        if c == "<":
            depth += 1
        elif c == ">":
            depth = max(depth - 1, 0)
        elif depth == 0:
            flat += c
    if "(" in flat or "operator" in flat or "~" in flat:
        return []
    names = []
    for part in flat.split(","):
        part = part.split(":")[0] if "::" not in part else re.split(r"(?<!:):(?!:)", part)[0]
        found = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", part.strip())
        if found:
            names.append(found[1])
    words = re.findall(r"\w+", flat.split(",")[0])
    return names if len(words) >= 2 else []


def types_of(text):
    """Every class and struct with its public data members and its booleans."""
    found, stack = [], []
    start, i, line = 0, 0, 1
    code = bare(text)
    parentheses = 0

    def owner():
        # The members of an anonymous union or struct belong to the type around it.
        for s in reversed(stack):
            if s is None or s.kind == "block":
                return None
            if s.name:
                return s
        return None

    def note(statement, at):
        holder = owner()
        if holder is None or stack[-1] is None or stack[-1].kind == "block":
            return
        names = declarators(statement)
        for name in names:
            if holder.access == "public" and holder.kind == "class":
                holder.public_data.append((name, at))
        head = re.split(r"=(?!=)", statement, maxsplit=1)[0]
        if names and (BOOLEAN.search(re.sub(r"\(.*", "", head, flags=re.S)) or ONE_BIT.search(head + " ")):
            if not re.search(r"[<(][^<>]*\bbool\b", head.replace("atomic<bool>", "atomic_bool")) and not re.search(r"bool\s*\(\s*\*", head):
                holder.booleans.extend((name, at) for name in names)

    while i < len(code):
        c = code[i]
        if c == "\n":
            line += 1
        elif c == "(":
            parentheses += 1
        elif c == ")":
            parentheses = max(parentheses - 1, 0)
        elif c == "{":
            before = code[start:i]
            head = HEAD.search(before.strip())
            if head and parentheses == 0 and not re.search(r"\benum\s+$", before.strip()[: head.start()] + " "):
                s = scope(head[1], head[2] or "", line)
                if head[2]:
                    found.append(s)
                stack.append(s)
                start = i + 1
            elif re.search(r"\b(namespace|extern)\b[^;{}()]*$", before) and parentheses == 0:
                stack.append(None)
                start = i + 1
            else:
                # A function's body, an initialiser, an enum: skip to its end.
                depth, j = 1, i + 1
                while j < len(code) and depth:
                    depth += {"{": 1, "}": -1}.get(code[j], 0)
                    j += 1
                inner = code[i:j]
                line += inner.count("\n")
                i = j
                rest = re.match(r"\s*[;,.)]", code[i:])
                if parentheses == 0 and not rest:
                    start = i  # a function's body ends its declaration
                continue
        elif c == "}":
            if stack:
                stack.pop()
            start = i + 1
        elif c == ";" and parentheses == 0:
            if stack:
                note(code[start:i].strip(), line)
            start = i + 1
        elif c == ":" and stack and stack[-1] is not None and parentheses == 0:
            label = code[start:i].strip()
            if label in ("public", "private", "protected"):
                stack[-1].access = label
                start = i + 1
        i += 1
    return found


def comments_of(text):
    """(line, text, trailing) of every // comment, and of each line of a block of them."""
    for number, line in enumerate(text.splitlines(), 1):
        code = LITERAL.sub(blank, line)
        at = code.find("//")
        if at >= 0:
            words = line[at:].lstrip("/<!").strip()
            yield number, words, bool(code[:at].strip())


def check(root):
    errors = []  # (rule, file, name, line, text)
    for folder in ("src", "include"):
        for path in sorted((root / folder).rglob("*.[ch]pp")):
            name = path.relative_to(root).as_posix()
            for t in types_of(path.read_text(encoding="utf-8")):
                if t.public_data:
                    what = ", ".join(n for n, _ in t.public_data)
                    errors.append(("public-data", name, t.name, t.public_data[0][1], f"class {t.name} has public data members: {what}"))
                if len(t.booleans) > MOST_BOOLEANS and not t.name.endswith("_options"):
                    what = ", ".join(n for n, _ in t.booleans)
                    errors.append(("booleans", name, t.name, t.line, f"{t.kind} {t.name} has {len(t.booleans)} booleans ({what}): name its states"))
    for folder in ("src", "include", "tools"):
        for path in sorted((root / folder).rglob("*.[ch]pp")):
            name = path.relative_to(root).as_posix()
            for line, words, trailing in comments_of(path.read_text(encoding="utf-8")):
                opened = OPEN_SENTENCE.search(words)
                if opened:
                    errors.append(("comment", name, opened[1], line, f"a sentence that begins with '{opened[1]}' names no subject: {words}"))
                if trailing and len(words.split()) <= 3 and FRAGMENT.search(words):
                    errors.append(("comment", name, words.split()[0], line, f"a fragment that leans on another line: {words}"))
    for path in sorted((root / "include" / "muster").rglob("*.hpp")):
        name = path.relative_to(root).as_posix()
        if "/detail/" in name or path.name in NO_SUBJECT:
            continue
        stem = path.stem
        lines = path.read_text(encoding="utf-8").splitlines()
        # The thing itself, its plural's singular or a longer name of it: retry.hpp defines retry_policy.
        subject = re.compile(rf"^(?:class|struct|using|concept|enum class|inline|template|\[\[nodiscard|[\w:<>&\[\]* ]+[ &*])[^/]*\b(?:\w+_)?{stem.rstrip('s')}\w*\b")
        defined = [i for i, l in enumerate(lines, 1) if subject.match(l) and not l.startswith(("#", "//", "namespace"))]
        if not defined or defined[0] > LATEST_SUBJECT:
            where = defined[0] if defined else 0
            errors.append(("late-subject", name, stem, where or 1, f"'{stem}' comes at line {where or '(none)'}, not by {LATEST_SUBJECT}"))
    for path in sorted((root / "tests").rglob("*_test.cpp")):
        text = path.read_text(encoding="utf-8")
        for match in TEST.finditer(text):
            if not re.fullmatch(r"[a-z0-9_]+(_DeathTest)?", match[1]) or not re.fullmatch(r"[a-z0-9_]+", match[2]):
                line = text[: match.start()].count("\n") + 1
                errors.append(("test-name", path.relative_to(root).as_posix(), match[2], line, f"{match[1]}.{match[2]} is no sentence in snake_case"))
    return errors


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    excused, messages = {}, []
    table = root / "scripts" / "style_exceptions.txt"
    for number, text in enumerate(table.read_text(encoding="utf-8").splitlines() if table.exists() else [], 1):
        if not text.strip() or text.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+) (\S+) (\S+): (.{10,})", text)
        if not match:
            messages.append(f"{table.name}:{number}: a line is 'RULE FILE NAME: reason', not: {text}")
            continue
        excused[match[1], match[2], match[3]] = number
    used = set()
    errors = check(root)
    for rule, file, name, line, text in errors:
        if (rule, file, name) in excused:
            used.add((rule, file, name))
        else:
            messages.append(f"{file}:{line}: [{rule}] {text}")
    for key, number in excused.items():
        if key not in used:
            messages.append(f"{table.name}:{number}: excuses nothing, take it out: {' '.join(key)}")
    print("\n".join(messages + [f"{len(messages)} errors, {len(used)} exceptions"]))
    sys.exit(bool(messages))


if __name__ == "__main__":
    main()
