#!/usr/bin/env python3
"""Outputs that cannot be written: refused folders, full disks, file size limits."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from program import CANARY, COMPARE, ProgramTest, limit_files


class Output(ProgramTest):
    def setUp(self):
        super().setUp()
        self.texts = tempfile.TemporaryDirectory()
        self.addCleanup(self.texts.cleanup)
        short = pathlib.Path(self.texts.name) / "calibration.txt"
        short.write_bytes((CANARY / "calibration.txt").read_bytes()[:9000].rpartition(b" ")[0])
        self.compare = [*COMPARE, "--calibration-text", short]

    def test_a_file_in_place_of_the_output_folder_is_refused_before_work_starts(self):
        (self.folder / "file").write_text("mine")
        for command in ([*self.compare, "--out", "file"], [*self.compare, "--out", "file/deeper"],
                        ["quantize", CANARY, "w4a16", "-o", "file/out"],
                        ["convert", CANARY, "file/out.gguf"]):
            process = self.refused(*command, says=["file"])
            self.assertNotIn("calibrate", process.errors)
        self.assertEqual((self.folder / "file").read_text(), "mine")

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_folder_without_permission_is_refused(self):
        (self.folder / "closed").mkdir(mode=0o500)
        self.refused(*self.compare, "--out", "closed/out", says=["closed", "permission"])

    def test_a_file_size_limit_is_an_error_and_leaves_nothing(self):
        for lane, out in (("fp8", "out"), ("gguf:q8_0", "out.gguf"), ("bf16", "out")):
            self.refused("quantize", CANARY, lane, "-o", out, says=[out], preexec_fn=limit_files)
            self.assertEqual(list(self.folder.iterdir()), [])
        self.refused(*self.compare, "--out", "report", says=["report"], preexec_fn=limit_files)
        self.assertEqual(self.partials(), [])

    def test_a_full_disk_is_an_error_and_the_next_run_goes_on(self):
        disk = self.small_disk("9m")
        self.refused("quantize", CANARY, "f32", "-o", disk / "out", says=["No space left"])
        self.refused("quantize", CANARY, "gguf:f32", "-o", disk / "o.gguf", says=["No space left"])
        self.assertEqual(list(disk.iterdir()), [])
        self.refused(*self.compare, "--out", disk / "report", says=["No space left"])
        self.assertEqual(self.partials(disk), [])
        subprocess.run(["mount", "-o", "remount,size=99m", str(disk)], check=True)
        self.succeeds(*self.compare, "--out", disk / "report")
        self.assertEqual(self.partials(disk), [])


if __name__ == "__main__":
    unittest.main()
