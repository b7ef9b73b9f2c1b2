#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_headers.py [--jobs N] INCLUDE_DIR -- COMPILER ARG...: every public header compiles alone, without a warning,
and all of them together, and brings in nothing but muster and the standard library (what the standard library's own headers reach is part of it).
Integrations may bring in the library that they are about, see THIRD_PARTY; those of Boost are skipped where there is none.
"""
import argparse
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

# All that a C++20 header may name; those that a compiler lacks are passed over. cxxabi.h is the C++ runtime's own.
STANDARD = """algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes
climits clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio
cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list fstream functional
future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory memory_resource
mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore set shared_mutex
source_location span sstream stack stdexcept stop_token streambuf string string_view strstream syncstream system_error
thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector version
cxxabi.h""".split()

NEED_BOOST = ("muster/asio.hpp", "muster/asio/")
# The headers that show a third party's types, by the beginning of their names, and how its files' paths look.
THIRD_PARTY = {"muster/postgres": "/nlohmann/", "muster/process_pool": "/nlohmann/"}


def dependencies(compiler, source, output):
    """Compiles `source` and returns what it read, or the diagnostics."""
    done = subprocess.run([*compiler, "-fsyntax-only", "-MD", "-MF", output, source], capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        return None, done.stderr or f"exit status {done.returncode}"
    words = pathlib.Path(output).read_text().replace("\\\n", " ").split()[1:]
    return {pathlib.Path(word).resolve() for word in words}, ""


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("include", type=pathlib.Path)
    arguments = parser.parse_args(sys.argv[1:split])
    compiler, include = sys.argv[split + 1 :], arguments.include.resolve()
    headers = sorted(include.rglob("*.hpp"))
    if not headers:
        sys.exit(f"no header under {include}")

    with tempfile.TemporaryDirectory(prefix="headers-") as folder:
        scratch = pathlib.Path(folder)
        source = scratch / "standard.cpp"
        source.write_text("".join(f"#if __has_include(<{s}>)\n#include <{s}>\n#endif\n" for s in STANDARD))
        # Some of the standard's headers warn that they are deprecated.
        standard, diagnostics = dependencies([*compiler, "-w"], source, scratch / "standard.d")
        if standard is None:
            sys.exit(f"the standard headers do not compile:\n{diagnostics}")

        source.write_text("#include <boost/version.hpp>\n#if BOOST_VERSION < 108100\n#error too old\n#endif\n")
        has_boost = dependencies(compiler, source, scratch / "boost.d")[0] is not None
        need_boost = [h for h in headers if h.relative_to(include).as_posix().startswith(NEED_BOOST)]
        if not has_boost:
            headers = [h for h in headers if h not in need_boost]
            print(f"{len(need_boost)} headers need Boost 1.81 or later, which is not there, and are skipped")

        def check(numbered):
            number, header = numbered
            name = header.relative_to(include)
            source = scratch / f"{number}.cpp"
            # Twice, so that a header without `#pragma once` is found as well.
            source.write_text(f"#include <{name}>\n#include <{name}>\n")
            read, diagnostics = dependencies(compiler, source, scratch / f"{number}.d")
            if read is None:
                return f"{name} does not compile alone:\n{diagnostics}"
            foreign = sorted(str(f) for f in read - standard if include not in f.parents and f != source.resolve())
            # An implementation header of the compiler's that only one of its intrinsics reaches is no third party's.
            foreign = [f for f in foreign if "/c++/" not in f and "/lib/gcc/" not in f and "/lib/clang/" not in f]
            for beginning, path in THIRD_PARTY.items():
                if str(name).startswith(beginning):
                    foreign = [f for f in foreign if path not in f]
            if foreign and header not in need_boost:
                # The shortest path is the likeliest culprit; the rest is what it includes in turn.
                foreign.sort(key=len)
                more = [f"and {len(foreign) - 5} more"] if len(foreign) > 5 else []
                shown = "\n  ".join(foreign[:5] + more)
                return f"{name} brings in what is neither muster's nor the standard library's:\n  {shown}"
            return None

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            wrong = [w for w in pool.map(check, enumerate(headers)) if w]
        source = scratch / "together.cpp"
        source.write_text("".join(f"#include <{h.relative_to(include)}>\n" for h in headers))
        read, diagnostics = dependencies(compiler, source, scratch / "together.d")
        if read is None:
            wrong.append(f"the headers do not compile together:\n{diagnostics}")
    print("\n".join(wrong + [f"{len(headers)} headers, {len(wrong)} wrong"]))
    sys.exit(bool(wrong))


main()
