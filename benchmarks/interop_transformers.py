#!/usr/bin/env python3
"""Do transformers and quantlane compute the same logits from the same folder?

    interop_transformers.py CKPT --python PYTHON --hf-check FILE --text TEXT [--lanes A,B,…]
        [--calibration TEXT]

PYTHON has torch, transformers, compressed-tensors, accelerate, and for awq, gptq and nf4 gptqmodel, optimum and
bitsandbytes; FILE is shared/scripts/hf_check.py. Each lane is quantized, loaded by transformers in float32, and the
logits of the first 256 tokens of TEXT are compared. Exit status 1 where a lane does not load or KL(transformers ||
quantlane) is above what the roundings of both explain (LANES).
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from measure import QUANTLANE, machine, timed

# The largest KLD in nats. Where only weights are rounded, both compute with the same float32 weights. Rounded inputs
# are chaotic (docs/decisions/0005): a sum in another order falls on another step, and deep models amplify it; the limit
# is that of the canary, SmolLM2 reaches .04. gptqmodel decodes to f16 where engines that run the checkpoint's bf16 round
# to that; bitsandbytes' kernel for CPUs computes in bf16. No w4a16-asym: transformers 5.24 with compressed-tensors 0.20
# refuses packed zero points, those of llm-compressor's own files as well: interop_compressed_tensors.py decodes them.
EXACT, CHAOTIC, OTHER_ROUNDING = 1e-6, 0.002, 0.003
LANES = {"fp8": CHAOTIC, "fp8-static": CHAOTIC, "fp8-block": CHAOTIC, "w8a8": CHAOTIC, "w8a8-static": CHAOTIC,
         **{lane: EXACT for lane in ("w4a16", "w2a16-channel", "w3a16-g32", "w5a16", "w6a16-channel", "w7a16-g64", "w8a16-g16",
                                       "w4a16 --tensor-type down_proj=w8a16-channel")},
         "nvfp4a16": EXACT, "mxfp4a16": EXACT, "awq": EXACT, "awq-g32": EXACT, "gptq": OTHER_ROUNDING, "gptq-int8": OTHER_ROUNDING,
         "gptq-int3-channel": OTHER_ROUNDING, "gptq-v2": OTHER_ROUNDING, "gptq-v2-asym": OTHER_ROUNDING, "nf4": OTHER_ROUNDING}


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def compare(options, lane, scratch):
    """(KLD, largest difference of logits, their range, top-1 agreement)."""
    folder, part, ids = scratch / "lane", scratch / "part.txt", scratch / "ids.json"
    timed([QUANTLANE, "quantize", options.checkpoint, *lane.split(), "-o", folder, "-f", "-q",
           *(["--calibration-text", options.calibration] if options.calibration else [])])
    part.write_text(options.text.read_text(encoding="utf-8")[:4000], encoding="utf-8")
    tokens = timed([QUANTLANE, "tokenize", folder, "--file", part])[2].split()[:256]
    ids.write_text(json.dumps({"input_ids": [int(token) for token in tokens]}), encoding="utf-8")
    ours, theirs = scratch / "ours.npy", scratch / "theirs.npz"
    timed([QUANTLANE, "eval", folder, "--ids", ids, "--logits", ours, "-q"])
    done = subprocess.run([options.python, options.hf_check, folder, "--ids", ids, "--out", theirs],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-300:].replace("\n", " "))
    a, b = np.load(theirs)["logits"].astype(np.float64), np.load(ours).astype(np.float64)
    p, q = log_softmax(a), log_softmax(b)
    return ((np.exp(p) * (p - q)).sum(-1).mean(), np.abs(a - b).max(), a.max() - a.min(),
            (a.argmax(-1) == b.argmax(-1)).mean())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--hf-check", required=True, type=pathlib.Path)
    parser.add_argument("--text", required=True, type=pathlib.Path)
    parser.add_argument("--lanes", default=",".join(LANES))
    parser.add_argument("--calibration", type=pathlib.Path)
    options = parser.parse_args()
    print(machine())
    print("\n| lane | KLD, nats | at most | largest difference | top-1 |\n| --- | --- | --- | --- | --- |")
    failed = []
    for lane in options.lanes.split(","):
        with tempfile.TemporaryDirectory(prefix="quantlane-transformers-") as scratch:
            try:
                kld, apart, extent, agree = compare(options, lane, pathlib.Path(scratch))
            except RuntimeError as error:
                failed.append(lane)
                print(f"| {lane} | does not load: {error} |", flush=True)
                continue
        most = LANES.get(lane, EXACT)
        if not kld <= most:
            failed.append(lane)
        print(f"| {lane} | {kld:.2g} | {most:g} | {apart:.2g} of {extent:.3g} | {agree:.1%} |", flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
