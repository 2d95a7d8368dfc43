#!/usr/bin/env python3
"""Writes the adapters of this folder with PEFT (random values, small) and, beside each, merged.safetensors:
rows 0, 1, -2 and -1 of every parameter that merge_and_unload() changes, float32.

    make_adapters.py [CONVERT_LORA_TO_GGUF]     (llama.cpp's script, for plain.gguf)
"""
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent.resolve()
MODELS = HERE.parent / "models"
VARIANTS = {
    "plain": ("llama", {"target_modules": ["q_proj", "k_proj", "gate_proj"], "r": 2, "lora_alpha": 4}),
    "patterns": ("llama", {"target_modules": ["q_proj", "v_proj", "down_proj"], "r": 4, "lora_alpha": 6,
                           "rank_pattern": {"down_proj": 2, "model.layers.1.self_attn.q_proj": 3},
                           "alpha_pattern": {"v_proj": 12}}),
    "rslora": ("llama", {"target_modules": r".*layers\.1\.(mlp\.up_proj|self_attn\.o_proj)", "r": 4,
                         "lora_alpha": 8, "use_rslora": True}),
    "dora": ("llama", {"target_modules": ["k_proj", "up_proj"], "layers_to_transform": [0], "r": 2,
                       "lora_alpha": 3, "use_dora": True}),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "o_proj"], "modules_to_save": ["lm_head"],
                             "r": 2, "lora_alpha": 2}),
    "embedding-dora": ("llama", {"target_modules": ["embed_tokens", "v_proj"], "use_dora": True, "r": 2, "lora_alpha": 3}),
    "tokens": ("llama", {"target_modules": ["q_proj"], "r": 2, "lora_alpha": 2,
                         "trainable_token_indices": {"embed_tokens": [1, 95, 40], "lm_head": [94]}}),
    "biases": ("llama-bias", {"target_modules": ["q_proj"], "bias": "all", "r": 2, "lora_alpha": 2}),
}


def rows(tensor):
    if tensor.ndim == 1:
        return tensor.clone()
    return torch.cat([tensor[:2], tensor[-2:]]).clone()


def write(name, base, options):
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_pretrained(MODELS / base, dtype=torch.float32)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for key, value in adapted.named_parameters():
            if value.requires_grad:
                scale = 0.05 if "magnitude" not in key and "modules_to_save" not in key else 0.02
                value.add_(torch.randn_like(value) * scale)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    merged = adapted.merge_and_unload().state_dict()
    changed = {k: rows(v) for k, v in merged.items() if not torch.equal(v, before[k])}
    if base == "llama-bias":
        changed.pop("lm_head.weight", None)
    save_file(changed, folder / "merged.safetensors")
    print(name, sorted(changed), sorted(load_file(folder / "adapter_model.safetensors"))[:3])


def write_canary():
    """One strong rank-1 change of a down projection of the embedded model, straight from numpy."""
    config = json.loads((HERE.parents[2] / "models/canary/config.json").read_text())
    wide, hidden = config["intermediate_size"], config["hidden_size"]
    torch.manual_seed(5)
    folder = HERE / "canary"
    folder.mkdir(exist_ok=True)
    module = "base_model.model.model.layers.0.mlp.down_proj"
    save_file({f"{module}.lora_A.weight": torch.randn(1, wide) * 0.2,
               f"{module}.lora_B.weight": torch.randn(hidden, 1) * 0.2}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 1, "lora_alpha": 6, "target_modules": ["down_proj"],
         "layers_to_transform": [0], "base_model_name_or_path": "canary"}, indent=1) + "\n")


def main():
    write_canary()
    for name, (base, options) in VARIANTS.items():
        write(name, base, options)
    if len(sys.argv) > 1:
        subprocess.run([sys.executable, sys.argv[1], str(HERE / "plain"), "--base", str(MODELS / "llama"),
                        "--outtype", "f32", "--outfile", str(HERE / "plain.gguf")], check=True)


if __name__ == "__main__":
    main()
