"""The networks of the papers have as many parameters as the papers say."""

from __future__ import annotations

import re

import pytest
import torch

from carousel import cells
from published_networks import OWN, Count, Network, counts

COUNTS = list(counts())
SMALL = [count for count in COUNTS if count.exact < 20_000]

every = pytest.mark.parametrize("count", COUNTS, ids=lambda count: f"{count.paper}, {count.network}")


@every
def test_the_number_comes_out(count: Count) -> None:
    assert count.counted() == count.exact


@every
def test_what_is_printed_agrees(count: Count) -> None:
    """Rounded as the paper rounds."""
    if rounded := re.fullmatch(r"([\d.]+) M", count.printed):
        assert f"{count.exact / 1e6:.{len(rounded[1].partition('.')[2])}f}" == rounded[1]
    elif share := re.fullmatch(r"(\d+) % of (\d+) M", count.printed):
        assert round(100 * count.exact / (1e6 * int(share[2]))) == int(share[1])
    else:
        assert count.printed.removeprefix("about ") in ("", f"{count.exact:,}")
    assert count.cell == OWN or count.cell in cells.names()
    assert (count.origin == "the paper") == (count.printed == f"{count.exact:,}")


@pytest.mark.parametrize("count", SMALL, ids=lambda count: f"{count.paper}, {count.network}")
def test_every_parameter_is_used(count: Count) -> None:
    """What is counted takes part: the network runs, and each number gets a gradient."""
    network = count.build()
    first = network.hidden[0] if isinstance(network, Network) else network
    found = network(torch.randn(6, 5, first.input_size))
    (found[0] if isinstance(found, tuple) else found).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.all(), name
