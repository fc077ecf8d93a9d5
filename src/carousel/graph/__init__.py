"""Cells as equations, traced to a step graph; and the passes that derive everything else from it."""

from carousel.graph.arguments import Side, mask, per_step, static, step_index
from carousel.graph.cell import Cell, cell
from carousel.graph.functions import (
    abs,
    clip,
    concat,
    cos,
    exp,
    expand,
    floor,
    layer_norm,
    log,
    maximum,
    mean,
    minimum,
    normalize,
    relu,
    sigmoid,
    sin,
    slice,
    softmax,
    softplus,
    split,
    sqrt,
    stop_gradient,
    sum,
    tanh,
    where,
)
from carousel.graph.tensors import plain
from carousel.graph.step import Node, Parameter, Step
from carousel.graph.widths import Width

__all__ = [
    *("Cell", "Node", "Parameter", "Side", "Step", "Width", "cell", "mask", "per_step", "plain", "static", "step_index"),
    *("abs", "clip", "concat", "cos", "exp", "expand", "floor", "layer_norm", "log", "maximum", "mean", "minimum"),
    *("normalize", "relu", "sigmoid", "sin", "slice", "softmax", "softplus", "split", "sqrt", "stop_gradient", "sum"),
    *("tanh", "where"),
]
