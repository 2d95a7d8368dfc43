#!/usr/bin/env python3
"""Mixture of experts through every command, on the canary with its feed-forward as four experts.

Alike experts give the canary's own answers however tokens are routed: that is the reference.
"""

import json
import random
import struct
import unittest

from program import CANARY, TEXT, ProgramTest, edit_json, read_safetensors, write_safetensors

EXPERTS = 4
WORDS = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
SHORT = ["--text", TEXT, "--chunk", "64", "--chunks", "4"]


def bf16(values):
    return b"".join(struct.pack("<f", value)[2:] for value in values)


def router(width, never_picks_the_last, experts):
    """Rows of the router. Of equal scores the first expert is picked."""
    rows = [[random.gauss(0, 0.1) for _ in range(width)] for _ in range(experts)]
    if never_picks_the_last:
        rows = [rows[0]] + [rows[1]] * (experts - 1)
    return bf16(value for row in rows for value in row)


def inner_columns(shape, content, down, first, width):
    """The `width` inner columns from `first` on of a bf16 matrix: rows of gate and up."""
    rows, cols = shape
    first %= (cols if down else rows) - width + 1
    if not down:
        return [width, cols], content[2 * cols * first:2 * cols * (first + width)]
    starts = (2 * (row * cols + first) for row in range(rows))
    return [rows, width], b"".join(content[start:start + 2 * width] for start in starts)


