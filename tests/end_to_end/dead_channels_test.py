#!/usr/bin/env python3
"""Columns whose inputs are always zero and rows of weights that are: quantized, and said."""

import json
import unittest

from program import ProgramTest, read_safetensors, write_safetensors

NORM = "model.layers.1.input_layernorm.weight"
QUERY = "model.layers.1.self_attn.q_proj.weight"
KEY = QUERY.replace("q_proj", "k_proj")  # of the same inputs, and earlier in the file
UP = "model.layers.2.mlp.up_proj.weight"
DOWN = "model.layers.2.mlp.down_proj.weight"


class DeadChannels(ProgramTest):
    def canary(self):
        """A norm silences two inputs of query, key and value; a row of up one input of down."""
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        begin = header[NORM]["data_offsets"][0]
        tensors[begin + 2 * 5:begin + 2 * 7] = bytes(4)
        begin, width = header[UP]["data_offsets"][0], header[UP]["shape"][1]
        tensors[begin + 2 * 9 * width:begin + 2 * 10 * width] = bytes(2 * width)
        write_safetensors(model / "model.safetensors", header, tensors)
        return model

    def test_both_are_counted_with_the_first_tensor(self):
        model = self.canary()
        for lane, out, first in (("w4a16", "w4", QUERY), ("w4a16+gptq", "gptq", KEY),
                                 ("gguf:q4_k_m", "q4.gguf", QUERY), ("fp8-static", "fp8-static", QUERY),
                                 ("gguf:q4_k_m+gptq", "feedback.gguf", QUERY)):
            with self.subTest(lane=lane):
                process = self.succeeds("quantize", model, lane, "-o", out, "--json",
                                        "--calibration-chunks", "2")
                result = json.loads(process.output)
                self.assertEqual(result["zero_rows"], {"count": 1, "matrices": 1, "first": UP})
                self.assertIn(f"1 row of 1 matrix is all zero (the first: {UP})", process.errors)
                self.assertEqual(result["idle_columns"],
                                 {"count": 7, "matrices": 4, "first": first})
                self.assertEqual(process.errors.count(
                    f"7 input columns of 4 matrices were zero for every token (the first: {first})"), 1)

    def test_lanes_without_calibration_know_of_rows_alone(self):
        process = self.succeeds("quantize", self.canary(), "fp8", "-o", "fp8", "--json")
        result = json.loads(process.output)
        self.assertEqual(result["zero_rows"]["first"], UP)
        self.assertEqual(result["idle_columns"]["count"], 0)
        self.assertNotIn("input column", process.errors)

    def test_a_given_importance_matrix_tells_of_columns(self):
        model = self.canary()
        self.succeeds("imatrix", model, "--chunks", "2", "-o", "imatrix.gguf")
        process = self.succeeds("quantize", model, "gguf:q4_k_m", "-o", "q4.gguf", "--json",
                                "--imatrix", "imatrix.gguf")
        self.assertEqual(json.loads(process.output)["idle_columns"]["count"], 7)
        self.assertIn("7 input columns were zero for every token", process.errors)

    def test_a_whole_model_is_told_nothing(self):
        process = self.succeeds("quantize", self.copy_of_canary(), "w4a16+gptq", "-o", "w4", "--json",
                                "--calibration-chunks", "2")
        result = json.loads(process.output)
        self.assertEqual((result["zero_rows"]["count"], result["idle_columns"]["count"]), (0, 0))
        self.assertNotIn("zero", process.errors)


if __name__ == "__main__":
    unittest.main()
