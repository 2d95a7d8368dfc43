#!/usr/bin/env python3
"""The times that quantize gives against a clock beside it."""

import re
import time
import unittest

from program import CANARY, ProgramTest


class Times(ProgramTest):
    def test_the_parts_add_up_to_what_the_command_took(self):
        for lane, out in (("w4a16", "w4"), ("fp8", "fp8"), ("gguf:best-4.5bpw", "best.gguf")):
            begin = time.monotonic()
            process = self.succeeds("quantize", CANARY, lane, "-o", out, "--calibration-chunks", "4")
            wall = time.monotonic() - begin
            line = re.search(r"^time +(.*)$", process.output, re.MULTILINE)[1]
            total, *parts = (float(seconds) for seconds in re.findall(r"([\d.]+) s\b(?!ource)", line))
            self.assertEqual("calibration" in line, lane != "fp8", line)
            self.assertAlmostEqual(sum(parts), total, delta=0.02, msg=line)
            # The rest is starting and ending the process.
            self.assertLessEqual(total, wall)
            self.assertGreater(total, 0.5 * wall - 0.25, line)
            self.assertLess(parts[-1], 0.3 * total + 0.25, line)


if __name__ == "__main__":
    unittest.main()
