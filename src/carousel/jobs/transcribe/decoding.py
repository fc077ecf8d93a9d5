"""How scores become text: which decoder, with which language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.labelling import BeamSearch, BestPath, NGram, PrefixSearch

DECODERS = ("best-path", "prefix-search", "beam")
ENDINGS = (".arpa", ".arpa.gz")
SPACE = ("<space>", "<sp>", "|", "▁", "_")  # how files of characters may write the space
THRESHOLD = 1e-4  # labels less probable at a step are not tried in a beam


class Decoding(NamedTuple):
    """The user's choice.

    ``language_model``: None, or "own" for the one in the model folder, or an ARPA file. ``weight`` and ``bonus`` are
    those of `BeamSearch`.
    """

    decoder: str = "best-path"
    beam: int = 50
    language_model: str | None = None
    weight: float = 0.5
    bonus: float = 0.0

    def check(self) -> None:
        """Raise JobError for a choice that makes no sense."""
        if self.decoder not in DECODERS:
            raise JobError(f"decoder is {self.decoder!r}, expected one of {', '.join(DECODERS)}.")
        if self.language_model is not None and self.decoder != "beam":
            raise JobError(f"a language model needs --decoder beam, but the decoder is {self.decoder}.")
        if self.beam < 1:
            raise JobError(f"beam is {self.beam}, expected at least 1.")
        if self.weight < 0:
            raise JobError(f"lm_weight is {self.weight}, expected a number of at least 0.")


def make_decoder(decoding: Decoding, alphabet: Alphabet, own: Any) -> Any:
    """A decoder of scores (T, K), and of streams but for the prefix search.

    Args:
        decoding: the choice.
        alphabet: the model's.
        own: the language model that was fitted with it, or None.

    Raises:
        JobError: the language model is missing, damaged, or of other characters.
    """
    decoding.check()
    if decoding.decoder == "best-path":
        return BestPath()
    if decoding.decoder == "prefix-search":
        return PrefixSearch()
    model = _language_model(decoding.language_model, alphabet, own)
    return BeamSearch(
        decoding.beam, language_model=model, weight=decoding.weight, bonus=decoding.bonus, threshold=THRESHOLD
    )


def _language_model(name: str | None, alphabet: Alphabet, own: Any) -> Any:
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
