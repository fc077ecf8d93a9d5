"""Printed lines: an archive of line images ``*.png`` with their transcripts ``*.gt.txt``."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from carousel.jobs import JobError

ENDINGS = (".bin.png", ".gt.txt")


def unpack(path: Path, folder: Path) -> Any:
    """Write the images and texts of a tar archive to a folder, and give their table: path, text, and speaker, which is
    the page that the line stands on.

    Raises:
        JobError: it is no such archive, or an image has no text.
    """
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(path) as archive:
            members = {one.name: one for one in archive.getmembers() if one.isfile() and one.name.endswith(ENDINGS)}
            files = {name: archive.extractfile(one) for name, one in members.items()}
            contents = {name: file.read() for name, file in files.items() if file is not None}
    except (OSError, tarfile.TarError) as error:
        raise JobError(f"{path}: not readable as a tar archive ({error}).") from None
    images = sorted(name for name in contents if name.endswith(ENDINGS[0]))
    if not images:
        raise JobError(f"{path}: holds no PAGE/LINE.bin.png.")
    return pd.DataFrame([_row(path, folder, name, contents) for name in images])


def _row(path: Path, folder: Path, name: str, contents: dict[str, bytes]) -> dict[str, str]:
    text = contents.get(name.removesuffix(ENDINGS[0]) + ENDINGS[1])
    if text is None:
        raise JobError(f"{path}: {name} has no {ENDINGS[1]} beside it.")
    page, line = PurePosixPath(name).parts[-2:]
    image = folder / f"{page}-{line}"
    image.write_bytes(contents[name])
    return {"path": str(image), "text": text.decode(), "speaker": page}
