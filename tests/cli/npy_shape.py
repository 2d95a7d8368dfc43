#!/usr/bin/env python3
"""Prints type and shape of a .npy file after checking that its size and values fit."""

import array
import ast
import math
import sys

with open(sys.argv[1], "rb") as file:
    data = file.read()
assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
length = int.from_bytes(data[8:10], "little")
assert (10 + length) % 64 == 0 and data[9 + length] == ord("\n")
header = ast.literal_eval(data[10:10 + length].decode())
values = array.array("f", data[10 + length:])
assert header["fortran_order"] is False
assert len(values) == math.prod(header["shape"])
assert all(math.isfinite(v) for v in values)
print(header["descr"], header["shape"])
