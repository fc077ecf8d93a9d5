"""Calls of the core: malformed programs and arguments, several Python threads at once, fork, the same bits again."""

import json
import os
import threading

import numpy as np
import pytest

from carousel import _core
from core_runner import THREAD_WORTH, always_sharing, each_variant, run_core
from program_lstm import lstm_backward, lstm_forward


def program_with(**changes):
    """A small correct program with some parts changed."""
    program = {
        "externals": [["step", "in", "x"], ["step", "out", "y"], ["matrix", "in", "W"]],
        "values": [["step", 3, 0], ["step", 2, 1], ["temp", 2, None], ["number", 1, 1.0], ["block", 2, None]],
        "states": [],
        "before": [],
        "loop": [["tile", 2, [[2, -1, [[2, 0, 0]]]], [["add", 1, 2, 3, -1]]]],
        "after": [],
    }
    return json.dumps(program | changes)


MALFORMED = {
    "not valid JSON": "[1, 2",
    "externals: expected a list": program_with(externals=3),
    "externals: expected to be there": "{}",
    "unknown shape": program_with(externals=[["cube", "in", "x"]]),
    "no external 9": program_with(values=[["step", 3, 9]]),
    "has shape matrix, expected step": program_with(values=[["step", 3, 2]]),
    "unknown kind": program_with(values=[["stone", 3, 0]]),
    "no such state": program_with(values=[["previous", 3, 0]]),
    "reaches past the width": program_with(values=[["step", 3, 0], ["view", 3, [0, 1]]]),
    "there is no value 1": program_with(values=[["view", 3, [1, 0]], ["step", 3, 0]]),
    "there is no value 7": program_with(loop=[["tile", 2, [], [["copy", 1, 7, -1, -1]]]]),
    "unknown instruction": program_with(loop=[["tile", 2, [], [["cube", 1, 3, -1, -1]]]]),
    "read before it is written": program_with(loop=[["tile", 2, [], [["copy", 1, 2, -1, -1]]]]),
    "has width 3 in a phase of width 2": program_with(loop=[["tile", 2, [], [["copy", 1, 0, -1, -1]]]]),
    "cannot be written there": program_with(loop=[["tile", 3, [], [["copy", 0, 0, -1, -1]]]]),
    "is read outside its tile": program_with(loop=[["tile", 2, [[1, -1, [[2, 0, 2]]]], []]]),
    "is used as": program_with(loop=[["tile", 2, [[1, -1, [[2, 0, 0], [2, 0, 3]]]], []]]),
    "do not fit together": program_with(loop=[["row", "mean", [1], [0], 0, 0]]),
    "has 2 results": program_with(loop=[["row", "softmax", [1, 1], [0], 0, 0]]),
    "unknown row operation": program_with(loop=[["row", "median", [1], [0], 0, 0]]),
    "never written": program_with(loop=[], values=[["step", 3, 0]]),
    "cannot take a vector reduction": program_with(
        externals=[["step", "in", "x"], ["vector", "in", "b"]],
        values=[["step", 3, 0]],
        loop=[],
        reduce=[["vector", 1, 0, -1]],
    ),
    "expected an integer": program_with(values=[["step", 2.5, 0]]),
}


@pytest.mark.parametrize("message", sorted(MALFORMED))
def test_malformed(message):
    _core.Program(program_with())
    with pytest.raises(ValueError, match=message):
        _core.Program(MALFORMED[message])


def test_mutations():
    """Programs with one number or word of the text changed are refused or run; they never crash."""
    rng = np.random.default_rng(0)
    text = json.dumps(lstm_forward(3, 5))
    for _ in range(2000):
        at = rng.integers(len(text))
        changed = text[:at] + rng.choice(list('0123456789-[],"xe')) + text[at + 1 :]
        try:
            _core.Program(changed)
        except ValueError:
            pass


def bound(places):
    binding = _core.Binding()
    binding.add(_core.Program(program_with()), False, places)
    return binding


def test_wrong_arguments():
    binding = bound([(0, 0, 0), (1, 0, 0), (2, 0, 0)])
    x, y, W = np.ones((2, 1, 3)), np.ones((2, 1, 2)), np.ones((2, 3))
    tensors = [(x.ctypes.data, 3, 3, 1), (y.ctypes.data, 2, 2, 1), (W.ctypes.data, 3, 1)]
    good = dict(dtype="float64", T=2, B=1, tensors=tensors, lengths_pointer=0, resets_pointer=0, threads=1)
    binding.run(**good)
    np.testing.assert_allclose(y, 4.0)
    too_long = np.array([3])
    bad = {
        "dtype": dict(dtype="float16"),
        "a tensor that was not given": dict(tensors=tensors[:2]),
        "too few axes": dict(tensors=[tensors[0], tensors[2], tensors[2]]),
        "must not be null": dict(tensors=[tensors[0], None, tensors[2]]),
        "length 3 of row 0": dict(lengths_pointer=too_long.ctypes.data),
        "threads is 0": dict(threads=0),
        "must not be negative": dict(T=-1),
        'precision is "int4", expected "float32" or "bfloat16"': dict(dtype="float32", precision="int4"),
        'precision is "bfloat16", expected "float64"': dict(precision="bfloat16"),
    }
    for message, change in bad.items():
        with pytest.raises(ValueError, match=message):
            binding.run(**(good | change))
    with pytest.raises(ValueError, match="1 places for 3 externals"):
        bound([(0, 0, 0)])
    with pytest.raises(ValueError, match="cannot run here"):
        _core.set_variant("mmx")


