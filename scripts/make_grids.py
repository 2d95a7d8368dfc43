#!/usr/bin/env python3
"""Tabulates the code books of the i-quants as src/formats/blocks/grid_<name>.inc.

usage: make_grids.py GGML_COMMON_H OUT

GGML_COMMON_H: ggml/src/ggml-common.h of llama.cpp, where a point is an integer of 8 (iq3: 4) bytes,
one per value. OUT: here a point is 16 bits from the first value up: 8 values of 2 bits, or 4 of 4,
each the number of its level (src/formats/blocks/grids.h).
"""
import pathlib
import re
import sys

# name in ggml, name here, values per point, bits per value, levels
GRIDS = (
    ("iq1s_grid", "iq1", 8, 2, (0xFF, 0, 1)),
    ("iq2xxs_grid", "iq2_xxs", 8, 2, (8, 25, 43)),
    ("iq2xs_grid", "iq2_xs", 8, 2, (8, 25, 43)),
    ("iq2s_grid", "iq2_s", 8, 2, (8, 25, 43)),
    ("iq3xxs_grid", "iq3_xxs", 4, 4, (4, 12, 20, 28, 36, 44, 52, 62)),
    ("iq3s_grid", "iq3_s", 4, 4, (1, 3, 5, 7, 9, 11, 13, 15)),
)
PER_LINE = 12


def main():
    text, out = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
    for ggml_name, name, values, bits, levels in GRIDS:
        table = re.search(rf"GGML_TABLE_BEGIN\(\w+, {ggml_name}, \w+\)(.*?)GGML_TABLE_END", text, re.S)
        points = []
        for word in re.findall(r"0x[0-9a-f]+", table[1]):
            stored = int(word, 16).to_bytes(values, "little")
            points.append(sum(levels.index(byte) << bits * j for j, byte in enumerate(stored)))
        lines = [f"// {len(points)} points: {ggml_name} of ggml-common.h through scripts/make_grids.py."]
        for at in range(0, len(points), PER_LINE):
            lines.append(" ".join(f"0x{point:04x}," for point in points[at : at + PER_LINE]))
        (out / f"grid_{name}.inc").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
