#!/usr/bin/env python3
"""Do PEFT, mlx_lm and quantlane merge the same adapters into the same weights?

    interop_adapters.py CKPT [--cases A,B,…] [--keep FOLDER]

To be run with a Python that has torch, transformers and peft, and mlx and mlx-lm for the cases of MLX (without them those are left
out). CKPT is a small Llama folder with a head of its own, such as models/canary. Each case makes an adapter with random values with
the tool, saves it, loads it again from disk onto the base in float32, merges it there (merge_and_unload(), mlx_lm.fuse) and with
`quantlane merge-lora --to f32`, and compares every tensor. Cases that quantlane is to refuse must be refused with the named key.
Exit status 1 where tensors differ by more than float32 sums in another order do, or a refusal is missing.
"""
import argparse
import gc
import importlib.metadata
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from measure import QUANTLANE, machine

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MOST = 1e-6  # norm of the difference, relative to that of the tensor
# What is refused, with what the error names: nothing else merges it either, or the reason stands in docs/adapters.md.
REFUSED = {"pissa": "init_lora_weights", "olora": "init_lora_weights",
           "alora": "alora_invocation_tokens", "lora-bias": "lora_bias", "target-parameters": "target_parameters"}


def lora(base="untied", r=4, alpha=6, init=True, **options):
    return {"base": base, "r": r, "lora_alpha": alpha, "init_lora_weights": init, **options}


