#!/usr/bin/env python3
"""Bounds the length of C++ files and functions; prints what is near a limit, fails on what is over.

Headers: 200 lines warn. Sources: 400 warn, 600 fail unless a comment line starts with `// Length:` and
gives the reason, 800 fail. Functions: 70 lines warn, 120 fail. Tables (*.inc) are exempt.
"""
import pathlib
import re
import sys

HEADER_WARN, SOURCE_WARN, REASON, FILE_FAIL = 200, 400, 600, 800
FUNCTION_WARN, FUNCTION_FAIL = 70, 120
# Text in which braces do not count, replaced by blanks of the same number of lines.
OPAQUE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                    re.S)
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^;(){}]*$")


def blank(match):
    # A digit separator (1'000'000) looks like a character literal; the value does not matter here.
    return "\n" * match[0].count("\n")


def functions(text):
    """Yields (first line, lines, name) of every outermost brace pair that follows a parenthesis."""
    text = OPAQUE.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", text))
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)
    depth_of_function, depth, start, line, head = None, 0, 0, 1, ""
    for character in text:
        if character == "\n":
            line += 1
        if character == "{":
            if depth_of_function is None and ")" in head and not SCOPE.search(head):
                depth_of_function, start = depth, line
                name = re.search(r"([\w:~]+)\s*\(", head)
                named = name[1] if name else "?"
            depth += 1
            head = ""
        elif character == "}":
            depth -= 1
            if depth_of_function == depth:
                yield start, line - start + 1, named
                depth_of_function = None
            head = ""
        elif character == ";":
            head = ""
        else:
            head += character


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    failures, warnings, files, reasons = [], [], 0, 0
    for top in ("include", "src", "tests"):
        for path in sorted([*(root / top).rglob("*.h"), *(root / top).rglob("*.cpp")]):
            files += 1
            name, text = path.relative_to(root), path.read_text(encoding="utf-8")
            lines = text.count("\n")
            reason = re.search(r"^// Length: \S", text, re.M)
            if lines > FILE_FAIL or (lines > REASON and not reason):
                failures.append(f"{name}: {lines} lines; split it")
            elif lines > (HEADER_WARN if path.suffix == ".h" else SOURCE_WARN):
                warnings.append(f"{name}: {lines} lines{', with a reason' if reason else ''}")
                reasons += bool(reason)
            for start, length, function in functions(text):
                if length > FUNCTION_FAIL:
                    failures.append(f"{name}:{start}: {function} has {length} lines; split it")
                elif length > FUNCTION_WARN:
                    warnings.append(f"{name}:{start}: {function} has {length} lines")
    for warning in warnings:
        print("long:", warning)
    print("\n".join(failures) or f"{files} files, nothing fails; long: {reasons} with a stated reason, "
          f"{len(warnings) - reasons} within what is allowed without")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
