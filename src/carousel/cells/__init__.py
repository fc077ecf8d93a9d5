"""Published cells, one file each: `carousel.cells.lstm`. A cell is registered by its import and its line below."""

from __future__ import annotations

from carousel.cells.elman import elman as elman
from carousel.cells.gru import gru as gru
from carousel.cells.lstm import lstm as lstm
from carousel.cells.peephole_lstm import peephole_lstm as peephole_lstm
from carousel.cells.projected_lstm import projected_lstm as projected_lstm
from carousel.cells.registry import Entry as Entry
from carousel.cells.registry import Registry

_registry = Registry(
    [
        Entry(elman, 1990),
        Entry(lstm, 2000),
        Entry(peephole_lstm, 2000),
        Entry(gru, 2014),
        Entry(projected_lstm, 2014),
    ]
)

entries, entry, names, get, load = _registry.entries, _registry.entry, _registry.names, _registry.get, _registry.load
