#!/usr/bin/env python3
"""Do artefacts give on a GPU, through its own FP8 and INT8 products, the logits that quantlane computes on the CPU?

    gpu_logits.py CHECKPOINT TEXT [--tokens 512] [--lanes A,B,…]   needs torch with CUDA, transformers, numpy;
                                                                   compressed-tensors for the folders of that dialect

Makes each lane with quantlane, and runs the same tokens through
  loaded: transformers on the GPU in float32, the library's own decoding and rounding of activations;
  native: the same model in bf16, its Linears computed from the stored bytes by torch._scaled_mm, torch._int_mm or
          (FP8 in blocks) a Triton kernel, for lanes whose weights and activations have 8 bits; else as bf16 products
          of the loaded weights.
Prints KL(quantlane || GPU), and KL(reference || lane) on both sides: the figure that a decision rests on.
"""
import argparse
import glob
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, FineGrainedFP8Config

from gpu_block_fp8 import Fp8Block
from measure import QUANTLANE

LANES = ("fp8,fp8+gptq,fp8-static,fp8-static+gptq,fp8-block,fp8-block+gptq,w8a8,w8a8-static,w8a8+smoothquant+gptq,"
         "w4a16,w4a16-asym+awq+gptq,w8a16-g64,nvfp4a16,nvfp4,mxfp4a16,mxfp4")


def kld(p, q):
    p, q = (torch.log_softmax(torch.as_tensor(x).double(), -1) for x in (p, q))
    return (p.exp() * (p - q)).sum(-1).mean().item()


def load(folder, dtype):
    config = json.loads(pathlib.Path(folder, "config.json").read_text()).get("quantization_config", {})
    extra = {}
    if config.get("quant_method") == "fp8":  # its own kernel is not part of the library: weights only
        extra["quantization_config"] = FineGrainedFP8Config(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map="cuda",
                                                 attn_implementation="eager", **extra)
    if config.get("quant_method") == "compressed-tensors":
        model.hf_quantizer.compressor.decompress_model(model)
        for module in model.modules():
            if getattr(module, "quantization_scheme", None) is not None:
                module.weight.data = module.weight.data.to(dtype)
    return model.eval()


def stored(folder):
    tensors = {}
    for path in glob.glob(f"{folder}/*.safetensors"):
        with safe_open(path, "pt", device="cuda") as file:
            tensors.update({name: file.get_tensor(name) for name in file.keys()})
    return tensors


class Fp8(torch.nn.Module):
    """W8A8 with float32 accumulation: rows under a dynamic scale each, or all under input_scale."""

    def __init__(self, weight, scale, input_scale):
        super().__init__()
        self.weight, self.scale, self.input_scale = weight, scale.float().reshape(-1), input_scale

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        if self.input_scale is None:
            scale = (rows.abs().amax(-1, keepdim=True).float() / 448).clamp(min=1e-12)
        else:
            scale = self.input_scale.float().reshape(1, 1)
        codes = (rows.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        per_row = self.scale.numel() > 1
        weight_scale = self.scale.reshape(1, -1) if per_row else self.scale.reshape(())
        row_scale = scale.expand(len(rows), 1).contiguous() if per_row else scale.reshape(())
        out = torch._scaled_mm(codes, self.weight.t(), row_scale, weight_scale, out_dtype=torch.bfloat16,
                               use_fast_accum=False)
        return out.to(x.dtype).reshape(*x.shape[:-1], -1)


class Int8(torch.nn.Module):
    """Rows under a dynamic scale each, or all under input_scale."""

    def __init__(self, weight, scale, input_scale):
        super().__init__()
        self.weight, self.scale, self.input_scale = weight, scale.float().reshape(1, -1), input_scale

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1]).float()
        scale = (rows.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-12)
        if self.input_scale is not None:
            scale = self.input_scale.float().reshape(1, 1)
        out = torch._int_mm((rows / scale).round().clamp(-128, 127).to(torch.int8), self.weight.t())
        return (out.float() * scale * self.scale).to(x.dtype).reshape(*x.shape[:-1], -1)


