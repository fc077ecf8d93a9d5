"""What PyTorch's layers share when a cell of ours runs them: everything but how their parameters are the cell's.

PyTorch stacks the gates in the rows of one matrix, and has two biases where one would do; the cells get the rows.
Legend: H hidden units, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel import engines
from carousel.engines.params import Parameters
from carousel.layers import stack as driver
from carousel.layers.inputs import Lengths
from carousel.layers.lookup import tensor_of

if TYPE_CHECKING:
    from carousel.graph import Cell


class DropIn(nn.RNNBase):
    """A subclass of one of PyTorch's layers as well. Its class attributes serve layers made by `replace`."""

    engine = "auto"
    checkpoint_every: int | None = None

    def __init__(self, *args: Any, engine: str = "auto", checkpoint_every: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine = engines.check_name(engine)
        self.checkpoint_every = driver.check_every(type(self).__name__, checkpoint_every)

    def _cell(self) -> Cell:
        raise NotImplementedError

    def _weights(self, end: str) -> Parameters:
        raise NotImplementedError

    def _state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.hidden_size,),)

    def _biases(self, end: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """Both biases, zeros where the layer has none."""
        if self.bias:
            return tensor_of(self, "bias_ih" + end), tensor_of(self, "bias_hh" + end)
        zeros = like.new_zeros(len(like))
        return zeros, zeros

    def _initial(self, end: str, x: Tensor) -> None:
        return None  # zeros

    def _stack(self) -> driver.Stack:
        sizes = {"input_size": self.input_size, "hidden_size": self.hidden_size}
        if self.proj_size:
            sizes["proj_size"] = self.proj_size
        return driver.Stack(
            name=type(self).__name__,
            cell=self._cell(),
            sizes=sizes,
            output_width=self.proj_size or self.hidden_size,
            state_shapes=self._state_shapes(),
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            batch_first=self.batch_first,
            dropout=self.dropout,
            training=self.training,
            engine=self.engine,
            weights=self._weights,
            initial=self._initial,
            checkpoint_every=self.checkpoint_every,
        )


class OneState(DropIn):
    """GRU and RNN: their only state is passed and returned bare, not in a tuple."""

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        record: Sequence[str] = (),
    ) -> Any:
        """As `LSTM.forward`, with h in the place of (h, c)."""
        states = None if hx is None else (hx,)
        y, (h,), seen = driver.forward(self._stack(), input, states, lengths, resets, record, {})
        return (y, h, seen) if record else (y, h)

    def step(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `LSTM.step`, with h in the place of (h, c)."""
        y, (h,) = driver.step(self._stack(), x, None if state is None else (state,), {})
        return y, h
