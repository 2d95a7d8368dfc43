#!/usr/bin/env python3
"""The same lane by llm-compressor: the rival of `quantlane quantize CKPT w4a16+gptq` and `w4a16-asym+awq`.

    PYTHON llmcompressor_lane.py CKPT OUT --algorithm gptq|awq --calibration TEXT [--chunks 32] [--threads 2]

PYTHON has llmcompressor, torch, transformers, datasets, tokenizers. Groups of 64; GPTQ symmetric with static act-order,
AWQ with zero points; chunks of 512 tokens from the beginning of TEXT; float32 on the CPU. Prints the seconds of
calibration and those with the file written.
"""
import argparse
import pathlib
import time

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

CHUNK, GROUP = 512, 64


def modifier(algorithm):
    if algorithm == "gptq":
        from llmcompressor.modifiers.gptq import GPTQModifier
        weights = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=GROUP,
                                   actorder="static")
        kind = GPTQModifier
    else:
        from llmcompressor.modifiers.awq import AWQModifier
        torch.Tensor.pin_memory = lambda tensor, *_: tensor  # it asks for an accelerator without need
        weights = QuantizationArgs(num_bits=4, type="int", symmetric=False, strategy="group", group_size=GROUP)
        kind = AWQModifier
    return kind(config_groups={"all": QuantizationScheme(targets=["Linear"], weights=weights)}, ignore=["lm_head"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--algorithm", choices=("gptq", "awq"), required=True)
    parser.add_argument("--calibration", type=pathlib.Path, required=True)
    parser.add_argument("--chunks", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.checkpoint / "tokenizer.json"))
    ids = tokenizer.encode(options.calibration.read_text(encoding="utf-8"), add_special_tokens=False).ids
    rows = [{"input_ids": ids[i * CHUNK:(i + 1) * CHUNK], "attention_mask": [1] * CHUNK}
            for i in range(options.chunks)]
    model = AutoModelForCausalLM.from_pretrained(options.checkpoint, dtype=torch.float32)
    started = time.monotonic()
    oneshot(model=model, dataset=Dataset.from_list(rows), recipe=[modifier(options.algorithm)], max_seq_length=CHUNK,
            num_calibration_samples=options.chunks)
    print(f"calibration {time.monotonic() - started:.1f} s", flush=True)
    model.save_pretrained(options.out, save_compressed=True)
    print(f"with the file {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
