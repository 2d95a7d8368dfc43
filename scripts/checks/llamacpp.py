#!/usr/bin/env python3
"""GGUF files in llama.cpp: they load, generate, and have the error that quantlane says they have.

    LLAMACPP_BIN=DIR llamacpp.py [options]

For each type a file is made; llama-completion loads it and writes 16 tokens; llama-perplexity
measures its mean KLD, and that of the same weights dequantized to float32. The first must be within
3 % of `quantlane eval`'s figure for llama.cpp's arithmetic, the second within 2 % of its figure for
the weights alone; 1e-6 nats more are granted, the last digit that llama-perplexity prints.
Without LLAMACPP_BIN nothing is checked. How to build the programs: docs/measurements/
gguf-in-llamacpp.md. Prints a Markdown table.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
QUANTLANE = os.environ.get("QUANTLANE", str(ROOT / "build" / "release" / "quantlane"))
SOME = ["q8_0", "q4_k_m", "q4_0", "iq4_xs", "q5_1", "f16"]
ALL = ["bf16", "f16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "iq4_xs",
       "mxfp4", "nvfp4", "q3_k", "iq3_s", "iq3_xxs", "q2_k", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m",
       "iq1_s", "tq2_0", "tq1_0", "q2_0", "q1_0"]
ENGINE, WEIGHTS, LAST_DIGIT = 0.03, 0.02, 1e-6
TRIES = 5
# On a busy machine these programs end before the thread that logs has written its last lines, with
# exit status 0; this stands before their last call and waits for it.
WAIT = "#include <unistd.h>\nvoid llama_backend_free(void) { usleep(1500000); }\n"


class Failure(Exception):
    pass


def run(*command, environment=None):
    process = subprocess.run([str(part) for part in command], capture_output=True, check=False,
                             stdin=subprocess.DEVNULL, env=environment)
    output = process.stdout.decode(errors="replace") + process.stderr.decode(errors="replace")
    return process.returncode, output


def quantlane(*arguments):
    code, output = run(QUANTLANE, *arguments)
    if code:
        raise Failure(f"quantlane {' '.join(map(str, arguments))}: exit {code}\n{output}")
    return output


class LlamaCpp:
    def __init__(self, folder, threads, scratch):
        self.folder = pathlib.Path(folder)
        self.threads = threads
        libraries = f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        self.environment = dict(os.environ, LD_LIBRARY_PATH=libraries, OMP_WAIT_POLICY="passive",
                                LC_ALL="C.UTF-8")
        source, library = scratch / "wait.c", scratch / "wait.so"
        source.write_text(WAIT)
        compiler = shutil.which("cc")
        if compiler and run(compiler, "-shared", "-fPIC", "-o", library, source)[0] == 0:
            self.environment["LD_PRELOAD"] = str(library)

    def run(self, program, wanted, *arguments):
        """The match of `wanted` in what the program prints."""
        for _ in range(TRIES):
            code, output = run(self.folder / program, *arguments, "-t", self.threads, "-ngl", "0",
                               environment=self.environment)
            found = re.search(wanted, output)
            if code == 0 and found:
                return found
            if code and re.search("error|failed|assert", output, re.I):
                break
        raise Failure(f"{program} {' '.join(map(str, arguments))}: exit {code}\n{output[-1500:]}")

    def version(self):
        return self.run("llama-completion", r"version: .*", "--version")[0]

    def generates(self, model):
        found = self.run("llama-completion", r"eval time = .*?/ +(\d+) +runs", "-m", model, "-p",
                         "The capital of France is", "-n", 16, "--temp", 0, "--seed", 1, "-c", 256,
                         "-no-cnv", "--no-warmup", "--ignore-eos")
        if int(found[1]) < 15:
            raise Failure(f"{model}: {found[1]} tokens instead of 16")

    def make_base(self, model, text, chunk, chunks, base):
        self.run("llama-perplexity", "Final estimate: PPL", "-m", model, "-f", text, "-c", chunk, "-b",
                 chunk, "--chunks", chunks, "--kl-divergence-base", base)

    def kld(self, model, chunk, base):
        found = self.run("llama-perplexity", r"Mean +KLD: +(-?[0-9.]+)", "-m", model, "-f", os.devnull,
                         "-c", chunk, "-b", chunk, "--kl-divergence", "--kl-divergence-base", base)
        return float(found[1])


def lane_of(kind):
    """The arguments that make a file whose matrices are of this type or recipe."""
    # Types without a file type of their own; that called IQ2_S has IQ2_XS matrices.
    if kind in ("mxfp4", "nvfp4", "iq2_s"):
        lane = "gguf:iq2_s" if kind == "iq2_s" else "gguf:q8_0"
        return [lane, "--tensor-type", f"weight={kind}", "--token-embedding-type", "q8_0"]
    if "_k_" in kind or kind in ("f16", "bf16"):
        return [f"gguf:{kind}"]
    return [f"gguf:{kind}", "--pure", "--token-embedding-type", "q8_0"]


def close(measured, expected, tolerance):
    return abs(measured - expected) <= tolerance * expected + LAST_DIGIT


def check(kind, options, llamacpp, scratch):
    file, floats = scratch / "lane.gguf", scratch / "floats.gguf"
    quantlane("quantize", options.model, *lane_of(kind), "-o", file, "--force", "--quiet",
              *(["--imatrix", options.imatrix] if options.imatrix else []))
    llamacpp.generates(file)
    figures = json.loads(quantlane("eval", file, "--reference", options.model, "--text", options.text,
                                   "--chunk", options.chunk, "--chunks", options.chunks, "--json",
                                   "--quiet"))
    weights = figures["kld_mean"]["value"]
    engine = figures["engine"]["kld_mean"]["value"]
    quantlane("convert", file, floats, "--to", "f32", "--force", "--quiet")
    of_weights = llamacpp.kld(floats, options.chunk, scratch / "base")
    of_file = llamacpp.kld(file, options.chunk, scratch / "base")
    good = close(engine, of_file, ENGINE) and close(weights, of_weights, WEIGHTS)
    print(f"| {kind} | {file.stat().st_size / 1e6:.1f} | {of_file:.6f} | {engine:.6f} | "
          f"{engine / max(of_file, 1e-9) - 1:+.1%} | {of_weights:.6f} | {weights:.6f} | "
          f"{weights / max(of_weights, 1e-9) - 1:+.1%} |{'' if good else ' **differs**'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "canary")
    parser.add_argument("--text", type=pathlib.Path,
                        default=ROOT / "models" / "canary" / "eval_books.txt")
    parser.add_argument("--imatrix", type=pathlib.Path)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--types", default=",".join(SOME), help="comma-separated, or all")
    options = parser.parse_args()
    binaries = os.environ.get("LLAMACPP_BIN")
    if not binaries:
        print("skipped: LLAMACPP_BIN names no folder with llama-completion and llama-perplexity")
        return 0
    kinds = ALL if options.types == "all" else options.types.split(",")
    failed = []
    with tempfile.TemporaryDirectory(prefix="quantlane-llamacpp-") as scratch:
        scratch = pathlib.Path(scratch)
        llamacpp = LlamaCpp(binaries, options.threads, scratch)
        print(f"llama.cpp {llamacpp.version()}; {options.model.name}, {options.chunks} chunks of "
              f"{options.chunk} of {options.text.name}\n")
        print("| type | MB | llama.cpp, the file | quantlane, its arithmetic | | llama.cpp, as "
              "float32 | quantlane, weights alone | |\n|---|---|---|---|---|---|---|---|", flush=True)
        try:
            quantlane("convert", options.model, scratch / "f32.gguf", "--to", "f32", "--quiet")
            llamacpp.make_base(scratch / "f32.gguf", options.text, options.chunk, options.chunks,
                               scratch / "base")
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
        for kind in kinds:
            try:
                if not check(kind, options, llamacpp, scratch):
                    failed.append(kind)
            except Failure as failure:
                print(f"| {kind} | {str(failure).strip().splitlines()[0]} |", flush=True)
                print(failure, file=sys.stderr)
                failed.append(kind)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
