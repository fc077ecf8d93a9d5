"""Published cells, one file each: `carousel.cells.lstm`. A cell is registered by its import and its line below."""

from __future__ import annotations

from carousel.cells.context_unit import context_unit as context_unit
from carousel.cells.elman import elman as elman
from carousel.cells.gru import gru as gru
from carousel.cells.janet import janet as janet
from carousel.cells.lstm import lstm as lstm
from carousel.cells.lstm_cifg import lstm_cifg as lstm_cifg
from carousel.cells.lstm_nfg import lstm_nfg as lstm_nfg
from carousel.cells.lstm_niaf import lstm_niaf as lstm_niaf
from carousel.cells.lstm_nig import lstm_nig as lstm_nig
from carousel.cells.lstm_noaf import lstm_noaf as lstm_noaf
from carousel.cells.lstm_nog import lstm_nog as lstm_nog
from carousel.cells.lstm_np import lstm_np as lstm_np
from carousel.cells.lstm_vanilla import lstm_vanilla as lstm_vanilla
from carousel.cells.minimal_gated_unit import minimal_gated_unit as minimal_gated_unit
from carousel.cells.mut1 import mut1 as mut1
from carousel.cells.mut2 import mut2 as mut2
from carousel.cells.mut3 import mut3 as mut3
from carousel.cells.peephole_lstm import peephole_lstm as peephole_lstm
from carousel.cells.projected_lstm import projected_lstm as projected_lstm
from carousel.cells.registry import Entry as Entry
from carousel.cells.registry import Registry

_registry = Registry(
    [
        Entry(context_unit, 1989),
        Entry(elman, 1990),
        Entry(lstm, 2000),
        Entry(peephole_lstm, 2000),
        Entry(gru, 2014),
        Entry(projected_lstm, 2014),
        Entry(mut1, 2015),
        Entry(mut2, 2015),
        Entry(mut3, 2015),
        Entry(minimal_gated_unit, 2016),
        Entry(lstm_vanilla, 2017),
        Entry(lstm_nig, 2017),
        Entry(lstm_nfg, 2017),
        Entry(lstm_nog, 2017),
        Entry(lstm_niaf, 2017),
        Entry(lstm_noaf, 2017),
        Entry(lstm_cifg, 2017),
        Entry(lstm_np, 2017),
        Entry(janet, 2018),
    ]
)

entries, entry, names, get, load = _registry.entries, _registry.entry, _registry.names, _registry.get, _registry.load
