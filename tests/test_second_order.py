"""LSTM-g: what is derived from the net's equations against the algorithm of the paper, written here unit by unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import carousel as ca
from carousel.nets import Connection, Units, second_order

LSTM = (
    {"i": Units(), "f": Units(), "c": Units(f=ca.identity), "o": Units(), "y": Units("output_size")},
    [
        *(Connection("x", gate) for gate in "ifo"),
        *(Connection("c", gate, gate="o", at="source") for gate in "ifo"),
        Connection("x", "c", gate="i"),
        Connection("c", "c", gate="f", memory=True),
        Connection("c", "y", gate="o", at="source"),
    ],
)
# nothing like an LSTM: gates that are memory cells and gated themselves, gates of one unit, two gates into one unit
KNOT = (
    {"a": Units(1), "b": Units(2), "m": Units(2), "n": Units(1, ca.tanh), "y": Units(2)},
    [
        Connection("x", "a"),
        Connection("a", "a", gate="n", memory=True),
        Connection("x", "b", gate="a"),
        Connection("m", "b", gate="n"),
        Connection("b", "b", gate="a", memory=True),
        Connection("x", "m", gate="b"),
        Connection("a", "m"),
        Connection("m", "m", gate="b", memory=True),
        Connection("y", "m", gate="b", at="target"),
        Connection("m", "n", gate="a"),
        Connection("n", "n", memory=True),
        Connection("n", "y", gate="a"),
        Connection("b", "y"),
        Connection("y", "n"),
    ],
)
SIZES = {"input_size": 3, "hidden_size": 2, "output_size": 2}
FUNCTIONS = {
    "sigmoid": (lambda s: 1 / (1 + np.exp(-s)), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "identity": (lambda s: s, lambda y: 1.0),
}


class Paper:
    """Monner & Reggia (2012), equations 10 to 24, for one unit after the other. In (18) what is left of a trace of k is
    the gain of k's self-connection."""

    def __init__(self, layers, connections, weights):
        width = {name: SIZES.get(layer.size, layer.size) for name, layer in layers.items()} | {"x": 3}
        self.units = [(name, k) for name in layers for k in range(width[name])]
        self.order = {unit: list(layers).index(unit[0]) for unit in self.units}  # units of a layer are active at once
        self.outputs = self.units[-width["y"] :]
        self.f = {unit: FUNCTIONS[layers[unit[0]].f.__name__] for unit in self.units}
        self.weights = weights  # (parameter, index) -> value
        self.wires, self.loops = [], {}  # (i, j, weight, gater), and j: gater
        for c in connections:
            for j in range(width[c.target]):
                for i in range(width[c.source]):
                    at = j if c.at == "target" else i
                    gater = (c.gate, at if width[c.gate] > 1 else 0) if c.gate else None
                    if c.memory:
                        if i == j:
                            self.loops[c.target, j] = gater
                    else:
                        wire = (c.source, i), (c.target, j), (f"W_{c.source}_{c.target}", (j, i)), gater
                        self.wires.append(wire)
        self.s = dict.fromkeys(self.units, 0.0)
        self.y = dict.fromkeys(self.units, 0.0)
        self.e, self.extended = {}, {}

    def step(self, x, target):
        """The outputs, and the gradient of the cross entropy as the paper has it."""
        y = now = {**self.y, **{("x", i): float(value) for i, value in enumerate(x)}}
        # as each unit sees the others, in its turn
        seen, gain, kept, before = {}, {}, {}, dict(self.s)
        for n, j in enumerate(self.units):
            if self.order[j] != self.order[self.units[n - 1]]:
                y = dict(now)
            kept[j] = (1.0 if self.loops[j] is None else y[self.loops[j]]) if j in self.loops else 0.0
            self.s[j] = kept[j] * before[j]
            for i, k, w, gater in self.wires:
                if k == j:
                    seen[w], gain[w] = y[i], 1.0 if gater is None else y[gater]
                    self.s[j] += gain[w] * self.weights[w] * y[i]
                    self.e[w] = kept[j] * self.e.get(w, 0.0) + gain[w] * y[i]
            bias = (f"b_{j[0]}", (j[1],))
            self.e[bias] = 1.0
            now[j] = self.f[j][0](self.s[j] + self.weights[bias])
        y = now
        into = {j: [w for _, k, w, _ in self.wires if k == j] + [(f"b_{j[0]}", (j[1],))] for j in self.units}
        slope = {j: self.f[j][1](y[j]) for j in self.units}
        term = {}
        for j in self.units:
            for k in (k for k in self.units if self.order[k] > self.order[j]):
                own = before[k] if self.loops.get(k) == j else 0.0
                parts = [self.weights[w] * seen[w] for _, to, w, gater in self.wires if to == k and gater == j]
                if parts or self.loops.get(k) == j:
                    term[j, k] = own + sum(parts)
                    for w in into[j]:
                        old = self.extended.get((w, k), 0.0)
                        self.extended[w, k] = kept[k] * old + slope[j] * self.e[w] * term[j, k]
        delta, found = {}, {}
        for j in reversed(self.units):
            if j in self.outputs:
                delta[j] = projected = y[j] - float(target[self.outputs.index(j)])
            else:
                later = [(k, w) for i, k, w, _ in self.wires if i == j and self.order[k] > self.order[j]]
                projected = slope[j] * sum(delta[k] * gain[w] * self.weights[w] for k, w in later)
                gated = slope[j] * sum(delta[k] * value for (g, k), value in term.items() if g == j)
                delta[j] = projected + gated
            for w in into[j]:
                extended = [delta[k] * value for (v, k), value in self.extended.items() if v == w]
                found[w] = projected * self.e[w] + sum(extended)
        self.y = {unit: y[unit] for unit in self.units}
        return [y[unit] for unit in self.outputs], found


