"""deploy writes for the engines with rules exactly what inspect --engine says they load."""

import json
import shutil
import unittest

from program import CANARY, ProgramTest, edit_json, read_safetensors, write_safetensors

ENGINES = ["vllm", "sglang", "tgi", "tensorrt-llm"]
LANES = ["w4a16", "w4a16-asym", "w8a8", "fp8", "nvfp4a16", "mxfp4", "gptq", "gptq-v2-asym", "awq",
         "gguf:q8_0"]
# Seen with vLLM 0.32.0, or read from sources (docs/preflight.md): (lane, engine) and whether.
KNOWN = {("gptq-v2-asym", "vllm"): False, ("gptq-v2-asym", "tgi"): False,
         ("w4a16-asym", "tgi"): False, ("mxfp4", "sglang"): False, ("mxfp4", "tgi"): False,
         ("mxfp4", "tensorrt-llm"): False,
         ("nvfp4a16", "tensorrt-llm"): False, ("w8a8", "tensorrt-llm"): False,
         ("w4a16", "vllm"): True, ("fp8", "tensorrt-llm"): True, ("gguf:q8_0", "vllm"): False}


class DeployAgreement(ProgramTest):
    def answers(self, artefact, engine):
        """Whether inspect says that it loads, and what deploy answered."""
        asked = self.run_program("inspect", artefact, "--engine", engine, "--json")
        answer = json.loads(asked.output)
        deployed = self.run_program("deploy", artefact, "--for", engine)
        for process in (asked, deployed):
            self.assertEqual(process.returncode, 0 if answer["usable"] else 4, f"{artefact} {engine}")
        if not answer["usable"]:
            rules = [finding["rule"] for finding in answer["findings"]]
            self.assertTrue(any(f"rule {rule}" in deployed.errors for rule in rules),
                            deployed.errors)
            self.assertIn("source:", deployed.errors)
        return answer["usable"]

    def test_every_lane_and_engine(self):
        for lane in LANES:
            out = self.folder / ("a.gguf" if lane.startswith("gguf") else lane)
            made = self.run_program("quantize", CANARY, lane, "--data-free", "-o", out, "-q")
            self.assertEqual(made.returncode, 0, made.errors)
            for engine in ENGINES:
                usable = self.answers(out, engine)
                self.assertEqual(usable, KNOWN.get((lane, engine), usable), f"{lane} {engine}")

    def test_commands_that_ask_before_they_write_end_alike(self):
        refused = ["--engine", "tensorrt-llm"]
        self.refused("quantize", CANARY, "w8a8", "-o", "out", *refused, code=4, says=["rule "])
        self.refused("quantize", CANARY, "w8a8", "--dry-run", *refused, code=4, says=["rule "])
        self.refused("compare", CANARY, "--lanes", "w8a8", *refused, "--out", "out", code=4, says=["rule "])
        for product in ("ollama", "lmstudio", "llama-server"):
            self.run_program("quantize", CANARY, "fp8", "-o", "fp8", "-q")
            self.refused("deploy", "fp8", "--for", product, "-o", "out", code=4, says=["GGUF"])
        self.assertFalse((self.folder / "out").exists())

    def test_a_folder_for_localai_is_asked_by_the_rules_of_vllm(self):
        for lane, loads in {"w4a16": True, "gptq-v2-asym": False}.items():
            self.run_program("quantize", CANARY, lane, "--data-free", "-o", self.folder / lane, "-q")
            deployed = self.run_program("deploy", self.folder / lane, "--for", "localai")
            self.assertEqual(deployed.returncode, 0 if loads else 4, deployed.errors)
            for engine in ("vllm", "localai"):
                self.assertEqual(self.answers(self.folder / lane, engine), loads)
        self.assertIn("rule gptq-asymmetric", deployed.errors)
        self.assertIn("vLLM", deployed.errors)
        self.assertEqual(deployed.output, "")

    def test_a_scale_without_its_dimension_of_one(self):
        for lane, suffix in (("fp8", "weight_scale"), ("w8a8", "weight_scale"),
                             ("w8a8-static", "input_scale")):
            out = self.folder / lane
            self.run_program("quantize", CANARY, lane, "-o", out, "-q")
            header, tensors = read_safetensors(out / "model.safetensors")
            name = f"model.layers.0.mlp.down_proj.{suffix}"
            shape = header[name]["shape"]
            self.assertIn(len(shape), (1, 2))
            for other, loads in ((shape, True), (shape[:1] if len(shape) == 2 else [], len(shape) < 2),
                                 ([1, *shape], False)):
                header[name]["shape"] = other
                write_safetensors(out / "model.safetensors", header, tensors)
                for engine in ("vllm", "sglang"):
                    self.assertEqual(self.answers(out, engine), loads, f"{lane} {other} {engine}")

    def test_what_an_edit_of_the_configuration_breaks(self):
        self.run_program("quantize", CANARY, "w4a16", "--data-free", "-o", self.folder / "a", "-q")
        # vLLM takes no scheme of integers for the cache.
        self.run_program("quantize", CANARY, "w4a16", "--data-free", "--kv", "int8", "-o",
                         self.folder / "kv", "-q")
        self.assertFalse(self.answers(self.folder / "kv", "vllm"))
        edits = {"format": lambda c: c.update(format="int-quantized"),
                 "keys": lambda c: c.pop("config_groups"),
                 "status": lambda c: c.update(quantization_status="calibration")}
        for name, change in edits.items():
            copy = self.folder / name
            shutil.copytree(self.folder / "a", copy)
            config = json.loads((copy / "config.json").read_text())
            change(config["quantization_config"])
            edit_json(copy / "config.json", **config)
            self.assertFalse(all([self.answers(copy, engine) for engine in ENGINES]), name)


if __name__ == "__main__":
    unittest.main()
