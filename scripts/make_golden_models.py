#!/usr/bin/env python3
"""Make tiny random checkpoints of every supported family with golden logits, by transformers.

    python3 -m venv VENV && VENV/bin/pip install torch transformers
    VENV/bin/python scripts/make_golden_models.py tests/data/models [FAMILY ...]

Per family: config.json as transformers 5 writes it, config.v4.json in the spelling of transformers 4
(checked here to mean the same), model.safetensors in bf16, golden.json (token ids, versions) and
golden.f32 (logits [tokens, vocabulary], little-endian float32, of the float32 model with eager
attention). Models with experts also as <name>-fused: the same with all experts of a layer in one tensor,
as transformers 5 writes it when told not to go back to the older names. Weights are drawn wide enough that attention is peaked and every term shows in the logits.
Deterministic on one version of torch.
"""
import json
import os
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = 40
COMMON = dict(vocab_size=96, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
              bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=64)
FAMILIES = {
    "llama": dict(model_type="llama", **COMMON, rope_parameters=LLAMA3, tie_word_embeddings=False),
    "llama-bias": dict(model_type="llama", **COMMON, attention_bias=True, tie_word_embeddings=True,
                       rope_parameters=dict(rope_type="linear", rope_theta=20000.0, factor=4.0)),
    "mistral": dict(model_type="mistral", **COMMON, sliding_window=9,
                    rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    "qwen2": dict(model_type="qwen2", **COMMON, tie_word_embeddings=True,
                  rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    "qwen3": dict(model_type="qwen3", **COMMON, head_dim=16, tie_word_embeddings=False,
                  rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    "gemma3": dict(model_type="gemma3_text",
                   **{**COMMON, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 7,
                      "num_attention_heads": 2, "num_key_value_heads": 1},
                   head_dim=16, sliding_window=9, query_pre_attn_scalar=24,
                   rope_parameters=dict(
                       full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                       sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
    "mixtral": dict(model_type="mixtral", **{**COMMON, "intermediate_size": 40}, num_local_experts=5,
                    num_experts_per_tok=2, rope_parameters=dict(rope_type="default", rope_theta=20000.0)),
    "qwen3-moe": dict(model_type="qwen3_moe", **{**COMMON, "num_hidden_layers": 3}, head_dim=16,
                      moe_intermediate_size=36, num_experts=6, num_experts_per_tok=3, norm_topk_prob=True,
                      mlp_only_layers=[1], rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    "qwen3-moe-step": dict(model_type="qwen3_moe", **COMMON, head_dim=16, moe_intermediate_size=36,
                           num_experts=4, num_experts_per_tok=3, norm_topk_prob=False, attention_bias=True,
                           decoder_sparse_step=2,
                           rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
}


def spread_weights(model, generator, norm_mean, tied):
    """Normal weights of a scale that keeps activations near one, norms near their neutral value."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("bias"):
                p.copy_(0.5 * noise)
            elif p.ndim == 1:
                p.copy_(norm_mean + 0.2 * noise)
            elif "embed_tokens" in name:
                p.copy_(noise * (0.3 if tied else 1.0))  # a tied head must not just echo its input
            else:
                p.copy_(1.5 * noise / p.shape[-1] ** 0.5)
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).to(torch.float32))


def version4(config):
    """The same configuration in the keys of transformers 4."""
    old = dict(config)
    old["torch_dtype"] = old.pop("dtype")
    if config["model_type"] == "qwen3_moe":
        old["num_experts"] = old.pop("num_local_experts")
    rope = old.pop("rope_parameters")
    if "full_attention" in rope:
        old["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        old.pop("layer_types")
        old["sliding_window_pattern"] = 6
        rope = rope["full_attention"]
    rope = dict(rope)
    old["rope_theta"] = rope.pop("rope_theta")
    old["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    if rope["rope_type"] == "linear" and config["model_type"] == "llama":  # the older spelling
        rope["type"] = rope.pop("rope_type")
    return old


def check_version4(old, config):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(old, f)
        read = AutoConfig.from_pretrained(folder).to_dict()
    for key in ("rope_parameters", "layer_types", "sliding_window", "head_dim", "num_local_experts"):
        want = config.to_dict().get(key)
        got = read.get(key)
        if isinstance(got, dict):
            strip = lambda d: {k: strip(v) if isinstance(v, dict) else v for k, v in d.items() if k != "type"}
            got, want = strip(got), strip(want)
        assert got == want, (key, got, want)


def save_fused(model, folder):
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch, save_original_format=False)
        os.makedirs(folder + "-fused", exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(os.path.join(scratch, file), os.path.join(folder + "-fused", file))


def smallest_routing_gap(model, ids):
    """Between the last expert picked and the first one that is not, over all tokens and layers."""
    gaps = []
    def keep(module, inputs, output):
        top = output[0].to(torch.float32).sort(dim=-1, descending=True).values
        gaps.append((top[..., module.top_k - 1] - top[..., module.top_k]).min().item())
    hooks = [m.register_forward_hook(keep) for m in model.modules() if type(m).__name__.endswith("Router")]
    with torch.no_grad():
        model(ids)
    for hook in hooks:
        hook.remove()
    return min(gaps, default=1.0)


def make(name, settings, out):
    settings = dict(settings)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(20261124)
    model = AutoModelForCausalLM.from_config(config).to(torch.float32).eval()
    spread_weights(model, generator, 0.0 if name == "gemma3" else 1.0,
                   config.tie_word_embeddings)
    ids = torch.randint(3, config.vocab_size, (1, TOKENS), generator=generator)
    with torch.no_grad():
        gap = smallest_routing_gap(model, ids)
        assert gap > 1e-3, f"{name}: a near tie between experts ({gap}) would make the golden fragile"
        logits = model(ids).logits[0].to(torch.float32).numpy()
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    with open(os.path.join(folder, "config.json")) as f:
        old = version4(json.load(f))
    check_version4(old, config)
    with open(os.path.join(folder, "config.v4.json"), "w") as f:
        json.dump(old, f, indent=2)
        f.write("\n")
    if name in ("mixtral", "qwen3-moe"):
        save_fused(model, folder)
    logits.astype("<f4").tofile(os.path.join(folder, "golden.f32"))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump({"transformers": transformers.__version__, "torch": torch.__version__,
                   "token_ids": ids[0].tolist()}, f)
        f.write("\n")
    size = os.path.getsize(os.path.join(folder, "model.safetensors"))
    top = np.sort(logits, axis=1)
    print(f"{name}: {size} bytes, logits {logits.min():.2f}..{logits.max():.2f}, "
          f"mean top-1 margin {np.mean(top[:, -1] - top[:, -2]):.2f}")


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    for name in sys.argv[2:] or FAMILIES:
        make(name, FAMILIES[name], out)


main()
