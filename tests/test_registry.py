"""Registered means tested, six ways, on every engine."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from carousel import Cell, cells, engines
from carousel.cells import Entry
from carousel.engines.evaluate import run as run_step
from oracles import ORACLES
from oracles.common import Oracle, differences
from oracles.onnx_operators import onnx_inputs, onnx_lstm
from reference import naive_scan
from runs import ENGINES, Call, close, gradients, make_call, scan, weighed

ENTRIES = [entry for entry in cells.entries() if isinstance(entry.cell, Cell)]  # others: test_tensor_cells.py
SIZES = {"input_size": 3, "hidden_size": 4}

PAIRS = [(entry, engine) for entry in ENTRIES for engine in ENGINES] + [
    (entry, "torch") for entry in ENTRIES if engines.serves("torch", entry.cell, torch.zeros(1, 1, 1)) is None
]

every_cell = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def sizes(entry: Entry) -> dict[str, int]:
    return {name: SIZES.get(name, 2) for name in entry.cell.sizes}


def stops(entry: Entry) -> bool:
    return isinstance(entry.cell, Cell) and any(node.op == "stop" for node in entry.cell.step.nodes)


def by_name(entry: Entry, found: tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]) -> dict[str, Tensor]:
    y, final, _ = found
    return {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}


def plain_scan(engine: str, entry: Entry, call: Call) -> dict[str, Tensor]:
    """Outputs and final states, without gradients taken."""
    keywords = {"sides": call.sides, "lengths": call.lengths, "resets": call.resets, "initial": call.initial}
    run = engines.PREFERENCE[engine].scan
    return by_name(entry, run(entry.cell, call.sizes, call.x, call.hx, call.params, **keywords, reverse=call.reverse))


# -- 1: gradients against finite differences


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@every_engine
@every_cell
def test_gradients_are_finite_differences(entry: Entry, engine: str, reverse: bool) -> None:
    if stops(entry):
        pytest.skip("the paper stops gradients, which finite differences do not know")
    call = make_call(entry.cell, sizes(entry), 4, 3, resets=0.3, reverse=reverse)
    call.lengths = torch.tensor([4, 0, 2])

    def outputs(*_: Tensor) -> tuple[Tensor, ...]:
        return tuple(plain_scan(engine, entry, call).values())

    torch.autograd.gradcheck(outputs, tuple(call.leaves().values()), fast_mode=True)


# -- 2: a sequence in two chunks equals the whole


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@every_engine
@every_cell
def test_two_chunks_are_the_whole(entry: Entry, engine: str, reverse: bool) -> None:
    if entry.cell.time is not None:
        pytest.skip("the cell reads the step index, which starts anew with each call")
    call = make_call(entry.cell, sizes(entry), 7, 2, reverse=reverse)
    whole = plain_scan(engine, entry, call)
    early, late = slice(0, 3), slice(3, 7)
    first, second = (late, early) if reverse else (early, late)
    one = plain_scan(engine, entry, part(entry, call, first, call.hx))
    final = tuple(one[f"final[{k}]"] for k in range(len(call.hx)))
    two = plain_scan(engine, entry, part(entry, call, second, final))
    joined = {**two, "y": torch.cat([two["y"], one["y"]] if reverse else [one["y"], two["y"]])}
    close(joined | gradients(joined, call), whole | gradients(whole, call), entry.name)


def part(entry: Entry, call: Call, steps: slice, hx: tuple[Tensor, ...]) -> Call:
    """The call on some of its steps, from other states."""
    per_step = {name for name, side in entry.cell.sides.items() if side.kind == "step"}
    sides = {name: value[steps] if name in per_step else value for name, value in call.sides.items()}
    return replace(call, x=call.x[steps], hx=hx, sides=sides)


# -- 3: a sample alone equals the sample in a batch


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@every_engine
@every_cell
def test_a_sample_alone_is_the_sample_in_a_batch(entry: Entry, engine: str, reverse: bool) -> None:
    lengths = (6, 0, 3, 5)
    call = make_call(entry.cell, sizes(entry), 6, 4, lengths=lengths, resets=0.2, reverse=reverse, per_row=True)
    assert call.resets is not None
    batch = plain_scan(engine, entry, call)
    for b, length in enumerate(lengths):
        row = slice(b, b + 1)
        sides = {n: v[:length, row] if entry.cell.sides[n].kind == "step" else v[row] for n, v in call.sides.items()}
        alone = replace(
            call,
            x=call.x[:length, row],
            hx=tuple(h[row] for h in call.hx),
            initial=tuple(s[row] for s in call.initial),
            sides=sides,
            lengths=None,
            resets=call.resets[:length, row],
        )
        found = plain_scan(engine, entry, alone)
        want = {name: value[:length, row] if name == "y" else value[row] for name, value in batch.items()}
        close(found | gradients(found, call), want | gradients(want, call), f"{entry.name}, row {b}")


# -- 4: everything gets a gradient


@every_engine
@every_cell
def test_every_parameter_and_state_gets_a_gradient(entry: Entry, engine: str) -> None:
    missing = without_gradient(entry, engine, seed=0)
    for seed in range(1, 8):  # a rectifier that is shut at one draw is open at another
        missing = missing and missing & without_gradient(entry, engine, seed)
    assert not missing, f"{entry.name}: no gradient for {', '.join(sorted(missing))}"


def without_gradient(entry: Entry, engine: str, seed: int) -> set[str]:
    """Rows of x, parameters and states whose gradient is zero though the paper does not stop it."""
    call = make_call(entry.cell, sizes(entry), 5, 3, seed=seed)
    call.resets = (torch.arange(5) == 2)[:, None].expand(5, 3)
    found = scan(engines.PREFERENCE[engine].scan, entry.cell, call, ())
    states = {f"{kind}[{k}]": state for k, state in enumerate(entry.cell.states) for kind in ("hx", "initial")}
    missing = set()
    for name in call.leaves():
        gradient = found[f"d {name}"]
        if states.get(name, name.removeprefix("p.")) in entry.stopped_gradients:
            assert not gradient.any(), f"{entry.name}: {name} has a gradient, which the paper stops"
            continue
        rows = gradient.flatten(0, -2) if gradient.dim() > 1 else gradient.reshape(-1, 1)
        missing |= {f"{name}[{k}]" for k in (rows == 0).all(-1).nonzero().flatten().tolist()}
    return missing


@every_cell
def test_every_named_quantity_gets_a_gradient(entry: Entry) -> None:
    """In one step of the graph, the loss depends on every gate."""
    step, call = entry.cell.step, make_call(entry.cell, sizes(entry), 1, 3)
    given: dict[int, Tensor] = {}
    for index, node in enumerate(step.nodes):
        if node.op == "input":
            given[index] = call.x[0]
        elif node.op == "state":
            given[index] = call.hx[node.attr["k"]]
        elif node.op == "parameter":
            given[index] = call.params[node.attr["name"]]
        elif node.op == "side":
            value = call.sides[node.attr["name"]]
            given[index] = value[0] if entry.cell.sides[node.attr["name"]].kind == "step" else value
        elif node.op == "time":
            given[index] = call.x.new_zeros(1)
    order = [index for index in range(len(step.nodes)) if index not in given]
    values = {**given, **run_step(step, order, given, call.sizes, call.x[0])}
    loss = weighed([values[index] for index in (step.output, *step.outputs)], 0)
    for name, index in step.names.items():
        if name in entry.stopped_gradients or not values[index].requires_grad:
            continue
        (gradient,) = torch.autograd.grad(loss, values[index], retain_graph=True, allow_unused=True)
        assert gradient is not None and gradient.abs().amax() > 0, f"{entry.name}: {name} gets no gradient"


# -- 5: somebody else's numbers


@every_engine
@every_cell
def test_the_oracle_says_the_same(entry: Entry, engine: str) -> None:
    agrees(entry, engine, ORACLES[entry.name])


def agrees(entry: Entry, engine: str, oracle: Oracle) -> None:
    """Outputs, final states and gradients; where the oracle has no gradients they are its finite differences."""
    call = make_call(entry.cell, sizes(entry), 4, 2, frozen=("initial",))
    found = plain_scan(engine, entry, call)

    def said() -> dict[str, Tensor]:
        return by_name(entry, (*oracle(call.params, call.x, call.hx, **call.sides), {}))

    want = said()
    close(found, want, f"{entry.name} against {entry.page.tested_against}")
    got = gradients(found, call)
    if want["y"].requires_grad:
        close(got, gradients(want, call), f"{entry.name} against {entry.page.tested_against}")
        return
    for name, leaf in call.leaves().items():
        estimate = differences(lambda: weighed(said().values(), call.seed), leaf)
        torch.testing.assert_close(got[f"d {name}"], estimate, atol=1e-7, rtol=1e-6)  # what differences are worth


LINEAR = {"activation_alpha": [1.0], "activation_beta": [0.0]}


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("peephole_lstm", {}),
        ("lstm_niaf", {"activations": ["Sigmoid", "Affine", "Tanh"], **LINEAR}),
        ("lstm_noaf", {"activations": ["Sigmoid", "Tanh", "Affine"], **LINEAR}),
        ("lstm_cifg", {"input_forget": 1}),
    ],
)
@every_engine
def test_peepholes_as_onnxruntime_has_them(engine: str, name: str, attributes: dict[str, Any]) -> None:
    """A second implementation, in float32."""
    entry = cells.entry(name)
    call = make_call(entry.cell, {"input_size": 5, "hidden_size": 7}, 6, 3, dtype=torch.float32)
    model = onnx_lstm(7, torch.float32, **attributes).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    y, h, c = session.run(None, onnx_inputs(call.params, call.x, call.hx))
    want = {"y": torch.tensor(y[:, 0]), "final[0]": torch.tensor(h[0]), "final[1]": torch.tensor(c[0])}
    close(plain_scan(engine, entry, call), want, f"{name} against onnxruntime")


def test_every_cell_has_an_oracle() -> None:
    assert set(ORACLES) == set(cells.names())


# -- and its page


@every_cell
def test_the_page_is_whole(entry: Entry) -> None:
    page = entry.page
    assert page.title.endswith(".") and page.equations and page.known_for and page.deviates and page.oracle, entry.name
    assert re.search(r"doi:10\.|arXiv:\d{4}\.\d{4,5}|arXiv:[a-z-]+/\d+|https?://|ISBN", page.sources), entry.name
    assert str(entry.year) in page.sources, f"{entry.name}: the year {entry.year} is not that of a source"
    assert getattr(cells, entry.name) is entry.cell


# -- 6: every engine equals the reference


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(("entry", "engine"), PAIRS, ids=[f"{entry.name}-{engine}" for entry, engine in PAIRS])
def test_every_engine_equals_the_reference(
    entry: Entry, engine: str, reverse: bool, ragged: bool, dtype: torch.dtype
) -> None:
    lengths = (5, 0, 9, 2, 9, 1, 7) if ragged else None
    full = engine != "torch"  # PyTorch's operators know no resets and record nothing
    resets = 0.2 if ragged and full else 0.0
    call = make_call(entry.cell, sizes(entry), 9, 7, lengths=lengths, resets=resets, reverse=reverse, dtype=dtype)
    record = entry.cell.states if full and engine != "whole" else ()
    assert engines.serves(engine, entry.cell, call.x, resets=call.resets, record=record) is None
    want = scan(naive_scan, entry.cell, call, record)
    close(scan(engines.PREFERENCE[engine].scan, entry.cell, call, record), want, f"{entry.name} on {engine}")
