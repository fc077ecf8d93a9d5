"""What `error_flow` found: numbers by layer, state and lag, a verdict, a table and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = (0.01, 100.0)  # an error is kept that is changed by less than these factors from lag 1 to the last


@dataclass(frozen=True, eq=False)
class LayerFlow:
    """The error flow in one direction of one layer, T lags long.

    Attributes:
        name: of the layer and direction, such as `encoder.l0_reverse`.
        cell: the name of its cell.
        norms: for each state (T,), the norm of the gradient with respect to it at lags 1 to T.
        jacobian_lags: (S,) the lags at which the recurrent Jacobian was taken.
        spectral_radius: (S,) there, its largest absolute eigenvalue.
        largest_singular_value: (S,) there, by how much it can lengthen an error in one step.
    """

    name: str
    cell: str
    norms: Mapping[str, np.ndarray]
    jacobian_lags: np.ndarray
    spectral_radius: np.ndarray
    largest_singular_value: np.ndarray

    @property
    def lags(self) -> np.ndarray:
        """(T,) 1 to T."""
        return np.arange(1, 1 + len(next(iter(self.norms.values()))))

    def rate(self, state: str) -> float:
        """The factor by which the state's norm changes a step: the geometric mean from its first lag to its last.

        Lags at which it is zero or no finite number are left out at both ends; NaN where two lags do not remain.
        """
        norms = self.norms[state]
        (at,) = np.nonzero(np.isfinite(norms) & (norms > 0))
        if len(at) < 2:
            return float("nan")
        first, last = at[[0, -1]]
        return float(np.exp((np.log(norms[last]) - np.log(norms[first])) / (last - first)))

    def verdict(self, state: str | None = None) -> str:
        """What becomes of the error from lag 1 to the last lag, in a state or in the best-kept of all.

        "vanishes" if less than 1 % of its norm is left, "explodes" if it grows more than hundredfold or beyond all
        numbers, "kept" otherwise; "no error" if none arrives.
        """
        if state is None:
            found = {self.verdict(name) for name in self.norms}
            return next(word for word in ("explodes", "kept", "vanishes", "no error") if word in found)
        norms = self.norms[state]
        if not np.isfinite(norms).all():
            return "explodes"
        if not norms.any():
            return "no error"
        change = norms[-1] / norms[norms > 0][0]
        return "vanishes" if change < KEPT[0] else "explodes" if change > KEPT[1] else "kept"

    def to_dict(self) -> dict[str, Any]:
        """All of it in lists and numbers, None for what is no finite number."""
        states = {
            state: {"norms": _plain(norms), "rate": _plain(self.rate(state)), "verdict": self.verdict(state)}
            for state, norms in self.norms.items()
        }
        arrays = ("jacobian_lags", "spectral_radius", "largest_singular_value")
        more = {name: _plain(getattr(self, name)) for name in arrays}
        return {"cell": self.cell, "verdict": self.verdict(), "states": states, **more}


class ErrorFlow(Mapping[str, LayerFlow]):
    """The error flow in every layer and direction of a net, by name; made by `carousel.error_flow`.

    >>> import torch
    >>> import carousel as ca
    >>> flow = ca.error_flow(ca.RNN(3, 4, num_layers=2), torch.randn(50, 2, 3))
    >>> list(flow), flow["l1"].verdict(), flow["l1"].norms["h"].shape
    (['l0', 'l1'], 'vanishes', (49,))
    """

    def __init__(self, layers: Mapping[str, LayerFlow]) -> None:
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> LayerFlow:
        if name not in self._layers:
            raise KeyError(f"there is no layer {name!r}; the layers are: {', '.join(self._layers)}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def to_dict(self) -> dict[str, Any]:
        """All of it in dictionaries, lists and numbers, as JSON has them."""
        return {name: layer.to_dict() for name, layer in self._layers.items()}

    def plot(self) -> Figure:
        """A figure with two panels a layer: the norms by lag, and what the recurrent Jacobian does in one step."""
        from carousel.watch.drawing import draw_flow

        return draw_flow(self)

    def __str__(self) -> str:
        head = ("layer", "state", "lag 1", "last lag", "per step", "error")
        rows = [row for layer in self._layers.values() for row in _rows(layer)]
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) for row in (head, *rows)]
        notes = [_jacobian(layer) for layer in self._layers.values() if len(layer.jacobian_lags)]
        return "\n".join(line.rstrip() for line in (*lines, *notes))

    def __repr__(self) -> str:
        return f"<ErrorFlow {', '.join(f'{name}: {layer.verdict()}' for name, layer in self._layers.items())}>"


def _plain(values: Any) -> Any:
    """Numbers as JSON has them."""
    if np.ndim(values):
        return [_plain(value) for value in values.tolist()]
    return values if np.isfinite(values) else None


def _rows(layer: LayerFlow) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for k, (state, norms) in enumerate(layer.norms.items()):
        rate = layer.rate(state)
        measured = "" if np.isnan(rate) else f"{rate:.3g}"
        last = f"{norms[-1]:.2e} ({len(norms)})"
        found.append((layer.name if k == 0 else "", state, f"{norms[0]:.2e}", last, measured, layer.verdict(state)))
    return found


def _jacobian(layer: LayerFlow) -> str:
    spans = [f"{v.min():.3g} to {v.max():.3g}" for v in (layer.spectral_radius, layer.largest_singular_value)]
    return f"{layer.name}: a step's Jacobian has the spectral radius {spans[0]}, the largest singular value {spans[1]}"
