#!/usr/bin/env python3
"""Golden values of inputs as compressed-tensors rounds them to INT8 with zero points.

usage: make_golden_zero_points.py OUT     (a Python with torch and compressed-tensors 0.20.1)

OUT/values.f32: 16 tokens of 64 values; OUT/token.f32: after dynamic rounding per token;
OUT/tensor.f32: with the static scale 0.03 and the zero point -37. Little-endian float32.
"""
import pathlib
import sys

import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp


def values():
    torch.manual_seed(8)
    x = torch.randn(16, 64) * torch.exp(torch.randn(16, 1))
    x[1] = 0
    x[2] = x[2].abs() + 3  # zero is not among them, but in the range
    x[3] = -x[3].abs() - 3
    x[4] = torch.arange(-32, 32) + 0.5
    x[5, 7] = -900
    x[6, 9] = 700
    x[7] *= 1e-30
    x[8] += torch.linspace(-2, 5, 64)
    x[9] = (torch.arange(-32, 32) + 0.5) * 0.03  # ties of the static scale
    return x


def main():
    out = pathlib.Path(sys.argv[1])
    x = values()
    token = QuantizationArgs(num_bits=8, type="int", symmetric=False, strategy="token", dynamic=True)
    tensor = QuantizationArgs(num_bits=8, type="int", symmetric=False, strategy="tensor")
    rows = x.unsqueeze(1)  # one token a batch
    scale, zero = compute_dynamic_scales_and_zp(rows, token, module=None)
    golden = {"values": x,
              "token": fake_quantize(rows, scale, zero, token).squeeze(1),
              "tensor": fake_quantize(x, torch.tensor([0.03]), torch.tensor([-37], dtype=torch.int8), tensor)}
    for name, tensor in golden.items():
        (out / f"{name}.f32").write_bytes(tensor.contiguous().numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main()
