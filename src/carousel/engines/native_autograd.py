"""The native call under autograd, `torch.func` and `torch.compile`.

In plain use it is one `autograd.Function` that goes straight to the core; while PyTorch compiles or exports, the same
call is the operator `carousel::scan`, whose arguments are tensors and one string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from carousel.engines.native_call import parse, run_backward, run_forward


def call(
    text: str, reverse: bool, lengths: Tensor | None, resets: Tensor | None, inputs: Sequence[Tensor]
) -> Sequence[Tensor]:
    """Runs a plan; returns the values of every step (T, B, w), the final states (B, w), then what is kept."""
    if torch.compiler.is_compiling():
        return torch.ops.carousel.scan(list(inputs), lengths, resets, text, reverse)
    if parse(text).backward is None and not torch._C._are_functorch_transforms_active():
        return run_forward(text, reverse, lengths, resets, inputs)
    return apply(Scan, text, reverse, lengths, resets, *inputs)


def apply(function: Any, *args: Any) -> Any:
    """`function.apply`, outside of `torch.func` without the look at its signature, which takes longer than a short
    sequence does."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    return super(torch.autograd.Function, function).apply(*args)


class Scan(torch.autograd.Function):
    """Forward over a whole sequence; returns everything that the plan lists, kept values last."""

    @staticmethod
    def forward(text, reverse, lengths, resets, *inputs):
        return tuple(run_forward(text, reverse, lengths, resets, inputs))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        text, reverse, lengths, resets, *tensors = inputs
        plan = parse(text)
        ctx.text, ctx.reverse, ctx.count = text, reverse, len(tensors)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[plan.returned :])
        used = [output[i] if i in plan.used else None for i in range(len(output))]
        ctx.save_for_backward(lengths, resets, *tensors, *used)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        plan = parse(ctx.text)
        lengths, resets, *saved = ctx.saved_tensors
        inputs, outputs = saved[: ctx.count], saved[ctx.count :]
        arguments = ctx.text, ctx.reverse, ctx.count, lengths, resets, *inputs, *outputs, *grads[: plan.returned]
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            made = ScanBackward.apply(*arguments)
        else:
            made = ScanBackward.forward(*arguments)
        results: list[Tensor | None] = [None] * ctx.count
        for tensor, gradient in zip(plan.grads, made, strict=True):
            results[tensor] = gradient
        return (None, None, None, None, *results)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, text: str, reverse: bool, *tensors: Tensor | None) -> tuple:
        plan = parse(text)
        kinds = [*FLAGS, *plan.kinds]
        many = Many(Scan, info.batch_size, (text, reverse), tensors, in_dims[2:], kinds)
        return many.folded(plan.output_kinds) if many.only_rows() else many.one_by_one()


class ScanBackward(torch.autograd.Function):
    """Backward over a whole sequence. It has no derivative of its own: second derivatives are the eager engine's."""

    @staticmethod
    def forward(text, reverse, count, lengths, resets, *tensors):
        kept = len(parse(text).outputs)
        inputs, outputs, grads = tensors[:count], tensors[count : count + kept], tensors[count + kept :]
        return tuple(run_backward(text, reverse, lengths, resets, inputs, outputs, grads))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> None:
        raise RuntimeError(
            'the native engine has no second derivative; use engine="eager" (or `with carousel.use_engine("eager")`) '
            "where gradients of gradients are needed."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, text: str, reverse: bool, count: int, *tensors: Tensor | None) -> tuple:
        plan = parse(text)
        kinds = [*FLAGS, *plan.kinds, *plan.output_kinds, *plan.output_kinds[: plan.returned]]
        many = Many(ScanBackward, info.batch_size, (text, reverse, count), tensors, in_dims[3:], kinds)
        made = [plan.kinds[tensor] for tensor in plan.grads]
        return many.folded(made) if many.only_rows() and "parameter" not in made else many.one_by_one()


