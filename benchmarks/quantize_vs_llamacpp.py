#!/usr/bin/env python3
"""Time and memory of quantlane beside llama-quantize and llama-imatrix.

    LLAMACPP_BIN=DIR quantize_vs_llamacpp.py [--work DIR] [--layers 22] [--repeats 2]
        [--types q4_k_m,q6_k,iq4_xs] [--copy q8_0,q4_0] [--imatrix-model CKPT --imatrix-text FILE]

A Llama of 1.1 * 10^9 random weights (22 layers, vocabulary 32000, bf16 GGUF) and an importance
matrix of random values for every matrix. Each repeat runs both programs on each of --types, the same
source, the same matrix, the same number of threads, one after the other; figures are the medians,
ratios llama.cpp / quantlane, of CPU seconds (user and system) and of wall seconds. On a machine that
others use only the CPU seconds mean anything. --copy: source bytes per second beside cp, each until the data is on disk.
With --imatrix-model also tokens per second of both importance matrix collectors on the same text.
Needs about 6 GB of disk; --work keeps the model there for the next time.
"""
import argparse
import array
import os
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from measure import QUANTLANE, ROOT, machine

VOCABULARY = 32000


def timed(*command):
    """(wall seconds, CPU seconds, peak resident bytes) of a command that must succeed."""
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))}: exit status {child.returncode}\n"
                             f"{log.read().decode(errors='replace')[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def synced(*command, folder):
    started = time.monotonic()
    peak = timed(*command)[2]
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return time.monotonic() - started, peak


def matrices(layers, hidden=2048, feed_forward=5632):
    """(GGUF name, columns) of every matrix that llama-imatrix has an entry for."""
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
            yield f"blk.{layer}.{name}.weight", hidden
        yield f"blk.{layer}.ffn_down.weight", feed_forward


def write_imatrix(path, layers):
    """The old format of llama-imatrix (.dat): log-normal importances, the same every time."""
    rng = random.Random(5)
    entries = list(matrices(layers))
    with open(path, "wb") as out:
        out.write(struct.pack("<i", len(entries)))
        for name, columns in entries:
            values = array.array("f", (rng.lognormvariate(0, 1) for _ in range(columns)))
            out.write(struct.pack("<i", len(name)) + name.encode())
            out.write(struct.pack("<ii", 1, columns) + values.tobytes())
        dataset = b"random"
        out.write(struct.pack("<ii", 1, len(dataset)) + dataset)


def prepare(work, layers):
    """The model as a GGUF file, and its importance matrix."""
    model = work / f"big-{layers}-layers.gguf"
    imatrix = work / f"big-{layers}-layers.imatrix.dat"
    if not model.exists():
        folder = work / f"big-{layers}-layers"
        subprocess.run([sys.executable, ROOT / "scripts" / "make_big_checkpoint.py", folder, "--layers",
                        str(layers), "--vocab", str(VOCABULARY)], check=True)
        subprocess.run([QUANTLANE, "convert", folder, model, "--to", "bf16", "--quiet"], check=True)
        shutil.rmtree(folder)
    if not imatrix.exists():
        write_imatrix(imatrix, layers)
    return model, imatrix


def both(name, theirs, ours, repeats, out):
    """Runs both commands in turn, each after all has been written that the one before left to the disk; prints the
    medians and returns the ratios (CPU, wall)."""
    runs = {"llama.cpp": (theirs, []), "quantlane": (ours, [])}
    for repeat in range(repeats):
        for command, figures in runs.values() if repeat % 2 == 0 else reversed(runs.values()):
            os.sync()
            figures.append(timed(*command))
            out.unlink()
    rows = {}
    for who, (_, figures) in runs.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*figures))
        rows[who] = (cpu, wall)
        print(f"| {name} | {who} | {cpu:.2f} | {wall:.2f} | {peak / 2**20:.0f} |", flush=True)
    cpu, wall = (a / b for a, b in zip(rows["llama.cpp"], rows["quantlane"]))
    print(f"| {name} | ratio | {cpu:.2f} | {wall:.2f} | |", flush=True)
    return cpu, wall


