"""LSTM-g: nets of any second-order graph, whose connections are gated by units, with the gradient truncated as by its
authors.

Monner & Reggia, "A generalized LSTM-like training algorithm for second-order recurrent neural networks", Neural
Networks 25, 2012, doi:10.1016/j.neunet.2011.07.003.

    s_j = gain_jj s_j(t-1) + sum_i gain_ji w_ji y_i     (14, 15)
    y_j = f_j(s_j + b_j)                                (16)

gain_ji is the activation of the unit that gates the connection, 1 where none does. A unit that comes later in the order
of activation, or the unit itself, is seen as it was at the step before. Units with a self-connection, of weight 1, are
memory cells; if it is gated, the gate is a forget gate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from carousel.graph import Cell, cell, sigmoid, stop_gradient

Size = int | str
INPUT = "x"


class Connection(NamedTuple):
    """All units of `source` (a layer's name, or "x" for the input) to all of `target`.

    `gate` is the layer that gates them, each of its units those into one unit of the target, or with `at="source"`
    those out of one unit of the source. From a layer to itself with `memory=True` it is the self-connection of each
    unit, with weight 1.

    >>> Connection("x", "cell", gate="input_gate")
    Connection(source='x', target='cell', gate='input_gate', at='target', memory=False)
    """

    source: str
    target: str
    gate: str | None = None
    at: str = "target"
    memory: bool = False


class Units(NamedTuple):
    """Units that are alike: how many (a number or the name of a size), and their activation function.

    >>> from carousel import tanh
    >>> Units(3, tanh).size
    3
    """

    size: Size = "hidden_size"
    f: Callable[[Any], Any] = sigmoid


def second_order(layers: Mapping[str, Units], connections: Sequence[Connection]) -> Cell:
    """A net of layers, in their order of activation; the last one is the output. Gradients are those of LSTM-g.

    Through time errors go along self-connections only, to the weights into a unit and to those into the units that gate
    its connections; within a step they go everywhere (equations 10 to 24). With `Online` this is the training of the
    paper, whose memory and time are in proportion to the weights for nets like the LSTM; by back-propagation it is the
    same gradient. Layers of one unit each make any graph.

    Weights are called W_source_target, biases b_layer. Raises ValueError for layers that are not there, sizes that do
    not fit, and gates where none can be.

    >>> from carousel import identity
    >>> net = second_order(
    ...     {"i": Units(), "f": Units(), "c": Units(f=identity), "o": Units(), "y": Units("output_size")},
    ...     [Connection("x", "i"), Connection("x", "f"), Connection("x", "o"), Connection("x", "c", gate="i"),
    ...      Connection("c", "c", gate="f", memory=True), Connection("c", "y", gate="o", at="source")],
    ... )
    >>> net.shapes(input_size=3, hidden_size=4, output_size=2)["W_c_y"]
    (2, 4)
    """
    _check(layers, connections)
    order = {name: k for k, name in enumerate(layers)}
    memories = [c.target for c in connections if c.memory]
    remembered = [name for name in layers if _read_later(name, order, connections)]
    gating = {c.gate for c in connections if c.gate}
    #: of a memory cell that gates, the trace of its own weights is one thing and what its gates do another
    apart = [name for name in memories if name in gating and any(c.target == name and c.gate for c in connections)]

    def step(x: Any, *given: Any) -> tuple[Any, ...]:
        *states, p = given
        held = dict(zip(names, states, strict=True))
        return _Step(layers, connections, order, held, x, p).returned(names)

    names = [*(f"s_{name}" for name in memories), *(f"own_{name}" for name in apart), *(f"y_{n}" for n in remembered)]
    arguments = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in (INPUT, *names, "p")]
    step.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    step.__name__ = "lstm_g"
    widths = {f"{kind}_{name}": layer.size for name, layer in layers.items() for kind in ("s", "own", "y")}
    return cell(widths={name: widths[name] for name in names}, shapes=_shapes(layers, connections))(step)


def _shapes(layers: Mapping[str, Units], connections: Sequence[Connection]) -> dict[str, tuple[Size, ...]]:
    sizes: dict[str, Size] = {INPUT: "input_size", **{name: layer.size for name, layer in layers.items()}}
    weights = {f"W_{c.source}_{c.target}": (sizes[c.target], sizes[c.source]) for c in connections if not c.memory}
    return {**weights, **{f"b_{name}": (layer.size,) for name, layer in layers.items()}}


class _Step:
    """One step: each layer as it is now, through which errors go everywhere, and as it is carried to the next step."""

    def __init__(
        self,
        layers: Mapping[str, Units],
        connections: Sequence[Connection],
        order: Mapping[str, int],
        held: Mapping[str, Any],
        x: Any,
        p: Any,
    ):
        self.layers, self.connections, self.order, self.held, self.p = layers, connections, order, held, p
        self.now: dict[str, Any] = {INPUT: x}
        for name in layers:
            self.now[name] = self._active(name, self._state(name, self._seen, self._seen, f"s_{name}"))
        self.gates: dict[str, Any] = {}

    def returned(self, names: Sequence[str]) -> tuple[Any, ...]:
        """The output, then the states."""
        return (self.now[list(self.layers)[-1]], *(self._renewed(name) for name in names))

    def _renewed(self, state: str) -> Any:
        kind, name = state.split("_", 1)
        if kind == "y":
            return stop_gradient(self.now[name])
        return self._alone(name) if kind == "own" else self._state(name, self._still, self._felt, state)

    def _active(self, name: str, state: Any) -> Any:
        return self.layers[name].f(state + getattr(self.p, f"b_{name}"))

    def _alone(self, name: str) -> Any:
        """s_j with the gradient of the weights into the layer, and no other."""
        own = f"own_{name}" if f"own_{name}" in self.held else f"s_{name}"
        return self._state(name, self._still, self._still, own)

    def _state(self, name: str, see: Callable[[str, str], Any], gain: Callable[[str, str], Any], memory: str) -> Any:
        """s_j of a layer: `see` gives what a connection brings, `gain` what a gate makes of it."""
        total = None
        for c in self.connections:
            if c.target != name:
                continue
            if c.memory:
                term = self.held[memory]
            else:
                source = see(c.source, name)
                if c.gate and c.at == "source":
                    source = gain(c.gate, name) * source
                term = getattr(self.p, f"W_{c.source}_{name}") @ source
            if c.gate and c.at == "target":
                term = gain(c.gate, name) * term
            total = term if total is None else total + term
        return total

    def _seen(self, name: str, by: str) -> Any:
        """A layer's activation as another sees it; what is of the step before carries no error back."""
        if name == INPUT or self.order[name] < self.order[by]:
            return self.now[name]
        return stop_gradient(self.held[f"y_{name}"])

    def _still(self, name: str, by: str) -> Any:
        return stop_gradient(self._seen(name, by))

    def _felt(self, name: str, by: str) -> Any:
        """A gate's activation, with the gradient of the weights into the gate."""
        if self.order[name] >= self.order[by]:
            return self._still(name, by)
        if name not in self.gates:
            self.gates[name] = self._active(name, self._alone(name))
        return self.gates[name]


def _read_later(name: str, order: Mapping[str, int], connections: Sequence[Connection]) -> bool:
    """Whether a layer is seen, or gates, as it was at the step before."""
    readers = [c.target for c in connections if (c.source == name and not c.memory) or c.gate == name]
    return any(order[reader] <= order[name] for reader in readers)


def _check(layers: Mapping[str, Units], connections: Sequence[Connection]) -> None:
    for c in connections:
        for what, name in (("source", c.source), ("target", c.target), ("gate", c.gate)):
            if name is not None and name not in layers and (name, what) != (INPUT, "source"):
                raise ValueError(f"second_order: {c} has the {what} {name!r}, expected one of {', '.join(layers)}.")
        if c.at not in ("source", "target"):
            raise ValueError(f'second_order: {c} is gated at {c.at!r}, expected "source" or "target".')
        if c.memory and (c.source != c.target or c.at == "source"):
            raise ValueError(f"second_order: {c} is a memory, expected the same layer twice and at='target'.")
        gated = c.target if c.at == "target" else c.source
        if c.gate and (gated == INPUT or layers[c.gate].size not in (layers[gated].size, 1)):
            found = "the input" if gated == INPUT else f"{layers[gated].size} units of {gated}"
            raise ValueError(
                f"second_order: {c}: {layers[c.gate].size} units of {c.gate} cannot gate {found} one each."
            )
    pairs = [(c.source, c.target) for c in connections]
    twice = next((pair for pair in pairs if pairs.count(pair) > 1 and pair[0] != pair[1]), None)
    if twice:
        raise ValueError(f"second_order: {twice[0]} is connected to {twice[1]} twice, expected once.")
    for name in layers:
        if all(target != name for _, target in pairs):
            raise ValueError(f"second_order: nothing is connected to {name}.")
    if not any(c.memory for c in connections):
        raise ValueError("second_order: no unit has a self-connection (memory=True), so that nothing is remembered.")
