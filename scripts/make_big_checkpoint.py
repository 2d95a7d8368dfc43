#!/usr/bin/env python3
"""Writes a sharded bf16 checkpoint of Llama shape with random weights, for measuring throughput.

    make_big_checkpoint.py OUT [--gib 4 | --layers N] [--vocab 4096] [--shard-gib 1]

The weights are slices of one block of normally distributed numbers, so this takes seconds and no
packages. The tokenizer is that of models/canary, whatever the vocabulary. Deterministic.
"""
import argparse
import array
import json
import pathlib
import random
import shutil
import struct

ROOT = pathlib.Path(__file__).resolve().parent.parent
HIDDEN, FEED_FORWARD, HEADS, KV_HEADS = 2048, 5632, 32, 8
BLOCK = 1 << 20  # values


def bf16_block():
    """BLOCK values of N(0, 0.02) as bf16 bytes (the upper halves of float32)."""
    rng = random.Random(20251123)
    values = array.array("f", (rng.gauss(0, 0.02) for _ in range(BLOCK)))
    high = array.array("H", struct.unpack(f"<{2 * BLOCK}H", values.tobytes())[1::2])
    return high.tobytes()


def tensors(layers, vocab):
    kv = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", [vocab, HIDDEN]
    for layer in range(layers):
        at = f"model.layers.{layer}"
        yield f"{at}.self_attn.q_proj.weight", [HIDDEN, HIDDEN]
        yield f"{at}.self_attn.k_proj.weight", [kv, HIDDEN]
        yield f"{at}.self_attn.v_proj.weight", [kv, HIDDEN]
        yield f"{at}.self_attn.o_proj.weight", [HIDDEN, HIDDEN]
        yield f"{at}.mlp.gate_proj.weight", [FEED_FORWARD, HIDDEN]
        yield f"{at}.mlp.up_proj.weight", [FEED_FORWARD, HIDDEN]
        yield f"{at}.mlp.down_proj.weight", [HIDDEN, FEED_FORWARD]
        yield f"{at}.input_layernorm.weight", [HIDDEN]
        yield f"{at}.post_attention_layernorm.weight", [HIDDEN]
    yield "model.norm.weight", [HIDDEN]
    yield "lm_head.weight", [vocab, HIDDEN]


def size(shape):
    product = 2
    for dimension in shape:
        product *= dimension
    return product


def write_shard(path, shard, block):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size(shape)]}
        offset += size(shape)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    ones = struct.pack("<H", 0x3F80)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for number, (_, shape) in enumerate(shard):
            left = size(shape)
            if len(shape) == 1:
                out.write(ones * (left // 2))
                continue
            begin = number * 7919 * 2 % len(block)  # every tensor starts elsewhere in the block
            while left > 0:
                piece = block[begin:begin + left]
                out.write(piece)
                left, begin = left - len(piece), 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocab", type=int, default=4096, help="at least the tokenizer's 4096")
    parser.add_argument("--shard-gib", type=float, default=1)
    options = parser.parse_args()
    per_layer = sum(size(shape) for name, shape in tensors(1, options.vocab) if ".layers." in name)
    both_ends = 2 * options.vocab * HIDDEN * 2
    layers = options.layers or max(1, round((options.gib * 2**30 - both_ends) / per_layer))
    shards, room = [[]], options.shard_gib * 2**30
    for name, shape in tensors(layers, options.vocab):
        if size(shape) > room and shards[-1]:
            shards.append([])
            room = options.shard_gib * 2**30
        shards[-1].append((name, shape))
        room -= size(shape)

    options.out.mkdir(parents=True, exist_ok=True)
    block, weight_map = bf16_block(), {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(options.out / file, shard, block)
        weight_map |= {name: file for name, _ in shard}
    total = sum(size(shape) for name, shape in tensors(layers, options.vocab))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (options.out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
              "intermediate_size": FEED_FORWARD, "num_hidden_layers": layers,
              "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
              "head_dim": HIDDEN // HEADS, "vocab_size": options.vocab, "max_position_embeddings": 4096,
              "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "hidden_act": "silu",
              "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
              "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "bfloat16"}
    (options.out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(ROOT / "models" / "canary" / name, options.out / name)
    print(f"{options.out}: {layers} layers, {len(shards)} shards, {total / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
