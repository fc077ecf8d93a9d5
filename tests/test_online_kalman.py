"""The Kalman filter: against its equations in numpy on the derivatives of the net, and against least squares, which it
is for a net without memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import carousel as ca
from core_runner import each_variant

SIZES = {"input_size": 3, "hidden_size": 2, "output_size": 2}
PEEPHOLE = ca.readout(ca.cells.peephole_lstm.with_(truncate=True))


def net_of(rule, nets=1, cell=PEEPHOLE, **settings):
    return ca.Online(cell, rule=rule, nets=nets, seed=3, **SIZES, **settings)


def weights(net):
    return torch.cat([net.parameters[name].flatten(1) for name in net.parameters], 1)


def jacobian(net, x):
    found = net.jacobian(x)
    return torch.cat([found[name].flatten(2) for name in net.parameters], 2)


def groups_of_units(net):
    """Written down for this cell: all that is added up for gate f, i, o, the cell's input, and the outputs, by row."""
    found, at = {}, 0
    for name, value in net.parameters.items():
        rows, columns = value.shape[1], value[0, 0].numel()
        unit = "y" if name in ("W_hy", "b_y") else name[-1]
        for k in range(rows):
            found.setdefault((unit, k), []).extend(range(at + k * columns, at + (k + 1) * columns))
        at += rows * columns
    return list(found.values())


def groups_of(net, kind):
    total = weights(net).shape[1]
    if kind == "all":
        return [list(range(total))]
    if kind == "unit":
        return groups_of_units(net)
    ends = np.cumsum([0, *(value[0].numel() for value in net.parameters.values())])
    parts = [list(range(a, b)) for a, b in zip(ends, ends[1:], strict=False)]
    if kind == "parameter":
        return parts
    of_output = [k for k, name in enumerate(net.parameters) if name.endswith("y")]
    return [
        sum((parts[k] for k in of_output), []),
        sum((part for k, part in enumerate(parts) if k not in of_output), []),
    ]


@pytest.mark.parametrize("kind", ["unit", "parameter", "all", [["*y"], ["*_[fico]"]]], ids=str)
def test_equations(kind):
    rule = ca.Kalman(kind, covariance=3.0, measurement_noise=(9.0, 1.0), process_noise=(1e-2, 1e-4), anneal=5)
    net = net_of(rule, nets=2)
    generator = torch.Generator().manual_seed(1)
    xs, ts = torch.rand(12, 2, 3, generator=generator).double(), torch.rand(12, 2, 2, generator=generator).double()
    groups = groups_of(net, kind if isinstance(kind, str) else "two")
    K = [[3.0 * np.eye(len(g)) for g in groups] for _ in range(2)]
    for step, (x, t) in enumerate(zip(xs, ts, strict=True)):
        C, before = jacobian(net, x).numpy(), weights(net).numpy().copy()
        y = net.learn(x[None], t[None])[0]
        way = min(1.0, step / 5)
        r, q = 9.0 * (1 / 9) ** way, 1e-2 * 1e-2**way
        for lane in range(2):
            c = [C[lane][:, g].T for g in groups]
            A = np.linalg.inv(r * np.eye(2) + sum(c[k].T @ K[lane][k] @ c[k] for k in range(len(groups))))
            error, expected = (t - y)[lane].numpy(), before[lane].copy()
            for k, g in enumerate(groups):
                G = K[lane][k] @ c[k] @ A
                expected[g] += G @ error
                K[lane][k] = K[lane][k] - G @ c[k].T @ K[lane][k] + q * np.eye(len(g))
            np.testing.assert_allclose(weights(net)[lane].numpy(), expected, rtol=1e-10, atol=1e-12)


@ca.cell(widths={"y": "output_size"})
def memoryless(x, h, p):
    """Linear outputs; the state is not read."""
    y = p.W @ x
    return y, 0.0 * h + ca.mean(x)


def test_it_is_least_squares_for_a_linear_net():
    net = ca.Online(
        memoryless, rule=ca.Kalman("all", covariance=4.0, measurement_noise=0.5, process_noise=0.0), input_size=3,
        output_size=2, hidden_size=1,
    )  # fmt: skip
    net.parameters["W"].zero_()
    generator = torch.Generator().manual_seed(0)
    x, t = torch.randn(30, 1, 3, generator=generator).double(), torch.randn(30, 1, 2, generator=generator).double()
    net.learn(x, t)
    X, Y = x[:, 0], t[:, 0]
    ridge = torch.linalg.solve(X.T @ X + 0.5 / 4.0 * torch.eye(3), X.T @ Y).T
    torch.testing.assert_close(net.parameters["W"][0], ridge, rtol=1e-9, atol=1e-10)


def test_a_net_alone_and_resumed_is_the_same():
    rule = ca.Kalman(anneal=10, measurement_noise=(100.0, 3.0))
    generator = torch.Generator().manual_seed(1)
    x, t = torch.rand(20, 3, 3, generator=generator).double(), torch.rand(20, 3, 2, generator=generator).double()
    when = torch.rand(20, 3, generator=generator) < 0.7
    many, alone = net_of(rule, 3), net_of(rule, 1)
    many.learn(x, t, when=when)
    for name, value in alone.parameters.items():
        value.copy_(net_of(rule, 3).parameters[name][:1])
    alone.learn(x[:9, :1], t[:9, :1], when=when[:9, :1])
    state = alone.state_dict()
    again = net_of(rule, 1)
    again.load_state_dict(state)
    again.learn(x[9:, :1], t[9:, :1], when=when[9:, :1])
    assert torch.equal(weights(many)[:1], weights(again))


def test_every_instruction_set_agrees():
    generator = torch.Generator().manual_seed(1)
    x, t = torch.rand(20, 3, 3, generator=generator).double(), torch.rand(20, 3, 2, generator=generator).double()
    found = []
    for _ in each_variant():
        net = net_of(ca.Kalman(), 3)
        net.learn(x, t)
        found.append(weights(net))
    for one in found[1:]:
        torch.testing.assert_close(one, found[0], rtol=1e-10, atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="groups is 'cells', expected one of: unit"):
        ca.Kalman("cells")
    with pytest.raises(ValueError, match="measurement_noise is 0"):
        ca.Kalman(measurement_noise=0)
    with pytest.raises(ValueError, match="the parameter W_f is in 0 of the groups"):
        net_of(ca.Kalman([["*y"]]))
    with pytest.raises(ValueError, match='take update="step"'):
        net_of(ca.Kalman(), update="sequence")
