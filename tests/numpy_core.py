"""Stands in for `carousel._core`: the same interface over the numpy executor, so that plans are tested without C++."""

import ctypes
import json

import numpy as np

from program_reference import run_program


class Program:
    """One program, run by `program_reference.run_program` on the memory that the pointers name."""

    def __init__(self, text):
        self.program = json.loads(text)
        self.shapes = _matrix_shapes(self.program)
        self.widths = _widths(self.program)

    def run(self, dtype, T, B, reverse, pointers, strides, lengths, resets, threads):
        kind = np.dtype(dtype)
        outer = {"step": (T, B), "batch": (B,), "vector": ()}
        arrays = []
        for i, (shape, _, _) in enumerate(self.program["externals"]):
            s0, s1 = strides[2 * i : 2 * i + 2]
            steps = {"step": (s0, s1, 1), "batch": (s1, 1), "vector": (1,), "matrix": (s0, s1)}[shape]
            size = self.shapes[i] if shape == "matrix" else (*outer[shape], self.widths[i])
            arrays.append(_array(pointers[i], kind, size, steps))
        ends = _array(lengths, np.dtype(np.int64), (B,), (1,))
        cuts = _array(resets, np.dtype(np.uint8), (T, B), (B, 1))
        run_program(self.program, T, B, arrays, reverse, ends, cuts)


def _array(pointer, kind, shape, strides):
    """The memory at a pointer as an array; None where there is none."""
    if 0 in shape:
        return np.zeros(shape, kind)
    if not pointer:
        return None
    count = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    flat = np.frombuffer((ctypes.c_char * (count * kind.itemsize)).from_address(pointer), kind)
    return np.lib.stride_tricks.as_strided(flat, shape, [step * kind.itemsize for step in strides])


def _widths(program):
    widths = {extra: width for kind, width, extra in program["values"] if kind in ("step", "batch", "vector")}
    for width, *externals in program["states"]:
        widths |= dict.fromkeys(externals[:6] if len(externals) == 7 else externals, width)
    widths |= {external: program["values"][a][1] for kind, external, a, *_ in program["reduce"] if kind != "matrix"}
    return widths


def _matrix_shapes(program):
    width = [entry[1] for entry in program["values"]]
    shapes = {r[1]: (width[r[2]], width[r[3]]) for r in program["reduce"] if r[0] == "matrix"}
    for phase in (*program["before"], *program["loop"], *program["after"]):
        for dst, _, segments in phase[2] if phase[0] == "tile" else ():
            for matrix, transposed, src in segments:
                shapes[matrix] = (width[src], width[dst]) if transposed else (width[dst], width[src])
    return shapes
