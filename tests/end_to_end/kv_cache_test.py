"""What inspect --engine and deploy make of damaged or foreign schemes of the key-value cache."""

import json
import math
import shutil
import struct
import unittest

from program import CANARY, ProgramTest, edit_json, read_safetensors, write_safetensors

ATTENTION = "model.layers.0.self_attn."
WRONG = "loads but computes something else"
REFUSED = "will not load"


class KvCacheTest(ProgramTest):
    def make(self, scheme):
        made = self.run_program("quantize", CANARY, "fp8", "--kv", scheme, "-o", scheme, "-q")
        self.assertEqual(made.returncode, 0, made.errors)
        return self.folder / scheme

    def mutant(self, folder, name, scales=None, **scheme):
        """A copy with other floats in k_scale (or v_scale) of layer 0, and other keys of the scheme."""
        copy = self.folder / name
        shutil.copytree(folder, copy)
        header, tensors = read_safetensors(copy / "model.safetensors")
        rest = {key: header.pop(key) for key in ["__metadata__"] if key in header}
        data = bytearray()
        for tensor, row in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            own = bytes(tensors[slice(*row["data_offsets"])])
            values = (scales or {}).get(tensor.removeprefix(ATTENTION))
            if values is not None:
                own = struct.pack(f"<{len(values)}f", *values)
                row["shape"] = [len(values)]
            row["data_offsets"] = [len(data), len(data) + len(own)]
            data += own
        for tensor, values in (scales or {}).items():
            if not values:  # no such tensor
                del header[ATTENTION + tensor]
        write_safetensors(copy / "model.safetensors", rest | header, data)
        config = json.loads((copy / "config.json").read_text())
        config["quantization_config"]["kv_cache_scheme"] |= scheme
        edit_json(copy / "config.json", **config)
        return copy

    def expect(self, folder, **answers):
        for name, answer in answers.items():
            engine = name.replace("_", "-")
            asked = self.run_program("inspect", folder, "--engine", engine, "--json")
            self.assertEqual(json.loads(asked.output)["answer"], answer, f"{folder.name}: {engine}")
            deployed = self.run_program("deploy", folder, "--for", engine)
            self.assertEqual(deployed.returncode == 0, answer == "loads", f"{folder.name}: {engine}")

    def test_damaged_scales_per_tensor(self):
        healthy = self.make("fp8")
        self.expect(healthy, vllm="loads", sglang="loads", tgi="loads", tensorrt_llm="loads")
        for name, value in (("nan", math.nan), ("zero", 0.0), ("negative", -1.0)):
            broken = self.mutant(healthy, name, {"k_scale": [value]})
            self.expect(broken, vllm=WRONG, sglang=REFUSED, tgi=WRONG)
        self.expect(self.mutant(healthy, "missing", {"k_scale": []}),
                    vllm=WRONG, sglang=REFUSED, tgi=WRONG)
        self.expect(self.mutant(healthy, "no_v", {"v_scale": []}), vllm=WRONG, sglang=WRONG, tgi=WRONG)
        self.refused("quantize", "missing", "w8a8", "-o", "out", "--allow-requantize", "--data-free",
                     says=["no k_scale", "--kv none"])
        self.refused("convert", "missing", "out", "--to", "f16", says=["no k_scale"])
        self.succeeds("quantize", "missing", "w8a8", "-o", "out", "--allow-requantize", "--data-free", "--kv", "none")
        self.expect(self.mutant(healthy, "two", {"k_scale": [1.0, 1.0]}),
                    vllm=REFUSED, sglang=REFUSED, tgi=REFUSED)
        self.expect(self.mutant(healthy, "dynamic", dynamic=True),
                    vllm=WRONG, sglang=WRONG, tgi=WRONG, tensorrt_llm=WRONG)
        self.expect(self.mutant(healthy, "asymmetric", symmetric=False),
                    vllm=REFUSED, sglang=WRONG, tgi=WRONG, tensorrt_llm=WRONG)

    def test_scales_per_head(self):
        healthy = self.make("fp8_head")
        heads = json.loads((healthy / "config.json").read_text())["num_key_value_heads"]
        self.expect(healthy, vllm="loads", sglang=WRONG, tgi=REFUSED, tensorrt_llm="loads")
        more = self.mutant(healthy, "more", {"k_scale": [1.0] * (heads + 1)})
        self.expect(more, vllm=WRONG, tgi=REFUSED)
        self.expect(self.mutant(healthy, "tensor", strategy="tensor"),
                    vllm=REFUSED, sglang=REFUSED, tgi=REFUSED)

    def test_integers(self):
        for scheme in ("int8", "int4"):
            self.expect(self.make(scheme), vllm=REFUSED, sglang=WRONG, tgi=REFUSED,
                        tensorrt_llm=REFUSED)
            asked = self.run_program("inspect", scheme, "--engine", "vllm")
            self.assertNotIn("becomes FP8", asked.output)


if __name__ == "__main__":
    unittest.main()
