"""`Transcriber`: fit, predict, evaluate, align, save, load. The command line is a thin layer over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.jobs import JobError
from carousel.jobs.transcribe.model import MODELS

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from carousel.graph import AnyCell
    from carousel.jobs.transcribe.alignment import Aligned
    from carousel.jobs.transcribe.decoding import Decoding
    from carousel.jobs.transcribe.evaluation import Evaluation
    from carousel.jobs.transcribe.fitted import Fitted
    from carousel.jobs.transcribe.prepare import Prepared
    from carousel.jobs.transcribe.samples import Fault, Sample
    from carousel.jobs.transcribe.streaming import Listener
    from carousel.train import Progress


class Transcriber:
    """Turns recordings or line images into text.

    Layers of any cell read log-mel spectra or columns of pixels, in both directions or one, and are trained by
    connectionist temporal classification (Graves et al., ICML 2006, doi:10.1145/1143844.1143891), or as a transducer
    (Graves, Mohamed & Hinton, ICASSP 2013, arXiv:1303.5778).

    Args:
        model: "ctc", or "transducer", in which what is written depends on the characters before.
        cell: a registered cell, ``"path/to/file.py:name"``, or a cell.
        hidden_size, layers, bidirectional, dropout: of the network; dropout between layers and before the last.
        sizes: the cell's further sizes, half of ``hidden_size`` by default.
        rate: samples a second; recordings with more are resampled. None asks that all have the same.
        channel: of recordings with several: "mean", or a number from 0. None asks that there is one.
        bands: mel bands of a frame (every 10 ms, of 25 ms).
        height, line: of images: rows of pixels, and "ink" (straightened and scaled by the ink) or "whole".
        scale: of the features: "global", "own" (each item by itself) or "none"; by default global for recordings and
            none for images.
        deltas: how many derivatives in time stand beside the features.
        stack, stride: how many frames make a step, and how many frames from one step to the next; by default 3 of a
            recording, 2 of an image, and as many as are stacked.
        noise: deviation of Gaussian noise on the inputs in training.
        warp: by how much, at most, items are made slower or faster, and bands or rows are moved, at random in training:
            0.1 is a tenth.
        language_model: "transcripts", or a text file, from which an LSTM of characters is trained for decoding; not
            for a transducer, which has one within.
        epochs, batch_size, learning_rate, seed: of training.
        patience: epochs without a better validation label error rate before training stops.
        strategy, devices: handed to Lightning.

    Raises:
        JobError: a setting is out of range.

    Example:
        >>> import pathlib, tempfile, numpy as np, soundfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for number in range(20):
        ...     text = "ab" if number % 2 else "ba"
        ...     tones = [np.sin(np.arange(800) * (0.5 if letter == "a" else 1.5)) for letter in text]
        ...     soundfile.write(folder / f"{number}.wav", np.concatenate(tones), 8000)
        ...     _ = (folder / f"{number}.txt").write_text(text)
        >>> transcriber = Transcriber(hidden_size=8, layers=1, epochs=2).fit(folder)
        >>> transcriber.predict(folder).columns.tolist()
        ['path', 'text']
    """

    def __init__(
        self,
        *,
        model: str = "ctc",
        cell: str | AnyCell = "lstm",
        hidden_size: int = 64,
        layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.2,
        sizes: dict[str, int] | None = None,
        rate: int | None = None,
        channel: str | int | None = None,
        bands: int = 40,
        height: int = 32,
        line: str = "ink",
        scale: str | None = None,
        deltas: int = 0,
        stack: int | None = None,
        stride: int | None = None,
        noise: float = 0.0,
        warp: float = 0.0,
        language_model: str | None = None,
        epochs: int = 100,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        seed: int = 0,
        strategy: str = "auto",
        devices: str | int = 1,
    ):
        given = dict(locals())
        self.settings: dict[str, Any] = {name: value for name, value in given.items() if name != "self"}
        self.settings["sizes"] = dict(sizes or {})
        check_settings(self.settings)
        self.fitted: Fitted | None = None
        self.prepared: Prepared | None = None
        self.evaluation: Evaluation | None = None
        self.faults: list[Fault] = []
        self._model: dict[str, Any] = {}

    def fit(
        self,
        data: Any,
        *,
        output: str | Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        skip_faulty: bool = False,
        console: Console | None = None,
        progress: Progress | None = None,
    ) -> Transcriber:
        """Fit on the training part of the data, stop early by the validation part, and score the test part.

        Args:
            data: a folder of recordings or line images with a transcript beside each (NAME.txt or NAME.gt.txt); a table
                (CSV, TSV, Parquet, or a pandas or Polars frame) with columns path and text, and perhaps split
                (training, validation, test) or speaker.
            output: the model folder; without one nothing is written, and nothing can be resumed.
            overwrite: replace a model folder that is there.
            resume: continue the training in ``output`` that was cut off, to the same bits.
            skip_faulty: leave out what cannot be read, has no transcript or is too short for it; `faults` has them.
            console: where to tell what happens.
            progress: what shows how far training is, instead of a bar on the console.

        Raises:
            JobError: the data or the folder will not do.
            KeyboardInterrupt: stopped by the user; with ``output`` the training can be resumed.
        """
        from carousel.jobs.transcribe.fitting import fit

        if resume and output is None:
            raise JobError("resume needs the output folder in which the training was cut off.")
        folder = None if output is None else Path(output)
        found = fit(data, self.settings, folder, overwrite, resume, skip_faulty, console, progress)
        self._model, self.fitted, self.evaluation, self.prepared = found
        self.faults = self.prepared.faults
        return self

    def predict(
        self,
        data: Any,
        *,
        decoding: Decoding | None = None,
        skip_faulty: bool = False,
        console: Console | None = None,
    ) -> pd.DataFrame:
        """What the model writes of each recording or image in a folder or a table, or of a single file.

        Args:
            data: as for `fit`; no transcripts are needed.
            decoding: how scores become text: `Decoding("beam", language_model="words.arpa")`; None is the best path.
            skip_faulty: leave out what cannot be read; `faults` has them.
            console: where to tell what happens.

        Returns:
            A pandas frame with the columns path and text.

        Raises:
            JobError: the model is not fitted, or the data will not do.
        """
        import pandas as pd

        from carousel.jobs.transcribe.writing import write

        samples = self._read(data, False, skip_faulty, console)
        texts = write(self._fitted(), samples, self.settings["batch_size"], _chosen(decoding))
        return pd.DataFrame({"path": [str(one.item.path) for one in samples], "text": texts})

    def evaluate(
        self,
        data: Any,
        *,
        decoding: Decoding | None = None,
        skip_faulty: bool = False,
        unknown_as_errors: bool = False,
        console: Console | None = None,
    ) -> Evaluation:
        """Label and word error rates, with 95 % intervals, and the worst examples.

        Of a table with a column split, the rows for the test alone are scored. Transcripts with characters that the
        model cannot write are refused, or with ``unknown_as_errors`` count as they are: such a character is an error.

        Raises:
            JobError: the model is not fitted, or the data will not do.
        """
        from carousel.jobs.transcribe.samples import refuse_unknown
        from carousel.jobs.transcribe.writing import score

        samples = self._read(data, True, skip_faulty, console)
        if not unknown_as_errors:
            refuse_unknown(samples, self._fitted().alphabet)
        return score(self._fitted(), samples, self.settings["batch_size"], _chosen(decoding))

    def align(
        self,
        data: Any,
        *,
        written: bool = False,
        decoding: Decoding | None = None,
        skip_faulty: bool = False,
        console: Console | None = None,
    ) -> list[Aligned]:
        """Where each character and word of the transcripts stands; with ``written``, of what the model writes.

        The network was never told where characters stand, only their order: it may mark a character by a short part of
        it, and later than its middle.

        Returns:
            For each item its characters and words with begin, end and probability, in seconds of a recording or in
            pixels from the left of an image.

        Raises:
            JobError: the model is not fitted, or the data will not do.
        """
        from carousel.jobs.transcribe.alignment import align
        from carousel.jobs.transcribe.samples import refuse_unknown
        from carousel.jobs.transcribe.writing import write

        samples, fitted = self._read(data, not written, skip_faulty, console), self._fitted()
        if written:
            texts = write(fitted, samples, self.settings["batch_size"], _chosen(decoding))
        else:
            refuse_unknown(samples, fitted.alphabet)
            texts = [sample.text for sample in samples]
        return align(fitted, samples, texts, self.settings["batch_size"])

    def listen(self, *, decoding: Decoding | None = None) -> Listener:
        """A `Listener`, which is fed the samples of a recording piece by piece and tells the text so far.

        Raises:
            JobError: the model is not fitted, or has to see the whole recording before it can begin.
        """
        from carousel.jobs.transcribe.streaming import Listener

        fitted = self._fitted()
        return Listener(fitted, fitted.decoder(_chosen(decoding)))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder.

        Raises:
            JobError: the model is not fitted, or the folder is taken.
        """
        from carousel.jobs.folder import claim
        from carousel.jobs.transcribe.fitted import JOB, save

        fitted = self._fitted()
        claim(Path(folder), JOB, overwrite, resume=False)
        save(Path(folder), self._model, fitted, self.evaluation)

    @classmethod
    def load(cls, folder: str | Path) -> Transcriber:
        """The transcriber in a model folder. It needs the source of no cell: the folder has the equations.

        Raises:
            JobError: the folder is missing, damaged or of another format.
        """
        from carousel.jobs.transcribe.fitted import load

        model, fitted = load(Path(folder))
        loaded = cls(**model["settings"])
        loaded.fitted, loaded._model = fitted, model
        return loaded

    def _fitted(self) -> Fitted:
        if self.fitted is None:
            raise JobError("the transcriber is not fitted yet; call fit first, or Transcriber.load.")
        return self.fitted

    def _read(self, data: Any, transcripts: bool, skip_faulty: bool, console: Console | None) -> list[Sample]:
        """The samples of the data, those for the test alone where they are marked so."""
        from carousel.jobs.transcribe.reading import find
        from carousel.jobs.transcribe.samples import read_samples, refuse

        items = find(data)
        if transcripts and any(item.split == "test" for item in items):
            items = [item for item in items if item.split == "test"]
        fitted = self._fitted()
        least = fitted.network.head.least_steps if transcripts else None
        samples, self.faults = read_samples(items, fitted.inputs, least, console)
        refuse(self.faults, len(items), skip_faulty)
        return samples


