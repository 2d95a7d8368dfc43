#!/usr/bin/env python3
"""FP8 in blocks of 128 x 128 on a GPU: the product that engines run for checkpoints with weight_scale_inv.

    gpu_block_fp8.py     needs torch with CUDA and triton; checks the kernel against float64 and times it beside bf16

Inputs are rounded per token and 128 columns; of each 128 columns the product of codes is summed in float32 and then
multiplied with both scales, as DeepSeek-V3's report (arXiv 2412.19437, section 3.3) describes.
"""
import torch
import triton
import triton.language as tl

BLOCK = 128


@triton.jit
def block_product(x, w, xs, ws, y, rows, out, width, blocks, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m = tl.program_id(0) * M + tl.arange(0, M)
    n = tl.program_id(1) * N + tl.arange(0, N)
    k = tl.arange(0, K)
    total = tl.zeros((M, N), dtype=tl.float32)
    for b in range(0, blocks):
        column = b * K + k
        a = tl.load(x + m[:, None] * width + column[None, :],
                    mask=(m[:, None] < rows) & (column[None, :] < width), other=0.0)
        c = tl.load(w + n[None, :] * width + column[:, None],
                    mask=(n[None, :] < out) & (column[:, None] < width), other=0.0)
        left = tl.load(xs + m * blocks + b, mask=m < rows, other=0.0)
        right = tl.load(ws + (n // K) * blocks + b, mask=n < out, other=0.0)
        total += tl.dot(a, c) * left[:, None] * right[None, :]
    tl.store(y + m[:, None] * out + n[None, :], total.to(tl.bfloat16),
             mask=(m[:, None] < rows) & (n[None, :] < out))


def to_blocks(x):
    """(codes, scales [rows, blocks]) of the rows of x, per 128 columns."""
    rows, width = x.shape
    padded = torch.nn.functional.pad(x.float(), (0, -width % BLOCK)).reshape(rows, -1, BLOCK)
    scales = (padded.abs().amax(-1) / 448).clamp(min=1e-12)
    codes = (padded / scales[..., None]).clamp(-448, 448).to(torch.float8_e4m3fn)
    return codes.reshape(rows, -1)[:, :width].contiguous(), scales


def multiply(codes, scales, weight, weight_scales):
    rows, width = codes.shape
    y = torch.empty(rows, len(weight), device=codes.device, dtype=torch.bfloat16)
    tile = 64 if rows > 16 else 16
    grid = (triton.cdiv(rows, tile), triton.cdiv(len(weight), BLOCK))
    block_product[grid](codes, weight, scales, weight_scales, y, rows, len(weight), width, scales.shape[1],
                        M=tile, N=BLOCK, K=BLOCK)
    return y


class Fp8Block(torch.nn.Module):
    def __init__(self, weight, scales):
        super().__init__()
        self.weight, self.scales = weight.contiguous(), scales.float().contiguous()

    def forward(self, x):
        codes, scales = to_blocks(x.reshape(-1, x.shape[-1]))
        return multiply(codes, scales, self.weight, self.scales).to(x.dtype).reshape(*x.shape[:-1], -1)


def main():
    from gpu_rates import SHAPES, graph_seconds
    print("| Linear | rows | bf16 us | block FP8 us | x bf16 | relative error |")
    for name, out, width in SHAPES[:4]:
        plain = torch.randn(out, width, device="cuda", dtype=torch.bfloat16) * .02
        tiles = plain.float().reshape(out // BLOCK, BLOCK, width // BLOCK, BLOCK)
        scales = tiles.abs().amax((1, 3)) / 448
        weight = (tiles / scales[:, None, :, None]).reshape(out, width).to(torch.float8_e4m3fn)
        for rows in (16, 64, 1024, 8192):
            x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
            codes, row_scales = to_blocks(x)
            inputs = codes[:16].double().reshape(16, -1, BLOCK) * row_scales[:16, :, None].double()
            decoded = (weight.double().reshape(tiles.shape) * scales[:, None, :, None].double()).reshape(out, width)
            exact = inputs.reshape(16, width) @ decoded.t()
            error = (multiply(codes, row_scales, weight, scales)[:16].double() - exact).norm() / exact.norm()
            base = graph_seconds([lambda: torch.mm(x, plain.t())] * 4)
            took = graph_seconds([lambda: multiply(codes, row_scales, weight, scales)] * 4)
            print(f"| {name} | {rows} | {base * 1e6:.0f} | {took * 1e6:.0f} | {base / took:.2f} | {error:.1e} |",
                  flush=True)


if __name__ == "__main__":
    main()
