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

from carousel.engines.native_call import Plan, parse, run_backward, run_forward, shape_of


def call(text: str, lengths: Tensor | None, resets: Tensor | None, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Runs a plan; returns the values of every step, the final states, then what is kept (see `run_forward`)."""
    if torch.compiler.is_compiling():
        return torch.ops.carousel.scan(list(inputs), lengths, resets, text)
    if parse(text).backward is None and not torch._C._are_functorch_transforms_active():
        return run_forward(text, lengths, resets, inputs)
    return apply(Scan, text, lengths, resets, *inputs)


def apply(function: Any, *args: Any) -> Any:
    """`function.apply`, outside of `torch.func` without the look at its signature, which takes longer than a short
    sequence does."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    return super(torch.autograd.Function, function).apply(*args)


class Scan(torch.autograd.Function):
    """Forward over a whole sequence; returns everything that the plan lists, kept values last."""

    @staticmethod
    def forward(text, lengths, resets, *inputs):
        return tuple(run_forward(text, lengths, resets, inputs))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        text, lengths, resets, *tensors = inputs
        plan = parse(text)
        ctx.text = text
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[plan.returned :])
        used = [tensor if wanted else None for tensor, wanted in zip(output, plan.used, strict=True)]
        ctx.save_for_backward(lengths, resets, *tensors, *used)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        plan = parse(ctx.text)
        arguments = ctx.text, *ctx.saved_tensors, *grads[: plan.returned]
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            made = ScanBackward.apply(*arguments)
        else:
            made = ScanBackward.forward(*arguments)
        return (None, None, None, *_spread(plan, made))

    @staticmethod
    def vmap(info: Any, in_dims: tuple, text: str, *tensors: Tensor | None) -> tuple:
        plan = parse(text)
        many = Many(Scan, info.batch_size, text, tensors, in_dims[1:], [*FLAGS, *plan.kinds])
        return many.folded(plan.output_kinds) if many.only_rows() else many.one_by_one()


def _spread(plan: Plan, made: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of all inputs, from those that backward makes."""
    results: list[Tensor | None] = [None] * len(plan.kinds)
    for tensor, gradient in zip(plan.grads, made, strict=True):
        results[tensor] = gradient
    return results


class ScanBackward(torch.autograd.Function):
    """Backward over a whole sequence. It has no derivative of its own: second derivatives are the eager engine's."""

    @staticmethod
    def forward(text, lengths, resets, *tensors):
        plan = parse(text)
        count, end = len(plan.kinds), len(plan.kinds) + len(plan.outputs)
        return tuple(run_backward(text, lengths, resets, tensors[:count], tensors[count:end], tensors[end:]))

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
    def vmap(info: Any, in_dims: tuple, text: str, *tensors: Tensor | None) -> tuple:
        plan = parse(text)
        kinds = [*FLAGS, *plan.kinds, *plan.output_kinds, *plan.output_kinds[: plan.returned]]
        many = Many(ScanBackward, info.batch_size, text, tensors, in_dims[1:], kinds)
        made = [plan.kinds[tensor] for tensor in plan.grads]
        return many.folded(made) if many.only_rows() and "parameter" not in made else many.one_by_one()


FLAGS = ("lengths", "step")  # lengths (B,) and resets (T, B) go before the inputs
ROWS_AT = {"lengths": 0, "step": 1, "batch": 0, "states": 1, "steps": 2}  # the dimension of the batch


class Many:
    """One function on a stack of arguments (`torch.vmap`): as one larger batch where only rows are stacked."""

    def __init__(self, function: Any, size: int, text: str, tensors: Sequence, dims: Sequence, kinds: Sequence[str]):
        self.function, self.size, self.text = function, size, text
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
        values = self.function.apply(self.text, *arguments)
        at = tuple(ROWS_AT[kind] for kind in made)
        return tuple(v.unflatten(d, (self.size, -1)) for v, d in zip(values, at, strict=True)), at

    def one_by_one(self) -> tuple:
        """One call a sample, stacked."""

        def sample(i: int) -> list:
            pairs = zip(self.tensors, self.dims, strict=True)
            return [t if t is None or d is None else t.select(d, i) for t, d in pairs]

        made = [self.function.apply(self.text, *sample(i)) for i in range(self.size)]
        stacked = tuple(torch.stack(values) for values in zip(*made, strict=True))
        return stacked, (0,) * len(stacked)


@torch.library.custom_op("carousel::scan", mutates_args=())
def scan_op(inputs: Sequence[Tensor], lengths: Tensor | None, resets: Tensor | None, text: str) -> list[Tensor]:
    """`run_forward` as an operator."""
    return run_forward(text, lengths, resets, inputs)


@scan_op.register_fake
def _scan_shapes(inputs, lengths, resets, text):
    plan, x = parse(text), inputs[0]
    T, B = x.shape[:2]
    return [x.new_empty(shape_of(plan, kind, width, T, B)) for kind, width in plan.outputs]


@torch.library.custom_op("carousel::scan_backward", mutates_args=())
def scan_backward_op(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    text: str,
) -> list[Tensor]:
    """`run_backward` as an operator."""
    return run_backward(text, lengths, resets, inputs, outputs, grads)


@scan_backward_op.register_fake
def _gradient_shapes(inputs, outputs, grads, lengths, resets, text):
    return [inputs[i].new_empty(inputs[i].shape) for i in parse(text).grads]


def _save(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    tensors, lengths, resets, ctx.text = inputs
    ctx.save_for_backward(lengths, resets, *tensors, *output)


def _op_backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple:
    plan = parse(ctx.text)
    lengths, resets, *saved = ctx.saved_tensors
    inputs, outputs = saved[: len(plan.kinds)], saved[len(plan.kinds) :]
    given = [torch.zeros_like(o) if g is None else g for g, o in zip(grads, outputs, strict=True)][: plan.returned]
    made = torch.ops.carousel.scan_backward(inputs, outputs, given, lengths, resets, ctx.text)
    return _spread(plan, made), None, None, None


scan_op.register_autograd(_op_backward, setup_context=_save)
