"""Artefacts whose configuration contradicts their tensors, key by key: none of them "loads"."""

import json
import math
import shutil
import unittest

from program import CANARY, ProgramTest, edit_json, write_safetensors

O_PROJ = "model.layers.0.self_attn.o_proj"
GROUP = ("config_groups", "group_0")
# Of each lane, what one edit of quantization_config makes wrong: (path of keys, value).
# `None` takes the key away.
WRONG = {
    "w4a16": [(("format",), "int-quantized"), ((*GROUP, "format"), "int-quantized"),
              (("format",), "float-quantized"), (("format",), "mixed-precision"),
              (("format",), "nvfp4-pack-quantized"), (("format",), None),
              ((*GROUP, "weights", "num_bits"), 8), ((*GROUP, "weights", "num_bits"), 2),
              ((*GROUP, "weights", "group_size"), 64), ((*GROUP, "weights", "strategy"), "channel"),
              ((*GROUP, "weights", "type"), "float"), ((*GROUP, "weights", "symmetric"), False),
              ((*GROUP, "weights", "actorder"), "group"), ((*GROUP, "targets"), ["re:.*q_proj"]),
              (("ignore",), ["lm_head", O_PROJ]), (("quant_method",), "gptq"),
              (("config_groups",), {})],
    "w8a8": [(("format",), "pack-quantized"), ((*GROUP, "format"), "pack-quantized"),
             (("format",), "float-quantized"), ((*GROUP, "weights", "num_bits"), 4),
             ((*GROUP, "weights", "strategy"), "tensor"),
             ((*GROUP, "input_activations", "dynamic"), False), (("ignore",), ["lm_head", O_PROJ])],
    "fp8": [(("format",), "pack-quantized"), (("format",), "int-quantized"),
            ((*GROUP, "weights", "type"), "int"), ((*GROUP, "weights", "strategy"), "tensor"),
            ((*GROUP, "weights", "strategy"), "block"), (("ignore",), ["lm_head", O_PROJ])],
    "mxfp4": [(("format",), "nvfp4-pack-quantized"), (("format",), "pack-quantized"),
              ((*GROUP, "weights", "group_size"), 16), (("ignore",), ["lm_head", O_PROJ])],
    "gptq": [(("checkpoint_format",), "gptq_v2"), (("bits",), 8), (("bits",), 3), (("bits",), 2),
             (("bits",), 5), (("group_size",), 64), (("group_size",), -1), (("group_size",), 0),
             (("sym",), False), (("desc_act",), "yes"), (("lm_head",), True), (("bits",), None),
             (("pack_dtype",), "int16"), (("quant_method",), "awq"),
             (("dynamic",), {"-:.*o_proj": {}}), (("dynamic",), {"+:.*o_proj": {"bits": 8}})],
    "awq": [(("bits",), 8), (("group_size",), 64), (("group_size",), -1), (("zero_point",), False),
            (("version",), "gemv"), (("modules_to_not_convert",), ["o_proj"]),
            (("quant_method",), "gptq")],
    "fp8-block": [(("weight_block_size",), [64, 64]), (("weight_block_size",), None),
                  (("modules_to_not_convert",), ["lm_head", O_PROJ]),
                  (("modules_to_not_convert",), ["lm_head", "o_proj"]),
                  (("ignored_layers",), [O_PROJ]), (("activation_scheme",), "static"),
                  (("fmt",), "e5m2"), (("quant_method",), "compressed-tensors")],
    "nf4": [(("bnb_4bit_quant_type",), "fp4"), (("bnb_4bit_use_double_quant",), True),
            (("load_in_8bit",), True), (("load_in_4bit",), False),
            (("llm_int8_skip_modules",), ["lm_head", "o_proj"])],
}
MODEL = [("num_hidden_layers", 2), ("num_hidden_layers", 99), ("hidden_size", 512),
         ("intermediate_size", 512), ("num_key_value_heads", 8)]


def edit(config, path, value):
    for key in path[:-1]:
        config = config[key]
    if value is None:
        config.pop(path[-1], None)
    else:
        config[path[-1]] = value


