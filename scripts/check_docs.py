#!/usr/bin/env python3
"""Runs the ```console blocks of README.md and docs/ and compares what they print with what they show,
and fails on relative links and `paths` of the project that do not exist.

A line `$ command` is run with bash; the lines up to the next one are its output. There `...` alone on a
line stands for any lines, within a line for any characters; a command without output lines may print
anything. What the commands write must be ignored by git, as readers run them in the project. It must exit with 0, or with N where the command ends in `# exit N`. The lines show stdout,
stderr, or both, one after the other. The blocks of one document share a scratch folder with links to
the folders of the project, and `quantlane` is on PATH. Paths with a placeholder (<name>, {a,b}, *) and
the imaginary format of the how-tos are not looked up, nor are paths in the dated docs/measurements/.

    check_docs.py [--bin DIR] [DOCUMENT…]
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(r"`((?:src|include|scripts|data|docs|tests|cmake|web|benchmarks|models)/[\w./-]+)`")
IMAGINARY = "q3_x"  # docs/howto/add-a-format.md
SECONDS = 120  # for one command


def commands(text):
    """Yields (line number, command, output lines) of every console block."""
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        current = None
        for number, content in enumerate(block[1].splitlines(), line):
            if content.startswith("$ "):
                if current:
                    yield current
                current = (number, content[2:], [])
            elif current is None:
                raise SystemExit(f"line {number}: a console block starts with '$ command'")
            elif current[1].endswith("\\"):
                current = (current[0], current[1] + "\n" + content, [])
            else:
                current[2].append(content)
        if current:
            yield current


def pattern(lines):
    """A regular expression for the output; trailing blanks of a line never count."""
    parts = []
    for line in lines:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            words = [re.escape(word) for word in line.rstrip().split("...")]
            parts.append("[^\n]*?".join(words) + r"[ \t]*\n")
    return re.compile("".join(parts))


def run(command, folder, environment):
    """(exit status, stdout, stderr); the status is None for a command that ran out of time."""
    try:
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return None, "", ""
    texts = [stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr)]
    return done.returncode, *[text if text.endswith("\n") or not text else text + "\n" for text in texts]


def missing_paths(document, text):
    """Links and paths named in the text that lead nowhere."""
    links = [(m, document.parent) for m in LINK.finditer(text) if "://" not in m[1]]
    paths = [(m, ROOT) for m in PATH.finditer(text) if IMAGINARY not in m[1]]
    if document.parent.name == "measurements":
        paths = []
    return [f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, m.start()) + 1}: {m[1]} does not exist"
            for m, folder in links + paths if not (folder / m[1]).exists()]


def tracked_outputs(document, folder):
    """What the commands left that git would show as new in the project."""
    left = sorted(entry.name + ("/" if entry.is_dir() else "")
                  for entry in pathlib.Path(folder).iterdir() if not entry.is_symlink())
    ignored = subprocess.run(["git", "check-ignore", "--no-index", "--stdin"], cwd=ROOT, input="\n".join(left),
                             capture_output=True, text=True, check=False).stdout.splitlines()
    return [f"{document.relative_to(ROOT)}: its commands write {name}, which .gitignore does not name"
            for name in left if name not in ignored]


def check(document, programs):
    text, count = document.read_text(encoding="utf-8"), 0
    failures = missing_paths(document, text)
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", NO_COLOR="1",
                       COLUMNS="100", LC_ALL="C.UTF-8")
    with tempfile.TemporaryDirectory(prefix="quantlane-docs-") as folder:
        for name in ("models", "data", "tests", "docs", "scripts", "benchmarks", "run", "build"):
            if (ROOT / name).exists():
                os.symlink(ROOT / name, pathlib.Path(folder, name))
        for line, command, lines in commands(text):
            count += 1
            started = time.monotonic()
            wanted = re.search(r"#\s*exit (\d+)\s*$", command)
            wanted = int(wanted[1]) if wanted else 0
            status, out, errors = run(command, folder, environment)
            seconds = time.monotonic() - started
            where = f"{document.relative_to(ROOT)}:{line}"
            if status is None:
                failures.append(f"{where}: still running after {SECONDS} s: {command}")
            elif status != wanted:
                failures.append(f"{where}: exit status {status}, not {wanted}: {command}\n{out}{errors}")
            elif lines and not any(pattern(lines).fullmatch(printed)
                                   for printed in (out, errors, errors + out, out + errors)):
                failures.append("\n".join([f"{where}: other output: {command}", "--- shown", *lines,
                                           "--- printed", errors + out]))
            elif seconds > 10:
                print(f"slow: {where}: {seconds:.0f} s: {command}")
        if (ROOT / ".git").exists():
            failures += tracked_outputs(document, folder)
    return count, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    documents = [d.resolve() for d in options.documents] or sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    total, failures = 0, []
    for document in documents:
        count, failed = check(document, options.bin.resolve())
        total, failures = total + count, failures + failed
    print("\n\n".join(failures) or f"{total} commands in {len(documents)} documents print what they show")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
