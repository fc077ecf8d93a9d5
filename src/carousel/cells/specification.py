"""How a cell is named in one line, as commands do: `gru`, `my_cells.py:leaky`, `slstm(heads=2)`."""

from __future__ import annotations

import ast
import os
from typing import Any

from carousel import graph
from carousel.graph import AnyCell, Cell, TensorCell
from carousel.graph.loading import module_from


def read(spec: str) -> tuple[str, dict[str, Any]]:
    """What is in front of the brackets, and the options within.

    Values are numbers, strings, True, False, None and tuples of them, or functions of the equations by name. Raises
    ValueError for anything else.

    >>> read("clockwork_rnn(periods=(1, 3, 9))")
    ('clockwork_rnn', {'periods': (1, 3, 9)})
    >>> read("gru")
    ('gru', {})
    """
    if not spec.endswith(")"):
        return spec, {}
    for start in (k for k, letter in enumerate(spec) if letter == "(" and k):
        try:
            call = ast.parse("f" + spec[start:], mode="eval").body
        except SyntaxError:
            continue
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args:
            return spec[:start], {str(given.arg): _value(spec, given) for given in call.keywords}
    raise ValueError(f"cell {spec!r}: expected options by name in the brackets, such as slstm(heads=2).")


def _value(spec: str, given: ast.keyword) -> Any:
    if isinstance(given.value, ast.Name) and callable(function := getattr(graph, given.value.id, None)):
        return function
    try:
        return ast.literal_eval(given.value)
    except ValueError:
        text = ast.unparse(given.value)
        raise ValueError(
            f"cell {spec!r}: {given.arg}={text} is neither a number, a string or the like nor a function of the "
            f"equations such as tanh, relu or identity."
        ) from None


def cell_of_file(path: str, name: str) -> AnyCell:
    """The cell of that name in a user's file.

    Raises ValueError where there is no such file or name, or where it is no cell. Errors of the file come through.
    """
    spec = f"{path}:{name}"
    if not os.path.isfile(path):
        raise ValueError(f"cell {spec!r}: there is no file {path}.")
    module = module_from(path)
    found = getattr(module, name, None)
    if isinstance(found, Cell | TensorCell):
        return found
    cells = sorted(key for key, value in vars(module).items() if isinstance(value, Cell | TensorCell))
    known = f"The cells there are: {', '.join(cells)}." if cells else "There is no cell in it."
    if found is not None:
        kind = type(found).__name__
        raise ValueError(f"cell {spec!r}: {name} is a {kind}, expected a cell made by @carousel.cell. {known}")
    raise ValueError(f"cell {spec!r}: {path} has no {name}. {known}")
