"""Regularisers and bounds for any cell: each makes a cell of a cell, and they can follow each other.

A product *of* a state (of the input, of a side input) is `p.U @ h`, or `p.U @ (r * h)` and the like: the row that it
multiplies is the state as the step finds it, times other rows, over others, under a function of one argument, or with
others in a `concat`. What is computed from a sum, such as the new state, is not.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from carousel.errors import CellError
from carousel.graph.cell import Cell
from carousel.graph.levels import CONSTANT, levels
from carousel.graph.step import Step
from carousel.graph.transforming.rewriting import How, Rewriting, Transformed, transform
from carousel.graph.widths import ONE

ONE_ARGUMENT = frozenset(
    ("neg", "sigmoid", "tanh", "exp", "log", "softplus", "relu", "abs", "sqrt", "sin", "cos", "floor")
    + ("clip", "stop", "clip_gradient", "normalize", "softmax")
)
THROUGH = {"mul": None, "concat": None, "div": 1, "slice": 1}  # operands that carry a leaf on: all, or the first


@transform
def zoneout(cell: Cell, /, **probability: float) -> Cell:
    """The cell with zoneout (Krueger et al., 2017, arXiv:1606.01305): each unit of the named states keeps its old value
    at a step with this probability; in evaluation it moves on by the expectation.

    The rest of the step goes on with the values that are not zoned out, as in the paper, where h is computed from the
    new c; an output that is a state is the zoned-out state. Masks are side inputs `zoneout_h`, drawn at each step.
    Raises ValueError for what is no state of the cell, or no probability below 1, and CellError for a state that starts
    at infinity, which has no expectation.

    >>> from carousel.cells import lstm
    >>> zoneout(lstm, h=0.05, c=0.5).sides["zoneout_c"]
    Side(kind='step', width='hidden_size', keep=0.5, scaled=False)
    """
    rates = _probabilities("zoneout", cell, probability, cell.states)
    for state in rates:
        if math.isinf(cell.initial[state]):
            raise CellError(
                f"zoneout: the state {state} of {cell.name} starts from {cell.initial[state]}, which has no "
                f"expectation with its new value. Leave it out, as all states that only keep others in range."
            )
    r = Rewriting(cell)
    for _ in r.copying():
        pass
    leaves = _leaves(cell)
    for state, rate in rates.items():
        k = cell.states.index(state)
        before, new = r.moved[leaves[state]], r.moved[r.old.outputs[k]]
        width = r.nodes[new].width
        keeps = r.mask(f"zoneout_{state}", width, "step", rate, scaled=False)
        moves = r.add("sub", r.add("number", value=1.0), keeps, width=width)
        r.outputs[k] = r.add("add", r.add("mul", keeps, before), r.add("mul", moves, new), width=width)
        if r.old.output == r.old.outputs[k] and r.output is None:
            r.output = r.outputs[k]
    return _made(r, "zoneout", probability, _listed("each unit of {} keeps its old value with probability {:g}", rates))


@transform
def variational_dropout(cell: Cell, /, **probability: float) -> Cell:
    """The cell with variational dropout (Gal & Ghahramani, 2016, arXiv:1512.05287): the units of the input, of states
    or of side inputs are dropped with this probability, the same ones at all steps of a sequence.

    What is dropped is what enters the matrix products: `p.U @ h` becomes `p.U @ (mask * h)`, `p.U @ (r * h)` becomes
    `p.U @ (r * mask * h)`, with one mask for all gates; where the equations use h unit by unit it stays whole, as does
    the state that is carried on. Masks are side inputs `dropout_h`, scaled by 1/(1 - probability).
    Raises ValueError for a name that no matrix product multiplies, or no probability below 1.

    >>> from carousel.cells import gru
    >>> variational_dropout(gru, x=0.2, h=0.3).sides["dropout_h"].kind
    'sequence'
    """
    step, leaves = cell.step, _leaves(cell)
    products = {n: _carried(step, node.args[1]) for n, node in enumerate(step.nodes) if node.op == "matmul"}
    known = [name for name, leaf in leaves.items() if any(leaf in found for found in products.values())]
    rates = _probabilities("variational_dropout", cell, probability, known)
    dropped = {leaves[name]: name for name in rates}
    r, masks = Rewriting(cell), dict[int, int]()
    made: dict[tuple[int, frozenset[int]], int] = {}
    for n, node in enumerate(step.nodes):
        wanted = frozenset(dropped).intersection(products.get(n, ()))
        for leaf in sorted(wanted - set(masks)):
            name = dropped[leaf]
            masks[leaf] = r.mask(f"dropout_{name}", step.nodes[leaf].width, "sequence", 1 - rates[name], scaled=True)
        if wanted:
            r.copy(n, r.moved[node.args[0]], _masked(r, node.args[1], wanted, masks, made))
        else:
            r.copy(n)
    note = _listed("units of {}, as they enter matrix products, are dropped with probability {:g} a sequence", rates)
    return _made(r, "variational_dropout", probability, note)


@transform
def recurrent_dropout(cell: Cell, /, **probability: float) -> Cell:
    """The cell with recurrent dropout without memory loss (Semeniuta et al., 2016, arXiv:1603.05118): whatever reads
    the named quantity reads it with units dropped at this probability, anew at each step.

    The paper drops the candidate: `recurrent_dropout(lstm, g=0.25)` gives c = f * c + i * (mask * g), so that what is
    remembered already is never dropped. Masks are side inputs `dropout_g`, scaled by 1/(1 - probability).
    Raises ValueError for a name that no equation gives, or no probability below 1.

    >>> from carousel.cells import lstm
    >>> recurrent_dropout(lstm, g=0.25).sides["dropout_g"].kind
    'step'
    """
    computed = [name for name, n in cell.step.names.items() if n not in cell.step.outputs and _varies(cell, n)]
    rates = _probabilities("recurrent_dropout", cell, probability, computed)
    r, named = Rewriting(cell), {cell.step.names[name]: name for name in rates}
    for n in r.copying():
        if n in named:
            name, width = named[n], r.nodes[r.moved[n]].width
            mask = r.mask(f"dropout_{name}", width, "step", 1 - rates[name], scaled=True)
            r.replace(n, r.add("mul", mask, r.moved[n], width=width))
    note = _listed("units of {} are dropped with probability {:g} a step", rates)
    return _made(r, "recurrent_dropout", probability, note)


@transform
def layer_normalized(cell: Cell, /, *quantities: str, eps: float = 1e-5) -> Cell:
    """The cell with layer normalisation (Ba, Kiros & Hinton, 2016, arXiv:1607.06450), which needs no batch: each matrix
    product of the input, of a side input and of a state is normalised over its units.

    `p.U_f @ h` becomes `normalize(p.U_f @ h) * p.gain_U_f`, where the gain is a new vector that starts at 1; products
    one wide stay. There is no bias of its own, since it would be added to the gate's. `quantities` are normalised
    where the step's later equations read them, with gain and bias, and are carried on as they are:
    `layer_normalized(lstm, "c")` has h = o * tanh(normalize(c) * gain_c + bias_c), as in the paper.
    Raises ValueError for a cell without such products, or a quantity that nothing reads.

    >>> from carousel.cells import gru
    >>> [name for name in layer_normalized(gru).step.parameters if name.startswith("gain_U")]
    ['gain_U_r', 'gain_U_z', 'gain_U_n']
    """
    step = cell.step
    for name in quantities:
        if not any(step.names.get(name) in node.args for node in step.nodes):
            raise ValueError(f"layer_normalized: {name!r} is no quantity of {cell.name} that its equations read again.")
    named = {step.names[name]: name for name in quantities}
    r, products, raw = Rewriting(cell), 0, dict[int, int]()
    for n in r.copying():
        node = step.nodes[n]
        if node.op == "matmul" and node.width != ONE and _carried(step, node.args[1]):
            products += 1
            gain = r.vector(f"gain_{_matrix_name(step, node.args[0])}", node.width, 1.0)
            r.replace(
                n, r.add("mul", r.add("normalize", r.moved[n], width=node.width, eps=eps), gain, width=node.width)
            )
        if n in named:
            raw[n] = r.moved[n]
            scaled = r.add("mul", r.add("normalize", raw[n], eps=eps), r.vector(f"gain_{named[n]}", node.width, 1.0))
            r.moved[n] = r.add("add", scaled, r.vector(f"bias_{named[n]}", node.width, 0.0))
    if not products and not quantities:
        raise ValueError(f"layer_normalized: {cell.name} has no matrix product of its input or of a state.")
    r.moved |= raw
    note = ", ".join(
        ["each product of the input and of a state is normalised", *(f"{q} where it is read" for q in quantities)]
    )
    return _made(r, "layer_normalized", {"eps": eps}, note, quantities)


@transform
def clip_states(cell: Cell, /, **bound: float) -> Cell:
    """The cell whose named states are clipped to [-bound, bound] once they are updated (Sak et al., 2014,
    arXiv:1402.1128, clips c to [-50, 50]).

    Whatever the step computes from the new state, such as h from c in the LSTM, reads the clipped one.
    Raises ValueError for what is no state of the cell, or a bound that is not positive.

    >>> from carousel.cells import lstm
    >>> clip_states(lstm, c=50.0)
    <cell clip_states(lstm)(x, h, c)>
    """
    bounds = _bounds("clip_states", cell, bound)
    r, step = Rewriting(cell), cell.step
    new = {step.outputs[cell.states.index(state)]: b for state, b in bounds.items()}
    for n in r.copying():
        if n in new:
            r.replace(n, r.add("clip", r.moved[n], low=-new[n], high=new[n]))
    return _made(r, "clip_states", bound, _listed("{} stays between -+{:g}", bounds))


@transform
def clip_gradients(cell: Cell, every: float | None = None, /, **bound: float) -> Cell:
    """The cell in which the gradient that goes back to a state before the step is clipped to [-bound, bound], unit by
    unit: of all states, `clip_gradients(cell, 10.0)`, or by name, `clip_gradients(cell, h=10.0)`.

    At each step this is the gradient that flows through the recurrence, before the gradient of the output of the step
    before is added to it. What the cell computes stays the same. The sLSTM (Beck et al., 2024, arXiv:2405.04517) is
    trained with h=10.
    Raises ValueError for what is no state of the cell, or a bound that is not positive.

    >>> from carousel.cells import lstm
    >>> [node.op for node in clip_gradients(lstm, 10.0).step.nodes].count("clip_gradient")
    2
    """
    given = {**({} if every is None else dict.fromkeys(cell.states, every)), **bound}
    bounds = _bounds("clip_gradients", cell, given)
    r = Rewriting(cell)
    for n in r.copying():
        node = cell.step.nodes[n]
        state = cell.states[node.attr["k"]] if node.op == "state" else ""
        if state in bounds:
            r.replace(n, r.add("clip_gradient", r.moved[n], width=node.width, bound=bounds[state]))
            r.name(r.moved[n], f"clipped_{state}")  # a name, since it is one clip for all that reads it
    note = _listed("the gradient that goes back to {} stays between -+{:g}", bounds)
    return _made(r, "clip_gradients", bound, note, () if every is None else (every,))


# -- what the step says


def _leaves(cell: Cell) -> dict[str, int]:
    """The nodes of the input, the states and the side inputs by name."""
    named = {"input": lambda node: cell.input, "side": lambda node: node.attr["name"]}
    named["state"] = lambda node: cell.states[node.attr["k"]]
    return {named[node.op](node): n for n, node in enumerate(cell.step.nodes) if node.op in named}


def _carried(step: Step, n: int) -> set[int]:
    """The leaves that a product with node n is a product of."""
    node = step.nodes[n]
    if node.op in ("input", "state", "side"):
        return {n}
    if node.op in THROUGH or node.op in ONE_ARGUMENT:
        return set().union(*(_carried(step, a) for a in node.args[: THROUGH.get(node.op, 1)]))
    return set()


def _masked(
    r: Rewriting, n: int, wanted: frozenset[int], masks: Mapping[int, int], made: dict[tuple[int, frozenset[int]], int]
) -> int:
    """Old node n in the copy, in which the wanted leaves are masked; each leaf once, where it is reached first."""
    if (n, wanted) in made:
        return made[n, wanted]
    node, result = r.old.nodes[n], r.moved[n]
    inside = node.op in THROUGH or any(r.old.nodes[leaf].width != node.width for leaf in wanted)
    if inside and node.args:
        args, rest = [], wanted
        for a in node.args:
            here = rest & _carried(r.old, a)
            args.append(_masked(r, a, here, masks, made) if here else r.moved[a])
            rest -= here
        result = r.add(node.op, *args, width=node.width, **node.attr)
    else:
        for leaf in sorted(wanted):
            result = r.add("mul", masks[leaf], result, width=node.width)
    made[n, wanted] = result
    return result


def _matrix_name(step: Step, n: int) -> str:
    """The first parameter of a matrix-valued node."""
    node = step.nodes[n]
    if node.op == "parameter":
        return str(node.attr["name"])
    return next((name for a in node.args if (name := _matrix_name(step, a))), "")


def _varies(cell: Cell, n: int) -> bool:
    """Whether a node is computed, and from more than parameters."""
    node = cell.step.nodes[n]
    return bool(node.args) and levels(cell.step, cell.sides)[n] > CONSTANT


# -- what was asked for


def _probabilities(what: str, cell: Cell, given: Mapping[str, float], known: Iterable[str]) -> dict[str, float]:
    """The probabilities that are not 0. Raises ValueError for one that is none, or an unknown name."""
    for name, rate in _known(what, cell, given, known).items():
        if not isinstance(rate, numbers.Real) or isinstance(rate, bool) or not 0 <= rate < 1:
            raise ValueError(f"{what}: {name} is {rate!r}, expected a probability from 0, below 1.")
    return {name: float(rate) for name, rate in given.items() if rate}


def _bounds(what: str, cell: Cell, given: Mapping[str, float]) -> dict[str, float]:
    for name, bound in _known(what, cell, given, cell.states).items():
        if not isinstance(bound, numbers.Real) or isinstance(bound, bool) or not bound > 0:
            raise ValueError(f"{what}: {name} is {bound!r}, expected a positive number.")
    return {name: float(bound) for name, bound in given.items()}


def _known(what: str, cell: Cell, given: Mapping[str, float], known: Iterable[str]) -> Mapping[str, float]:
    known = list(known)
    if not given:
        raise TypeError(f"{what}: nothing is named; of {cell.name} it can be: {', '.join(known) or 'nothing'}.")
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{what}: {name!r} cannot be named of {cell.name}; it can be: {', '.join(known) or 'nothing'}.{hint}"
            )
    return given


def _listed(text: str, given: Mapping[str, float]) -> str:
    return ", ".join(text.format(name, value) for name, value in given.items())


def _made(r: Rewriting, name: str, keywords: Mapping[str, Any], note: str, args: tuple[Any, ...] = ()) -> Cell:
    return Transformed.of(r, How(name, args, dict(keywords)), note)
