"""Runs programs through the core on numpy arrays, and beside it through the reference."""

import contextlib
import json

import numpy as np

from carousel import _core
from program_reference import run_program

GUARD = 3  # columns beside each row that nobody may touch


def guarded(shape, dtype):
    """An array of NaN inside a wider one, whose margin the core must leave alone; returns (array, whole)."""
    whole = np.full((*shape[:-1], shape[-1] + GUARD), np.nan, dtype)
    whole[..., shape[-1] :] = 7.0
    return whole[..., : shape[-1]], whole


def run_core(program, T, B, arrays, dtype, reverse=False, lengths=None, resets=None, threads=1, precision=None):
    """Runs a program over arrays of the given dtype, which are written in place."""
    binding = _core.Binding()
    binding.add(_core.Program(json.dumps(program)), reverse, [(i, 0, 0) for i in range(len(arrays))])
    tensors = [None if a is None else (a.ctypes.data, *(n // a.itemsize for n in a.strides)) for a in arrays]
    lengths = None if lengths is None else np.ascontiguousarray(lengths, np.int64)
    resets = None if resets is None else np.ascontiguousarray(resets, np.uint8)
    binding.run(
        np.dtype(dtype).name, T, B, tensors,
        0 if lengths is None else lengths.ctypes.data, 0 if resets is None else resets.ctypes.data, threads, precision,
    )  # fmt: skip


def run_op(op, *sources, dtype):
    """One instruction over (B, w) arrays, as a program of one phase."""
    B, w = sources[0].shape
    externals = [["step", "in", f"x{i}"] for i in range(len(sources))] + [["step", "out", "y"]]
    values = [["step", w, i] for i in range(len(sources) + 1)]
    code = [op, len(sources), *range(len(sources)), *[-1] * (3 - len(sources))]
    program = {"externals": externals, "values": values, "states": [], "before": [["tile", w, [], [code]]]}
    arrays = [np.ascontiguousarray(s[None], dtype) for s in sources] + [np.full((1, B, w), np.nan, dtype)]
    run_core(program | {"loop": [], "after": []}, 1, B, arrays, dtype)
    return arrays[-1][0]


THREAD_WORTH = 2e5  # the core's default


@contextlib.contextmanager
def always_sharing():
    """Every call uses all threads that it is given, however small."""
    _core.set_thread_worth(1e-9)
    try:
        yield
    finally:
        _core.set_thread_worth(THREAD_WORTH)


def each_variant():
    """Every instruction set of this processor in turn; in the end the one that was in use."""
    before = _core.variant()
    try:
        for name in _core.variants():
            _core.set_variant(name)
            yield name
    finally:
        _core.set_variant(before)


def compare(program, T, B, inputs, shapes, tolerance, dtype=np.float64, lengths=None, threads=(1, 2, 3, 4), **options):
    """Runs the reference, and the core in every variant and with several numbers of threads, on the same inputs (None
    where the program writes); compares all that is written. Returns what the reference wrote."""
    externals = program["externals"]
    inputs = [a if a is None else a.astype(dtype) for a in inputs]
    want = [np.full(s, np.nan) if e[1] != "in" else a for e, s, a in zip(externals, shapes, inputs, strict=True)]
    want = [a if a is None else a.astype(np.float64) for a in want]
    run_program(program, T, B, want, lengths=lengths, **options)
    for variant in each_variant():
        for n in threads:
            fresh = [
                (a, None) if e[1] == "in" else guarded(s, dtype)
                for e, s, a in zip(externals, shapes, inputs, strict=True)
            ]
            with always_sharing():
                run_core(program, T, B, [a for a, _ in fresh], dtype, lengths=lengths, threads=n, **options)
            for (shape, role, name), (a, whole), w in zip(externals, fresh, want, strict=True):
                if role == "in":
                    continue
                assert (whole[..., -GUARD:] == 7.0).all(), f"{name}: written past the end of a row"
                if role == "keep" and lengths is not None:  # what stands past the ends is nobody's business
                    for b, end in enumerate(lengths):
                        a[end:, b] = w[end:, b] = 0.0
                place = f"{name} ({shape} {role}), {variant}, {n} threads"
                np.testing.assert_allclose(a, w, **tolerance, err_msg=place)
    return want
