#!/usr/bin/env python3
"""Speed of `quantlane eval` over that of PyTorch on the same checkpoint, tokens and threads.

    prefill_vs_torch.py CHECKPOINT TEXT [--chunks N] [--chunk N] [--threads N] [--repeats N]

Both run the model over the same chunks and score the second half of each; PyTorch computes in float32
(transformers, the logits of the scored half only). Repeats alternate between the two; each counts
the time beyond that of one chunk, so start-up and loading are in neither. Prints medians and their
ratio, and fails when the two perplexities differ by more than half a per cent: then they did not do
the same work. Needs torch and transformers.
"""
import argparse
import json
import math
import pathlib
import statistics
import time

from measure import QUANTLANE, machine, timed

import torch
import transformers


class Torch:
    def __init__(self, options):
        torch.set_num_threads(options.threads)
        tokenizer = transformers.AutoTokenizer.from_pretrained(options.checkpoint)
        text = options.text.read_text(encoding="utf-8")
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        count = min(options.chunks, len(ids) // options.chunk)
        self.chunks = torch.tensor(ids[:count * options.chunk]).view(count, 1, options.chunk)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            options.checkpoint, dtype=torch.float32).eval()

    @torch.inference_mode()
    def run(self, count):
        """(seconds, perplexity) of the first chunks."""
        half, loss, started = self.chunks.shape[2] // 2, 0.0, time.monotonic()
        for ids in self.chunks[:count]:
            logits = self.model(ids, logits_to_keep=half + 1, use_cache=False).logits[0, :-1]
            loss += torch.nn.functional.cross_entropy(logits, ids[0, half:], reduction="sum").item()
        return time.monotonic() - started, math.exp(loss / (count * half))


def quantlane(options, count):
    seconds, _, output = timed([QUANTLANE, "eval", options.checkpoint, "--text", options.text, "--chunk",
                                options.chunk, "--chunks", count, "--threads", options.threads, "--json"])
    return seconds, json.loads(output)["ppl"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--chunks", type=int, default=9)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, float32, "
          f"{options.threads} threads, {options.chunks} chunks of {options.chunk} tokens")
    rival = Torch(options)
    options.chunks = len(rival.chunks)
    if options.chunks < 2:
        raise SystemExit(f"{options.text}: too short for two chunks")
    rival.run(1)  # warm up
    quantlane(options, 1)
    rates = {"quantlane": [], "torch": []}
    for _ in range(options.repeats):
        for name, run in (("quantlane", lambda n: quantlane(options, n)), ("torch", rival.run)):
            one, _ = run(1)
            full, perplexity = run(options.chunks)
            rates[name].append((options.chunks - 1) * options.chunk / (full - one))
            print(f"{name:<10} {rates[name][-1]:8.1f} tokens/s   perplexity {perplexity:.4f}", flush=True)
            if name == "quantlane":
                ours = perplexity
    ratio = statistics.median(rates["quantlane"]) / statistics.median(rates["torch"])
    print(f"ratio quantlane / torch: {ratio:.2f}")
    if abs(math.log(ours / perplexity)) > 0.005:
        raise SystemExit(f"perplexities differ: {ours:.4f} and {perplexity:.4f}")


if __name__ == "__main__":
    main()
