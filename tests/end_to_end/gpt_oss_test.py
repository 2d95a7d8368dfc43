#!/usr/bin/env python3
"""gpt-oss: its files are read, but it is no model family here. What is said of it is what is known."""

import json
import unittest

from program import ProgramTest, write_safetensors

# Layers, hidden, feed-forward of each expert, experts.
L, H, F, E = 2, 64, 32, 4


def tensors():
    """Names, types, shapes and bytes of a tiny checkpoint; scales are 1."""
    for layer in range(L):
        block = f"model.layers.{layer}."
        for name, rows, cols in (("q_proj", H, H), ("k_proj", 32, H), ("v_proj", 32, H), ("o_proj", H, H)):
            yield f"{block}self_attn.{name}.weight", "BF16", [rows, cols], bytes(2 * rows * cols)
        yield f"{block}mlp.router.weight", "BF16", [E, H], bytes(2 * E * H)
        for name, rows, cols in (("gate_up_proj", 2 * F, H), ("down_proj", H, F)):
            groups = cols // 32
            yield f"{block}mlp.experts.{name}_blocks", "U8", [E, rows, groups, 16], bytes(E * rows * groups * 16)
            yield f"{block}mlp.experts.{name}_scales", "U8", [E, rows, groups], b"\x7f" * (E * rows * groups)
            yield f"{block}mlp.experts.{name}_bias", "BF16", [E, rows], bytes(2 * E * rows)


class GptOssTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "gpt-oss"
        self.model.mkdir()
        header, stored = {}, b""
        for name, dtype, shape, data in tensors():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(stored), len(stored) + len(data)]}
            stored += data
        write_safetensors(self.model / "model.safetensors", header, stored)
        (self.model / "config.json").write_text(json.dumps({
            "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_hidden_layers": L,
            "hidden_size": H, "intermediate_size": F, "num_local_experts": E, "num_experts_per_tok": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "dtype": "bfloat16",
            "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "router"]}}))

    def test_experts_are_counted_as_what_they_are(self):
        found = json.loads(self.run_program("inspect", self.model, "--json", "-q").output)
        plain = sum(len(data) // 2 for name, dtype, _, data in tensors() if dtype == "BF16")
        self.assertEqual(found["parameters"], plain + L * E * 3 * H * F)
        self.assertEqual(found["configuration"]["experts"], f"{E}, 2 per token")
        schemes = {row["scheme"]: row["linears"] for row in found["schemes"]["weights"]}
        self.assertEqual(schemes["mxfp4"], L * E * 3)
        # Half a byte for a code and a byte for 32 of them.
        codes = L * E * 3 * H * F
        size = codes / 2 + codes / 32 + 2 * plain
        self.assertAlmostEqual(found["bits_per_weight"], 8 * size / (plain + codes), places=3)

    def test_no_command_is_advised_that_would_be_refused(self):
        for command in (["convert", self.model, "out", "--to", "bf16"], ["eval", self.model]):
            process = self.refused(*command, says=["GptOssForCausalLM", "quantlane inspect"])
            self.assertNotIn("--arch-agnostic", process.errors)
        self.assertIn("mxfp4", self.run_program("inspect", self.model).output)

    def test_an_engine_is_not_said_to_load_what_is_not_looked_at(self):
        for engine in ("vllm", "sglang"):
            asked = self.run_program("inspect", self.model, "--engine", engine, "-q")
            self.assertEqual(asked.returncode, 4, asked.output)
            self.assertIn("cannot be judged", asked.output.splitlines()[0])
            self.assertIn("model.layers.0.mlp.experts.", asked.output)
        # What is known still counts.
        asked = self.run_program("inspect", self.model, "--engine", "vllm", "--tp", "3", "-q")
        self.assertIn("will not load", asked.output.splitlines()[0])
        self.assertIn("[heads-over-ranks]", asked.output)
        asked = self.run_program("inspect", self.model, "--engine", "tgi", "-q")
        self.assertIn("[unknown-method]", asked.output)
        asked = self.run_program("inspect", self.model, "--engine", "ollama", "-q")
        self.assertEqual(asked.returncode, 0, asked.output)


if __name__ == "__main__":
    unittest.main()
