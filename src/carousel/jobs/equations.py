"""The model's cell: found by name or in the user's file."""

from __future__ import annotations

from typing import Any

from carousel import cells
from carousel.errors import CellError
from carousel.graph import AnyCell, Cell, TensorCell
from carousel.graph.storing import to_data
from carousel.jobs import JobError


def find_cell(spec: str | AnyCell) -> AnyCell:
    """A cell from its registered name, from ``path/to/file.py:name``, or itself.

    Raises:
        JobError: there is no such cell, its file does not run, or it needs inputs that a job does not have.
        CellError: it is a cell on tensors of the user's own, which a model folder cannot keep.

    Example:
        >>> find_cell("gru").name
        'gru'
    """
    if isinstance(spec, Cell | TensorCell):
        cell = spec
    else:
        try:
            cell = cells.load(spec)
        except CellError:
            raise
        except ValueError as error:
            raise JobError(str(error)) from None
        except Exception as error:  # the user's file is the user's program: whatever it raises is told in a line
            raise JobError(f"cell {spec!r}: its file does not run: {type(error).__name__}: {error}") from None
    if isinstance(cell, Cell) and not cell.reads_input:
        raise JobError(f"cell {cell.name} reads no input: it is made for layers in depth (carousel.InDepth).")
    to_data(cell)  # what a model folder cannot keep is refused before the training
    needed = [name for name, side in cell.sides.items() if side.keep is None]
    if needed:
        raise JobError(f"cell {cell.name} needs {', '.join(needed)} beside its input, which a job cannot give it.")
    return cell


def spec_of(spec: str | AnyCell) -> str:
    """What the model folder says of the cell: its registered name, ``/full/path.py:name``, or ``module:name``."""
    if isinstance(spec, str):
        path, colon, name = spec.rpartition(":")
        if not colon:
            return spec
        from pathlib import Path

        return f"{Path(path).resolve()}:{name}"
    if spec.name in cells.names() and cells.get(spec.name) is spec:
        return spec.name
    return f"{spec.fn.__code__.co_filename}:{spec.name}"


def cell_sizes(cell: AnyCell, hidden_size: int, given: dict[str, int]) -> dict[str, Any]:
    """The cell's further sizes: as given, otherwise half of ``hidden_size``."""
    further = [name for name in cell.sizes if name not in ("input_size", "hidden_size")]
    unknown = set(given) - set(further)
    if unknown:
        raise JobError(f"cell {cell.name} has no size {sorted(unknown)[0]!r}; it has: {', '.join(cell.sizes)}.")
    return {name: given.get(name, max(1, hidden_size // 2)) for name in further}
