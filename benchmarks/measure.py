#!/usr/bin/env python3
"""Runs commands for the benchmarks: wall time, peak memory, and what machine it was.

    measure.py LABEL COMMAND [ARGUMENT…]    one line with both, the command's stdout to stderr
    measure.py --machine                    CPU, cores, memory, version
"""
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
QUANTLANE = os.environ.get("QUANTLANE", str(ROOT / "build" / "release" / "quantlane"))


def timed(command, environment=None):
    """(seconds, peak resident bytes of the process, stdout); exits when the command fails."""
    read, write = os.pipe()
    started = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=write,
                             stdin=subprocess.DEVNULL, env=environment)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        output = pipe.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3, 5):  # 3 and 5 are verdicts, not failures
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {child.returncode}")
    return seconds, usage.ru_maxrss * 1024, output


def machine():
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            cpu = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = subprocess.run([QUANTLANE, "--version"], capture_output=True, text=True, check=True)
    return (f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.1f} GiB, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f}\n{version.stdout.strip()} ({QUANTLANE})")


def main():
    if sys.argv[1:] == ["--machine"]:
        print(machine())
        return
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    seconds, peak, output = timed(sys.argv[2:])
    print(output, file=sys.stderr)
    print(f"{sys.argv[1]}: {seconds:.2f} s, peak {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
