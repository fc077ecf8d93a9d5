"""The nets of the 1997 paper, as its experiments train them: on-line, by its truncated gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

import carousel as ca
from carousel.reproduce.online.lanes import WEIGHTS, stream

INTO_CELLS = "U_c", "R_ic", "R_oc"  # what cells see of the step before


def memory_net(
    seeds: Sequence[int],
    *,
    inputs: int,
    outputs: int,
    blocks: int,
    cells: int = 1,
    rate: float,
    reach: float,
    biased: str,
    output_bias: bool,
    cut: Sequence[str] = (),
    output: Callable[[Any], Any] = ca.sigmoid,
    loss: str = "squared error",
    starts: dict[str, Sequence[float]] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """Blocks of cells below outputs that see the cells alone; one net a seed.

    Args:
        seeds: of the trials.
        inputs, outputs: widths.
        blocks, cells: how many blocks, and how many cells in each.
        rate: the learning rate.
        reach: weights start uniformly between -reach and reach.
        biased: which of the units i, o and c have a bias.
        output_bias: whether output units have one.
        cut: recurrent weights that stay 0, by name.
        output, loss: of the output units, as `carousel.readout` and `carousel.Online` take them.
        starts: where biases start, by their name: one number a block.
    """
    net = ca.Online(
        ca.readout(hidden_layer(biased, cut), output=output, sees=("h",), bias=output_bias),
        input_size=inputs,
        hidden_size=blocks * cells,
        blocks=blocks,
        output_size=outputs,
        rule=ca.SGD(rate),
        loss=loss,
        form="traces",
        update="step",
        nets=len(seeds),
        dtype=dtype,
    )
    draw_weights(net, seeds, reach, starts or {})
    return net


def hidden_layer(biased: str, cut: Sequence[str] = ()) -> ca.Cell:
    """The paper's hidden units, all of which see each other but where connections are cut."""
    whole = ca.cells.lstm_1997.with_(truncate=True, biased=biased)
    if not cut:
        return whole

    @ca.cell(widths={"i": "blocks", "o": "blocks"}, fixed=dict.fromkeys(cut, 0))
    def sparser(x, h, s, i, o, p):
        """The LSTM of 1997 without some of its recurrent connections."""
        h, s, i, o = whole(x, h, s, i, o, p)
        return h, s, i, o

    return sparser


def draw_weights(net: Any, seeds: Sequence[int], reach: float, starts: dict[str, Sequence[float]]) -> None:
    """Weights from the trial's own random numbers, whatever nets stand beside it, and biases where they are given."""
    for n, seed in enumerate(seeds):
        random = stream(seed, WEIGHTS)
        for name, weights in net.parameters.items():
            drawn = torch.from_numpy(random.uniform(-reach, reach, weights[n].shape))
            if net.cell.fixed_value(name) is None:
                weights[n] = drawn
        for name, values in starts.items():
            net.parameters[name][n] = torch.tensor(values)


def weights_of(net: Any) -> int:
    """How many weights one of the nets learns, biases among them."""
    learned = (weights[0] for name, weights in net.parameters.items() if net.cell.fixed_value(name) is None)
    return sum(weights.numel() for weights in learned)
