"""Published cells, one file each: `carousel.cells.lstm`. A cell is registered by its import and its line below."""

from __future__ import annotations

from carousel.cells.antisymmetric_rnn import antisymmetric_rnn as antisymmetric_rnn
from carousel.cells.atr import atr as atr
from carousel.cells.brc import brc as brc
from carousel.cells.cfc import cfc as cfc
from carousel.cells.cfn import cfn as cfn
from carousel.cells.clockwork_rnn import clockwork_rnn as clockwork_rnn
from carousel.cells.context_unit import context_unit as context_unit
from carousel.cells.conv_lstm import conv_lstm as conv_lstm
from carousel.cells.cornn import cornn as cornn
from carousel.cells.elman import elman as elman
from carousel.cells.entity_aware_lstm import entity_aware_lstm as entity_aware_lstm
from carousel.cells.fast_grnn import fast_grnn as fast_grnn
from carousel.cells.fast_grnn_low_rank import fast_grnn_low_rank as fast_grnn_low_rank
from carousel.cells.fast_rnn import fast_rnn as fast_rnn
from carousel.cells.gated_antisymmetric_rnn import gated_antisymmetric_rnn as gated_antisymmetric_rnn
from carousel.cells.gru import gru as gru
from carousel.cells.gru_d import gru_d as gru_d
from carousel.cells.gru_reset_before import gru_reset_before as gru_reset_before
from carousel.cells.highway import highway as highway
from carousel.cells.indrnn import indrnn as indrnn
from carousel.cells.intersection_rnn import intersection_rnn as intersection_rnn
from carousel.cells.irnn import irnn as irnn
from carousel.cells.janet import janet as janet
from carousel.cells.jordan import jordan as jordan
from carousel.cells.layer_norm_lstm import layer_norm_lstm as layer_norm_lstm
from carousel.cells.leaky_rnn import leaky_rnn as leaky_rnn
from carousel.cells.lem import lem as lem
from carousel.cells.li_gru import li_gru as li_gru
from carousel.cells.lipschitz_rnn import lipschitz_rnn as lipschitz_rnn
from carousel.cells.lmu import lmu as lmu
from carousel.cells.lru import lru as lru
from carousel.cells.lstm import lstm as lstm
from carousel.cells.lstm_1997 import lstm_1997 as lstm_1997
from carousel.cells.lstm_cifg import lstm_cifg as lstm_cifg
from carousel.cells.lstm_fgr import lstm_fgr as lstm_fgr
from carousel.cells.lstm_nfg import lstm_nfg as lstm_nfg
from carousel.cells.lstm_niaf import lstm_niaf as lstm_niaf
from carousel.cells.lstm_nig import lstm_nig as lstm_nig
from carousel.cells.lstm_noaf import lstm_noaf as lstm_noaf
from carousel.cells.lstm_nog import lstm_nog as lstm_nog
from carousel.cells.lstm_np import lstm_np as lstm_np
from carousel.cells.lstm_vanilla import lstm_vanilla as lstm_vanilla
from carousel.cells.lstmp import lstmp as lstmp
from carousel.cells.mass_conserving_lstm import mass_conserving_lstm as mass_conserving_lstm
from carousel.cells.mdlstm import mdlstm as mdlstm
from carousel.cells.mi_lstm import mi_lstm as mi_lstm
from carousel.cells.min_gru import min_gru as min_gru
from carousel.cells.min_lstm import min_lstm as min_lstm
from carousel.cells.minimal_gated_unit import minimal_gated_unit as minimal_gated_unit
from carousel.cells.minimal_rnn import minimal_rnn as minimal_rnn
from carousel.cells.mlstm import mlstm as mlstm
from carousel.cells.mogrifier_lstm import mogrifier_lstm as mogrifier_lstm
from carousel.cells.multiplicative_lstm import multiplicative_lstm as multiplicative_lstm
from carousel.cells.multiplicative_rnn import multiplicative_rnn as multiplicative_rnn
from carousel.cells.mut1 import mut1 as mut1
from carousel.cells.mut2 import mut2 as mut2
from carousel.cells.mut3 import mut3 as mut3
from carousel.cells.nas_cell import nas_cell as nas_cell
from carousel.cells.nbrc import nbrc as nbrc
from carousel.cells.nested_lstm import nested_lstm as nested_lstm
from carousel.cells.peephole_lstm import peephole_lstm as peephole_lstm
from carousel.cells.peephole_lstm_c import peephole_lstm_c as peephole_lstm_c
from carousel.cells.phased_lstm import phased_lstm as phased_lstm
from carousel.cells.projected_lstm import projected_lstm as projected_lstm
from carousel.cells.qrnn import qrnn as qrnn
from carousel.cells.ran import ran as ran
from carousel.cells.recurrent_highway import recurrent_highway as recurrent_highway
from carousel.cells.registry import Entry as Entry
from carousel.cells.registry import Registry
from carousel.cells.res_lstm import res_lstm as res_lstm
from carousel.cells.residual import residual as residual
from carousel.cells.rg_lru import rg_lru as rg_lru
from carousel.cells.scrn import scrn as scrn
from carousel.cells.slim_lstm import slim_lstm as slim_lstm
from carousel.cells.slstm import slstm as slstm
from carousel.cells.sru import sru as sru
from carousel.cells.star import star as star
from carousel.cells.t_gru import t_gru as t_gru
from carousel.cells.t_lstm import t_lstm as t_lstm
from carousel.cells.t_rnn import t_rnn as t_rnn
from carousel.cells.tau_gru import tau_gru as tau_gru
from carousel.cells.time_aware_lstm import time_aware_lstm as time_aware_lstm
from carousel.cells.ugrnn import ugrnn as ugrnn
from carousel.cells.unicornn import unicornn as unicornn
from carousel.cells.wmc_lstm import wmc_lstm as wmc_lstm

