"""Running the program and reading and writing the files that the end-to-end tests need."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ["QUANTLANE_PROGRAM"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
CANARY = ROOT / "models/canary"
MIB = 1 << 20
TEXT = CANARY / "eval_books.txt"
# Small enough for seconds, with every stage of the full comparison.
COMPARE = ["compare", str(CANARY), "--lanes", "fp8,gguf:q4_k_m", "--chunk", "64", "--chunks", "3",
           "--task-items", "2"]


def limit_files():
    """In a process that is about to start: no file of it becomes larger than a MiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))


class ProgramTest(unittest.TestCase):
    """A test with an empty folder of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="quantlane-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.environment = dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"))

    def start(self, *arguments, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "errors": "replace", "cwd": self.folder, "env": self.environment} | options
        return subprocess.Popen([PROGRAM, *map(str, arguments)], **options)

    def small_disk(self, size):
        """A file system of its own that is soon full; skips where it cannot be mounted."""
        disk = self.folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("no permission to mount a small disk")
        self.addCleanup(subprocess.run, ["umount", str(disk)], capture_output=True)
        return disk

    def run_program(self, *arguments, **options):
        process = self.start(*arguments, **options)
        process.output, process.errors = process.communicate(timeout=300)
        self.assertGreaterEqual(process.returncode, 0,
                                f"{arguments} died of a signal: {process.errors}")
        return process

    def refused(self, *arguments, says=(), code=1, **options):
        """Runs a command that must fail with an error that names all of `says`."""
        process = self.run_program(*arguments, **options)
        self.assertEqual(process.returncode, code, f"{arguments}: {process.errors}")
        for text in says:
            self.assertIn(str(text), process.errors)
        if "error: " in process.errors:
            self.assertIn("\n  try:      ", process.errors, "what to do next")
        return process

    def succeeds(self, *arguments, **options):
        process = self.run_program(*arguments, **options)
        self.assertIn(process.returncode, (0, 3, 5), f"{arguments}: {process.errors}")
        return process

    def least_limit(self, *command):
        """The least limit, in MiB, that the refusal of a smaller one names."""
        before = sorted(self.folder.iterdir())
        process = self.refused(*command, "--memory-limit", "1MiB", says=["--memory-limit"])
        self.assertNotIn("calibrate", process.errors, "refused before any work")
        self.assertEqual(sorted(self.folder.iterdir()), before)
        return int(re.search(r"--memory-limit (\d+)MiB is the least", process.errors)[1])

    def runs_below(self, limit, *command):
        """Runs a command that must succeed with a resident set below `limit` MiB. What it said.
        Sampled: what the kernel says in the end counts this process before it became the command,
        and forgets where the command measures peaks of its own."""
        peak = 0
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            process = self.start(*command, "--memory-limit", f"{limit}MiB", stdout=subprocess.DEVNULL, stderr=said)
            while process.poll() is None:
                with contextlib.suppress(OSError):
                    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                    if "quantlane" in status.splitlines()[0] and (found := re.search(r"VmHWM:\s+(\d+) kB", status)):
                        peak = max(peak, int(found[1]) * 1024)
                time.sleep(0.005)
            said.seek(0)
            errors = said.read()
        self.assertIn(process.returncode, (0, 3, 5), errors)
        self.assertGreater(peak, 0)
        self.assertLess(peak, limit * MIB)
        return errors

    def partials(self, folder=None):
        """Unfinished files of ended or running processes."""
        return sorted(str(path) for path in (folder or self.folder).rglob("*.partial-*"))

    def copy_of_canary(self, name="model"):
        folder = self.folder / name
        folder.mkdir()
        for file in CANARY.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
        return folder


def read_safetensors(path):
    """(header as a dictionary, bytes of the tensors)."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    return json.loads(data[8:8 + size]), bytearray(data[8 + size:])


def write_safetensors(path, header, tensors):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(tensors))


def edit_json(path, **changes):
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


def numbers(report_path):
    """What a comparison measured without a clock, so what must not depend on interruptions."""
    report = json.loads(report_path.read_text())
    lanes = {lane["name"]: {key: lane[key] for key in ("quality", "size_bytes", "verdict",
                                                       "layer_errors", "bits_per_weight", "format")}
             for lane in report["lanes"]}
    return {"lanes": lanes, "reference": {key: report["reference"][key] for key in ("ppl", "tasks")},
            "noise_floor": report["noise_floor"], "tokens_scored": report["evaluation"]["tokens_scored"]}