def compare_types(options, binaries, model, imatrix, scratch):
    print("| type | program | CPU s | wall s | peak MiB |\n|---|---|---|---|---|")
    for kind in options.types.split(","):
        out = scratch / "out.gguf"
        both(kind,
             [binaries / "llama-quantize", "--imatrix", imatrix, model, out, kind, options.threads],
             [QUANTLANE, "quantize", model, f"gguf:{kind}", "-o", out, "--imatrix", imatrix, "--threads",
              options.threads, "--quiet"],
             options.repeats, out)


def compare_copy(options, model, scratch):
    size, out = model.stat().st_size, scratch / "out.gguf"
    rates = {name: [] for name in ["cp", *options.copy.split(",")]}
    peaks = {}
    with open(model, "rb") as source:  # into memory, where there is enough
        while source.read(1 << 24):
            pass
    for _ in range(options.repeats + 1):
        for name, list_of_rates in rates.items():
            command = (["cp", model, out] if name == "cp" else
                       [QUANTLANE, "quantize", model, f"gguf:{name}", "-o", out, "--data-free",
                        "--threads", options.threads, "--quiet"])
            seconds, peaks[name] = synced(*command, folder=scratch)
            list_of_rates.append(size / seconds / 1e6)
            out.unlink()
    print("\n| what | MB of source per second, until on disk | share of cp | peak MiB |\n|---|---|---|---|")
    copy = statistics.median(rates["cp"])
    for name, list_of_rates in rates.items():
        rate = statistics.median(list_of_rates)
        print(f"| {name} | {rate:.0f} | {rate / copy:.2f} | {peaks[name] / 2**20:.0f} |", flush=True)


def compare_imatrix(options, binaries, scratch):
    model, out = scratch / "f16.gguf", scratch / "imatrix.gguf"
    subprocess.run([QUANTLANE, "convert", options.imatrix_model, model, "--to", options.imatrix_type,
                    "--quiet"], check=True)
    chunks = options.imatrix_chunks
    print(f"\n| {chunks} chunks of 512, {options.imatrix_type} | program | CPU s | wall s | peak MiB |"
          "\n|---|---|---|---|---|")
    wall = both("imatrix",
                [binaries / "llama-imatrix", "-m", model, "-f", options.imatrix_text, "-o", out, "-c",
                 512, "--chunks", chunks, "-t", options.threads, "-ngl", 0, "--no-ppl"],
                [QUANTLANE, "imatrix", model, "--text", options.imatrix_text, "-o", out, "--chunk", 512,
                 "--chunks", chunks, "--threads", options.threads, "--quiet"],
                options.repeats, out)[1]
    print(f"\nimatrix: {wall:.2f} times the tokens per second of llama-imatrix (wall)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--types", default="q4_k_m,q6_k,iq4_xs", help='"" for none')
    parser.add_argument("--copy", default="q8_0,q4_0", help='"" for none')
    parser.add_argument("--imatrix-model", type=pathlib.Path)
    parser.add_argument("--imatrix-text", type=pathlib.Path)
    parser.add_argument("--imatrix-chunks", type=int, default=10)
    parser.add_argument("--imatrix-type", default="f16")
    options = parser.parse_args()
    binaries = pathlib.Path(os.environ.get("LLAMACPP_BIN") or parser.error("set LLAMACPP_BIN"))
    with tempfile.TemporaryDirectory(prefix="quantlane-bench-", dir=options.work) as scratch:
        scratch = pathlib.Path(scratch)
        print(machine())
        if options.types or options.copy:
            model, imatrix = prepare(options.work or scratch, options.layers)
            largest = VOCABULARY * 2048 * 2
            print(f"{options.layers} layers, {model.stat().st_size / 2e9:.2f} * 10^9 weights, "
                  f"{options.threads} threads; bar of memory: "
                  f"{(3 * largest / 2**20) + 256:.0f} MiB\n", flush=True)
        if options.types:
            compare_types(options, binaries, model, imatrix, scratch)
        if options.copy:
            compare_copy(options, model, scratch)
        if options.imatrix_model:
            compare_imatrix(options, binaries, scratch)


if __name__ == "__main__":
    main()
