#!/usr/bin/env python3
"""Does the library compressed-tensors decode packed integers to the values that quantlane reads?

    interop_compressed_tensors.py CKPT --python PYTHON [--lanes A,B,…]

PYTHON has torch and compressed-tensors. Each lane is quantized, every Linear of the folder decompressed by the library
in float32 and compared with `quantlane convert --to f32`, value by value. This is how packed zero points are checked,
which transformers 5.24 does not load. Exit status 1 where a value differs.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from measure import QUANTLANE, machine, timed

LANES = [f"w{bits}a16{zeros}-{groups}" for bits in range(2, 9) for zeros, groups in (("", "channel"), ("-asym", "g32"))] + [
    "w3a16-g64", "w4a16-asym-channel", "w5a16-asym-channel"]

# Runs in PYTHON: argv is the quantized folder and the decoded one.
DECODE = """
import json, pathlib, sys
import torch
from safetensors.torch import load_file
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig

folder, plain = (pathlib.Path(path) for path in sys.argv[1:])
config = json.loads((folder / "config.json").read_text())["quantization_config"]
schemes = list(QuantizationConfig.model_validate(config).config_groups.values())
stored, want = (load_file(path / "model.safetensors") for path in (folder, plain))
modules = sorted(name.removesuffix(".weight_packed") for name in stored if name.endswith(".weight_packed"))
differing = values = 0
for module in modules:
    part = {name.removeprefix(module + "."): tensor for name, tensor in stored.items() if name.startswith(module + ".")}
    part["weight_scale"] = part["weight_scale"].float()
    got = PackedQuantizationCompressor.decompress(part, schemes[0])["weight"].float()
    differing += int((got != want[module + ".weight"]).sum())
    values += got.numel()
print(json.dumps([len(modules), values, differing]))
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--lanes", default=",".join(LANES))
    options = parser.parse_args()
    print(machine())
    print("\n| lane | Linears | values | that differ |\n| --- | --- | --- | --- |")
    failed = []
    for lane in options.lanes.split(","):
        with tempfile.TemporaryDirectory(prefix="quantlane-compressed-tensors-") as scratch:
            folder, plain = pathlib.Path(scratch) / "lane", pathlib.Path(scratch) / "plain"
            timed([QUANTLANE, "quantize", options.checkpoint, lane, "-o", folder, "-q", "--data-free"])
            timed([QUANTLANE, "convert", folder, plain, "--to", "f32", "-q"])
            done = subprocess.run([options.python, "-c", DECODE, folder, plain], capture_output=True, text=True, check=False)
        if done.returncode:
            failed.append(lane)
            print(f"| {lane} | {done.stderr.strip()[-300:]} |", flush=True)
            continue
        linears, values, differing = json.loads(done.stdout)
        if differing or not values:
            failed.append(lane)
        print(f"| {lane} | {linears} | {values} | {differing} |", flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
