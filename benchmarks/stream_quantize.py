#!/usr/bin/env python3
"""Rate and memory of `quantlane quantize` on a big checkpoint beside the rate of copying it.

    stream_quantize.py [--work DIR] [--gib 4] [--lanes fp8,w8a8] [--repeats 2]

Each repeat copies the checkpoint (cp and sync) and writes each lane (with the same sync), on the same
disk; rates are source bytes per second, medians, and the ratio of each lane to the copy. Needs
about 2.5 times --gib of disk. --work keeps the checkpoint there for the next time.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from measure import QUANTLANE, ROOT, machine, timed


def synced(command, folder):
    """(seconds until the written data is on the disk, peak bytes, stdout)"""
    started = time.monotonic()
    _, peak, output = timed(command)
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return time.monotonic() - started, peak, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--lanes", default="fp8,w8a8")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    lanes = options.lanes.split(",")
    with tempfile.TemporaryDirectory(prefix="quantlane-stream-", dir=options.work) as scratch:
        scratch = pathlib.Path(scratch)
        source = (options.work or scratch) / f"big-{options.gib:g}-gib"
        if not (source / "config.json").exists():
            subprocess.run([sys.executable, ROOT / "scripts" / "make_big_checkpoint.py", source,
                            "--gib", str(options.gib)], check=True)
        size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
        print(machine())
        print(f"source {size / 2**30:.2f} GiB in {len(list(source.glob('*.safetensors')))} shards; "
              f"rates in MB of source per second", flush=True)
        subprocess.run(["cat", *source.glob("*.safetensors")], stdout=subprocess.DEVNULL, check=True)
        rates, peaks = {name: [] for name in ["copy", *lanes]}, dict.fromkeys(lanes, 0)
        for _ in range(options.repeats):
            for name in rates:
                out = scratch / "out"
                if name == "copy":
                    seconds, peak, _ = synced(["cp", "-r", source, out], scratch)
                    note = ""
                else:
                    command = [QUANTLANE, "quantize", source, name, "-o", out, "--data-free", "--json"]
                    if options.threads:
                        command += ["--threads", options.threads]
                    seconds, peak, output = synced(command, scratch)
                    peaks[name] = max(peaks[name], peak)
                    note = (f"   peak {peak / 2**20:.0f} MiB, output "
                            f"{json.loads(output)['size_bytes'] / size:.3f} of the source")
                rates[name].append(size / seconds / 1e6)
                print(f"{name:<8} {rates[name][-1]:8.0f} MB/s{note}", flush=True)
                shutil.rmtree(out)
        copy = statistics.median(rates["copy"])
        for name in lanes:
            print(f"ratio {name} / copy: {statistics.median(rates[name]) / copy:.2f}, "
                  f"peak {peaks[name] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