_registry = Registry(
    [
        Entry(jordan, 1986),
        Entry(context_unit, 1989),
        Entry(elman, 1990),
        Entry(lstm_1997, 1997),
        Entry(lstm, 2000),
        Entry(peephole_lstm, 2000),
        Entry(peephole_lstm_c, 2002),
        Entry(leaky_rnn, 2007),
        Entry(mdlstm, 2007, layer="MultiDimensional"),
        Entry(multiplicative_rnn, 2011),
        Entry(gru, 2014),
        Entry(projected_lstm, 2014),
        Entry(gru_reset_before, 2014),
        Entry(lstmp, 2014),
        Entry(scrn, 2014),
        Entry(clockwork_rnn, 2014),
        Entry(mut1, 2015),
        Entry(mut2, 2015),
        Entry(mut3, 2015),
        Entry(conv_lstm, 2015, layer="ConvRecurrent"),
        Entry(highway, 2015, layer="InDepth", stopped_gradients=("x",)),
        Entry(residual, 2015, layer="InDepth", stopped_gradients=("x",)),
        Entry(irnn, 2015),
        Entry(minimal_gated_unit, 2016),
        Entry(multiplicative_lstm, 2016),
        Entry(t_rnn, 2016),
        Entry(t_gru, 2016),
        Entry(t_lstm, 2016),
        Entry(layer_norm_lstm, 2016),
        Entry(phased_lstm, 2016),
        Entry(mi_lstm, 2016),
        Entry(lstm_vanilla, 2017),
        Entry(lstm_nig, 2017),
        Entry(lstm_nfg, 2017),
        Entry(lstm_nog, 2017),
        Entry(lstm_niaf, 2017),
        Entry(lstm_noaf, 2017),
        Entry(lstm_cifg, 2017),
        Entry(lstm_np, 2017),
        Entry(ugrnn, 2017),
        Entry(intersection_rnn, 2017),
        Entry(minimal_rnn, 2017),
        Entry(nas_cell, 2017),
        Entry(ran, 2017),
        Entry(nested_lstm, 2017),
        Entry(cfn, 2017),
        Entry(res_lstm, 2017),
        Entry(lstm_fgr, 2017),
        Entry(time_aware_lstm, 2017),
        Entry(qrnn, 2017),
        Entry(slim_lstm, 2017),
        Entry(recurrent_highway, 2017),
        Entry(janet, 2018),
        Entry(fast_rnn, 2018),
        Entry(fast_grnn, 2018),
        Entry(fast_grnn_low_rank, 2018),
        Entry(indrnn, 2018),
        Entry(li_gru, 2018),
        Entry(atr, 2018),
        Entry(sru, 2018),
        Entry(gru_d, 2018),
        Entry(star, 2019),
        Entry(entity_aware_lstm, 2019),
        Entry(antisymmetric_rnn, 2019),
        Entry(gated_antisymmetric_rnn, 2019),
        Entry(lmu, 2019),
        Entry(mogrifier_lstm, 2020),
        Entry(brc, 2021),
        Entry(nbrc, 2021),
        Entry(cornn, 2021),
        Entry(lipschitz_rnn, 2021),
        Entry(unicornn, 2021),
        Entry(wmc_lstm, 2021),
        Entry(mass_conserving_lstm, 2021),
        Entry(lem, 2022),
        Entry(cfc, 2022),
        Entry(tau_gru, 2022),
        Entry(lru, 2023),
        Entry(min_gru, 2024),
        Entry(min_lstm, 2024),
        Entry(slstm, 2024),
        Entry(mlstm, 2024),
        Entry(rg_lru, 2024),
    ]
)

entries, entry, names, get, load = _registry.entries, _registry.entry, _registry.names, _registry.get, _registry.load
