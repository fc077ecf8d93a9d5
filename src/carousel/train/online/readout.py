"""A net from a cell: output units that see its quantities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carousel.graph.cell import Cell
from carousel.graph.functions import identity, sigmoid
from carousel.graph.sizes import hint
from carousel.graph.step import Parameter
from carousel.graph.transforming.rewriting import How, Rewriting, Transformed, transform
from carousel.graph.widths import Width

SIZE = "output_size"
OUTPUTS = ("sigmoid", "tanh", "softmax", "relu", "softplus", "exp")


@transform
def readout(
    cell: Cell,
    /,
    output: Callable[..., Any] = sigmoid,
    sees: Sequence[str] = ("h",),
    bias: bool = True,
    direct: bool = False,
) -> Cell:
    """The cell with output units that do not recur: y = output(sum W_ky @ k [+ W_xy @ x] [+ b_y]), `output_size` wide,
    over the quantities k that `sees` names, as they are after the step.

    `direct` lets the output units see the input as well. Raises ValueError for a quantity that the cell does not have,
    or an output function that is none of identity, sigmoid, tanh, softmax, relu, softplus and exp.

    >>> from carousel.cells import lstm_1997
    >>> net = readout(lstm_1997.with_(truncate=True))
    >>> net.shapes(input_size=7, hidden_size=6, blocks=3, output_size=7)["W_hy"]
    (7, 6)
    """
    if output is not identity and getattr(output, "__name__", "") not in OUTPUTS:
        raise ValueError(f"readout: output is {output!r}, expected carousel.identity, {', '.join(OUTPUTS)}.")
    if isinstance(sees, str) or not sees:
        raise ValueError(f'readout: sees is {sees!r}, expected names of quantities such as ("h",).')
    for name in sees:
        if name not in cell.step.names:
            raise ValueError(f"readout: {cell.name} has no quantity {name!r}.{hint(name, cell.step.names)}")
    if SIZE in cell.sizes:
        raise ValueError(f"readout: {cell.name} has output units already.")
    r = Rewriting(cell)
    for _ in r.copying():
        pass
    sources = {name: r.moved[cell.step.names[name]] for name in sees}
    if direct:
        sources[cell.input] = r.moved[0]
    r.output = _units(r, sources, bias, "" if output is identity else output.__name__)
    keywords = {"output": output, "sees": tuple(sees), "bias": bias, "direct": direct}
    note = f"{SIZE} units see {', '.join(sources)}"
    made = Transformed.of(r, How("readout", (), keywords), note)
    made.sizes = (*cell.sizes, SIZE)
    return made


def _units(r: Rewriting, sources: dict[str, int], bias: bool, function: str) -> int:
    width, total = Width.of(SIZE), None
    for name, source in sources.items():
        product = _product(r, f"W_{name.replace('.', '_')}y", source, width)
        total = product if total is None else r.add("add", total, product, width=width)
    assert total is not None
    if bias:
        r.parameters["b_y"] = Parameter("b_y", "vector", (width,), 1, None)
        total = r.add("add", total, r.add("parameter", width=width, name="b_y"), width=width)
    if function:
        total = r.add(function, total, width=width)
    return r.name(total, "y")


def _product(r: Rewriting, name: str, source: int, width: Width) -> int:
    if name in r.parameters:
        raise ValueError(f"readout: {r.cell.name} has a parameter {name} already; rename it.")
    columns = r.nodes[source].width
    r.parameters[name] = Parameter(name, "matrix", (width, columns), 1, None)
    matrix = r.add("parameter", width=(width, columns), name=name)  # type: ignore[arg-type]
    return r.add("matmul", matrix, source, width=width, heads=1)
