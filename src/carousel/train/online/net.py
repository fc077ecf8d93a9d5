"""`Online`: nets that learn while they run.

Legend: T time, N nets side by side, D input features, K outputs, w the width of what is meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from carousel.engines.native_call import DTYPES, MISSING, _core
from carousel.graph.cell import Cell
from carousel.graph.patterns import lookup
from carousel.layers.initial import start
from carousel.train.online.calls import Tensors, Widths, check_call
from carousel.train.online.derivation import LOSSES
from carousel.train.online.program import make_program
from carousel.train.online.rules import Rule
from carousel.train.online.sensitivities import FORMS

UPDATES = ("step", "sequence")


class Online:
    """Nets that learn on-line, without unrolling: what gradients through time need is carried forward, step by step.

    `cell` is a net: equations with an output that does not recur (`carousel.readout` makes one of a cell). From them
    follows how each state depends on each weight, which the compiled core carries along. Where the equations stop the
    gradient (`stop_gradient`) as in the LSTM of 1997, or it is local as in Mozer's context unit, that is one number for
    each cell that a weight reaches; else it is real-time recurrent learning, for small nets.

    `nets` many learn side by side, each with its own weights, data and sequences. `rule` changes the weights, at each
    step with a target (`update="step"`) or, summed, when the next sequence starts or `finish` is called ("sequence").
    `loss` is "squared error", the sum of (t - y)^2 / 2, or "cross entropy" for outputs that are sigmoid or softmax.
    `form` is "auto", "traces", which raises ValueError unless each cell's state depends on itself only, or "exact",
    which keeps all sensitivities. Weights start as the cell says, or as in PyTorch, by `seed`.

    Raises ValueError or TypeError for equations or settings that cannot learn in this way.

    >>> import torch
    >>> import carousel as ca
    >>> cell = ca.readout(ca.cells.lstm_1997.with_(truncate=True))
    >>> net = ca.Online(cell, input_size=2, hidden_size=4, blocks=2, output_size=1, rule=ca.SGD(0.5), nets=3, seed=0)
    >>> y = net.learn(torch.rand(20, 3, 2), torch.rand(20, 3, 1))
    >>> y.shape, net.parameters["W_hy"].shape
    (torch.Size([20, 3, 1]), torch.Size([3, 1, 4]))
    """

    def __init__(
        self,
        cell: Cell,
        *,
        rule: Rule,
        loss: str = "squared error",
        form: str = "auto",
        update: str = "step",
        nets: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        **sizes: int,
    ):
        _check_settings(loss, form, update, nets, dtype, rule)
        self.cell, self.sizes, self.rule, self.nets, self.dtype = cell, sizes, rule, nets, dtype
        self.loss, self.form, self.update = loss, form, update
        self._program = make_program(cell, sizes, rule, loss, form, update == "step")
        self._core = _core.OnlineProgram(self._program.text)
        lanes = _core.OnlineProgram.block_bytes // torch.empty((), dtype=dtype).element_size()
        self._blocks = torch.zeros(-(-nets // lanes), self._program.size, lanes, dtype=dtype)
        self._call("prepare")
        self._write("first_rate", rule.rates(nets).to(dtype))
        self._write("rate", rule.rates(nets).to(dtype))
        shapes = cell.shapes(**sizes)
        for name, begin in rule.rows(cell, {name: shapes[name] for name in self._program.learned}).items():
            self._write(name, begin.to(dtype).expand(nets, -1))
        self._aside = {name: self._read(name).clone() for name in self._states}
        #: The weights by name, learned and fixed, each (N, *shape). They may be written.
        self.parameters: dict[str, Tensor] = _started(cell, sizes, nets, seed, dtype)
        #: Which steps of the last call each net took, (T, N).
        self.taken = torch.zeros(0, nets, dtype=torch.bool)

    # -- using it

    def learn(
        self,
        inputs: Tensor,
        targets: Tensor,
        when: Tensor | None = None,
        starts: Tensor | None = None,
        lengths: Tensor | None = None,
        *,
        tolerance: float | None = None,
        begins: Tensor | None = None,
    ) -> Tensor:
        """Takes T steps and learns, from where the last call ended. Returns y (T, N, K), each from before the change.

        `inputs` are (T, N, D) numbers, or (T, N) integers: the index of the one 1 of an input that is 0 elsewhere, -1
        where there is none. `targets` are (T, N, K), or (T, N) integers likewise. `when` (T, N) says which steps have a
        target (None: all), `starts` (T, N) before which the state starts afresh, `lengths` (N,) how many of the steps
        each net takes; the others change nothing and have y = 0. Raises ValueError for shapes that do not fit.

        With a `tolerance`, a net with an output that is off by more at a step with a target still learns from that
        step, then rests: it takes none until it starts afresh, where `begins` (T, N) says so (None: where `starts`
        does), or until the call ends. `begins` says nothing to nets that do not rest. `taken` tells which steps were
        taken.
        """
        given = check_call(self._widths, inputs, targets, when, starts, lengths, tolerance, begins)
        return self._run(given, learns=True)

    def predict(
        self,
        inputs: Tensor,
        starts: Tensor | None = None,
        lengths: Tensor | None = None,
        *,
        targets: Tensor | None = None,
        when: Tensor | None = None,
        tolerance: float | None = None,
        begins: Tensor | None = None,
    ) -> Tensor:
        """As `learn`, with weights that stay and states of its own: learning goes on as if it had not been called.
        The targets are for the tolerance alone."""
        if tolerance is None and not (targets is None and when is None):
            raise ValueError("Online: predict is given targets without a tolerance; give one, or leave them out.")
        given = check_call(self._widths, inputs, targets, when, starts, lengths, tolerance, begins)
        learning = {name: self._read(name).clone() for name in self._states}
        self._exchange(self._aside)
        y = self._run(given, learns=False)
        self._aside = {name: self._read(name).clone() for name in self._states}
        self._exchange(learning)
        return y

    def finish(self) -> None:
        """Changes the weights by what has been collected since the last change, with update="sequence"."""
        self._load()
        self._call("finish")
        self._fetch()

    def jacobian(self, inputs: Tensor) -> dict[str, Tensor]:
        """The derivatives of the outputs of a step with `inputs` (N, D) or (N,), which is not taken, with respect to
        each weight through all steps so far: by name, (N, K, *shape)."""
        given = check_call(self._widths, inputs.unsqueeze(0))
        blocks, _, lanes = self._blocks.shape
        count, K = sum(self._program.kept[name][1] for name in self._program.learned), self._program.outputs
        result = torch.zeros(blocks, K, count, lanes, dtype=self.dtype)
        self._load()
        y, taken = torch.zeros(1, self.nets, K, dtype=self.dtype), torch.zeros(1, self.nets, dtype=torch.bool)
        self._call("jacobian", given.addresses(y, taken), result.data_ptr())
        rows = result.permute(0, 3, 1, 2).reshape(-1, K, count)[: self.nets]
        return self._by_name(rows)

    def gradient(self) -> dict[str, Tensor]:
        """The gradient of the loss with respect to each weight, by name (N, *shape): that of the last step with a
        target, or with update="sequence" what has been collected since the last change."""
        return self._by_name(self._read("gradient"))

    # -- as it is kept

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that changes, by name: a net that loads it goes on with the same bits."""
        kept = {name: self._read(name).clone() for name in self._program.kept if name not in self.parameters}
        aside = {f"predict {name}": value.clone() for name, value in self._aside.items()}
        return {**{f"weight {k}": v.clone() for k, v in self.parameters.items()}, **kept, **aside}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a `state_dict`. Raises ValueError where it is that of another net."""
        own = self.state_dict()
        for name in own.keys() | state.keys():
            if name not in state or name not in own or state[name].shape != own[name].shape:
                found = tuple(state[name].shape) if name in state else "missing"
                wanted = tuple(own[name].shape) if name in own else "none of that name"
                raise ValueError(f"Online: {name} is {found} in the state that was given, expected {wanted}.")
        for name, value in state.items():
            value = value.to(self.dtype)
            if name.startswith("weight "):
                self.parameters[name.removeprefix("weight ")] = value.clone()
            elif name.startswith("predict "):
                self._aside[name.removeprefix("predict ")] = value.clone()
            else:
                self._write(name, value)

    # -- the core's memory

    @property
    def _states(self) -> list[str]:
        return [f"state {name}" for name in self.cell.states]

    @property
    def _widths(self) -> Widths:
        return Widths(self.nets, self._program.inputs, self._program.outputs, self.dtype)

    def _run(self, given: Tensors, *, learns: bool) -> Tensor:
        self._load()
        y = torch.zeros(given.steps, self.nets, self._program.outputs, dtype=self.dtype)
        self.taken = torch.zeros(given.steps, self.nets, dtype=torch.bool)
        addresses = given.addresses(y, self.taken)
        self._call("run", given.steps, addresses, learns, given.tolerance, torch.get_num_threads())
        if learns:
            self._fetch()
        return y

    def _call(self, what: str, *args: Any) -> None:
        getattr(self._core, what)(DTYPES[self.dtype], self._blocks.data_ptr(), self.nets, *args)

    def _read(self, name: str) -> Tensor:
        """What is kept by that name, (N, elements)."""
        at, n = self._program.kept[name]
        blocks, _, lanes = self._blocks.shape
        return self._blocks[:, at : at + n].permute(0, 2, 1).reshape(blocks * lanes, n)[: self.nets]

    def _write(self, name: str, value: Tensor) -> None:
        at, n = self._program.kept[name]
        blocks, _, lanes = self._blocks.shape
        padded = self._blocks.new_zeros(blocks * lanes, n)
        padded[: self.nets] = value.reshape(self.nets, n)
        self._blocks[:, at : at + n] = padded.view(blocks, lanes, n).permute(0, 2, 1)

    def _exchange(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._write(name, value)

    def _load(self) -> None:
        """The parameters, which may have been written, for the core."""
        for name, shape in self.cell.shapes(**self.sizes).items():
            value = self.parameters[name]
            if tuple(value.shape) != (self.nets, *shape):
                raise ValueError(
                    f"Online: parameter {name} has shape {tuple(value.shape)}, expected {(self.nets, *shape)}."
                )
            self._write(name, value)

    def _fetch(self) -> None:
        for name in self._program.learned:
            self.parameters[name].copy_(self._read(name).view_as(self.parameters[name]))

    def _by_name(self, rows: Tensor) -> dict[str, Tensor]:
        """Numbers for all weights (..., weights), by name."""
        shapes, found, at = self.cell.shapes(**self.sizes), {}, 0
        for name in self._program.learned:
            n = math.prod(shapes[name])
            found[name] = rows[..., at : at + n].reshape(*rows.shape[:-1], *shapes[name]).clone()
            at += n
        return found


def _check_settings(loss: str, form: str, update: str, nets: int, dtype: torch.dtype, rule: Rule) -> None:
    for name, value, known in (("loss", loss, LOSSES), ("form", form, FORMS), ("update", update, UPDATES)):
        if value not in known:
            raise ValueError(f"Online: {name} is {value!r}, expected one of: {', '.join(known)}.")
    if not isinstance(nets, int) or isinstance(nets, bool) or nets < 1:
        raise ValueError(f"Online: nets is {nets!r}, expected a whole number from 1 on.")
    if dtype not in DTYPES:
        raise ValueError(f"Online: dtype is {dtype}, expected torch.float32 or torch.float64.")
    if update == "sequence" and rule.at_once_only:
        raise ValueError(f'Online: {rule!r} changes weights at each step with a target; take update="step".')
    if MISSING is not None:
        raise RuntimeError(f"Online: {MISSING}; on-line learning runs in it alone.")


def _started(cell: Cell, sizes: Mapping[str, int], nets: int, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Each net's parameters, drawn one net after the other, so that more nets leave the first ones as they are."""
    shapes, fan = cell.shapes(**sizes), sizes.get("hidden_size", cell.state_widths(**sizes)[0])
    made = {name: torch.empty(nets, *shape, dtype=dtype) for name, shape in shapes.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for net in range(nets):
            for name in shapes:
                fixed = cell.fixed_value(name)
                start(made[name][net], lookup(cell.init, name) if fixed is None else fixed, fan)
    return made
