#!/usr/bin/env python3
"""The two figures of a GGUF file: its weights alone, and as llama.cpp computes."""

import json
import unittest

from program import CANARY, COMPARE, TEXT, ProgramTest

EVAL = ["--text", TEXT, "--chunk", "64", "--chunks", "3", "--reference", CANARY, "--json", "--quiet"]


class Arithmetic(ProgramTest):
    def figures(self, *arguments):
        return json.loads(self.succeeds("eval", *arguments).output)

    def test_eval_gives_both_figures_of_a_gguf_file_and_either_alone(self):
        self.succeeds("quantize", CANARY, "gguf:q4_0", "-o", "m.gguf", "--quiet")
        both = self.figures("m.gguf", *EVAL)
        alone = self.figures("m.gguf", *EVAL, "--arithmetic", "float")
        engine = self.figures("m.gguf", *EVAL, "--arithmetic", "engine")
        self.assertNotIn("engine", alone)
        self.assertNotIn("engine", engine)
        self.assertEqual({k: v for k, v in both.items() if k != "engine"}, alone)
        self.assertEqual({k: v for k, v in engine.items() if k in both["engine"]}, both["engine"])
        self.assertNotEqual(both["kld_mean"], both["engine"]["kld_mean"])

    def test_only_files_whose_engine_rounds_differently_have_a_second_figure(self):
        self.succeeds("quantize", CANARY, "gguf:f32", "-o", "m.gguf", "--quiet")
        self.assertNotIn("engine", self.figures("m.gguf", *EVAL))
        self.assertNotIn("engine", self.figures(CANARY, *EVAL))
        self.refused("eval", "m.gguf", "--arithmetic", "int8", code=2, says=["float or engine"])

    def test_compare_judges_gguf_lanes_by_the_arithmetic_of_their_engine(self):
        self.succeeds(*COMPARE, "--out", "out", "--quiet")
        report = json.loads((self.folder / "out/report.json").read_text())
        lanes = {lane["name"]: lane for lane in report["lanes"]}
        self.assertIsNone(lanes["fp8"]["quality"]["engine"])
        quality = lanes["gguf:q4_k_m"]["quality"]
        judged = {axis["axis"]: axis["estimate"] for axis in lanes["gguf:q4_k_m"]["axes"]}
        self.assertEqual(judged["kld"], quality["engine"]["kld_mean"])
        self.assertNotEqual(judged["kld"], quality["kld_mean"])


if __name__ == "__main__":
    unittest.main()
