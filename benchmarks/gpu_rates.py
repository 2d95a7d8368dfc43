#!/usr/bin/env python3
"""Rates of a GPU's matrix products in bf16, FP8 and INT8 at the shapes of Llama Linears, as JSON and a table.

    gpu_rates.py [--out rates.json]          needs torch with CUDA

What it times (CUDA events, medians over rounds, random data, weights that do not stay in the L2 cache):
bf16 (torch.mm), FP8 with one scale per row and per output channel (torch._scaled_mm), INT8 (torch._int_mm),
and the rounding of activations per token that dynamic lanes add (compiled by torch.compile).
TFLOP/s for many rows; for few rows the GB/s at which the weights are read.
"""
import argparse
import json
import statistics

import torch

# (name, output features, input features): the fused Linears of Llama-3.1-8B and -70B.
SHAPES = [("8B qkv", 6144, 4096), ("8B o", 4096, 4096), ("8B gate_up", 28672, 4096), ("8B down", 4096, 14336),
          ("70B gate_up", 57344, 8192), ("70B down", 8192, 28672)]
ROWS = [1, 4, 8, 16, 64, 256, 1024, 8192]
CACHE_BYTES = 400e6  # copies of the weights in turn, so that none is still in L2


def seconds(calls, rounds=7):
    """Median seconds of one call; `calls` are functions run in turn."""
    for call in calls[:2]:
        call()
    torch.cuda.synchronize()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    repeat = max(1, 8 // len(calls))
    times = []
    for _ in range(rounds):
        start.record()
        for _ in range(repeat):
            for call in calls:
                call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / (repeat * len(calls)))
    return statistics.median(times)


def graphed(calls):
    """The calls as one CUDA graph: for few rows the launch from Python takes longer than the kernel."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def graph_seconds(calls):
    graph = graphed(calls)
    return seconds([graph.replay]) / len(calls)


def to_fp8(x):
    scale = x.abs().amax(-1, keepdim=True).float() / 448
    return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def to_int8(x):
    scale = x.abs().amax(-1, keepdim=True).float() / 127
    return (x / scale).round().clamp(-127, 127).to(torch.int8), scale


def paths(rows, out, width, copies):
    """name -> list of calls, one for each copy of the weights."""
    x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
    weights = [torch.randn(out, width, device="cuda", dtype=torch.bfloat16) * .02 for _ in range(copies)]
    result = {"bf16": [lambda w=w: torch.mm(x, w.t()) for w in weights]}
    x8, xs = to_fp8(x)
    eights = [to_fp8(w) for w in weights]
    result["fp8"] = [lambda w=w, s=s: torch._scaled_mm(x8, w.t(), xs, s.t().contiguous(),
                                                      out_dtype=torch.bfloat16, use_fast_accum=True)
                     for w, s in eights]
    if rows > 16:  # torch._int_mm wants more than 16 rows
        xi, _ = to_int8(x)
        ints = [to_int8(w)[0] for w in weights]
        result["int8"] = [lambda w=w: torch._int_mm(xi, w.t()) for w in ints]
    return x, result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    options = parser.parse_args()
    properties = torch.cuda.get_device_properties(0)
    report = {"gpu": properties.name, "torch": torch.__version__, "cuda": torch.version.cuda, "products": [],
              "rounding": []}
    big = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(big)
    report["copy_gb_s"] = 2 * big.numel() / seconds([lambda: other.copy_(big)]) / 1e9
    report["read_gb_s"] = big.numel() / graph_seconds([lambda: big.view(torch.int64).max()]) / 1e9
    del big, other
    print(f"{report['gpu']}, torch {report['torch']}, CUDA {report['cuda']}; copy {report['copy_gb_s']:.0f} GB/s")
    rounded = {"fp8": torch.compile(to_fp8), "int8": torch.compile(to_int8)}
    print("| Linear | rows | path | us | TFLOP/s | weights GB/s | x bf16 |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, out, width in SHAPES:
        copies = max(1, min(8, int(CACHE_BYTES / (out * width))))
        for rows in ROWS:
            x, calls = paths(rows, out, width, copies)
            base = None
            for path, run in calls.items():
                try:
                    took = graph_seconds(run)
                except RuntimeError as error:
                    print(f"| {name} | {rows} | {path} | failed: {str(error).splitlines()[0][:80]} |")
                    continue
                base = base or took
                entry = {"linear": name, "out": out, "in": width, "rows": rows, "path": path, "us": took * 1e6,
                         "tflops": 2 * rows * out * width / took / 1e12,
                         "weight_gb_s": out * width * (2 if path == "bf16" else 1) / took / 1e9,
                         "x_bf16": base / took}
                report["products"].append(entry)
                print(f"| {name} | {rows} | {path} | {entry['us']:.1f} | {entry['tflops']:.0f} | "
                      f"{entry['weight_gb_s']:.0f} | {entry['x_bf16']:.2f} |", flush=True)
            del calls
    for width in sorted({width for _, _, width in SHAPES}):
        for rows in (64, 8192):
            x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
            for kind, function in rounded.items():
                function(x)
                report["rounding"].append({"width": width, "rows": rows, "to": kind,
                                           "us": graph_seconds([lambda: function(x)] * 4) * 1e6})
    for entry in report["rounding"]:
        print(f"rounding {entry['rows']} x {entry['width']} to {entry['to']}: {entry['us']:.1f} us")
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
