"""Stands in for `carousel._core`: the same interface over the numpy executor, so that plans are tested without C++."""

import ctypes
import json

import numpy as np

from program_reference import run_program


class Program:
    """One program as data."""

    def __init__(self, text):
        self.data = json.loads(text)


class Binding:
    """Programs, run by `program_reference.run_program` on the memory that the tensors' addresses name."""

    def __init__(self):
        self.bound = []

    def add(self, program, reverse, places):
        self.bound.append((program.data, reverse, places))

    def run(self, dtype, T, B, tensors, lengths, resets, threads, precision):
        kind = np.dtype(dtype)
        ends = _array(lengths, np.dtype(np.int64), (B,), (1,))
        cuts = _array(resets, np.dtype(np.uint8), (T, B), (B, 1))
        for program, reverse, places in self.bound:
            widths, matrices = _widths(program), _matrix_shapes(program)
            outer = {"step": (T, B), "batch": (B,), "vector": ()}
            arrays = []
            for i, ((shape, _, _), (index, lead, column)) in enumerate(zip(program["externals"], places, strict=True)):
                address, *strides = (tensors[index] if index >= 0 else None) or (0, 0)
                size = matrices[i] if shape == "matrix" else (*outer[shape], widths[i])
                steps = strides[-len(size) :] if shape == "matrix" else [*strides[-len(size) : -1], 1]
                offset = (lead * strides[0] + column) * kind.itemsize
                arrays.append(_array(address and address + offset, kind, size, steps))
            run_program(program, T, B, arrays, reverse, ends, cuts, precision)


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
