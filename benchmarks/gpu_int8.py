#!/usr/bin/env python3
"""Is a slow INT8 product of a GPU the library's or the chip's? One Triton kernel for INT8, FP8 and bf16, tuned for each.

    gpu_int8.py          needs torch with CUDA and triton

The plain blocked product (operands from memory, sums in registers, as in Triton's tutorial on matrix products),
run beside torch's own for the Linears of Llama-3.1-8B; prints TFLOP/s of both.
"""
import torch
import triton
import triton.language as tl

from gpu_rates import SHAPES, graph_seconds, to_fp8, to_int8

CONFIGS = [triton.Config({"M": m, "N": n, "K": k}, num_warps=warps, num_stages=stages)
           for m, n, k, warps, stages in [(128, 128, 64, 4, 3), (128, 128, 128, 8, 3), (128, 256, 64, 8, 3),
                                          (128, 256, 128, 8, 3), (256, 128, 64, 8, 3), (256, 128, 128, 8, 3),
                                          (128, 128, 128, 4, 4), (64, 256, 128, 4, 3)]]


@triton.autotune(configs=CONFIGS, key=["rows", "out", "width"])
@triton.jit
def product(x, w, y, rows, out, width, sums: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    tile = tl.program_id(0)
    across = tl.cdiv(out, N)
    group = 8 * across  # eight rows of tiles share the weights that are in L2
    first = tile // group * 8
    high = min(tl.cdiv(rows, M) - first, 8)
    row = first + tile % group % high
    column = tile % group // high
    m, n, k = row * M + tl.arange(0, M), column * N + tl.arange(0, N), tl.arange(0, K)
    a = x + m[:, None] * width + k[None, :]
    b = w + n[None, :] * width + k[:, None]
    total = tl.zeros((M, N), dtype=sums)
    for _ in range(0, width, K):
        total = tl.dot(tl.load(a), tl.load(b), total, out_dtype=sums)
        a += K
        b += K
    tl.store(y + m[:, None] * out + n[None, :], total.to(tl.bfloat16))


def tuned(x, w, sums):
    rows, width, out = x.shape[0], x.shape[1], w.shape[0]
    y = torch.empty(rows, out, device="cuda", dtype=torch.bfloat16)

    def run():
        product[lambda c: (triton.cdiv(rows, c["M"]) * triton.cdiv(out, c["N"]),)](x, w, y, rows, out, width, sums)
    return run


def main():
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, triton {triton.__version__}")
    print("| Linear, 8192 rows | bf16: torch | Triton | fp8: torch | Triton | int8: torch | Triton | TFLOP/s |")
    for name, out, width in SHAPES[:4]:
        x = torch.randn(8192, width, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(out, width, device="cuda", dtype=torch.bfloat16) * .02
        (x8, xs), (w8, ws), (xi, _), (wi, _) = to_fp8(x), to_fp8(w), to_int8(x), to_int8(w)
        pairs = [(lambda: torch.mm(x, w.t()), tuned(x, w, tl.float32)),
                 (lambda: torch._scaled_mm(x8, w8.t(), xs, ws.t().contiguous(), out_dtype=torch.bfloat16,
                                           use_fast_accum=True), tuned(x8, w8, tl.float32)),
                 (lambda: torch._int_mm(xi, wi.t()), tuned(xi, wi, tl.int32))]
        rates = []
        for pair in pairs:
            for run in pair:
                run()
                rates.append(2 * 8192 * out * width / graph_seconds([run] * 4) / 1e12)
        print(f"| {name} | " + " | ".join(f"{rate:.0f}" for rate in rates) + " | |", flush=True)
    few_rows()


def few_rows():
    """4-bit weights for few rows: torch's own kernel for weights in groups of 128, against bf16."""
    print("| 8B Linear | rows | bf16 us | 4-bit us | packed GB/s | x bf16 |")
    for name, out, width in SHAPES[:4]:
        codes = torch.randint(0, 256, (out, width // 2), device="cuda", dtype=torch.int32).to(torch.uint8)
        copies = max(1, min(16, int(4e8 / (out * width / 2))))
        packed = [torch.ops.aten._convert_weight_to_int4pack(codes, 8) for _ in range(copies)]
        scales = torch.randn(width // 128, out, 2, device="cuda", dtype=torch.bfloat16)
        plain = [torch.randn(out, width, device="cuda", dtype=torch.bfloat16) for _ in range(max(1, copies // 4))]
        for rows in (1, 4, 8, 16, 64, 256):
            x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
            base = graph_seconds([lambda w=w: torch.mm(x, w.t()) for w in plain])
            took = graph_seconds([lambda w=w: torch.ops.aten._weight_int4pack_mm(x, w, 128, scales) for w in packed])
            size = out * width * (4 + 32 / 128) / 8
            print(f"| {name} | {rows} | {base * 1e6:.1f} | {took * 1e6:.1f} | {size / took / 1e9:.0f} | "
                  f"{base / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
