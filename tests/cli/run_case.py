#!/usr/bin/env python3
"""Runs one .case file against the program and says which line of it does not hold.

Usage: run_case.py PROGRAM PROJECT_ROOT CASE

A case is a list of steps that run one after another in one empty folder:

    # comment
    $ quantlane eval $CANARY --json      a bash command; `quantlane` is PROGRAM
    exit 0                               its exit code (0 where the line is left out)
    stdout quantlane *                   some line of stdout matches this glob
    stderr-not *deprecated*              no line of stderr matches
    stdout-empty                         nothing was printed there
    keys ppl kld_mean.value              stdout is a JSON object with these, every number finite

Variables for commands: ROOT, CANARY (the model of the repository), TEXT (prose for it).
"""

import fnmatch
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile


def parse(path):
    """Steps as (line number, command, [(line number, verb, argument)])."""
    steps = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("$ "):
            steps.append((number, line[2:], []))
        else:
            verb, _, argument = line.partition(" ")
            steps[-1][2].append((number, verb, argument.strip()))
    return steps


def missing_key(text, keys):
    """Why `text` is not a JSON object with these finite values, or None."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return f"stdout is not JSON: {error}"
    for key in keys:
        value = document
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return f"no key {key}"
            value = value[part]
        if isinstance(value, float) and not math.isfinite(value):
            return f"{key} is {value}"
    return None


def failure(verb, argument, result):
    """Why one expectation does not hold, or None."""
    stream, _, kind = verb.partition("-")
    if verb == "keys":
        return missing_key(result.stdout, argument.split())
    if stream not in ("stdout", "stderr") or kind not in ("", "not", "empty"):
        return f"unknown expectation {verb}"
    text = getattr(result, stream)
    if kind == "empty":
        return f"{stream} is not empty" if text else None
    matched = any(fnmatch.fnmatchcase(line, argument) for line in text.splitlines())
    if kind == "not":
        return "a line matches" if matched else None
    return None if matched else "no line matches"


def run(case, environment, folder):
    for number, command, expectations in parse(case):
        result = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True,
                                errors="replace", stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=300)
        wanted = next((int(a) for _, verb, a in expectations if verb == "exit"), 0)
        problems = []
        if result.returncode != wanted:
            problems.append(f"line {number}: exit code {result.returncode} instead of {wanted}")
        for line, verb, argument in expectations:
            reason = None if verb == "exit" else failure(verb, argument, result)
            if reason:
                problems.append(f"line {line}: {verb} {argument}: {reason}")
        if problems:
            print(f"{case}\n$ {command}\n" + "\n".join(problems))
            print(f"--- stdout\n{result.stdout[-4000:]}\n--- stderr\n{result.stderr[-4000:]}")
            return 1
    return 0


def main():
    program, root, case = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as folder:
        bin_folder = pathlib.Path(folder) / "bin"
        work = pathlib.Path(folder) / "work"
        bin_folder.mkdir()
        work.mkdir()
        (bin_folder / "quantlane").symlink_to(program)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("QUANTLANE_")}
        environment |= {"PATH": f"{bin_folder}:{os.environ['PATH']}", "ROOT": str(root),
                        "CANARY": str(root / "models/canary"),
                        "TEXT": str(root / "models/canary/eval_books.txt"),
                        "XDG_CACHE_HOME": f"{folder}/cache"}
        return run(case, environment, work)


if __name__ == "__main__":
    sys.exit(main())
