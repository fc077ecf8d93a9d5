"""Checkpoints: written whole or not at all, read as tensors and plain values only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from carousel.train.errors import TrainingError

CHECKPOINT = "last.ckpt"


class SafeIO(TorchCheckpointIO):
    """A plugin for Lightning's Trainer: checkpoints are written whole or not at all, and never unpickled."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside the target, then take its place."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        torch.save(checkpoint, fresh)
        os.replace(fresh, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read it; whoever asks, nothing but tensors and plain values comes out.

        Raises:
            TrainingError: the file is damaged.
        """
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:
            raise TrainingError(
                f"{path}: damaged checkpoint ({type(error).__name__}); start again without resume."
            ) from None
