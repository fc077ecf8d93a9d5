"""Where parameters start: as papers or their authors' programs say."""

from __future__ import annotations

import math

import pytest
import torch

import carousel as ca
from carousel import cells
from carousel.graph import Cell
from tolerances import assert_close


@pytest.mark.parametrize(
    ("cell", "starts"),
    [
        (cells.fast_rnn, {"alpha": -3.0, "beta": 3.0, "b": 1.0}),
        (cells.fast_grnn, {"zeta": 1.0, "nu": -4.0, "b_z": 1.0, "b_h": 1.0}),
        (cells.brc, {"V_a": 1.0, "V_c": 1.0, "b_a": 0.0, "b_c": 0.0}),
        (cells.unicornn, {"b": 0.0}),
        (cells.recurrent_highway, {"b_t1": -2.0, "b_t3": -2.0}),
        (cells.lipschitz_rnn, {"b": 0.0}),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_starts_are_those_of_the_authors(cell: Cell, starts: dict[str, float]) -> None:
    layer = ca.Recurrent(cell, 3, 5)
    for name, start in starts.items():
        parameter = getattr(layer, f"{name}_l0")
        assert_close(parameter, torch.full_like(parameter, start))


def test_random_starts() -> None:
    torch.manual_seed(0)
    layer = ca.Recurrent(cells.unicornn, 3, 200)
    assert 0 <= layer.w_l0.min() < 0.1 and 0.9 < layer.w_l0.max() <= 1 and 0.08 < layer.c_l0.abs().max() <= 0.1
    layer = ca.Recurrent(cells.lipschitz_rnn, 3, 100)
    assert layer.M_A_l0.std().item() == pytest.approx(0.01, rel=0.1)
    layer = ca.Recurrent(cells.lru, 3, 2000)
    radius, angle = torch.exp(-torch.exp(layer.nu_l0)), torch.exp(layer.theta_l0)
    assert radius.max() < 1 and angle.min() > 0 and angle.max() <= 6.2832
    for part in (0.25, 0.5, 0.75):  # as much of the disc as of the points
        assert (radius**2 < part).float().mean().item() == pytest.approx(part, abs=0.04)
        assert (angle < 6.2832 * part).float().mean().item() == pytest.approx(part, abs=0.04)
    assert layer.B_re_l0.std().item() == pytest.approx(6**-0.5, rel=0.1)
    layer = ca.Recurrent(cells.nbrc, 3, 8)
    assert_close(layer.U_a_l0 @ layer.U_a_l0.T, torch.eye(8), atol=1e-5, rtol=0)


def test_a_phased_lstm_starts_as_its_authors_have_it() -> None:
    layer = ca.Recurrent(cells.phased_lstm, 2, 1000)
    tau, s = layer.log_tau_l0.exp(), layer.s_l0
    assert math.e <= tau.min() < 3 and 19 < tau.max() <= math.e**3
    assert 0 <= s.min() < 1 and 99 < s.max() <= 100
    assert (layer.r_on_l0 == 0.05).all()


def test_an_indrnn_starts_with_memories_of_every_length() -> None:
    u = ca.Recurrent(cells.indrnn, 2, 1000).u_l0
    assert 0 <= u.min() < 0.01 and 0.99 < u.max() <= 1


def test_janet_starts_by_the_longest_distance_if_told() -> None:
    """As its page says."""
    layer = ca.Recurrent(cells.janet, 2, 1000, init={"b_f": lambda b: b.uniform_(1, 784 - 1).log_()})
    assert 0 <= layer.b_f_l0.min() and 6.6 < layer.b_f_l0.max() <= math.log(783)
    assert layer(torch.zeros(3, 1, 2))[0].isfinite().all()


def test_slstm_starts_as_the_authors_package_does() -> None:
    from xlstm.blocks.slstm.cell import sLSTMCell, sLSTMCellConfig

    theirs = sLSTMCell(sLSTMCellConfig(hidden_size=32, num_heads=4, backend="vanilla"))
    ours = dict(ca.Recurrent(cells.slstm, 10, 32).named_parameters())
    for gate, b in zip("ifzo", theirs._bias_.view(4, 32), strict=True):
        torch.testing.assert_close(ours[f"b_{gate}_l0"], b)
        assert not ours[f"R_{gate}_l0"].any() and not theirs._recurrent_kernel_.any()
    assert abs(ours["W_z_l0"].std() - (2 / 50) ** 0.5) < 0.03
