#!/usr/bin/env python3
"""Runs clang-tidy 19 on the project's sources; `tidy.py [FILE…]` on those only.

Reads the commands of the preset "tidy", which compiles each file alone (docs/decisions/0010). A file that passed is skipped
until it, a header it includes, its flags or .clang-tidy change (build/tidy-cache).
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "build" / "tidy-cache"
TIDY = "clang-tidy-19"
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def closure(path, seen):
    """Adds path and every project header that it includes, directly or not, to seen."""
    if path in seen or not path.is_file():
        return seen
    seen.add(path)
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        for folder in (ROOT / "src", ROOT / "include", path.parent):
            closure(folder / name, seen)
    return seen


def key(path, command, common):
    digest = hashlib.sha256(common + command.encode())
    for file in sorted(closure(path, set())):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def unseen(output, seen):
    """The diagnostics of output that are not in seen: a header's come again with each user."""
    blocks = re.split(r"(?m)^(?=/\S+:\d+:\d+: (?:error|warning):)", output)
    fresh = [block for block in blocks if block.split("\n", 1)[0] not in seen]
    seen.update(block.split("\n", 1)[0] for block in blocks)
    return "".join(fresh).rstrip()


def check(path, build):
    start = time.monotonic()
    done = subprocess.run(
        [TIDY, "-p", str(build), "--quiet", "--extra-arg=-Wno-unknown-warning-option",
         # std::stable_sort of libstdc++ 12 calls a function that it also deprecates.
         "--extra-arg=-Wno-deprecated-declarations", "--extra-arg=-Wno-string-conversion", str(path)],
        capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - start


def main():
    build = pathlib.Path(os.environ.get("TIDY_BUILD", ROOT / "build" / "tidy"))
    database = build / "compile_commands.json"
    subprocess.run(["cmake", "--preset", "tidy"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wanted = {pathlib.Path(name).resolve() for name in sys.argv[1:]}
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    common = version + (ROOT / ".clang-tidy").read_bytes()
    CACHE.mkdir(parents=True, exist_ok=True)

    todo, skipped = [], 0
    for entry in json.loads(database.read_text(encoding="utf-8")):
        path = pathlib.Path(entry["file"])
        if ROOT / "src" not in path.parents or path.stem.endswith(("_test", "_bench")):
            continue
        if wanted and path not in wanted:
            continue
        stamp = CACHE / key(path, entry["command"], common)
        if stamp.exists():
            skipped += 1
        else:
            todo.append((path, stamp))

    failed, times, seen = [], [], set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(check, path, build): (path, stamp) for path, stamp in todo}
        for job in concurrent.futures.as_completed(jobs):
            path, stamp = jobs[job]
            status, out, err, seconds = job.result()
            times.append((seconds, path.name))
            if status == 0:
                stamp.touch()
            else:
                failed.append(path)
                print(unseen(out or err, seen), flush=True)
    for path in failed:
        print("clang-tidy:", path.relative_to(ROOT))
    slowest = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(times)[-3:])
    print(f"{len(todo)} files checked, {skipped} unchanged, {len(failed)} failed; slowest: {slowest}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
