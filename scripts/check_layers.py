#!/usr/bin/env python3
"""Fails on an include that goes up or sideways between the folders of src/ (ARCHITECTURE.md).

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
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"/]+)/', re.M)


def allowed(user, used):
    if used == user or used == "quantlane":  # include/quantlane: types that every layer may use
        return True
    if user in ("cli", "quantlane"):  # the program sees the public headers only; those see nothing
        return False
    return used in LEVEL and LEVEL[used] < LEVEL[user]


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    failures, seen = [], 0
    folders = [p for p in (root / "src").iterdir() if p.is_dir()] + [root / "include" / "quantlane"]
    for folder in sorted(folders):
        if folder.name not in LEVEL and folder.name not in ("cli", "quantlane"):
            failures.append(f"{folder}: not in the table of scripts/check_layers.py")
            continue
        for path in sorted([*folder.rglob("*.h"), *folder.rglob("*.cpp"), *folder.rglob("*.inc")]):
            text = path.read_text(encoding="utf-8")
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