@pytest.mark.parametrize("graph", [LSTM, KNOT], ids=["lstm", "knot"])
def test_the_algorithm_of_the_paper(graph):
    net = ca.Online(
        second_order(*graph), rule=ca.SGD(0.3), loss="cross entropy", seed=2,
        **{size: SIZES[size] for size in second_order(*graph).sizes},
    )  # fmt: skip
    weights = {
        (name, tuple(index)): float(value[tuple(index)])
        for name, tensor in net.parameters.items()
        for value in [tensor[0]]
        for index in np.ndindex(*value.shape)
    }
    paper = Paper(*graph, weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(7):
        x = torch.randn(3, generator=generator, dtype=torch.float64)
        target = torch.rand(2, generator=generator, dtype=torch.float64)
        y = net.learn(x.view(1, 1, 3), target.view(1, 1, 2)).flatten()
        expected, gradient = paper.step(x, target)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-11)
        for (name, index), value in gradient.items():
            np.testing.assert_allclose(float(net.gradient()[name][0][index]), value, rtol=1e-9, atol=1e-13)
            weights[name, index] -= 0.3 * value


def test_back_propagation_gives_the_same_gradient():
    cell = second_order(*LSTM)
    net = ca.Online(cell, rule=ca.SGD(0.0), seed=4, update="sequence", **SIZES)
    layer = ca.Recurrent(cell, engine="eager", dtype=torch.float64, **SIZES)
    for name, value in net.parameters.items():
        layer.get_parameter(f"{name}_l0").data.copy_(value[0])
    x, target = torch.rand(6, 1, 3).double(), torch.rand(6, 1, 2).double()
    net.learn(x, target)
    ((layer(x)[0] - target).square().sum() / 2).backward()
    for name, value in net.gradient().items():
        torch.testing.assert_close(value[0], layer.get_parameter(f"{name}_l0").grad, rtol=1e-10, atol=1e-12)


def test_time_and_memory_go_with_the_weights():
    net = ca.Online(second_order(*LSTM), rule=ca.SGD(0.1), input_size=30, hidden_size=20, output_size=5)
    weights = sum(value[0].numel() for value in net.parameters.values())
    assert net.state_dict()["sensitivities"].shape[1] < weights


def test_errors():
    layers = {"m": Units(2), "y": Units(1)}
    loop = Connection("m", "m", memory=True)
    with pytest.raises(ValueError, match="source 'z', expected one of m, y"):
        second_order(layers, [loop, Connection("z", "m"), Connection("m", "y")])
    with pytest.raises(ValueError, match="2 units of m cannot gate 1 units of y one each"):
        second_order(layers, [loop, Connection("x", "m"), Connection("m", "y", gate="m")])
    with pytest.raises(ValueError, match="nothing is connected to y"):
        second_order(layers, [loop, Connection("x", "m")])
    with pytest.raises(ValueError, match="no unit has a self-connection"):
        second_order(layers, [Connection("x", "m"), Connection("m", "y")])
