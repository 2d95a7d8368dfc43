#!/usr/bin/env python3
"""Fails when a library's header is included outside the one .cpp that hides it (docs/dependencies.md)."""
import pathlib
import re
import sys

# What the header's name starts with → the only files that may include it, as globs below the root.
HIDDEN = {
    "nlohmann/": ["src/core/json.cpp"],
    "openssl/": ["src/core/hash.cpp"],
    "xxhash.h": ["src/core/hash.cpp"],
    "pcre2.h": ["src/core/regex.cpp"],
    "Eigen/": ["src/calibrate/error_feedback.cpp"],
    "utf8proc.h": ["src/model/tokenizer/unicode.cpp"],
    "CLI/": ["src/cli/*.cpp"],
    "fmt/": ["src/**/*.cpp", "tests/**/*.cpp"],
    "gtest/": ["src/**/*_test.cpp", "src/**/*_test_files.h", "src/**/*_fixtures.h", "tests/**/*.cpp"],
    "gmock/": ["src/**/*_test.cpp", "tests/**/*.cpp"],
    "benchmark/": ["src/**/*_bench.cpp"],
}
# C, POSIX, kernel and compiler headers; C++ standard headers are the names without '.' and '/'.
SYSTEM = re.compile(
    r"^([a-z_0-9]+|(sys|linux)/\w+\.h|(unistd|fcntl|sched|dirent|signal|cpuid|immintrin|stddef|stdint|poll"
    r"|time|float|malloc|math|string|termios|pthread|arm_neon)\.h)$")
INCLUDE = re.compile(r"^\s*#\s*include\s*<([^>]+)>", re.M)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    failures, uses = [], {name: 0 for name in HIDDEN}
    places = {name: {p for glob in globs for p in root.glob(glob)} for name, globs in HIDDEN.items()}
    for top in ("src", "include", "tests"):
        for path in sorted([*(root / top).rglob("*.h"), *(root / top).rglob("*.cpp")]):
            text = path.read_text(encoding="utf-8")
            for match in INCLUDE.finditer(text):
                library = next((name for name in HIDDEN if match[1].startswith(name)), None)
                line = f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}"
                if library is None:
                    if not SYSTEM.match(match[1]):
                        failures.append(f"{line}: <{match[1]}> is of no library in docs/dependencies.md")
                    continue
                uses[library] += 1
                if path not in places[library]:
                    failures.append(f"{line}: <{match[1]}> belongs in {' '.join(HIDDEN[library])} only")
    failures += [f"no file includes <{name}>: drop it from the tables and packages"
                 for name, count in uses.items() if count == 0 and name not in ("benchmark/", "gmock/")]
    print("\n".join(failures) or f"{sum(uses.values())} includes of libraries, all in their places")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
