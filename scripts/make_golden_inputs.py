#!/usr/bin/env python3
"""Golden values of the inputs of products as llama.cpp's kernels for processors round them.

usage: make_golden_inputs.py LIBRARIES OUT

LIBRARIES: the folder of libggml-base.so and libggml-cpu.so, built from llama.cpp on a processor with
AVX2 (there, halves go to even). OUT/values.f32: 1024 values, of many magnitudes, with a block of
zeros and ties; OUT/<type>.f32: the same after quantize_row_<type> and back. Little-endian float32.
"""
import ctypes
import pathlib
import struct
import sys

import numpy

COUNT = 1024


def values():
    rng = numpy.random.default_rng(8)
    x = rng.standard_normal(COUNT) * numpy.exp(2 * rng.standard_normal(COUNT))
    x[64:96] = 0
    x[256:288] = numpy.arange(-16, 16) + 0.5  # with 127: every code a tie
    x[287] = 127
    x[300] = -900  # an outlier, negative
    x[512:544] *= 1e-6  # scales below binary16's normal numbers
    x[768:1024] = numpy.round(x[768:1024] * 16) / 16
    return x.astype(numpy.float32)


def blocks_of(library, name, x, block_bytes, block_values):
    out = numpy.zeros(COUNT // block_values * block_bytes, numpy.uint8)
    getattr(library, "quantize_row_" + name)(
        x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(COUNT))
    return out.reshape(-1, block_bytes)


def decoded(blocks, code_offset, block_values, scale_type):
    codes = blocks[:, code_offset:code_offset + block_values].copy().view(numpy.int8)
    size = numpy.dtype(scale_type).itemsize
    scales = blocks[:, :size].copy().view(scale_type).astype(numpy.float32)
    return (codes.astype(numpy.float32) * scales).reshape(-1)


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    ctypes.CDLL(str(folder / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(folder / "libggml-cpu.so"))
    library.ggml_cpu_init()
    x = values()
    halves = numpy.zeros(COUNT, numpy.uint16)
    library.ggml_cpu_fp32_to_bf16(x.ctypes.data_as(ctypes.c_void_p),
                                  halves.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(COUNT))
    golden = {
        "values": x,
        "q8_0": decoded(blocks_of(library, "q8_0", x, 34, 32), 2, 32, "<f2"),
        "q8_1": decoded(blocks_of(library, "q8_1", x, 36, 32), 4, 32, "<f2"),
        "q8_k": decoded(blocks_of(library, "q8_K", x, 292, 256), 4, 256, "<f4"),
        "f16": x.astype("<f2").astype(numpy.float32),
        "bf16": (halves.astype(numpy.uint32) << 16).view(numpy.float32),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, array in golden.items():
        (out / f"{name}.f32").write_bytes(struct.pack(f"<{COUNT}f", *array))


if __name__ == "__main__":
    main()
