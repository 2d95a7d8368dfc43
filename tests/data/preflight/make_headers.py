"""The configuration and the tensor headers (no data) of checkpoints written by other tools.

usage: make_headers.py FIXTURES   (a folder of NAME/{config.json,model.safetensors.xz})
Writes headers.json: per fixture its config.json and [name, dtype, shape] of every tensor.
"""
import glob
import json
import lzma
import os
import struct
import sys

index = {}
for path in sorted(glob.glob(f"{sys.argv[1]}/*/model.safetensors.xz")):
    folder = os.path.dirname(path)
    data = lzma.open(path).read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    config = json.load(open(f"{folder}/config.json"))
    config.get("quantization_config", {}).pop("meta", None)
    index[os.path.basename(folder)] = {
        "config": config,
        # One block of two is enough.
        "tensors": [[k, v["dtype"], v["shape"]] for k, v in header.items() if ".layers.1." not in k]}
json.dump(index, open("headers.json", "w"), indent=None, separators=(",", ":"))
