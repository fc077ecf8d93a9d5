"""The nets of the 1997 paper, as its experiments train them: on-line, by its truncated gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

import carousel as ca
from carousel.reproduce.online.lanes import WEIGHTS, stream


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
    output: Callable[[Any], Any] = ca.sigmoid,
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
        starts: where biases start, by their name: one number a block.
    """
    cell = ca.cells.lstm_1997.with_(truncate=True, biased=biased)
    net = ca.Online(
        ca.readout(cell, output=output, sees=("h",), bias=output_bias),
        input_size=inputs,
        hidden_size=blocks * cells,
        blocks=blocks,
        output_size=outputs,
        rule=ca.SGD(rate),
        loss="squared error",
        form="traces",
        update="step",
        nets=len(seeds),
        dtype=dtype,
    )
    draw_weights(net, seeds, reach, starts or {})
    return net


def draw_weights(net: Any, seeds: Sequence[int], reach: float, starts: dict[str, Sequence[float]]) -> None:
    """Weights from the trial's own random numbers, whatever nets stand beside it, and biases where they are given."""
    for n, seed in enumerate(seeds):
        random = stream(seed, WEIGHTS)
        for weights in net.parameters.values():
            weights[n] = torch.from_numpy(random.uniform(-reach, reach, weights[n].shape))
        for name, values in starts.items():
            net.parameters[name][n] = torch.tensor(values)


def weights_of(net: Any) -> int:
    """How many weights one of the nets has, biases among them."""
    return sum(weights[0].numel() for weights in net.parameters.values())
