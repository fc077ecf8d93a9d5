"""The networks of the papers whose numbers of parameters are known, each built from the library's own cells.

A number has one of three origins: the paper prints it; it is derived from sizes that the paper prints, often beside a
rounded number; or it, or the sizes it is derived from, are given from memory and not checked against the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from carousel import XLSTM, EncoderForecaster, Recurrent, cells, expand, sigmoid
from carousel.graph import Cell, cell

# -- cells of networks that the registry does not have


@cell
def unbiased(x, h, p):
    """The plain recurrent net that the LSTM of 1997 is compared with."""
    h = sigmoid(p.W @ x + p.U @ h)
    return h


@cell
def input_gate_only(x, s, p):
    """The one cell of experiment 2a: an input gate, nothing that recurs but s (Hochreiter & Schmidhuber, 1997)."""
    s = s + sigmoid(p.W_i @ x) * sigmoid(p.W_c @ x)
    return s


@cell(widths={"i": "blocks", "f": "blocks", "o": "blocks"})
def forget_gate_blocks(x, h, s, p):
    """Blocks of cells that share three gates; cells have no bias (Gers, Schmidhuber & Cummins, 2000)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    g = 4 * sigmoid(p.W_c @ x + p.U_c @ h) - 2
    s = expand(f, like=s) * s + expand(i, like=s) * g
    h = expand(o, like=s) * (2 * sigmoid(s) - 1)
    return h, s


# -- networks


class Network(nn.Module):
    """Hidden layers one upon the other, and output units that see the last of them.

    With `direct` the output units see the input as well; `bias` is theirs; a number of `words` reads words by number.
    """

    def __init__(
        self, hidden: list[Recurrent], outputs: int, bias: bool = True, direct: bool = False, words: int = 0
    ) -> None:
        super().__init__()
        first, last = hidden[0], hidden[-1]
        self.words = nn.Embedding(words, first.input_size) if words else None
        self.hidden = nn.ModuleList(hidden)
        seen = last.cell.output_width(**last.sizes) * (1 + last.bidirectional)
        self.direct = direct
        self.output = nn.Linear(seen + direct * first.input_size, outputs, bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, B, D), or (T, B) of words; the output units' net inputs (T, B, outputs)."""
        y = x = self.words(x) if self.words is not None else x
        for layer in self.hidden:
            y, _ = layer(y)
        return self.output(torch.cat([x, y], -1) if self.direct else y)


def lstm_1997(inputs: int, blocks: int, size: int, outputs: int, biased: str, bias: bool) -> Network:
    hidden = Recurrent(cells.lstm_1997.with_(biased=biased), inputs, blocks * size, blocks=blocks)
    return Network([hidden], outputs, bias)


def sparse(cell: Cell, inputs: int, hidden: int, outputs: int, direct: bool = True) -> Network:
    """No biases; output units see the input too."""
    return Network([Recurrent(cell, inputs, hidden)], outputs, bias=False, direct=direct)


def stacked(cell: Cell, inputs: int, hidden: int, outputs: int, layers: int = 1, both: bool = True) -> Network:
    return Network([Recurrent(cell, inputs, hidden, num_layers=layers, bidirectional=both)], outputs)


def timing(inputs: int, size: int, outputs: int, direct: bool = True) -> Network:
    return Network([Recurrent(cells.peephole_lstm, inputs, size)], outputs, direct=direct)


def projected(layers: int, hidden: int, proj: int) -> Network:
    first = Recurrent(cells.lstmp.with_(nonrecurrent=False), 40, hidden, proj_size=proj)
    above = [Recurrent(first.cell, proj, hidden, proj_size=proj) for _ in range(layers - 1)]
    return Network([first, *above], 14_247)


def words(hidden: int) -> Network:
    return Network([Recurrent(cells.lstm, hidden, hidden, num_layers=2)], 10_000, words=10_000)


def xlstm(size: int, blocks: int, words: int) -> nn.ModuleList:
    """What a language model is made of; its output has weights of its own."""
    return nn.ModuleList([nn.Embedding(words, size), XLSTM(size, blocks), nn.Linear(size, words, bias=False)])