PEFT = {
    "all": lora(target_modules=ALL),
    "all-linear": lora(target_modules="all-linear"),
    "wide": lora(target_modules=ALL, r=64, alpha=16),
    "rslora": lora(target_modules=ALL, r=8, alpha=12, use_rslora=True),
    "dora": lora(target_modules=ALL, use_dora=True),
    "dora-rslora": lora(target_modules=ALL, use_dora=True, use_rslora=True),
    "dora-rank-pattern": lora(target_modules=ALL, use_dora=True, rank_pattern={"down_proj": 2}, alpha_pattern={"up_proj": 9}),
    "rank-pattern": lora(target_modules=ALL, rank_pattern={"down_proj": 2, "layers.1.self_attn.q_proj": 7, r"layers\.[3-5].*k_proj": 3}),
    "alpha-pattern": lora(target_modules=ALL, alpha_pattern={"v_proj": 12, "^model.layers.2.mlp.up_proj": 1}, use_rslora=True),
    "regex": lora(target_modules=r".*layers\.(0|3)\.(mlp\.up_proj|self_attn\.o_proj)"),
    "regex-lookahead": lora(target_modules=r"(?!.*layers\.0\.).*\.(q|k)_proj"),
    "layers": lora(target_modules=["q_proj", "down_proj"], layers_to_transform=[0, 4]),
    "one-layer": lora(target_modules=["q_proj"], layers_to_transform=2),
    "layers-pattern": lora(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="layers"),
    "exclude": lora(target_modules=ALL, exclude_modules=["layers.2.mlp.up_proj", "k_proj"]),
    "exclude-regex": lora(target_modules="all-linear", exclude_modules=r".*layers\.[2-5]\..*"),
    "fan-in-fan-out": lora(target_modules=["up_proj"], fan_in_fan_out=True),
    "negative-alpha": lora(target_modules=["up_proj"], alpha=-3),
    "head": lora(target_modules=["q_proj", "lm_head"]),
    "embedding": lora(target_modules=["embed_tokens", "o_proj"]),
    "embedding-rslora": lora(target_modules=["embed_tokens"], use_rslora=True, rank_pattern={"embed_tokens": 9}),
    "embedding-tied": lora(base="tied", target_modules=["embed_tokens", "o_proj"]),
    "embedding-dora": lora(target_modules=["embed_tokens", "o_proj"], use_dora=True),
    "embedding-dora-tied": lora(base="tied", target_modules=["embed_tokens", "o_proj"], use_dora=True),
    "save-head": lora(target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "save-both": lora(target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"]),
    "save-both-tied": lora(base="tied", target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"], ensure_weight_tying=True),
    "save-embedding-tied": lora(base="tied", target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "save-norms": lora(target_modules=["q_proj"], modules_to_save=["input_layernorm", "norm"]),
    "bias-lora-only": lora(base="biased", target_modules=["q_proj", "k_proj"], bias="lora_only"),
    "bias-all": lora(base="biased", target_modules=["q_proj"], bias="all"),
    "bias-dora": lora(base="biased", target_modules=["q_proj", "v_proj"], use_dora=True),
    "gaussian": lora(target_modules=["up_proj"], init="gaussian"),
    "orthogonal": lora(target_modules=["up_proj"], init="orthogonal"),
    "pissa-converted": lora(target_modules=["q_proj", "up_proj"], init="pissa"),
    "olora-converted": lora(target_modules=["q_proj", "up_proj"], init="olora"),
    "tokens": lora(target_modules=["q_proj"], trainable_token_indices=[1, 7, 4000]),
    "tokens-head": lora(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [4000, 3], "lm_head": [5]}),
    "tokens-tied": lora(base="tied", target_modules=["q_proj"], trainable_token_indices=[1, 7, 4000]),
    "pissa": lora(target_modules=["q_proj", "up_proj"], init="pissa"),
    "olora": lora(target_modules=["q_proj", "up_proj"], init="olora"),
    "alora": lora(target_modules=["q_proj"], alora_invocation_tokens=[5, 6]),
    "lora-bias": lora(base="biased", target_modules=["q_proj"], lora_bias=True),
    "target-parameters": lora(target_modules=["q_proj"], target_parameters=["mlp.up_proj.weight"]),
}
MLX = {
    "mlx-lora": ("lora", 6, {"rank": 8, "scale": 20.0, "dropout": 0.0}),
    "mlx-lora-layers": ("lora", 2, {"rank": 3, "scale": 0.7, "dropout": 0.0}),
    "mlx-lora-keys": ("lora", 4, {"rank": 4, "scale": 2.0, "dropout": 0.05, "keys": ["self_attn.q_proj", "mlp.down_proj"]}),
    "mlx-dora": ("dora", 6, {"rank": 8, "scale": 1.5, "dropout": 0.0}),
    "mlx-lora-embedding": ("lora", 6, {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["model.embed_tokens", "lm_head", "mlp.up_proj"]}),
    "mlx-dora-embedding": ("dora", 6, {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["model.embed_tokens", "lm_head", "mlp.up_proj"]}),
    "mlx-full": ("full", 1, {}),
}


def make_bases(checkpoint, scratch):
    """The base as it is; with its head tied to the embedding; with biases of q, k, v and o."""
    bases = {"untied": checkpoint}
    tensors = load_file(checkpoint / "model.safetensors")
    config = json.loads((checkpoint / "config.json").read_text())
    for name, key in (("tied", "tie_word_embeddings"), ("biased", "attention_bias")):
        changed = dict(tensors)
        if name == "tied":
            del changed["lm_head.weight"]
        else:
            for weight in [w for w in tensors if "self_attn" in w]:
                changed[weight.replace(".weight", ".bias")] = torch.randn(tensors[weight].shape[0]).bfloat16() * 0.1
        bases[name] = scratch / name
        shutil.copytree(checkpoint, bases[name], ignore=shutil.ignore_patterns("train", "tasks", "*.txt", "*.md"))
        save_file(changed, bases[name] / "model.safetensors", metadata={"format": "pt"})
        (bases[name] / "config.json").write_text(json.dumps({**config, key: True}))
    return bases


def randomize(model):
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value) * (0.02 if "magnitude" in key or "to_save" in key else 0.05))


def merge_with_peft(base, options, folder, converted, refused):
    """The state of the merged model, from the adapter that it leaves in `folder`; None for what is to be refused."""
    load = lambda: AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", **options))
    if converted:
        initial = folder.with_name("initial")
        kind, model.peft_config["default"].init_lora_weights = model.peft_config["default"].init_lora_weights, True
        model.save_pretrained(initial)
        model.peft_config["default"].init_lora_weights = kind
    randomize(model)
    model.save_pretrained(folder, **({"path_initial_model_for_weight_conversion": str(initial)} if converted else {}))
    return None if refused else PeftModel.from_pretrained(load(), folder).merge_and_unload().state_dict()


def merge_with_mlx(base, row, folder):
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model, save_config

    kind, layers, parameters = row
    floats, fused = folder.with_name("floats"), folder.with_name("fused")
    subprocess.run([QUANTLANE, "convert", base, floats, "--to", "f32", "-q", "-f"], check=True, capture_output=True)
    model, _ = load_model(floats)
    model.freeze()
    if kind == "full":
        for layer in model.layers[-layers:]:
            layer.unfreeze()
    else:
        linear_to_lora_layers(model, layers, parameters, use_dora=kind == "dora")
    mx.random.seed(3)
    model.update(tree_map(lambda x: x + 0.03 * mx.random.normal(x.shape), model.trainable_parameters()))
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    save_config({"fine_tune_type": kind, "num_layers": layers, "lora_parameters": parameters, "model": str(floats)},
                folder / "adapter_config.json")
    subprocess.run([sys.executable, "-m", "mlx_lm", "fuse", "--model", floats, "--adapter-path", folder, "--save-path", fused],
                   check=True, capture_output=True)
    return load_file(fused / "model.safetensors")


def largest_difference(theirs, ours):
    """(relative norm, name) of the tensor that differs most, how many are compared."""
    theirs.pop("lm_head.weight") if "lm_head.weight" not in ours else None  # tied
    if set(theirs) != set(ours):
        raise RuntimeError(f"other tensors: {sorted(set(theirs) ^ set(ours))[:4]}")
    rows = [((ours[k].double() - v.double()).norm().item() / max(v.double().norm().item(), 1e-30), k) for k, v in theirs.items()]
    return (*max(rows), len(rows))


def run_case(name, bases, scratch):
    """(agrees, row of the table)"""
    torch.manual_seed(len(name))
    folder, out = scratch / "adapter", scratch / "merged"
    if name in MLX:
        base, theirs = bases["untied"], merge_with_mlx(bases["untied"], MLX[name], folder)
    else:
        options = dict(PEFT[name])
        base = bases[options.pop("base")]
        theirs = merge_with_peft(base, options, folder, name.endswith("-converted"), name in REFUSED)
    done = subprocess.run([QUANTLANE, "merge-lora", base, folder, "-o", out, "--to", "f32", "-q"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        said, key = " ".join(done.stderr.split()), REFUSED.get(name)
        good = key is not None and key in said
        return good, f"refused: {key if good else said[:160]} | | "
    if name in REFUSED:
        return False, f"merged, though {REFUSED[name]} is to be refused | | "
    before = load_file(base / "model.safetensors")
    changed = sum(1 for k, v in before.items() if k in theirs and not torch.equal(v.float(), theirs[k].float()))
    apart, worst, count = largest_difference(dict(theirs), load_file(out / "model.safetensors"))
    return apart <= MOST, f"{changed} of {count} | {apart:.1e} | {worst}"


def versions():
    names = [n for n in ("torch", "transformers", "peft", "mlx", "mlx-lm") if n not in ("mlx", "mlx-lm") or has_mlx()]
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)


def has_mlx():
    return importlib.util.find_spec("mlx_lm") is not None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--cases", default=",".join([*PEFT, *(MLX if has_mlx() else [])]))
    parser.add_argument("--keep", type=pathlib.Path, help="leave the adapters here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{machine()}\n{versions()}\n\n| case | tensors changed | largest difference | of |\n| --- | --- | --- | --- |")
    failed = []
    with tempfile.TemporaryDirectory(prefix="quantlane-adapters-") as root:
        bases = make_bases(options.checkpoint.resolve(), pathlib.Path(root))
        for name in options.cases.split(","):
            scratch = pathlib.Path(root) / "case"
            scratch.mkdir()
            try:
                agrees, row = run_case(name, bases, scratch)
            except Exception as error:  # of the other tool
                agrees, row = False, f"{type(error).__name__}: {str(error)[:200]} | | ".replace("\n", " ")
            failed += [] if agrees else [name]
            print(f"| {name} | {row} |{'' if agrees else ' **differs**'}", flush=True)
            if options.keep and (scratch / "adapter").exists():
                shutil.copytree(scratch / "adapter", options.keep / name, dirs_exist_ok=True)
            shutil.rmtree(scratch)
            gc.collect()
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
