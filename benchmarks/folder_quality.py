#!/usr/bin/env python3
"""KLD of folder lanes over several draws of the calibration text, with the time of quantizing.

    folder_quality.py CKPT --calibration TEXT --text TEXT --lanes A,B,… [--draws 3] [--chunks 10]
        [--calibration-chunks 32] [--threads 2]

Draw i calibrates on the text from i/draws of its length on. KLD: quantlane eval, chunks of 512 tokens, the
second half scored; the interval is quantlane's own (clustered by chunk) of the first draw.
"""
import argparse
import json
import pathlib
import statistics
import tempfile

from measure import QUANTLANE, machine, timed


def draws(text, count, folder):
    data = pathlib.Path(text).read_text(encoding="utf-8")
    for index in range(count):
        path = folder / f"draw{index}.txt"
        path.write_text(data[index * len(data) // count:], encoding="utf-8")
        yield path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--lanes", required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--calibration-chunks", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    print("| lane | KLD of each draw | mean | 95 % of the first | ppl ratio | MB | seconds |\n"
          "| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="quantlane-bench-") as scratch:
        scratch = pathlib.Path(scratch)
        texts = list(draws(options.calibration, options.draws, scratch))
        for lane in options.lanes.split(","):
            out, results, seconds = scratch / "out", [], []
            for text in texts:
                elapsed, _, made = timed(
                    [QUANTLANE, "quantize", options.checkpoint, lane, "-o", out, "--calibration-text", text,
                     "--calibration-chunks", options.calibration_chunks, "--threads", options.threads,
                     "--json", "-q", "-f"])
                seconds.append(elapsed)
                results.append(json.loads(timed(
                    [QUANTLANE, "eval", out, "--reference", options.checkpoint, "--text", options.text,
                     "--chunk", 512, "--chunks", options.chunks, "--threads", options.threads, "--json",
                     "-q"])[2]))
            klds = [result["kld_mean"]["value"] for result in results]
            first = results[0]["kld_mean"]
            print(f"| {lane} | {', '.join(f'{kld:.4f}' for kld in klds)} | {statistics.mean(klds):.4f} | "
                  f"[{first['low']:.4f}, {first['high']:.4f}] | {results[0]['ppl_ratio']['value']:.4f} | "
                  f"{json.loads(made)['size_bytes'] / 1e6:.1f} | {statistics.median(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
