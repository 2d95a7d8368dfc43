#!/usr/bin/env python3
"""Jobs under a limit of resident memory: the same artefact, or a refusal that says what works."""

import json
import signal
import time
import unittest

from program import CANARY, ProgramTest, limit_files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Memory(ProgramTest):
    def quantize(self, out, *options, lane="w4a16+gptq", threads=2):
        return ["quantize", CANARY, lane, "-o", out, "--calibration-chunks", "16", "-t", threads,
                *options]

    def least(self, lane="w4a16+gptq"):
        out = "small.gguf" if lane.startswith("gguf:") else "small"
        return self.least_limit(*self.quantize(out, lane=lane))

    def test_the_least_limit_works_spills_and_gives_the_same_artefact(self):
        least = self.least()
        self.refused(*self.quantize("small", "--memory-limit", f"{least - 1}MiB"), says=[f"{least}MiB"])
        self.succeeds(*self.quantize("free"))
        errors = self.runs_below(least, *self.quantize("limited"))
        self.assertRegex(errors, r"hidden states of 8192 tokens, \d+ MiB, go to disk")
        self.assertEqual(contents(self.folder / "limited"), contents(self.folder / "free"))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["free", "limited"])

    def test_importance_matrices_are_collected_below_the_least_limit(self):
        for more in ((), ("--process-output",)):
            with self.subTest(more=more):
                command = ["imatrix", CANARY, "--chunks", "8", "-t", "2", *more]
                self.succeeds(*command, "-o", "free.gguf", "-f")
                least = self.least_limit(*command, "-o", "limited.gguf")
                self.refused(*command, "-o", "limited.gguf", "--memory-limit", f"{least - 1}MiB", says=[f"{least} MiB"])
                self.runs_below(least, *command, "-o", "limited.gguf")
                self.assertEqual((self.folder / "limited.gguf").read_bytes(), (self.folder / "free.gguf").read_bytes())
                (self.folder / "limited.gguf").unlink()
        self.refused("imatrix", CANARY, "-o", "out.gguf", "--memory-limit", "much", code=2, says=["much"])

    def test_compare_keeps_below_the_least_limit_and_finds_the_same(self):
        command = ["compare", CANARY, "--lanes", "fp8,gguf:q4_k_m", "--kv", "fp8", "--chunk", "256",
                   "--chunks", "8", "--task-items", "4", "-t", "2", "--hw", "rtx-4090"]
        least = self.least_limit(*command, "--out", "limited")
        self.refused(*command, "--out", "limited", "--memory-limit", f"{least - 1}MiB", says=[f"{least} MiB"])
        self.runs_below(least, *command, "--out", "limited")
        self.succeeds(*command, "--out", "free")
        reports = [json.loads((self.folder / out / "report.json").read_text()) for out in ("limited", "free")]
        for of_limited, of_free in zip(*(report["lanes"] for report in reports)):
            for same in ("quality", "layer_errors", "size_bytes", "verdict"):
                self.assertEqual(of_limited[same], of_free[same], (of_free["name"], same))
        for same in ("noise_floor", "kv_caches"):
            self.assertEqual(reports[0][same], reports[1][same], same)
        # The rates of this machine are measured over more than all of that.
        self.refused(*command[:-2], "--out", "here", "--memory-limit", f"{least}MiB", says=["is the least"])

    def test_limits_that_are_none_are_refused_in_a_rehearsal_too(self):
        for limit in ("", "garbage", "0", "-1", "50%", "1B"):
            for more in ((), ("--dry-run",)):
                self.refused(*self.quantize("out", "--memory-limit", limit, *more), code=1 if limit == "1B" else 2,
                             says=["--memory-limit"])

    def test_sizes_are_read_with_a_space_and_refused_with_the_option_and_what_is_wrong(self):
        self.refused(*self.quantize("small", "--memory-limit", "1 MiB"), says=["1 MiB", "is the least"])
        self.refused(*self.quantize("out", "--memory-limit", "6 XB"), code=2, says=["--memory-limit", '"XB"', "GiB"])
        self.refused(*self.quantize("out.gguf", "--target-size", "4,5GiB", lane="gguf:q4_0"), code=2,
                     says=["--target-size", ",5GiB"])

    def test_a_disk_without_room_is_an_error_before_any_work(self):
        least = self.least()
        process = self.refused(*self.quantize("out", "--memory-limit", f"{least} MiB"), preexec_fn=limit_files,
                               says=["hidden states", "ulimit -f 1024", "1048576 bytes", "a file of"])
        self.assertNotIn("calibrate", process.errors)
        self.assertEqual(list(self.folder.iterdir()), [])
        disk = self.small_disk("5m")
        for options in (("--memory-limit", f"{least}MiB"), ()):
            process = self.refused(*self.quantize(disk / "out", *options), says=["room for", "No space left", "available"])
            self.assertNotIn("calibrate", process.errors)
            self.assertEqual(list(disk.iterdir()), [])

    def test_rotations_alone_read_no_text(self):
        (self.folder / "short").write_text("x")  # refused where it is read
        self.succeeds(*self.quantize("out", "--memory-limit", "60MiB", "--calibration-text", "short", lane="w8a8+rotate"))

    def test_codes_that_are_packed_are_given_back_page_by_page_too(self):
        for lane in ("nf4", "modelopt-nvfp4", "w4a16-asym", "fp8-block"):
            with self.subTest(lane=lane):
                self.succeeds("quantize", CANARY, lane, "-o", lane, "--calibration-chunks", "2")
                self.succeeds("imatrix", lane, "-o", "imatrix.gguf", "--chunk", "64", "--chunks", "2", "-f")
                self.succeeds("quantize", lane, "gguf:q8_0", "-o", "out.gguf", "--data-free", "--allow-requantize", "-f")
                self.succeeds("quantize", lane, "w4a16+gptq", "-o", "out", "--calibration-chunks", "2",
                              "--allow-requantize", "-f")

    def test_a_limited_job_goes_on_after_sigkill_to_the_same_bytes(self):
        least = self.least(lane="gguf:q4_k_m+gptq")
        limit = ("--memory-limit", f"{least}MiB")
        self.succeeds(*self.quantize("whole.gguf", lane="gguf:q4_k_m+gptq"))
        killed = self.quantize("killed.gguf", *limit, lane="gguf:q4_k_m+gptq")
        process = self.start(*killed)
        deadline = time.monotonic() + 60
        resume = self.folder / "killed.gguf.resume"
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(resume.glob("*.matrix"))) >= 3:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        process.communicate()
        self.assertEqual(process.returncode, -signal.SIGKILL)
        again = self.succeeds(*self.quantize("killed.gguf", *limit, lane="gguf:q4_k_m+gptq", threads=1))
        self.assertIn("going on from", again.errors)
        self.assertEqual((self.folder / "killed.gguf").read_bytes(),
                         (self.folder / "whole.gguf").read_bytes())

    def test_a_misspelt_limit_is_refused(self):
        self.refused(*self.quantize("out", "--memory-limit", "much"), code=2, says=["much"])


if __name__ == "__main__":
    unittest.main()