def test_places_lead_into_tensors():
    x, both = np.ones((2, 1, 3)), np.zeros((2, 1, 5))
    W = np.stack([np.zeros((2, 3)), np.full((2, 3), 2.0)])
    binding = bound([(0, 0, 0), (1, 0, 3), (2, 1, 0)])
    tensors = [(x.ctypes.data, 3, 3, 1), (both.ctypes.data, 5, 5, 1), (W.ctypes.data, 6, 3, 1)]
    binding.run("float64", 2, 1, tensors, 0, 0, 1)
    np.testing.assert_allclose(both[..., 3:], 7.0)  # 1 + 3 * 2
    assert not both[..., :3].any()


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_programs_side_by_side_give_what_each_gives_alone(threads):
    program, T, B, arrays, written = lstm_case()
    text = json.dumps(program)
    binding = _core.Binding()
    tensors, results = [], []
    for reverse in (False, True):
        own = [np.full_like(a, np.nan) if i in written else a for i, a in enumerate(arrays)]
        run_core(program, T, B, own, "float64", reverse=reverse)
        fresh = [np.full_like(a, np.nan) if i in written else a for i, a in enumerate(arrays)]
        first = len(tensors)
        tensors += [None if a is None else (a.ctypes.data, *(n // a.itemsize for n in a.strides)) for a in fresh]
        binding.add(_core.Program(text), reverse, [(first + i, 0, 0) for i in range(len(fresh))])
        results += [(own[i], fresh[i]) for i in written]
    with always_sharing():
        binding.run("float64", T, B, tensors, 0, 0, threads)
    for alone, together in results:
        np.testing.assert_array_equal(together, alone)


def lstm_case(T=20, B=12, D=8, H=70, seed=0):
    """An LSTM forward program, its arrays and the numbers of those that it writes."""
    rng = np.random.default_rng(seed)
    program = lstm_forward(D, H)
    front = {"step": (T, B), "batch": (B,), "vector": (), "matrix": (H,)}
    arrays, written = [], []
    for i, (shape, role, name) in enumerate(program["externals"]):
        wide = D if name == "x" or name.startswith("W_") else H
        size = (*front[shape], wide)
        arrays.append(rng.normal(size=size, scale=0.2) if role == "in" else np.full(size, np.nan))
        written += [i] if role != "in" else []
    return program, T, B, arrays, written


def run_lstm(threads=2, seed=0):
    program, T, B, arrays, written = lstm_case(seed=seed)
    run_core(program, T, B, arrays, "float64", threads=threads)
    return np.concatenate([arrays[i].ravel() for i in written])


def together(seeds):
    """run_lstm for several seeds, each many times in a Python thread of its own, all at once."""
    got = [None] * len(seeds)

    def many(i, seed):
        for _ in range(20):
            got[i] = run_lstm(threads=2 + i % 2, seed=seed)

    workers = [threading.Thread(target=many, args=(i, seed)) for i, seed in enumerate(seeds)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return got


def test_python_threads():
    """Several Python threads at once get what each of them alone would."""
    with always_sharing():
        want = [run_lstm(threads=1, seed=s) for s in range(4)]
        for g, w in zip(together(range(4)), want, strict=True):
            np.testing.assert_array_equal(g, w)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork():
    """A forked child, in which the pool's threads do not exist, computes with threads of its own; the parent too."""
    with always_sharing():
        want = run_lstm(threads=2)
        child = os.fork()
        if child == 0:
            same = False
            try:
                runs = [run_lstm(threads=2), run_lstm(threads=3), *together([0, 0, 0])]
                same = all((run == want).all() for run in runs)
            finally:
                os._exit(0 if same else 1)
        for _ in range(5):
            np.testing.assert_array_equal(run_lstm(threads=2), want)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "split"])
def test_same_bits(precision):
    """The same call gives the same bits, gradients included, and however many threads share it, down to a row each."""
    T, B, D, H = 30, 5, 9, 70
    program = lstm_backward(D, H)
    front = {"step": (T, B), "batch": (B,), "vector": (), "matrix": (H,)}
    for variant in each_variant():
        results = set()
        for threads in (1, 2, 2, 3, 4):
            rng = np.random.default_rng(5)
            arrays = []
            for shape, role, name in program["externals"]:
                size = (*front[shape], D if name in ("x", "d_x") or "W_" in name else H)
                arrays.append((rng.normal(size=size) if role == "in" else np.full(size, np.nan)).astype(np.float32))
            with always_sharing():
                run_core(program, T, B, arrays, "float32", threads=threads, precision=precision)
            results.add(b"".join(a.tobytes() for a in arrays))
        assert len(results) == 1, variant


def test_default_thread_worth():
    """What the tests restore is what the core starts with: a small call stays with one thread and still is right."""
    _core.set_thread_worth(THREAD_WORTH)
    np.testing.assert_array_equal(run_lstm(threads=2), run_lstm(threads=1))