def native(folder, model):
    """Replaces Linears whose stored weights are FP8 or INT8 codes with scales beside them; returns their number."""
    tensors, replaced = stored(folder), 0
    for name, weight in tensors.items():
        if not name.endswith(".weight") or weight.dtype not in (torch.float8_e4m3fn, torch.int8):
            continue
        path = name[:-len(".weight")]
        scale, blocks = (tensors.get(f"{path}.{kind}") for kind in ("weight_scale", "weight_scale_inv"))
        if scale is None and blocks is None:
            continue
        parent, _, leaf = path.rpartition(".")
        input_scale = tensors.get(f"{path}.input_scale")
        linear = (Fp8Block(weight, blocks) if scale is None else Int8(weight, scale, input_scale)
                  if weight.dtype == torch.int8 else Fp8(weight, scale, input_scale))
        setattr(model.get_submodule(parent), leaf, linear)
        replaced += 1
    return replaced


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids], device="cuda")).logits[0].float().cpu().numpy()


def quantlane(*arguments):
    return subprocess.run([QUANTLANE, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("text")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--lanes", default=LANES)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        part = scratch / "part.txt"
        part.write_text(pathlib.Path(options.text).read_text(encoding="utf-8")[:8 * options.tokens])
        ids = [int(i) for i in quantlane("tokenize", options.checkpoint, "--file", part).split()][:options.tokens]
        (scratch / "ids.json").write_text(json.dumps({"input_ids": ids}))

        def ours(folder):
            quantlane("eval", folder, "--ids", scratch / "ids.json", "--logits", scratch / "ours.npy", "-q")
            return np.load(scratch / "ours.npy")

        reference = ours(options.checkpoint)
        theirs = logits(load(options.checkpoint, torch.float32), ids)
        halves = logits(load(options.checkpoint, torch.bfloat16), ids)
        print(f"reference: KL(quantlane || GPU) {kld(reference, theirs):.2e}, largest logit difference "
              f"{np.abs(reference - theirs).max():.1e} of a range of {np.ptp(reference):.0f}; the same checkpoint "
              f"in bf16 on the GPU: KL {kld(reference, halves):.5f}")
        print("| lane | KL(quantlane, loaded) | largest difference | top-1 | KL(reference, lane): quantlane | loaded | "
              "native | native Linears |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
        for lane in options.lanes.split(","):
            folder = scratch / lane
            try:
                quantlane("quantize", options.checkpoint, lane, "-o", folder, "-q")
                mine = ours(folder)
                loaded = logits(load(folder, torch.float32), ids)
            except subprocess.CalledProcessError as error:
                print(f"| {lane} | quantlane: {error.stderr.strip().splitlines()[0][:90]} |", flush=True)
                continue
            except Exception as error:  # one lane that a library cannot load must not hide the others
                print(f"| {lane} | {type(error).__name__}: {str(error).splitlines()[0][:110]} |", flush=True)
                loaded = None
            try:
                model = load(folder, torch.bfloat16)
                replaced = native(folder, model)
                on_gpu = f"{kld(reference, logits(model, ids)):.5f}"
            except Exception as error:
                replaced, on_gpu = 0, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
            if loaded is None:
                print(f"| {lane} | | | | {kld(reference, mine):.5f} | | {on_gpu} | {replaced} |", flush=True)
                continue
            same = (loaded.argmax(-1) == mine.argmax(-1)).mean()
            print(f"| {lane} | {kld(mine, loaded):.1e} | {np.abs(mine - loaded).max():.1e} | {100 * same:.1f} % | "
                  f"{kld(reference, mine):.5f} | {kld(reference, loaded):.5f} | {on_gpu} | {replaced} |", flush=True)


if __name__ == "__main__":
    main()
