#!/usr/bin/env python3
"""Damage that other commands stumble over is among the problems that inspect lists."""

import json
import math
import shutil
import struct
import unittest

from program import CANARY, ProgramTest, read_safetensors, write_safetensors

DOWN = "model.layers.2.mlp.down_proj."
ATTENTION = "model.layers.2.self_attn."


class DamageTest(ProgramTest):
    def make(self, lane, *options):
        self.succeeds("quantize", CANARY, lane, "-o", lane, "-q", *options)
        self.healthy = self.folder / lane
        self.assertEqual(self.run_program("inspect", lane, "-q").returncode, 0)

    def damaged(self, change):
        """What inspect says of a copy whose (header, tensors) were changed."""
        folder = self.folder / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.healthy, folder)
        file = folder / "model.safetensors"
        header, tensors = read_safetensors(file)
        change(header, tensors)
        write_safetensors(file, header, tensors)
        process = self.run_program("inspect", folder, "--json", "-q")
        self.assertEqual(process.returncode, 1, process.output)
        return json.loads(process.output)["problems"]

    def put(self, name, data, at=0):
        def change(header, tensors):
            begin = header[name]["data_offsets"][0] + at
            tensors[begin:begin + len(data)] = data
        return change

    def test_scales_that_decode_to_no_number(self):
        self.make("mxfp4a16", "--data-free")
        for byte in (0xFF, 0xFE):
            problems = self.damaged(self.put(DOWN + "weight_scale", bytes([byte]) * 8))
            self.assertEqual(len(problems), 1, problems)
            self.assertIn(DOWN[:-1], problems[0])
        self.make("w8a8", "--data-free")
        header, _ = read_safetensors(self.healthy / "model.safetensors")
        self.assertEqual(header[DOWN + "weight_scale"]["dtype"], "BF16")
        problems = self.damaged(self.put(DOWN + "weight_scale", struct.pack("<f", 3e38)[2:]))
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("row 0", problems[0])

    def test_engines_are_told_of_numbers_that_are_none(self):
        for lane, tensor, byte, rule, place in (("mxfp4a16", "weight_scale", b"\xff", "bad-scale", "row 0, column 5"),
                                                ("fp8", "weight", b"\x7f", "bad-code", "row 0, column 5"),
                                                ("fp8", "weight", b"\xff", "bad-code", "row 0, column 5")):
            with self.subTest(lane=lane, byte=byte):
                if not (self.folder / lane).exists():
                    self.make(lane, "--data-free")
                self.healthy = self.folder / lane
                self.assertEqual(self.run_program("inspect", lane, "--engine", "vllm").returncode, 0)
                self.assertEqual(len(self.damaged(self.put(DOWN + tensor, byte, at=5))), 1)
                process = self.run_program("inspect", "damaged", "--engine", "vllm")
                self.assertEqual(process.returncode, 4, process.output)
                for part in (rule, DOWN[:-1], place, "NaN"):
                    self.assertIn(part, process.output)

    def test_scales_of_the_cache(self):
        self.make("fp8", "--kv", "fp8")
        for value in (-1.0, 0.0, math.nan, math.inf):
            problems = self.damaged(self.put(ATTENTION + "k_scale", struct.pack("<f", value)))
            self.assertEqual(len(problems), 1, problems)
            self.assertIn(ATTENTION + "k_scale", problems[0])

        def rename(header, _):
            header["another"] = header.pop(ATTENTION + "v_scale")
        problems = self.damaged(rename)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(ATTENTION[:-1] + ": no v_scale", problems[0])
        path = self.healthy / "config.json"
        config = json.loads(path.read_text())
        config["quantization_config"]["kv_cache_scheme"]["num_bits"] = 3
        path.write_text(json.dumps(config))
        problems = self.damaged(lambda header, tensors: None)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("kv_cache_scheme", problems[0])


if __name__ == "__main__":
    unittest.main()
