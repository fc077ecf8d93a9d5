"""How what the network puts out becomes text: which decoder, with which language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.labelling import NGram

DECODERS = ("best-path", "prefix-search", "beam")
ENDINGS = (".arpa", ".arpa.gz")
SPACE = ("<space>", "<sp>", "|", "▁", "_")  # how files of characters may write the space


class Decoding(NamedTuple):
    """The user's choice.

    ``beam``: how many beginnings it keeps; None is 50, or of a transducer 10. ``language_model``: None, or "own" for
    the one in the model folder, or an ARPA file. ``weight`` and ``bonus`` are those of `BeamSearch`.
    """

    decoder: str = "best-path"
    beam: int | None = None
    language_model: str | None = None
    weight: float = 0.5
    bonus: float = 0.0

    def check(self) -> None:
        """Raise JobError for a choice that makes no sense."""
        if self.decoder not in DECODERS:
            raise JobError(f"decoder is {self.decoder!r}, expected one of {', '.join(DECODERS)}.")
        if self.language_model is not None and self.decoder != "beam":
            raise JobError(f"a language model needs --decoder beam, but the decoder is {self.decoder}.")
        if self.beam is not None and self.beam < 1:
            raise JobError(f"beam is {self.beam}, expected at least 1.")
        if self.weight < 0:
            raise JobError(f"lm_weight is {self.weight}, expected a number of at least 0.")


def read_language_model(name: str | None, alphabet: Alphabet, own: Any) -> Any:
    """The language model of a choice.

    Args:
        name: as `Decoding` has it.
        alphabet: the model's.
        own: the language model that was fitted with it, or None.

    Raises:
        JobError: it is missing, damaged, or of other characters.
    """
    if name is None:
        return None
    if name == "own":
        if own is None:
            raise JobError("the model has no language model of its own; fit it with --language-model, or give a file.")
        return own
    return read_arpa(Path(name), alphabet)


def read_arpa(path: Path, alphabet: Alphabet) -> Any:
    """The n-gram model in a file: of words if it knows longer ones than characters, else of characters.

    Raises:
        JobError: the file is missing or damaged, or lacks characters.
    """
    if not path.name.endswith(ENDINGS):
        raise JobError(f"{path}: expected a language model in a file that ends in {' or '.join(ENDINGS)}.")
    try:
        ngram = NGram.read(path)
        if any(len(word) > 1 and word not in SPACE and not word.startswith("<") for word in ngram.vocabulary):
            return ngram.words(alphabet.strings)
        return ngram.labels(_spelled(ngram, alphabet))
    except FileNotFoundError:
        raise JobError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise JobError(f"{path}: {error}") from None


def _spelled(ngram: NGram, alphabet: Alphabet) -> list[str]:
    """The labels as the file writes them: its space stands for ours."""
    known = set(ngram.vocabulary)
    space = next((one for one in SPACE if one in known), " ")
    return [space if one == " " else one for one in alphabet.strings]
