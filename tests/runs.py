"""A scan of a cell with everything in it, and what it gives: outputs, states, records, gradients of every leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from carousel import engines
from carousel.graph import AnyCell
from tolerances import TOLERANCES, assert_close

NORMALISERS = {"n"}  # states that a cell divides by
ENGINES = [name for name, missing in engines.status().items() if name in ("eager", "native") and missing is None]


@dataclass
class Call:
    """The arguments of a scan, and weights for a loss over everything it returns."""

    sizes: dict[str, int]
    x: Tensor
    hx: tuple[Tensor, ...]
    params: dict[str, Tensor]
    sides: dict[str, Tensor]
    lengths: Tensor | None
    resets: Tensor | None
    initial: tuple[Tensor, ...]
    reverse: bool
    record: tuple[str, ...]
    seed: int
    threads: int

    def leaves(self) -> dict[str, Tensor]:
        """Everything that can have a gradient, by name."""
        named = {"x": self.x, **{f"p.{k}": v for k, v in self.params.items()}, **self.sides}
        named |= {f"hx[{k}]": h for k, h in enumerate(self.hx)}
        named |= {f"initial[{k}]": s for k, s in enumerate(self.initial)}
        return {name: leaf for name, leaf in named.items() if leaf.requires_grad}


def make_call(
    cell: AnyCell,
    sizes: Mapping[str, int],
    T: int,
    B: int,
    *,
    lengths: Iterable[int] | None = None,
    resets: float = 0.0,
    reverse: bool = False,
    record: tuple[str, ...] = (),
    frozen: Iterable[str] = (),
    per_row: bool = False,
    threads: int = 1,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Call:
    """Random data for a cell. `frozen` names kinds of leaves without gradient, `resets` is a share of the steps, and
    `per_row` gives every row its own initial state."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(kind: str, value: Tensor) -> Tensor:
        return value.to(dtype).requires_grad_(kind not in frozen)

    def tensor(kind: str, *shape: int, scale: float = 1.0) -> Tensor:
        return leaf(kind, scale * torch.randn(shape, generator=generator, dtype=torch.float64))

    def state(kind: str, name: str, *shape: int) -> Tensor:
        value = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return leaf(kind, value.abs() + 0.5 if name in NORMALISERS else value)

    shapes = cell.state_shapes(**sizes)
    call = Call(
        sizes=dict(sizes),
        x=tensor("x", T, B, sizes["input_size"]),
        hx=tuple(state("hx", name, B, *shape) for name, shape in zip(cell.states, shapes, strict=True)),
        params={n: tensor("params", *s, scale=s[-1] ** -0.5 if s else 1.0) for n, s in cell.shapes(**sizes).items()},
        sides={},
        lengths=None if lengths is None else torch.tensor(list(lengths), dtype=torch.int64),
        resets=torch.rand(T, B, generator=generator) < resets if resets else None,
        initial=tuple(
            state("initial", name, *([B] if per_row else []), *shape)
            for name, shape in zip(cell.states, shapes, strict=True)
        ),
        reverse=reverse,
        record=record,
        seed=seed,
        threads=threads,
    )
    for name, side in cell.sides.items():
        shape = ((T, B) if side.kind == "step" else (B,)) + (cell.side_width(name, **sizes),)
        if side.keep is None:
            call.sides[name] = leaf("sides", torch.rand(shape, generator=generator, dtype=torch.float64))
        else:
            kept = (torch.rand(shape, generator=generator) < side.keep).to(dtype)
            call.sides[name] = kept / side.keep if side.scaled else kept
    if call.lengths is not None:
        spoil([call.x, *(v for n, v in call.sides.items() if cell.sides[n].kind == "step")], call.lengths)
    return call


def spoil(tensors: list[Tensor], lengths: Tensor) -> None:
    """NaN past each row's end of (T, B, w) tensors."""
    with torch.no_grad():
        for value in tensors:
            value[torch.arange(len(value))[:, None] >= lengths] = torch.nan


def scan(run: Callable, cell: AnyCell, call: Call, record: tuple[str, ...]) -> dict[str, Tensor]:
    """Everything that a scan gives, by name, with the gradients of one loss over all of it."""
    torch.set_num_threads(call.threads)
    y, final, seen = run(
        cell,
        call.sizes,
        call.x,
        call.hx,
        call.params,
        sides=call.sides,
        lengths=call.lengths,
        resets=call.resets,
        initial=call.initial,
        reverse=call.reverse,
        record=record,
    )
    found = {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}
    found |= {f"seen[{name}]": value for name, value in seen.items()}
    return found | gradients(found, call)


def weighed(found: Iterable[Tensor], seed: int) -> Tensor:
    """A loss that tells every number of the given tensors apart."""
    generator = torch.Generator().manual_seed(seed + 1)
    terms = ((v * torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype)).sum() for v in found)
    return sum(terms, torch.zeros(()))


def gradients(found: dict[str, Tensor], call: Call) -> dict[str, Tensor]:
    """The gradient of every leaf under a loss of everything found, zero where nothing depends on it."""
    loss, leaves = weighed(found.values(), call.seed), call.leaves()
    if not leaves or not loss.requires_grad:
        return {f"d {name}": torch.zeros_like(leaf) for name, leaf in leaves.items()}
    taken = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, allow_unused=True)
    return {f"d {n}": torch.zeros_like(v) if g is None else g for (n, v), g in zip(leaves.items(), taken, strict=True)}


def close(got: dict[str, Tensor], want: dict[str, Tensor], what: str) -> None:
    """Within the tolerance of the dtype, of the largest number where there are large ones: sums cancel."""
    for name, expected in want.items():
        atol = TOLERANCES[expected.dtype]["atol"] * max(1.0, expected.abs().max().item() if expected.numel() else 0.0)
        assert_close(got[name], expected, atol=atol, msg=lambda text, name=name: f"{what}\n{name}: {text}")
