#!/usr/bin/env python3
"""Quantized folders in other dialects, statistics of other models: the same numbers, or a refusal."""

import json
import struct
import unittest

from program import CANARY, COMPARE, ROOT, ProgramTest, read_safetensors, write_safetensors


def tensors(folder):
    """name -> (header entry without its place, bytes)"""
    header, data = read_safetensors(folder / "model.safetensors")
    header.pop("__metadata__", None)
    result = {}
    for name, entry in header.items():
        begin, end = entry.pop("data_offsets")
        result[name] = (entry, data[begin:end])
    return result


class Convert(ProgramTest):
    def make(self, lane):
        self.succeeds("quantize", CANARY, lane, "-o", lane, "--calibration-chunks", "2", "-q")

    def convert(self, source, lane, out):
        result = json.loads(self.succeeds("convert", source, out, "--to", lane, "--json").output)
        self.assertEqual({row["how"] for row in result["transfers"]}, {"moved"})
        return result

    def test_there_and_back_again_is_the_same(self):
        for lane, other in (("w4a16", "gptq"), ("w4a16-asym", "awq"), ("fp8-static", "modelopt-fp8")):
            with self.subTest(lane=lane, other=other):
                self.make(lane)
                there = self.convert(lane, other, f"{other}-1")
                self.assertEqual({row["differing"] for row in there["transfers"]}, {0})
                self.convert(f"{other}-1", lane, f"{lane}-2")
                self.assertEqual(tensors(self.folder / f"{lane}-2"), tensors(self.folder / lane))
                configs = [json.loads((self.folder / name / "config.json").read_text())["quantization_config"]
                           for name in (f"{lane}-2", lane)]
                self.assertEqual(*configs)

    def test_finer_scales_repeat_coarser_ones_and_other_inputs_are_said(self):
        self.make("fp8-static")
        process = self.succeeds("convert", "fp8-static", "out", "--to", "fp8")
        self.assertIn("every weight is the source's", process.output)
        self.assertIn("rounds the inputs of Linears otherwise", process.output + process.errors)

    def test_codes_that_the_lane_cannot_hold_are_refused(self):
        self.make("w4a16")
        self.refused("convert", "w4a16", "out", "--to", "w8a8", says=["int4_g128_sym -> int8_channel_sym"])
        self.refused("convert", CANARY, "out", "--to", "gptq", says=["a quantized folder"])
        self.refused("convert", "w4a16", "out", "--to", "gguf:q4_0", code=2, says=["--to f32, f16, bf16, same"])
        self.assertFalse((self.folder / "out").exists())

    def test_the_scheme_of_the_cache_is_kept_or_its_loss_is_said(self):
        def scales(folder):
            return {name: data for name, data in tensors(self.folder / folder).items()
                    if name.endswith((".k_scale", ".v_scale", "_proj.k_scale", "_proj.v_scale"))}

        def config(folder):
            return json.loads((self.folder / folder / "config.json").read_text())["quantization_config"]
        self.succeeds("quantize", CANARY, "fp8", "--kv", "fp8", "-o", "A", "-q")
        self.assertTrue(scales("A"))
        for command in (["convert", "A", "fp8", "--to", "fp8"], ["convert", "A", "f32", "--to", "f32"],
                        ["convert", "A", "bf16", "--to", "bf16"], ["quantize", "A", "fp8", "-o", "again"]):
            with self.subTest(command=command):
                process = self.succeeds(*command)
                out = command[4] if command[0] == "quantize" else command[2]
                self.assertEqual(scales(out), scales("A"))
                self.assertEqual(config(out)["kv_cache_scheme"], config("A")["kv_cache_scheme"])
                self.assertNotIn("is lost", process.errors)
        adapter = ROOT / "tests/data/adapters/canary"
        for command in (["convert", "A", "a.gguf", "--to", "bf16"], ["merge-lora", "A", adapter, "-o", "merged"]):
            with self.subTest(command=command):
                said = self.succeeds(*command).errors
                self.assertIn("the key-value cache scheme of the source, fp8, is lost", said)
        self.assertFalse(scales("merged"))

    def test_a_cache_alone_is_no_quantized_source(self):
        self.succeeds("quantize", CANARY, "bf16", "--kv", "fp8", "-o", "kv", "-q")
        for lane in ("w8a16", "gptq", "fp8"):
            self.refused("convert", "kv", "out", "--to", lane, says=["a quantized folder, whose codes are kept"])

    def test_refusals_name_the_reason_and_a_command_that_has_the_option(self):
        self.make("w4a16-asym")
        process = self.refused("convert", "w4a16-asym", "out", "--to", "w4a16",
                               says=["zero points", "quantlane quantize --allow-requantize"])
        self.assertIn("converting to w4a16", process.errors)
        self.make("nvfp4a16")
        self.refused("convert", "nvfp4a16", "out", "--to", "nvfp4", says=["static scales of the inputs"])

    def test_rounding_of_the_engine_is_no_loss_of_plain_floats(self):
        self.make("nvfp4a16")  # decoded to bf16
        said = self.succeeds("convert", "nvfp4a16", "f32", "--to", "f32").output
        self.assertIn("dequantized  nvfp4 -> f32, 42 matrices: every weight is the source's", said)

    def test_what_engines_round_otherwise_is_said_of_the_same_codes_and_scales(self):
        self.make("gptq")
        for out, lane in (("w4a16", "w4a16"), ("m.gguf", "same")):
            with self.subTest(lane=lane):
                process = self.succeeds("convert", "gptq", out, "--to", lane)
                self.assertIn("42 matrices: codes and scales are the source's; decoded weights are 0.00", process.output)
                self.assertNotIn("every weight is the source's", process.output)
        # By the floats of both: what each decodes to.
        rows = {row["tensor"]: row for row in self.convert("gptq", "w4a16", "again")["transfers"]}
        self.assertEqual({row["deviation"] for row in rows.values()}, {0})
        for name in ("gptq", "again"):
            self.succeeds("convert", name, f"{name}-f32", "--to", "f32")
        want, got = tensors(self.folder / "gptq-f32"), tensors(self.folder / "again-f32")
        for name, row in rows.items():
            a, b = (struct.unpack(f"<{len(data) // 4}f", data) for _, data in (want[name], got[name]))
            rms = (sum((x - y) ** 2 for x, y in zip(a, b)) / sum(x * x for x in a)) ** 0.5
            self.assertGreater(rms, 0)
            self.assertAlmostEqual(row["decoded_deviation"], rms, delta=rms * 1e-6)

    def test_f16_scales_become_those_of_compressed_tensors(self):
        for lane, other in (("awq+rtn", "w4a16-asym"), ("gptq", "w4a16")):
            with self.subTest(lane=lane):
                self.make(lane)
                result = self.convert(lane, other, f"{other}-out")
                self.assertEqual({row["differing"] for row in result["transfers"]}, {0})
                self.convert(f"{other}-out", lane, f"{lane}-back")
                self.assertEqual(tensors(self.folder / f"{lane}-back"), tensors(self.folder / lane))

    def test_scales_of_inputs_follow_the_codes(self):
        self.make("nvfp4")
        self.convert("nvfp4", "modelopt-nvfp4", "modelopt")
        self.convert("modelopt", "nvfp4", "back")
        for name, (entry, data) in tensors(self.folder / "nvfp4").items():
            if name.endswith("global_scale"):  # reciprocals of reciprocals
                (was,), (now,) = (struct.unpack("<f", d) for d in (data, tensors(self.folder / "back")[name][1]))
                self.assertAlmostEqual(now / was, 1, places=6)

    def test_error_feedback_makes_new_codes(self):
        self.make("w4a16")
        self.refused("quantize", "w4a16", "w4a16+gptq", "-o", "out", says=["--allow-requantize"])


class Statistics(ProgramTest):
    def test_those_of_another_model_are_refused(self):
        self.succeeds(*COMPARE, "--out", "out", "--quiet")
        file = self.folder / "out/work/calibration.safetensors"
        self.succeeds("quantize", CANARY, "w4a16", "-o", "own", "--statistics", file)
        self.succeeds("merge-lora", CANARY, ROOT / "tests/data/adapters/canary", "-o", "merged")
        self.refused("quantize", "merged", "fp8-static", "-o", "stale", "--statistics", file,
                     says=["statistics of the model that is quantized"])
        header, data = read_safetensors(file)
        name = next(name for name in header if name.endswith("gate_proj.count"))
        for suffix in ("count", "in_sum2", "in_absmax", "in_magnitudes"):
            del header[name.removesuffix("count") + suffix]
        write_safetensors(self.folder / "part.safetensors", header, data)
        self.refused("quantize", CANARY, "w4a16", "-o", "out2", "--statistics", "part.safetensors")
        said = self.succeeds("quantize", CANARY, "w4a16+gptq", "-o", "own2", "--statistics", file,
                             "--calibration-chunks", "2")
        self.assertIn("the statistics are not used", said.errors)


if __name__ == "__main__":
    unittest.main()
