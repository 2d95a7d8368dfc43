#!/usr/bin/env python3
"""Extracts small golden files of ggml block types from GGUF fixtures.

usage: make_golden_blocks.py FIXTURES OUT

FIXTURES: a folder with gguf/tiny-TYPE.gguf.xz, files that llama-quantize wrote, and
goldens/TYPE.json + TYPE.first512.f32.xz, the values that libggml's to_float gives for them.
OUT/<type>.bin: the raw blocks of the first 512 values of two tensors, then those 1024 values as
little-endian float32. Block sizes are in src/formats; the file has no header.
"""
import json
import lzma
import pathlib
import struct
import sys

VALUES = 512
SCALAR_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, code):
        size = struct.calcsize("<" + code)
        value = struct.unpack_from("<" + code, self.data, self.at)[0]
        self.at += size
        return value

    def text(self):
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def skip_value(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            element, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.at += SCALAR_SIZES[kind]


def tensor_offsets(data):
    """Name -> absolute offset of every tensor of a GGUF file with the default alignment."""
    reader = Reader(data)
    assert reader.data[:4] == b"GGUF"
    reader.at = 8
    tensor_count, pair_count = reader.number("Q"), reader.number("Q")
    for _ in range(pair_count):
        reader.text()
        reader.skip_value(reader.number("I"))
    offsets = {}
    for _ in range(tensor_count):
        name = reader.text()
        for _ in range(reader.number("I")):
            reader.number("Q")
        reader.number("I")
        offsets[name] = reader.number("Q")
    start = (reader.at + 31) // 32 * 32
    return {name: start + offset for name, offset in offsets.items()}


def extract(fixtures, golden):
    kind = golden["type"]
    data = lzma.decompress((fixtures / "gguf" / golden["file"]).read_bytes())
    values = lzma.decompress((fixtures / "goldens" / f"{kind}.first512.f32.xz").read_bytes())
    offsets = tensor_offsets(data)
    blocks, floats = b"", b""
    chosen = [n for n, t in golden["tensors"].items() if t["type"] == kind][:2]
    for name in chosen:
        tensor = golden["tensors"][name]
        count = tensor["shape"][0] * tensor["shape"][1]
        size = tensor["n_bytes"] * VALUES // count
        blocks += data[offsets[name] : offsets[name] + size]
        first, available = tensor["first"]
        assert available == VALUES
        floats += values[4 * first : 4 * (first + VALUES)]
    return blocks + floats


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((fixtures / "goldens").glob("*.json")):
        golden = json.loads(path.read_text())
        if golden["type"] in ("F32", "F16", "BF16"):
            continue
        (out / (golden["type"].lower() + ".bin")).write_bytes(extract(fixtures, golden))


if __name__ == "__main__":
    main()
