#!/usr/bin/env python3
"""Comparisons that are repeated, interrupted and killed."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program import CANARY, COMPARE, PROGRAM, ProgramTest, numbers


class Resume(ProgramTest):
    @classmethod
    def setUpClass(cls):
        """One uninterrupted run, which all tests compare with."""
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="quantlane-whole-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        text = (CANARY / "calibration.txt").read_text(encoding="utf-8")[:9000]
        (cls.shared / "calibration.txt").write_text(text, encoding="utf-8")
        cls.command = [*COMPARE, "--calibration-text", str(cls.shared / "calibration.txt")]
        subprocess.run([PROGRAM, *cls.command, "--out", cls.shared / "out", "--quiet"], check=False,
                       capture_output=True)
        cls.expected = numbers(cls.shared / "out/report.json")

    def setUp(self):
        super().setUp()
        self.maxDiff = None

    def copy_whole(self):
        """A folder with the finished work of the uninterrupted run."""
        shutil.copytree(self.shared / "out", self.folder / "out")
        return self.folder / "out"

    def compare(self, out, chunks="3"):
        command = list(self.command)
        command[command.index("--chunks") + 1] = chunks
        self.succeeds(*command, "--out", out, "--quiet")
        return numbers(self.folder / out / "report.json")

    def stop_after(self, stage, out, number):
        """Sends a signal as soon as the line that ends `stage` is printed; returns the exit code."""
        process = self.start(*self.command, "--out", out)
        for line in process.stderr:
            if line.startswith(stage):
                process.send_signal(number)
                break
        process.communicate()
        return process.returncode

    def test_a_second_run_reuses_all_work_and_says_the_same(self):
        out = self.copy_whole()
        work = {path: path.stat().st_mtime_ns for path in out.rglob("*")
                if path.is_file() and not path.name.startswith("report.")}
        self.assertEqual(self.compare("out"), self.expected)
        self.assertEqual({path: path.stat().st_mtime_ns for path in work}, work)
        report = json.loads((out / "report.json").read_text())
        self.assertTrue(all(lane["reused"] for lane in report["lanes"]))

    def test_a_run_killed_at_any_moment_goes_on_to_the_same_numbers(self):
        for stage in ("calibrate", "quantize fp8", "2 lanes: evaluate", "gguf:q4_k_m: task"):
            self.assertEqual(self.stop_after(stage, "killed", signal.SIGKILL), -signal.SIGKILL)
        for moment in (0.02, 0.1, 0.2, 0.4):
            process = self.start(*self.command, "--out", "killed", "--quiet")
            time.sleep(moment)
            process.kill()
            process.communicate()
        self.assertEqual(self.compare("killed"), self.expected)
        self.assertEqual(self.partials(), [])

    def test_a_run_that_reuses_an_artefact_removes_what_killed_ones_left_beside_it(self):
        out = self.copy_whole()
        ended = subprocess.Popen(["true"])
        ended.wait()
        leftover = out / f"artifacts/fp8.partial-{ended.pid}-0"
        leftover.mkdir()
        (leftover / "model.safetensors").write_text("half")
        self.assertEqual(self.compare("out"), self.expected)
        self.assertEqual(self.partials(), [])

    def test_an_interrupted_run_says_so_leaves_nothing_half_and_goes_on(self):
        for number, stage in ((signal.SIGINT, "calibrate"), (signal.SIGTERM, "quantize fp8"),
                              (signal.SIGINT, "fp8: task")):
            self.assertEqual(self.stop_after(stage, "stopped", number), 75, stage)
            self.assertEqual(self.partials(), [])
        self.assertEqual(self.compare("stopped"), self.expected)

    def test_an_interrupted_quantization_leaves_no_output(self):
        process = self.start("quantize", CANARY, "w4a16", "-o", "out")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 75, errors)
        self.assertIn("interrupted", errors)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_lane_without_feedback_names_what_it_removes_of_one_with(self):
        process = self.start("quantize", CANARY, "w4a16+gptq", "-o", "made")
        resume = self.folder / "made.resume"
        while process.poll() is None and len(list(resume.glob("*.matrix"))) < 3:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        self.assertTrue(resume.exists())
        process = self.succeeds("quantize", CANARY, "fp8", "-o", "made", "--json")
        line = next(line for line in json.loads(process.output)["notices"] if "made.resume" in line)
        self.assertRegex(line, r"\d+ matrices in .*made.resume are of no use here.*\(lane: w4a16\+gptq\); they are removed")
        self.assertIn(line, process.errors)
        self.assertFalse(resume.exists())

    def test_other_inputs_and_damaged_artefacts_are_measured_again(self):
        out = self.copy_whole()
        more = self.compare("out", chunks="4")
        self.assertGreater(more["tokens_scored"], self.expected["tokens_scored"])
        artefact = out / "artifacts/gguf-q4_k_m.gguf"
        damaged = bytearray(artefact.read_bytes())
        damaged[-1000] ^= 0xFF
        artefact.write_bytes(damaged)
        self.assertEqual(self.compare("out"), self.expected)
        for path in (out / "work").iterdir():
            path.write_bytes(path.read_bytes()[:100])
        self.assertEqual(self.compare("out"), self.expected)

    def test_leftovers_of_killed_runs_go_with_the_next_run(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        artefacts = self.folder / "out/artifacts"
        (self.folder / "out/work").mkdir(parents=True)
        (self.folder / "out/work/README").write_text("mark of a killed run")
        (artefacts / f"fp8.partial-{ended.pid}-3").mkdir(parents=True)
        (artefacts / f"gguf-q4_k_m.gguf.partial-{ended.pid}-1").write_bytes(b"half")
        running = artefacts / f"fp8.partial-{os.getpid()}-1"
        running.mkdir()
        self.compare("out")
        self.assertEqual(self.partials(), [str(running)])


if __name__ == "__main__":
    unittest.main()