FLAGS = ("lengths", "step")  # lengths (B,) and resets (T, B) go before the inputs
ROWS_AT = {"lengths": 0, "step": 1, "batch": 0}  # the dimension of the batch


class Many:
    """One function on a stack of arguments (`torch.vmap`): as one larger batch where only rows are stacked."""

    def __init__(self, function: Any, size: int, fixed: tuple, tensors: Sequence, dims: Sequence, kinds: Sequence[str]):
        self.function, self.size, self.fixed = function, size, fixed
        self.tensors, self.dims, self.kinds = tensors, dims, kinds

    def only_rows(self) -> bool:
        """Whether every stacked argument has a batch dimension."""
        stacked = [kind for kind, d in zip(self.kinds, self.dims, strict=True) if d is not None]
        return all(kind in ROWS_AT for kind in stacked)

    def _fold(self, tensor: Tensor | None, dim: int | None, kind: str) -> Tensor | None:
        if tensor is None or kind == "parameter":
            return tensor
        at = ROWS_AT[kind]
        stack = tensor.unsqueeze(at) if dim is None else tensor.movedim(dim, at)
        shape = [*stack.shape]
        shape[at] = self.size
        return stack.expand(shape).flatten(at, at + 1).contiguous()

    def folded(self, made: Sequence[str]) -> tuple:
        """One call; what it returns is unfolded."""
        arguments = map(self._fold, self.tensors, self.dims, self.kinds)
        values = self.function.apply(*self.fixed, *arguments)
        at = tuple(ROWS_AT[kind] for kind in made)
        return tuple(v.unflatten(d, (self.size, -1)) for v, d in zip(values, at, strict=True)), at

    def one_by_one(self) -> tuple:
        """One call a sample, stacked."""

        def sample(i: int) -> list:
            pairs = zip(self.tensors, self.dims, strict=True)
            return [t if t is None or d is None else t.select(d, i) for t, d in pairs]

        made = [self.function.apply(*self.fixed, *sample(i)) for i in range(self.size)]
        stacked = tuple(torch.stack(values) for values in zip(*made, strict=True))
        return stacked, (0,) * len(stacked)


@torch.library.custom_op("carousel::scan", mutates_args=())
def scan_op(
    inputs: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, text: str, reverse: bool
) -> list[Tensor]:
    """`run_forward` as an operator."""
    return run_forward(text, reverse, lengths, resets, inputs)


@scan_op.register_fake
def _scan_shapes(inputs, lengths, resets, text, reverse):
    plan, x = parse(text), inputs[0]
    T, B = x.shape[:2]
    return [x.new_empty((T, B, w) if shape == "step" else (B, w)) for shape, w in plan.outputs]


@torch.library.custom_op("carousel::scan_backward", mutates_args=())
def scan_backward_op(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    text: str,
    reverse: bool,
) -> list[Tensor]:
    """`run_backward` as an operator."""
    return run_backward(text, reverse, lengths, resets, inputs, outputs, grads)


@scan_backward_op.register_fake
def _gradient_shapes(inputs, outputs, grads, lengths, resets, text, reverse):
    return [inputs[i].new_empty(inputs[i].shape) for i in parse(text).grads]


def _save(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    tensors, lengths, resets, ctx.text, ctx.reverse = inputs
    ctx.count = len(tensors)
    ctx.save_for_backward(lengths, resets, *tensors, *output)


def _op_backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple:
    plan = parse(ctx.text)
    lengths, resets, *saved = ctx.saved_tensors
    inputs, outputs = saved[: ctx.count], saved[ctx.count :]
    given = [torch.zeros_like(o) if g is None else g for g, o in zip(grads, outputs, strict=True)][: plan.returned]
    made = torch.ops.carousel.scan_backward(inputs, outputs, given, lengths, resets, ctx.text, ctx.reverse)
    results: list[Tensor | None] = [None] * ctx.count
    for tensor, gradient in zip(plan.grads, made, strict=True):
        results[tensor] = gradient
    return results, None, None, None, None


scan_op.register_autograd(_op_backward, setup_context=_save)
