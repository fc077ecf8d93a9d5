"""What a fit leaves behind, and how it becomes a model folder and comes back from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.graph.storing import from_data, to_data
from carousel.jobs import JobError
from carousel.jobs import folder as files
from carousel.jobs.equations import cell_sizes, spec_of
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.jobs.transcribe.decoding import Decoding
from carousel.jobs.transcribe.evaluation import Evaluation
from carousel.jobs.transcribe.inputs import Inputs
from carousel.jobs.transcribe.language import make_language_model
from carousel.jobs.transcribe.model import Network, collate
from carousel.labelling import LabelModel
from carousel.layers.initial import undrawn

PLOT = "alignment.png"
JOB = files.Job("transcribe", (PLOT,))


class Fitted(NamedTuple):
    """A fitted model."""

    network: Network
    inputs: Inputs
    alphabet: Alphabet
    training: dict[str, Any]  # how it went
    language: LabelModel | None = None

    def outputs(self, frames: list[Tensor], batch_size: int) -> Iterator[Tensor]:
        """What the head reads of each item, (T, R), given its features: of CTC the scores."""
        self.network.eval()
        for first in range(0, len(frames), batch_size):
            steps = [self.inputs.steps(one) for one in frames[first : first + batch_size]]
            batch = collate([(one, torch.empty(0)) for one in steps])
            with torch.no_grad():
                read = self.network(batch.x, batch.lengths)
            yield from (read[:length, b] for b, length in enumerate(batch.lengths.tolist()))

    def decoder(self, decoding: Decoding) -> Any:
        """The chosen decoder of `outputs`, and of streams where it can. Raises JobError for a choice without sense."""
        decoding.check()
        return self.network.head.decoder(decoding, self.alphabet, self.language)


def make_network(cell: Any, inputs: Inputs, alphabet: Alphabet, settings: dict[str, Any]) -> Network:
    """A network with fresh weights. Raises JobError where the cell cannot be built so."""
    names = ("model", "hidden_size", "layers", "bidirectional", "dropout", "noise")
    extra = cell_sizes(cell, settings["hidden_size"], settings["sizes"])
    try:
        return Network(
            cell,
            inputs.width,
            len(alphabet.strings),
            cell_sizes=extra,
            **{name: settings[name] for name in names},
        )
    except (ValueError, TypeError) as error:
        raise JobError(f"cell {cell.name} cannot be built: {error}") from None


def describe(settings: dict[str, Any], fitted: Fitted, data: dict[str, Any], status: str) -> dict[str, Any]:
    """``model.json``: all of the model but its weights."""
    import carousel

    return {
        "format": files.FORMAT,
        "job": JOB.name,
        "carousel": carousel.__version__,
        "status": status,
        "settings": settings,
        "cell": {"spec": spec_of(settings["cell"]), **to_data(fitted.network.layers.cell)},
        "inputs": fitted.inputs.plain(),
        "alphabet": fitted.alphabet.characters,
        "data": data,
        "training": fitted.training,
    }


def save(path: Path, model: dict[str, Any], fitted: Fitted, evaluation: Evaluation | None) -> None:
    """Write the weights and the JSON files."""
    tensors = {f"network.{name}": value for name, value in fitted.network.state_dict().items()}
    scale = fitted.inputs.scale
    if scale.mean is not None and scale.deviation is not None:
        tensors |= {"inputs.mean": scale.mean, "inputs.deviation": scale.deviation}
    if fitted.language is not None:
        tensors |= {f"language.{name}": value for name, value in fitted.language.state_dict().items()}
    files.write_weights(path, tensors)
    if evaluation is not None:
        files.write_json(path / files.METRICS, evaluation.plain())
    files.write_json(path / files.MODEL, model)


def load(path: Path) -> tuple[dict[str, Any], Fitted]:
    """The contents of ``model.json`` and the model in a folder.

    Raises:
        JobError: the folder is damaged, unfinished, of another job or format.
    """
    model = files.read_model(path, JOB)
    if model.get("status") != "finished":
        raise JobError(f"{path}: its training was not finished; continue it with carousel transcribe fit ... --resume.")
    tensors = files.read_weights(path)
    try:
        return model, _restore(model, tensors)
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        told = str(error).split("\n")[0]
        raise JobError(f"{path}: damaged, {type(error).__name__}: {told}. Fit the model again.") from None


def _restore(model: dict[str, Any], tensors: dict[str, Tensor]) -> Fitted:
    inputs = Inputs.from_plain(model["inputs"], tensors.get("inputs.mean"), tensors.get("inputs.deviation"))
    alphabet = Alphabet(model["alphabet"])
    with undrawn():
        network = make_network(from_data(model["cell"]), inputs, alphabet, model["settings"])
        language = make_language_model(alphabet) if model["training"].get("language_model") else None
    network.load_state_dict(_under("network.", tensors))
    if language is not None:
        language.load_state_dict(_under("language.", tensors))
        language.eval()
    return Fitted(network.eval(), inputs, alphabet, model["training"], language)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
