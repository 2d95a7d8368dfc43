#!/usr/bin/env python3
"""The engines that a lane names load it: the pre-flight refuses none of them on a suitable device."""

import json
import unittest

from program import CANARY, ROOT, ProgramTest

NAMES = {"vLLM": "vllm", "SGLang": "sglang", "TGI": "tgi", "TensorRT-LLM": "tensorrt-llm"}
DEVICES = ("h100-sxm", "b200")


class EnginesTest(ProgramTest):
    def loads(self, lane, engine):
        return any(self.run_program("quantize", CANARY, lane, "-o", "planned", "--dry-run", "-q", "--engine", engine,
                                    "--gpu", device).returncode == 0 for device in DEVICES)

    def test_no_engine_that_a_lane_names_refuses_it(self):
        asked = 0
        for lane in json.loads((ROOT / "data/lanes/lanes.json").read_text()):
            for engine in lane["engines"].split(", "):
                if engine in NAMES:
                    asked += 1
                    with self.subTest(lane=lane["name"], engine=engine):
                        self.assertTrue(self.loads(lane["name"], NAMES[engine]))
        self.assertGreater(asked, 50)

    def test_those_that_were_named_and_refuse_are_told_apart(self):
        for lane, engine in (("nvfp4a16", "tensorrt-llm"), ("fp8-static", "tensorrt-llm"), ("nf4", "vllm")):
            self.assertFalse(self.loads(lane, engine), lane)


if __name__ == "__main__":
    unittest.main()
