"""`plot_gates`: what is drawn are the recorded values, in the order gates, states, others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import carousel as ca
from carousel import cells

TEXT = "memory cell"


def names(figure) -> list[str]:
    return [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]


def test_few_units_are_lines_of_what_is_recorded() -> None:
    layer, x = ca.LSTM(3, 4), torch.randn(len(TEXT), 2, 3)
    figure = ca.plot_gates(layer, x, labels=TEXT, row=1)
    assert names(figure) == ["f", "i", "o", "h", "c", "g"]
    _, _, seen = layer(x, record=("f", "c"))
    for name, values in seen.items():
        lines = figure.axes[names(figure).index(name)].get_lines()
        for unit in range(4):
            np.testing.assert_allclose(lines[unit].get_ydata(), values[0, :, 1, unit].detach(), atol=1e-6)
    assert figure.axes[0].get_ylim()[1] < 1.1 < 0.6 + figure.axes[-1].get_ylim()[1]
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == list(TEXT.replace(" ", "␣"))


def test_many_units_are_heat_maps_in_every_layer_and_direction(tmp_path) -> None:
    layer = ca.Recurrent(cells.slstm, 3, 8, num_layers=2, bidirectional=True)
    x = torch.randn(30, 2, 3)
    figure = ca.plot_gates(layer, {"x": x, "lengths": [30, 20]}, layer="l1_reverse", row=1)
    _, _, seen = layer(x, lengths=[30, 20], record=("o",))
    assert names(figure)[:3] == ["i", "f", "o"]
    image = figure.axes[2].get_images()[0]
    np.testing.assert_allclose(image.get_array(), seen["o"][3, :20, 1].detach().T, atol=1e-6)
    figure.savefig(tmp_path / "gates.png")


def test_gates_inside_a_net_of_torch_and_cells_on_tensors() -> None:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.GRU(3, 4), ca.Recurrent(cells.mlstm, 4, 8)

        def forward(self, x):
            return self.b(self.a(x)[0])[0]

    net, x, chance = Net(), torch.randn(20, 1, 3), torch.get_rng_state()
    assert names(ca.plot_gates(net, x)) == ["r", "z", "h", "n"]
    assert names(ca.plot_gates(net, x, record=("z", "h"))) == ["z", "h"]
    assert names(ca.plot_gates(net, x, layer="b.l0")) == ["C", "n", "m"]
    assert type(net.a) is nn.GRU and torch.equal(chance, torch.get_rng_state())


def test_steps_taken_one_by_one_are_one_sequence() -> None:
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = ca.GRU(3, 4)

        def forward(self, x):
            h = None
            for step in x:
                y, h = self.cell.step(step, h)
            return y

    net, x = Loop(), torch.randn(7, 1, 3)
    found, expected = ca.plot_gates(net, x), ca.plot_gates(net.cell, x)
    for a, b in zip(found.axes, expected.axes, strict=True):
        np.testing.assert_allclose(a.get_lines()[0].get_ydata(), b.get_lines()[0].get_ydata(), atol=1e-6)


def test_what_does_not_fit_is_said() -> None:
    layer, x = ca.LSTM(3, 4), torch.randn(5, 2, 3)
    for options, said in [
        ({"labels": "abc"}, "3 labels were given, expected 5"),
        ({"layer": "l1"}, "layer is 'l1', expected one of: l0"),
        ({"record": ("f", "q")}, "record has 'q', which lstm does not name"),
        ({"row": 2}, "row is 2, but the batch has 2 rows"),
    ]:
        with pytest.raises(ValueError, match=said):
            ca.plot_gates(layer, x, **options)
    with pytest.raises(ValueError, match="contains no Recurrent"):
        ca.plot_gates(nn.Linear(3, 4), x)
