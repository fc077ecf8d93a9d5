"""Runs programs through the core on numpy arrays, and beside it through the reference."""

import json

import numpy as np
from program_reference import run_program

from carousel import _core

GUARD = 3  # columns beside each row that nobody may touch


def guarded(shape, dtype):
    """An array of NaN inside a wider one, whose margin the core must leave alone; returns (array, whole)."""
    whole = np.full((*shape[:-1], shape[-1] + GUARD), np.nan, dtype)
    whole[..., shape[-1] :] = 7.0
    return whole[..., : shape[-1]], whole


def strides_of(array, shape):
    """(s0, s1) in elements, as the core takes them."""
    s = [n // array.itemsize for n in array.strides]
    return {"step": (s[0], s[1] if len(s) > 1 else 0), "batch": (0, s[0]), "vector": (0, 0), "matrix": (s[0], s[-1])}[shape]


def run_core(program, T, B, arrays, dtype, reverse=False, lengths=None, resets=None, threads=1):
    """Runs a program over arrays of the given dtype, which are written in place."""
    compiled = _core.Program(json.dumps(program))
    pointers, strides = [], []
    for (shape, *_), a in zip(program["externals"], arrays, strict=True):
        pointers.append(0 if a is None else a.ctypes.data)
        strides += (0, 0) if a is None else strides_of(a, shape)
    lengths = None if lengths is None else np.ascontiguousarray(lengths, np.int64)
    resets = None if resets is None else np.ascontiguousarray(resets, np.uint8)
    compiled.run(
        np.dtype(dtype).name, T, B, reverse, pointers, strides,
        0 if lengths is None else lengths.ctypes.data, 0 if resets is None else resets.ctypes.data, threads,
    )  # fmt: skip


def compare(program, T, B, inputs, shapes, tolerance, dtype=np.float64, lengths=None, **options):
    """Runs core and reference on the same inputs (None where the program writes) and compares all that is written."""
    roles = [e[1] for e in program["externals"]]
    inputs = [a if a is None else a.astype(dtype) for a in inputs]
    fresh = [guarded(s, dtype) if r != "in" else (a, None) for s, r, a in zip(shapes, roles, inputs, strict=True)]
    got = [a for a, _ in fresh]
    threads = options.pop("threads", 1)
    run_core(program, T, B, got, dtype, lengths=lengths, threads=threads, **options)
    want = [
        (None if a is None else a.astype(np.float64)) if r == "in" else np.full(s, np.nan)
        for s, r, a in zip(shapes, roles, inputs, strict=True)
    ]
    run_program(program, T, B, want, lengths=lengths, **options)
    for (shape, role, name), (a, whole), w in zip(program["externals"], fresh, want, strict=True):
        if role == "in":
            continue
        assert (whole[..., -GUARD:] == 7.0).all(), f"{name}: written past the end of a row"
        if role == "keep" and lengths is not None:  # what stands past the ends is nobody's business
            for b, n in enumerate(lengths):
                a[n:, b] = w[n:, b] = 0.0
        np.testing.assert_allclose(a, w, **tolerance, err_msg=f"{name} ({shape} {role})")
    return got
