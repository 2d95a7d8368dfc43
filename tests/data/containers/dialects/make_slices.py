"""Cuts the first 8 rows of layer 0's k_proj out of checkpoints written by other tools.

usage: make_slices.py FIXTURES   (a folder of NAME/{config.json,model.safetensors.xz,golden.safetensors.xz})
Writes slices.safetensors (tensors "<fixture>.<suffix>") and slices.json: per fixture rows, cols, the
quantization_config and the SHA-256 of the float32 rows that the tool itself decoded (+0 for -0).
"""
import glob
import hashlib
import json
import lzma
import os
import struct
import sys

import numpy as np

MODULE = "model.layers.0.self_attn.k_proj"
ROWS, ALL_ROWS, COLS = 8, 128, 256
# Extent of the output rows in a stored tensor: (axis, rows per entry); None = not cut.
AXES = {"weight": (0, 1), "weight_packed": (0, 1), "weight_scale": (0, 1), "weight_zero_point": (0, 8),
        "qweight": (1, 1), "qzeros": (1, 8), "scales": (1, 1), "weight.absmax": (0, 64 / COLS)}
WIDTHS = {"I64": 8, "I32": 4, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1}


def read(path):
    data = lzma.open(path).read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return header, data[8 + size:]


def cut(suffix, info, raw, config):
    """Bytes and shape of the first ROWS rows."""
    shape = list(info["shape"])
    width = WIDTHS[info["dtype"]]
    array = np.frombuffer(raw, dtype=np.dtype(f"V{width}")).reshape(shape)
    if suffix == "weight_shape":
        return struct.pack("<qq", ROWS, COLS), shape
    if suffix.startswith("weight.quant_state"):
        state = json.loads(raw)
        state["shape"][0] = ROWS
        raw = json.dumps(state).encode()
        return raw, [len(raw)]
    if suffix == "weight.nested_absmax":
        array = array[:1]
    elif suffix in AXES:
        axis, per_entry = AXES[suffix]
        if suffix == "weight" and config["quant_method"] == "bitsandbytes":
            per_entry = 2 / COLS  # two codes per byte, all in one column
        if suffix == "qweight" and config["quant_method"] == "awq":
            per_entry = 8
        if len(shape) > axis and shape[axis] == int(ALL_ROWS / per_entry):
            array = array.take(range(int(ROWS / per_entry)), axis=axis)
    return np.ascontiguousarray(array).tobytes(), list(array.shape)


tensors, index = [], {}
for folder in sorted(glob.glob(f"{sys.argv[1]}/*/golden.json")):
    folder = os.path.dirname(folder)
    name = os.path.basename(folder)
    config = json.load(open(f"{folder}/config.json"))["quantization_config"]
    header, data = read(f"{folder}/model.safetensors.xz")
    for key in sorted(k for k in header if k.startswith(MODULE + ".")):
        suffix = key[len(MODULE) + 1:]
        begin, end = header[key]["data_offsets"]
        raw, shape = cut(suffix, header[key], data[begin:end], config)
        tensors.append((f"{name}.{suffix}", header[key]["dtype"], shape, raw))
    header, data = read(f"{folder}/golden.safetensors.xz")
    info = next(v for k, v in header.items() if k.startswith(MODULE) and "#" not in k)
    assert info["dtype"] == "F32" and info["shape"] == [ALL_ROWS, COLS], (name, info)
    begin = info["data_offsets"][0]
    rows = np.frombuffer(data[begin:begin + ROWS * COLS * 4], dtype="<f4") + np.float32(0)
    index[name] = {"rows": ROWS, "cols": COLS, "sha256_f32": hashlib.sha256(rows.tobytes()).hexdigest(),
                   "quantization_config": config}

header, data = {}, b""
for name, dtype, shape, raw in sorted(tensors, key=lambda t: -WIDTHS[t[1]]):
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with lzma.open("slices.safetensors.xz", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
json.dump(index, open("slices.json", "w"), indent=1)
