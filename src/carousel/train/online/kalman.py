"""The decoupled extended Kalman filter as a rule of on-line learning."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from carousel.graph.cell import Cell

KINDS = ("unit", "parameter", "all")
Noise = float | tuple[float, float]


class Kalman:
    """The decoupled extended Kalman filter: weights are estimated as the state of a system that the targets measure.

    For each group g of weights with covariance K_g, C_g the derivatives of the outputs with respect to them (through
    all steps so far, as the equations leave them), e what is missing from outputs to targets, at each step with a
    target:

        A = (r I + sum_g C_g' K_g C_g)^-1,  G_g = K_g C_g A,  w_g += G_g e,  K_g += q I - G_g C_g' K_g

    `groups` is "unit", the weights into each unit (gate, cell or output) together, "parameter", each parameter by
    itself, "all", one covariance of everything (the extended Kalman filter that is not decoupled), or a list of lists
    of parameters' names, where * stands for anything. Each K starts as `covariance` I. Noises r and q are numbers, or
    pairs: from the first to the second by the same factor at each of the first `anneal` steps with a target.

    Memory and time grow with the square of a group's weights. The loss of `Online` does not enter: the filter takes
    outputs for measurements with an error of equal size.

    G. V. Puskorius & L. A. Feldkamp, "Neurocontrol of nonlinear dynamical systems with Kalman filter trained recurrent
    networks", IEEE Transactions on Neural Networks 5(2), 1994; J. A. Perez-Ortiz, F. A. Gers, D. Eck & J. Schmidhuber,
    "Kalman filters improve LSTM network performance in problems unsolvable by traditional recurrent nets", Neural
    Networks 16(2), 2003.

    Raises ValueError for settings out of range, and, when a net is made, for groups that do not hold each learned
    weight once.

    >>> import torch
    >>> import carousel as ca
    >>> net = ca.Online(ca.readout(ca.cells.peephole_lstm.with_(truncate=True)), input_size=3, hidden_size=2,
    ...                 output_size=1, rule=ca.Kalman(measurement_noise=(100, 3), process_noise=1e-4, anneal=1000))
    >>> net.learn(torch.rand(9, 1, 3), torch.rand(9, 1, 1)).shape
    torch.Size([9, 1, 1])
    """

    at_once_only = True

    def __init__(
        self,
        groups: str | Sequence[Sequence[str]] = "unit",
        covariance: float = 100.0,
        measurement_noise: Noise = 10.0,
        process_noise: Noise = 1e-4,
        anneal: int = 0,
    ):
        if isinstance(groups, str) and groups not in KINDS:
            raise ValueError(f"Kalman: groups is {groups!r}, expected one of: {', '.join(KINDS)}, or lists of names.")
        if not isinstance(covariance, numbers.Real) or not 0 < covariance < math.inf:
            raise ValueError(f"Kalman: covariance is {covariance!r}, expected a number above 0.")
        if not isinstance(anneal, int) or anneal < 0:
            raise ValueError(f"Kalman: anneal is {anneal!r}, expected a number of steps from 0 on.")
        self.groups: str | Sequence[Sequence[str]] = groups
        self.covariance: float = float(covariance)
        self.anneal: int = anneal
        self.measurement_noise: tuple[float, float] = _noise("measurement_noise", measurement_noise)
        self.process_noise: tuple[float, float] = _noise("process_noise", process_noise)
        if self.measurement_noise[1] == 0:
            raise ValueError("Kalman: measurement_noise is 0, expected a number above 0.")

    def rates(self, nets: int) -> Tensor:
        """The filter has no learning rate: ones (N,)."""
        return torch.ones(nets, dtype=torch.float64)

    def rows(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The covariances, one after the other, and the number of steps seen."""
        identities = [torch.eye(len(group), dtype=torch.float64).flatten() for group in self._members(cell, shapes)]
        return {"covariance": self.covariance * torch.cat(identities), "seen": torch.zeros(1)}

    def data(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]], places: Mapping[str, int]) -> dict[str, Any]:
        """The rule for the core."""
        return {
            "name": "kalman",
            "measurement_noise": self.measurement_noise,
            "process_noise": self.process_noise,
            "anneal": self.anneal,
            "groups": self._members(cell, shapes),
            **places,
        }

    def _members(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> list[list[int]]:
        """The numbers of each group's weights."""
        of = self._group_of(cell, shapes)
        found: dict[Any, list[int]] = {}
        number = 0
        for name, shape in shapes.items():
            for k in range(math.prod(shape)):
                row = k // (shape[-1] if len(shape) > 1 else 1)
                found.setdefault((of[name], row if self.groups == "unit" else 0), []).append(number)
                number += 1
        return list(found.values())

    def _group_of(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        if self.groups == "unit":
            return _sums(cell)
        if self.groups in KINDS:
            return {name: name if self.groups == "parameter" else "" for name in shapes}
        return {name: self._chosen(name, shapes) for name in shapes}

    def _chosen(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
        found = [k for k, group in enumerate(self.groups) if any(fnmatchcase(name, pattern) for pattern in group)]
        if len(found) != 1:
            raise ValueError(
                f"Kalman: the parameter {name} is in {len(found)} of the groups, expected in one of them. The net has "
                f"{', '.join(shapes)}."
            )
        return found[0]

    def __repr__(self) -> str:
        return (
            f"Kalman({self.groups!r}, covariance={self.covariance}, measurement_noise={self.measurement_noise}, "
            f"process_noise={self.process_noise}, anneal={self.anneal})"
        )


def _noise(name: str, given: Noise) -> tuple[float, float]:
    pair = given if isinstance(given, tuple) else (given, given)
    numeric = len(pair) == 2 and all(isinstance(p, numbers.Real) and 0 <= p < math.inf for p in pair)
    if not numeric or (pair[0] == 0) != (pair[1] == 0):
        raise ValueError(f"Kalman: {name} is {given!r}, expected a number from 0 on, or two of them above 0.")
    return float(pair[0]), float(pair[1])


def _sums(cell: Cell) -> dict[str, Any]:
    """For each parameter the sum that it goes into, which is what a unit is fed; itself where it goes into several."""
    nodes = cell.step.nodes
    readers: dict[int, list[int]] = {}
    for n, node in enumerate(nodes):
        for a in node.args:
            readers.setdefault(a, []).append(n)
    uses = Counter(a for node in nodes for a in node.args)
    found: dict[str, Any] = {}
    for n, node in enumerate(nodes):
        if node.op != "parameter":
            continue
        top = n
        while uses[top] == 1 and nodes[readers[top][0]].op in ("add", "sub", *(("matmul", "mul") if top == n else ())):
            top = readers[top][0]
        found[node.attr["name"]] = top if uses[n] == 1 else node.attr["name"]
    return found
