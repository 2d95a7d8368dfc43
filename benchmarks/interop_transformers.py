#!/usr/bin/env python3
"""Do transformers and quantlane compute the same logits from the same compressed-tensors folder?

    python3 benchmarks/interop_transformers.py QUANTLANE HF_CHECK TEXT FOLDER...

QUANTLANE: the binary; HF_CHECK: shared/scripts/hf_check.py, run with this Python (torch,
transformers, compressed-tensors, safetensors, numpy); TEXT: any UTF-8 file, its first 256 tokens
are used. Prints for each folder the perplexity that transformers computes, KL(transformers ||
quantlane), the largest logit difference and top-1 agreement.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def main():
    binary, hf_check, text, *folders = sys.argv[1:]
    for folder in folders:
        with tempfile.TemporaryDirectory() as temporary:
            part = os.path.join(temporary, "part.txt")
            with open(text, encoding="utf-8") as source, open(part, "w", encoding="utf-8") as target:
                target.write(source.read(4000))
            ids = subprocess.run([binary, "tokenize", folder, "--file", part], check=True,
                                 capture_output=True, text=True).stdout.split()[:256]
            ids_json = os.path.join(temporary, "ids.json")
            with open(ids_json, "w", encoding="utf-8") as out:
                json.dump({"input_ids": [int(i) for i in ids]}, out)
            ours = os.path.join(temporary, "ours.npy")
            theirs = os.path.join(temporary, "theirs.npz")
            subprocess.run([binary, "eval", folder, "--ids", ids_json, "--logits", ours, "-q"], check=True,
                           stdout=subprocess.DEVNULL)
            log = subprocess.run([sys.executable, hf_check, folder, "--ids", ids_json, "--out", theirs],
                                 check=True, capture_output=True, text=True).stdout
            a = np.load(theirs)["logits"].astype(np.float64)
            b = np.load(ours).astype(np.float64)
            p, q = log_softmax(a), log_softmax(b)
            kld = (np.exp(p) * (p - q)).sum(-1).mean()
            print(f"{os.path.basename(folder.rstrip('/'))}: {log.strip().splitlines()[0]}; "
                  f"{log.strip().splitlines()[-1]}; KLD {kld:.3g} nats, max logit difference "
                  f"{np.abs(a - b).max():.3g} (range {a.max() - a.min():.3g}), "
                  f"top-1 {100 * (a.argmax(-1) == b.argmax(-1)).mean():.2f} %", flush=True)


main()