# -- what the papers say

OWN = "of its own"


@dataclass(frozen=True)
class Count:
    """A network, what its paper prints, the exact number, its origin, and how to build it."""

    paper: str
    network: str
    cell: str
    printed: str
    exact: int
    origin: str
    build: Callable[[], nn.Module]

    def counted(self) -> int:
        """The number of parameters of the network, built without memory for them."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.build().parameters())


def printed(paper: str, network: str, cell: str, exact: int, build: Callable[[], nn.Module]) -> Count:
    return Count(paper, network, cell, f"{exact:,}", exact, "the paper", build)


def derived(paper: str, network: str, cell: str, exact: int, build: Callable[[], nn.Module], said: str = "") -> Count:
    return Count(paper, network, cell, said, exact, "derived", build)


def counts() -> Iterator[Count]:
    """Every count, by the year of its paper."""
    yield from _hochreiter_1997()
    yield from _gers()
    yield from _graves()
    yield from _large()


def _hochreiter_1997() -> Iterator[Count]:
    paper, name = "Hochreiter & Schmidhuber 1997", "lstm_1997"
    yield printed(paper, "1: Reber, 4 blocks of 1", name, 264, partial(lstm_1997, 7, 4, 1, 7, "io", False))
    yield printed(paper, "1: Reber, 3 blocks of 2", name, 276, partial(lstm_1997, 7, 3, 2, 7, "io", False))
    for hidden, exact in ((3, 170), (12, 494)):
        build = partial(Recurrent, unbiased, 7, hidden + 7)  # the output units are among those that recur
        yield derived(paper, f"1: RTRL, {hidden} hidden units", OWN, exact, build, f"about {exact}")
    build = partial(sparse, unbiased, 7, 15, 7, direct=False)
    yield derived(paper, "1: Elman's net, 15 hidden units", OWN, 435, build, "about 435")
    yield printed(paper, "2a: one cell", OWN, 10_504, partial(sparse, input_gate_only, 101, 1, 101))
    for p, exact in ((4, 36), (10, 144), (100, 10_404)):
        yield printed(paper, f"2a: RTRL, p = {p}", OWN, exact, partial(sparse, unbiased, p + 1, 1, p + 1))
    for p, exact in ((50, 364), (100, 664), (200, 1_264), (500, 3_064), (1_000, 6_064)):
        yield printed(paper, f"2c: {p:,} distractors", name, exact, partial(lstm_1997, p + 4, 2, 1, 2, "", False))
    yield printed(paper, "3: two sequences", name, 102, partial(lstm_1997, 1, 3, 1, 1, "ioc", False))
    yield printed(paper, "4: adding", name, 93, partial(lstm_1997, 2, 2, 2, 1, "ioc", True))
    yield printed(paper, "6a: temporal order", name, 156, partial(lstm_1997, 8, 2, 2, 4, "ioc", True))
    yield printed(paper, "6b: temporal order", name, 308, partial(lstm_1997, 8, 3, 2, 8, "ioc", True))


def _gers() -> Iterator[Count]:
    yield printed(
        "Gers, Schmidhuber & Cummins 2000",
        "continual Reber, 4 blocks of 2",
        OWN,
        424,
        lambda: Network([Recurrent(forget_gate_blocks, 7, 8, blocks=4)], 7, direct=True),
    )
    for language, sizes, exact in (
        ("a^n b^n", (3, 1, 3), 38),
        ("a^n b^m B^m A^n", (5, 2, 5), 110),
        ("a^n b^n c^n", (4, 2, 4), 90),
    ):
        build = partial(timing, *sizes)
        yield Count("Gers & Schmidhuber 2001", language, "peephole_lstm", "", exact, "memory", build)
    paper = "Gers, Schraudolph & Schmidhuber 2002"
    yield printed(paper, "timing, 1 cell", "peephole_lstm", 17, partial(timing, 1, 1, 1, direct=False))


def _graves() -> Iterator[Count]:
    cell, name = cells.peephole_lstm, "peephole_lstm"
    framewise = partial(stacked, cell, 26, 93, 61)
    yield Count("Graves & Schmidhuber 2005", "framewise, BLSTM, 93 cells", name, "", 101_245, "memory", framewise)
    paper = "Graves et al. 2006"
    yield printed(paper, "CTC, BLSTM, 100 cells", name, 114_662, partial(stacked, cell, 26, 100, 62))
    yield printed(paper, "hybrid, BLSTM, 100 cells", name, 114_461, partial(stacked, cell, 26, 100, 61))
    paper = "Graves, Mohamed & Hinton 2013"
    for network, hidden, layers, both, exact, said in (
        ("CTC-1l-250h", 250, 1, True, 780_562, "0.8 M"),
        ("CTC-1l-622h", 622, 1, True, 3_793_018, "3.8 M"),
        ("CTC-2l-250h", 250, 2, True, 2_284_062, "2.3 M"),
        ("CTC-3l-250h", 250, 3, True, 3_787_562, "3.8 M"),
        ("CTC-5l-250h", 250, 5, True, 6_794_562, "6.8 M"),
        ("CTC-3l-421h-uni", 421, 3, False, 3_786_957, "3.8 M"),
    ):
        yield derived(paper, network, name, exact, partial(stacked, cell, 123, hidden, 62, layers, both), said)
    plain = partial(stacked, cells.elman, 123, 500, 62, 3)
    yield derived(paper, "CTC-3l-500h-tanh", "elman", 3_688_062, plain, "3.7 M")


def _large() -> Iterator[Count]:
    paper = "Sak, Senior & Beaufays 2014"
    yield derived(paper, "2 x (800, 512)", "lstmp", 13_182_311, partial(projected, 2, 800, 512), "13 M")
    yield derived(paper, "1 x (2048, 512)", "lstmp", 12_893_607, partial(projected, 1, 2_048, 512))
    paper = "Zaremba, Sutskever & Vinyals 2014"
    yield derived(paper, "small, 2 x 200", "lstm", 4_651_600, partial(words, 200))
    yield derived(paper, "medium, 2 x 650", "lstm", 19_775_200, partial(words, 650), "20 M")
    yield derived(paper, "large, 2 x 1500", "lstm", 66_022_000, partial(words, 1_500), "66 M")
    yield from _shi()
    core = partial(Recurrent, cells.lstm, 4_096, 4_096)
    yield derived("OpenAI et al. 2019", "the LSTM of Five", "lstm", 134_234_112, core, "84 % of 159 M")
    # 48 blocks of 1,024 features and 50,304 words are from memory.
    build = partial(xlstm, 1_024, 48, 50_304)
    yield Count("Beck et al. 2024", "xLSTM[7:1]", "mlstm", "408.4 M", 408_436_048, "memory", build)


def _shi() -> Iterator[Count]:
    """Moving MNIST, whose frames of 64 x 64 are patched to 16 channels of 16 x 16; peepholes count once a channel."""
    paper, name = "Shi et al. 2015", "conv_lstm"
    # The fully connected one is the convolutional one on images of one position.
    full = partial(EncoderForecaster, 4_096, [2_048, 2_048], 1, read="last")
    yield printed(paper, "FC-LSTM 2048-2048", name, 142_667_776, full)
    for kernel, recurrent, hidden, exact in (
        (5, 5, [256], 13_524_496),
        (5, 5, [128, 128], 10_042_896),
        (5, 5, [128, 64, 64], 7_585_296),
        (9, 1, [128, 128], 11_550_224),
        (9, 1, [128, 64, 64], 8_830_480),
    ):
        network = f"({kernel}x{kernel})" + "".join(f"-{recurrent}x{recurrent}-{h}" for h in hidden)
        build = partial(EncoderForecaster, 16, hidden, kernel, recurrent_kernel_size=recurrent)
        yield printed(paper, f"ConvLSTM {network}", name, exact, build)