class ContradictionsTest(ProgramTest):
    def make(self, lane):
        made = self.run_program("quantize", CANARY, lane, "-o", lane, "--data-free", "-q")
        self.assertEqual(made.returncode, 0, made.errors)
        return self.folder / lane

    def judge(self, folder):
        """Exit codes of inspect and of inspect --engine, and the first line of the latter."""
        engine = "sglang" if folder.name == "nf4" else "vllm"  # which has no bitsandbytes
        plain = self.run_program("inspect", folder, "-q")
        asked = self.run_program("inspect", folder, "--engine", engine, "-q")
        return plain.returncode, asked.returncode, asked.output.split("\n")[0] + asked.errors

    def expect_wrong(self, folder, change):
        """The exit code of plain inspect, once the engine's answer is seen not to be "loads"."""
        path = folder / "config.json"
        before = path.read_text(encoding="utf-8")
        config = json.loads(before)
        change(config)
        path.write_text(json.dumps(config), encoding="utf-8")
        try:
            plain, asked, said = self.judge(folder)
        finally:
            path.write_text(before, encoding="utf-8")
        self.assertIn(asked, (1, 4), said)
        self.assertNotIn(": loads\n", said + "\n")
        return plain

    def test_every_wrong_key_is_refused_or_judged(self):
        accepted = []
        for lane, edits in WRONG.items():
            folder = self.make(lane)
            self.assertEqual(self.judge(folder)[:2], (0, 0), lane)
            for side in ("quantize_config.json", "quant_config.json"):
                (folder / side).unlink(missing_ok=True)
            for path, value in edits:
                with self.subTest(lane=lane, path=path, value=value):
                    change = lambda config: edit(config["quantization_config"], path, value)
                    if self.expect_wrong(folder, change) == 0:
                        accepted.append((lane, ".".join(path), value))
            shutil.rmtree(folder)
        # Not ambiguous for a reader, only refused by engines.
        self.assertEqual(accepted, [("w4a16", "format", None), ("gptq", "sym", False),
                                    ("gptq", "bits", None)])

    def test_a_lane_that_does_not_fit_is_refused_with_the_rule_before_a_byte(self):
        """Hidden size 192: 128 divides no width of it."""
        folder = self.copy_of_canary()
        edit_json(folder / "config.json", hidden_size=192, intermediate_size=192, head_dim=64,
                  num_attention_heads=3, num_key_value_heads=3, num_hidden_layers=1,
                  tie_word_embeddings=True)
        vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
        shapes = {"model.embed_tokens": [vocabulary, 192], "model.norm": [192]}
        layer = "model.layers.0."
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[layer + "self_attn." + part] = [192, 192]
        for part in ("gate_proj", "up_proj", "down_proj"):
            shapes[layer + "mlp." + part] = [192, 192]
        for part in ("input_layernorm", "post_attention_layernorm"):
            shapes[layer + part] = [192]
        header, data = {}, bytearray()
        for name, shape in shapes.items():
            size = 2 * math.prod(shape)
            header[name + ".weight"] = {"dtype": "BF16", "shape": shape,
                                        "data_offsets": [len(data), len(data) + size]}
            data += b"\x80\x3c" * (size // 2)
        write_safetensors(folder / "model.safetensors", header, data)
        lane = ["quantize", folder, "fp8-block", "-o", "out", "--data-free"]
        for command in (lane, [*lane, "--dry-run"]):
            self.refused(*command, "--engine", "vllm", code=4,
                         says=["rule fp8-block-rows", "192", "will not load", "(source: measured"])
            self.refused(*command, says=["fp8 holds", "192 x 192", "per channel"])
        self.assertFalse((self.folder / "out").exists())

    def test_every_wrong_key_of_the_model_is_refused_or_judged(self):
        folder = self.make("w4a16")
        for key, value in MODEL:
            with self.subTest(key=key, value=value):
                self.assertEqual(self.expect_wrong(folder, lambda c: edit(c, (key,), value)), 1)


if __name__ == "__main__":
    unittest.main()
