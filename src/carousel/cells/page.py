"""A cell's page: the docstring of its file, in the parts that every page has."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABELS = {"Known for:": "known_for", "Deviates from the paper:": "deviates", "Oracle:": "oracle"}


@dataclass(frozen=True)
class Page:
    """What the docstring of a cell's file says, which is the paper in short.

    Attributes:
        title: one sentence, the first paragraph.
        sources: the papers, each with DOI or arXiv id.
        equations: the indented part, as in the paper.
        notes: what stands beside the equations.
        known_for: what the cell is used for, or what it showed.
        deviates: what differs from the paper, and why.
        oracle: whose numbers the cell is tested against; its first clause is `tested_against`.
    """

    title: str
    sources: str
    equations: str
    notes: str
    known_for: str
    deviates: str
    oracle: str

    @property
    def tested_against(self) -> str:
        """The oracle's name."""
        return re.split(r"[,;:(]\s?|\.(?:\s|$)", self.oracle)[0].strip()


def read_page(text: str) -> Page:
    """The parts of a page.

    >>> page = read_page('''The simple recurrent network.
    ...
    ... Elman, "Finding structure in time", 1990, doi:10.1207/s15516709cog1402_1.
    ...
    ...     h_t = tanh(W x_t + U h_{t-1} + b)
    ...
    ... Known for: being the first that many learn.
    ... Deviates from the paper: tanh in place of the logistic function.
    ... Oracle: torch.nn.RNN, whose two biases add up to b.
    ... ''')
    >>> page.equations
    'h_t = tanh(W x_t + U h_{t-1} + b)'
    >>> page.tested_against
    'torch.nn.RNN'
    """
    title, *rest = re.split(r"\n\s*\n", text.strip("\n"))
    parts: dict[str, list[str]] = {name: [] for name in ("sources", "equations", "notes", *_LABELS.values())}
    for paragraph in rest:
        if paragraph.startswith("    "):
            parts["equations"].append("\n".join(line[4:] for line in paragraph.splitlines()))
            continue
        for part, content in _labelled(paragraph, "notes" if parts["equations"] else "sources"):
            parts[part].append(content)
    joined = {name: ("\n\n" if name == "equations" else "\n").join(found) for name, found in parts.items()}
    return Page(" ".join(title.split()), **joined)


def _labelled(paragraph: str, part: str) -> list[tuple[str, str]]:
    """The paragraph's lines by the label that they follow, each part on one line."""
    found: list[tuple[str, list[str]]] = [(part, [])]
    for line in paragraph.splitlines():
        label = next((label for label in _LABELS if line.startswith(label)), None)
        if label is None:
            found[-1][1].append(line.strip())
        else:
            found.append((_LABELS[label], [line.removeprefix(label).strip()]))
    return [(name, " ".join(lines)) for name, lines in found if lines]
