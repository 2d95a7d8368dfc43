"""Cuts the first rows of layer 0's k_proj out of checkpoints written by llm-compressor.

usage: make_slices.py FIXTURES   (folder of ct-*/{config.json,model,golden}.safetensors.xz)
Writes slices.safetensors (tensors "<fixture>.<suffix>") and slices.json: per fixture rows, cols, the
quantization_config and the SHA-256 of the float32 rows that compressed-tensors itself decoded.
"""
import hashlib
import json
import lzma
import struct
import sys

NAMES = ["ct-fp8-dynamic-channel", "ct-int8-w8a8-dynamic", "ct-w4a16-sym-g128",
         "ct-w4a16-awq-asym-g128", "ct-w4a16-gptq-static-g128", "ct-w4a16-gptq-gidx-g128"]
MODULE = "model.layers.0.self_attn.k_proj"
ROWS = 8


def read(path):
    data = lzma.open(path).read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return header, data[8 + size:]


out_header, out_data, index = {}, b"", {}
for name in NAMES:
    folder = f"{sys.argv[1]}/{name}"
    header, data = read(f"{folder}/model.safetensors.xz")
    for key in sorted(k for k in header if k.startswith(MODULE + ".")):
        suffix = key[len(MODULE) + 1:]
        info = header[key]
        begin, end = info["data_offsets"]
        raw, shape = data[begin:end], list(info["shape"])
        if suffix == "weight_shape":
            raw = struct.pack("<qq", ROWS, shape_k)
        elif suffix != "weight_g_idx":
            rows = ROWS // 8 if suffix == "weight_zero_point" else ROWS
            raw = raw[:len(raw) // shape[0] * rows]
            shape[0] = rows
            if suffix in ("weight", "weight_packed"):
                shape_k = shape[1] * (8 if suffix == "weight_packed" else 1)
        out_data += b"\0" * (-len(out_data) % 8)
        out_header[f"{name}.{suffix}"] = {"dtype": info["dtype"], "shape": shape,
                                          "data_offsets": [len(out_data), len(out_data) + len(raw)]}
        out_data += raw
    header, data = read(f"{folder}/golden.safetensors.xz")
    key = next(k for k in header if k.startswith(MODULE) and "#" not in k)
    info = header[key]
    assert info["dtype"] == "F32" and info["shape"][1] == shape_k, (key, info)
    begin = info["data_offsets"][0]
    rows = data[begin:begin + ROWS * shape_k * 4]
    config = json.load(open(f"{folder}/config.json"))["quantization_config"]
    index[name] = {"rows": ROWS, "cols": shape_k, "sha256_f32": hashlib.sha256(rows).hexdigest(),
                   "quantization_config": config}
text = json.dumps(out_header).encode()
text += b" " * (-len(text) % 8)
open("slices.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + out_data)
json.dump(index, open("slices.json", "w"), indent=1)
