"""Small recordings and line images for the tests of transcribing: a chord for each character, or the default font."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont

RATE = 8000
CHORDS = {"a": (300, 900), "b": (500, 1700), "c": (700, 2500), " ": ()}
WORDS = ("ab", "cab", "baa", "abc", "ca", "bb")
QUICK = {"hidden_size": 16, "layers": 1, "epochs": 14, "dropout": 0.0, "batch_size": 8, "learning_rate": 2e-2}


def tones(text: str, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """A recording of the text: 80 ms a character, a little noise, and a short silence after each."""
    rng = np.random.default_rng(seed)
    parts = []
    for character in text:
        time = np.arange(round(0.08 * rate * rng.uniform(0.8, 1.2))) / rate
        parts.append(sum((0.2 * np.sin(2 * np.pi * f * time) for f in CHORDS[character]), np.zeros_like(time)))
        parts.append(np.zeros(round(0.02 * rate)))
    sound = np.concatenate(parts)
    return (sound + rng.normal(0, 0.005, len(sound))).astype(np.float32)


def sentence(rng: random.Random, words: int = 3) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, words)))


def write_recordings(folder: Path, count: int = 60, seed: int = 0, ending: str = ".wav") -> Path:
    """A folder of recordings with their transcripts beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number in range(count):
        text, path = sentence(rng), folder / f"{number:03}{ending}"
        soundfile.write(path, tones(text, seed * 1000 + number), RATE)
        path.with_suffix(".txt").write_text(text + "\n")
    return folder


def picture(text: str, skew: float = 0.0, dark: bool = False) -> Image.Image:
    """A line of text in Pillow's default font, perhaps rising along the line, perhaps white on black."""
    font = ImageFont.load_default(20)
    image = Image.new("L", (round(font.getlength(text)) + 8, 40), 0)
    ImageDraw.Draw(image).text((4, 6), text, font=font, fill=255)
    image = image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, skew, 1, 0), Image.Resampling.BILINEAR)
    return image if dark else image.point([255 - grey for grey in range(256)])


def write_lines(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """A folder of line images with their transcripts beside them, named as OCRopus names them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number in range(count):
        text = sentence(rng, 4)
        picture(text, rng.uniform(-0.04, 0.04)).save(folder / f"{number:03}.bin.png")
        (folder / f"{number:03}.gt.txt").write_text(text + "\n")
    return folder
