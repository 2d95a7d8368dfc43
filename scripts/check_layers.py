#!/usr/bin/env python3
"""Fails on an include that goes up or sideways between the folders of src/ (ARCHITECTURE.md), and on two
headers that define a type of the same name: the linker would keep one and destroy objects with it.

All of src/ is one include root, so the linker alone would accept such an include.
"""
import pathlib
import re
import sys

# Lowest first. A folder may use itself and every line above; folders of one line never meet.
LAYERS = [
    ["core"],
    ["tensor"],
    ["formats"],
    ["containers", "kernels"],
    ["model"],
    ["runtime"],
    ["calibrate", "train"],
    ["quantize", "eval", "bench", "serve"],
    ["recommend"],
    ["report"],
    ["api"],
]
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
TYPE = re.compile(r"^(?:namespace ([\w:]+) \{|(?:struct|class|enum class) (?:alignas\([^)]*\) )?(\w+)\b(?!::)[^;\n]*\{)", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"/]+)/', re.M)


def allowed(user, used):
    if used == user or used == "quantlane":  # include/quantlane: types that every layer may use
        return True
    if user in ("cli", "quantlane"):  # the program sees the public headers only; those see nothing
        return False
    return used in LEVEL and LEVEL[used] < LEVEL[user]


def types_of(text):
    """Names of the types that a header defines outside other types, with their namespaces."""
    namespace, names = "", []
    for match in TYPE.finditer(text):
        if match[1]:
            namespace = match[1]
        else:
            names.append(f"{namespace}::{match[2]}")
    return names


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    failures, seen, homes = [], 0, {}
    folders = [p for p in (root / "src").iterdir() if p.is_dir()] + [root / "include" / "quantlane"]
    for folder in sorted(folders):
        if folder.name not in LEVEL and folder.name not in ("cli", "quantlane"):
            failures.append(f"{folder}: not in the table of scripts/check_layers.py")
            continue
        for path in sorted([*folder.rglob("*.h"), *folder.rglob("*.cpp"), *folder.rglob("*.inc")]):
            text = path.read_text(encoding="utf-8")
            for name in types_of(text) if path.suffix == ".h" else []:
                if homes.setdefault(name, path) != path:
                    failures.append(f"{path.relative_to(root)}: {name} is also defined in "
                                    f"{homes[name].relative_to(root)}")
            for match in INCLUDE.finditer(text):
                seen += 1
                if not allowed(folder.name, match[1]):
                    line = text.count("\n", 0, match.start()) + 1
                    failures.append(f"{path.relative_to(root)}:{line}: "
                                    f"{folder.name} must not include {match[1]}/")
    print("\n".join(failures) or f"{seen} includes between folders, all downwards")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