def _chosen(decoding: Decoding | None) -> Decoding:
    from carousel.jobs.transcribe.decoding import Decoding

    return decoding or Decoding()


LEAST = {"hidden_size": 1, "layers": 1, "bands": 1, "height": 2, "deltas": 0, "epochs": 1, "patience": 1}
LEAST |= {"batch_size": 1, "rate": 1, "stack": 1, "stride": 1}
OPTIONAL = ("rate", "stack", "stride")
CHOICES = {"model": tuple(MODELS), "scale": ("global", "own", "none", None), "line": ("ink", "whole")}


def check_settings(settings: dict[str, Any]) -> None:
    """Raise JobError for a setting out of range."""
    for name, least in LEAST.items():
        value = settings[name]
        if not (isinstance(value, int) and value >= least) and not (name in OPTIONAL and value is None):
            raise JobError(f"{name} is {value!r}, expected a whole number of at least {least}.")
    if not 0 <= settings["dropout"] < 1:
        raise JobError(f"dropout is {settings['dropout']}, expected a probability below 1.")
    if not settings["noise"] >= 0:
        raise JobError(f"noise is {settings['noise']}, expected a deviation of at least 0.")
    if not 0 <= settings["warp"] <= 0.5:
        raise JobError(f"warp is {settings['warp']}, expected a part from 0 to 0.5.")
    if not settings["learning_rate"] > 0:
        raise JobError(f"learning_rate is {settings['learning_rate']}, expected a positive number.")
    for name, known in CHOICES.items():
        if settings[name] not in known:
            words = ", ".join(repr(one) for one in known if one)
            raise JobError(f"{name} is {settings[name]!r}, expected one of {words}.")
    if settings["language_model"] and settings["model"] == "transducer":
        raise JobError("language_model is for models of CTC; a transducer predicts characters by itself. Leave it out.")
    if settings["language_model"] and settings["devices"] not in (1, "1"):
        raise JobError("language_model is learned by one process; fit with devices 1.")
    channel = settings["channel"]
    if channel is not None and channel != "mean" and not str(channel).isdigit():
        raise JobError(f"channel is {channel!r}, expected 'mean' or a number from 0.")
