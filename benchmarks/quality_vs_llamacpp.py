#!/usr/bin/env python3
"""KLD of GGUF files by quantlane beside those by llama-quantize, all measured by llama.cpp.

    LLAMACPP_BIN=DIR quality_vs_llamacpp.py CKPT --calibration TEXT --text TEXT [--chunks 16]
        [--types q4_k_m,iq4_xs,q3_k_m,q2_k] [--algorithms +gptq,] [--threads 2]

One importance matrix (quantlane imatrix on --calibration) serves both programs. For each type: the file of
llama-quantize, the file of quantlane with each of --algorithms (empty: the lane's own), and the file that
quantlane makes with types of its own at the size of llama-quantize's (--target-size). llama-perplexity
--kl-divergence measures all against the bf16 model; 8-bit activations are part of its figures.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile
import time

from measure import QUANTLANE, machine


def run(*command):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n"
                         f"{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr


class Bench:
    def __init__(self, options, scratch):
        self.options, self.scratch = options, scratch
        self.binaries = pathlib.Path(os.environ["LLAMACPP_BIN"])
        self.source, self.base = scratch / "bf16.gguf", scratch / "base.kld"
        self.imatrix = scratch / "imatrix.gguf"

    def perplexity(self, model, *more):
        return run(self.binaries / "llama-perplexity", "-m", model, "-f", self.options.text, "-c", 512, "-b",
                   512, "--chunks", self.options.chunks, "-t", self.options.threads, "-ngl", 0,
                   "--kl-divergence-base", self.base, *more)

    def prepare(self):
        run(QUANTLANE, "convert", self.options.checkpoint, self.source, "--to", "bf16", "-q")
        run(QUANTLANE, "imatrix", self.options.checkpoint, "--text", self.options.calibration, "-o",
            self.imatrix, "--chunk", 512, "--chunks", 32, "--threads", self.options.threads, "-q")
        self.perplexity(self.source)

    def kld(self, model):
        for _ in range(20):  # its log thread sometimes loses the last lines, more often on a busy machine
            text = self.perplexity(model, "--kl-divergence")
            found = re.search(r"Mean\s+KLD:\s+([\d.]+)\s+\S+\s+([\d.]+)", text)
            if found:
                return float(found[1]), float(found[2])
        raise SystemExit(f"no KLD in the output of llama-perplexity:\n{text[-1000:]}")

    def row(self, name, command, out, against=None):
        started = time.monotonic()
        run(*command)
        seconds, size = time.monotonic() - started, out.stat().st_size
        mean, error = self.kld(out)
        ratio = "" if against is None else f"{mean / against:.2f}"
        print(f"| {name} | {size / 1e6:.1f} | {mean:.5f} ± {error:.5f} | {ratio} | {seconds:.0f} |", flush=True)
        return mean, size

    def compare(self, kind):
        out, threads = self.scratch / "out.gguf", self.options.threads
        theirs, size = self.row(f"llama-quantize {kind}",
                                [self.binaries / "llama-quantize", "--imatrix", self.imatrix, self.source,
                                 out, kind, threads], out)
        ours = [QUANTLANE, "quantize", self.options.checkpoint]
        more = ["-o", out, "--imatrix", self.imatrix, "--calibration-text", self.options.calibration,
                "--threads", threads, "-q", "-f"]
        for algorithm in self.options.algorithms.split(","):
            self.row(f"quantlane gguf:{kind}{algorithm}", [*ours, f"gguf:{kind}{algorithm}", *more], out, theirs)
        self.row("quantlane, own types, +gptq",
                 [*ours, f"gguf:{kind}+gptq", *more, "--target-size", size], out, theirs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--types", default="q4_k_m,iq4_xs,q3_k_m,q2_k")
    parser.add_argument("--algorithms", default=",+gptq")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantlane-bench-") as scratch:
        bench = Bench(options, pathlib.Path(scratch))
        print(machine())
        bench.prepare()
        print("| file | MB | KLD | against llama-quantize | seconds |\n| --- | --- | --- | --- | --- |")
        for kind in options.types.split(","):
            bench.compare(kind)


if __name__ == "__main__":
    main()