class Experts(ProgramTest):
    def mixtral(self, name="moe", never_picks_the_last=False, experts=EXPERTS, width=None):
        """`width`: experts of so many of the inner columns, other ones for each."""
        folder = self.copy_of_canary(name)
        edit_json(folder / "config.json", architectures=["MixtralForCausalLM"], model_type="mixtral",
                  num_local_experts=experts, num_experts_per_tok=2, sliding_window=None,
                  **({"intermediate_size": width} if width else {}))
        header, data = read_safetensors(folder / "model.safetensors")
        random.seed(5)
        out, tensors = {}, bytearray()

        def add(name, shape, content):
            out[name] = {"dtype": "BF16", "shape": shape,
                         "data_offsets": [len(tensors), len(tensors) + len(content)]}
            tensors.extend(content)

        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            content = bytes(data[begin:end])
            if ".mlp." not in name:
                add(name, entry["shape"], content)
                continue
            block, _, module = name.partition(".mlp.")
            for expert in range(experts):
                word = WORDS[module.removesuffix(".weight")]
                shape, part = entry["shape"], content
                if width:
                    shape, part = inner_columns(shape, content, word == "w2", expert * 32, width)
                add(f"{block}.block_sparse_moe.experts.{expert}.{word}.weight", shape, part)
            if module.startswith("gate"):
                hidden = entry["shape"][1]
                add(f"{block}.block_sparse_moe.gate.weight", [experts, hidden],
                    router(hidden, never_picks_the_last, experts))
        write_safetensors(folder / "model.safetensors", out, tensors)
        return folder

    def measured(self, model, reference=CANARY):
        process = self.succeeds("eval", model, *SHORT, "--reference", reference, "--json")
        return json.loads(process.output)

    def test_alike_experts_answer_as_the_dense_model(self):
        result = self.measured(self.mixtral())
        self.assertLess(result["kld_mean"]["value"], 1e-9)
        self.assertAlmostEqual(result["ppl_ratio"]["value"], 1, places=6)

    def test_folder_lanes_quantize_experts_and_keep_the_router(self):
        moe = self.mixtral()
        for lane, most in (("fp8", 0.01), ("w4a16", 0.03), ("w4a16+gptq", 0.03)):
            out = self.folder / lane
            process = self.succeeds("quantize", moe, lane, "-o", out, *self.calibration(lane))
            header, _ = read_safetensors(out / "model.safetensors")
            block = "model.layers.0.block_sparse_moe"
            self.assertEqual(header[f"{block}.gate.weight"]["dtype"], "BF16")
            self.assertIn(f"{block}.experts.3.w2.weight_scale", header)
            ignored = json.loads((out / "config.json").read_text())["quantization_config"]["ignore"]
            self.assertIn(f"{block}.gate", ignored)
            self.assertEqual(len(ignored), 6 + 1)  # routers and the head
            if lane != "fp8":
                self.assertRegex(process.output, r"experts +24, of which 0 saw no token")
            self.assertLess(self.measured(out)["kld_mean"]["value"], most)

    @staticmethod
    def calibration(lane):
        return ["--calibration-chunks", "2"] if lane.startswith("w4a16") else []

    def test_gguf_stacks_experts_and_goes_back(self):
        moe = self.mixtral()
        self.succeeds("convert", moe, "plain.gguf", "--to", "bf16")
        self.succeeds("convert", "plain.gguf", "back", "--to", "bf16")
        header, data = read_safetensors(self.folder / "back/model.safetensors")
        want_header, want = read_safetensors(moe / "model.safetensors")
        self.assertEqual(sorted(set(header) - {"__metadata__"}), sorted(want_header))
        for name in want_header:
            begin, end = header[name]["data_offsets"]
            first, last = want_header[name]["data_offsets"]
            self.assertEqual(data[begin:end], want[first:last], name)
        self.succeeds("quantize", moe, "gguf:q4_k_m", "-o", "q4.gguf", "--calibration-chunks", "4")
        inspected = json.loads(self.succeeds("inspect", "q4.gguf", "--json").output)
        tensors = {tensor["name"]: tensor for tensor in inspected["tensors"]}
        self.assertEqual(tensors["blk.0.ffn_up_exps.weight"]["shape"], [EXPERTS, 768, 256])
        self.assertEqual(tensors["blk.0.ffn_up_exps.weight"]["type"], "q4_k")
        self.assertEqual(tensors["blk.0.ffn_gate_inp.weight"]["type"], "f32")
        self.assertEqual(inspected["configuration"]["experts"], "4, 2 per token")
        self.assertLess(self.measured("q4.gguf")["kld_mean"]["value"], 0.02)
        self.succeeds("quantize", "plain.gguf", "w8a8", "-o", "w8a8")
        self.assertLess(self.measured("w8a8")["kld_mean"]["value"], 0.005)

    def test_experts_that_no_token_reaches_are_named_and_filled_up(self):
        moe = self.mixtral(never_picks_the_last=True)
        process = self.succeeds("imatrix", moe, *SHORT, "-o", "moe.gguf")
        self.assertIn("of which 6 saw no token", process.output)
        self.assertIn("6 of 24 experts saw no token (layer 0: 3", process.errors)
        shown = json.loads(self.succeeds("imatrix", "show", "moe.gguf", "--json").output)
        self.assertEqual(shown["experts"]["unseen"], 6)
        self.assertEqual(shown["experts"]["experts"], 24)
        for given in (["--imatrix", "moe.gguf"], ["--calibration-chunks", "2"]):
            process = self.succeeds("quantize", moe, "gguf:q2_k_s", "-o", f"{len(given[1])}.gguf", *given)
            self.assertIn("filled up with the mean of the other experts", process.errors)
        for lane, out in (("w4a16+gptq", "feedback"), ("w4a16+awq+gptq", "awq"), ("fp8-static+gptq", "fp8"),
                          ("gguf:q4_k_m+gptq", "feedback.gguf")):
            process = self.succeeds("quantize", moe, lane, "-o", out, "--calibration-chunks", "2")
            self.assertRegex(process.output, r"experts +24, of which 6 saw no token", lane)
            self.assertEqual(process.errors.count("6 of 24 experts saw no token (layer 0: 3"), 1, process.errors)
        self.succeeds("imatrix", "merge", "moe.gguf", "-o", "moe.dat")
        process = self.succeeds("quantize", moe, "gguf:q2_k_s", "-o", "dat.gguf", "--imatrix", "moe.dat")
        self.assertIn("filled up", process.errors)

    def test_compare_judges_a_model_with_experts(self):
        self.succeeds("compare", self.mixtral(), "--lanes", "w4a16,gguf:q4_k_m", "--chunk", "64",
                      "--chunks", "3", "--task-items", "2", "--out", "report")
        report = json.loads((self.folder / "report/report.json").read_text())
        for lane in report["lanes"]:
            self.assertLess(lane["quality"]["kld_mean"]["value"], 0.05, lane["name"])
            roles = [(row["layer"], row["role"]) for row in lane["layer_errors"]]
            self.assertEqual(len(roles), len(set(roles)))  # one figure for all experts of a layer

    def test_experts_are_counted_under_a_limit_of_memory(self):
        moe = self.mixtral(experts=24, width=256)
        for lane, suffix in (("w4a16+gptq", ""), ("gguf:q4_k_m+gptq", ".gguf")):
            with self.subTest(lane=lane):
                command = ["quantize", moe, lane, "--calibration-chunks", "8", "-t", "2"]
                least = self.least_limit(*command, "-o", "limited" + suffix)
                errors = self.runs_below(least, *command, "-o", "limited" + suffix)
                self.assertRegex(errors, r"hidden states of 4096 tokens, \d+ MiB, go to disk")
                self.succeeds(*command, "-o", "free" + suffix)
                for free in [self.folder / "free.gguf"] if suffix else (self.folder / "free").iterdir():
                    limited = self.folder / "limited.gguf" if suffix else self.folder / "limited" / free.name
                    self.assertEqual(limited.read_bytes(), free.read_bytes(), free.name)
        command = ["imatrix", moe, "--chunks", "4", "-t", "2", "-o", "moe-imatrix.gguf"]
        self.runs_below(self.least_limit(*command), *command)

    def test_a_missing_expert_is_named(self):
        moe = self.mixtral()
        path = moe / "model.safetensors"
        header, data = read_safetensors(path)
        name = "model.layers.2.block_sparse_moe.experts.1.w3.weight"
        header["model.layers.2.spare"] = header.pop(name)
        write_safetensors(path, header, data)
        self.refused("eval", moe, *SHORT, says=[name])
        edit_json(moe / "config.json", num_local_experts=3)
        self.refused("eval", moe, *SHORT, says=["gate.weight", "[3, 256]"])


if __name__ == "__main__":
    unittest.main()
