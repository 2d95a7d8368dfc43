#!/usr/bin/env python3
"""The engines that a lane names load it: the pre-flight refuses none of them on a suitable device."""

import json
import random
import re
import unittest

from program import CANARY, ROOT, ProgramTest, write_safetensors

NAMES = {"vLLM": "vllm", "SGLang": "sglang", "TGI": "tgi", "TensorRT-LLM": "tensorrt-llm"}
DEVICES = ("h100-sxm", "b200")
# Of a model that nobody knows: what stays plain has the names of vision models, some of it widths
# that no group divides.
TENSORS = {"language_model.model.embed_tokens": (512, 256), "language_model.lm_head": (512, 256),
           "vision_model.patch_embedding.linear": (128, 588), "model.visual.patch_embed.proj": (128, 48),
           "vision_model.embeddings.position_embedding": (17, 128),
           "vision_model.model.layers.0.self_attn.q_proj": (128, 128), "multi_modal_projector.linear_1": (128, 128),
           "language_model.model.layers.0.self_attn.q_proj": (256, 256),
           "language_model.model.layers.0.self_attn.k_proj": (128, 256),
           "language_model.model.layers.0.self_attn.v_proj": (128, 256),
           "language_model.model.layers.0.self_attn.o_proj": (256, 256),
           "language_model.model.layers.0.feed_forward.gate_proj": (512, 256),
           "language_model.model.layers.0.feed_forward.up_proj": (512, 256),
           "language_model.model.layers.0.feed_forward.down_proj": (256, 512)}


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

    def unknown_model(self):
        folder = self.folder / "unknown"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({
            "architectures": ["NobodyForConditionalGeneration"], "model_type": "nobody", "torch_dtype": "bfloat16",
            "text_config": {"hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4,
                            "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 512, "vocab_size": 512}}))
        values = random.Random(3)
        header, data = {}, b""
        for name, shape in TENSORS.items():
            count = shape[0] * shape[1]
            words = b"".join(bytes((low, 0x3C | high)) for low, high in
                             zip(values.randbytes(count), (0x80 * (byte & 1) for byte in values.randbytes(count))))
            header[name + ".weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(words)]}
            data += words
        write_safetensors(folder / "model.safetensors", header, data)
        return folder

    def objections(self, folder, engine):
        """Ids of the rules by which `engine` would not load the folder, or compute something else."""
        answer = json.loads(self.run_program("inspect", folder, "--engine", engine, "--json").output)
        return {finding["rule"] for finding in answer["findings"]
                if finding["answer"] in ("will not load", "loads but computes something else")}

    def test_of_unknown_models_the_plan_says_what_the_files_say(self):
        model = self.unknown_model()
        engines = {lane["name"]: lane["engines"] for lane in
                   json.loads((ROOT / "data/lanes/lanes.json").read_text())}
        for lane in ("fp8", "w8a8", "w4a16-g32", "w4a16-asym", "nvfp4a16", "fp8-block", "gptq", "awq"):
            with self.subTest(lane=lane):
                run = self.succeeds("quantize", model, lane, "-o", lane, "--arch-agnostic", "--data-free")
                written = {}
                for engine in engines[lane.removesuffix("-g32")].split(", "):
                    if engine in NAMES:
                        written[NAMES[engine]] = self.objections(self.folder / lane, NAMES[engine])
                said = {name: set() for name in written}
                for name, rule in re.findall(r": ([a-z-]+): (?:will not load|loads but).*\[([a-z0-9-]+)\]", run.errors):
                    said[name].add(rule)
                self.assertEqual(said, written)
                if lane not in ("gptq", "awq"):
                    self.assertEqual(set().union(*written.values()), set())


if __name__ == "__main__":
    unittest.main()
