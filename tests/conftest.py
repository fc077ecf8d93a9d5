"""What every test runs under: one seed, one thread, fresh buffers full of NaN, Hypothesis without chance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import settings

from carousel import engines

# A test gives the same verdict every time; `pytest --hypothesis-profile=explore` looks further.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("fixed")

# Installed without a compiler, there is no core to test or to measure.
WITH_CORE = ["core_runner.py", "test_core_*.py", "test_benchmarks.py", "test_precision.py"]
collect_ignore_glob = WITH_CORE if engines.status()["native"] else []


@pytest.fixture(autouse=True)
def one_seed_and_dirty_memory() -> Iterator[None]:
    """PyTorch fills what `torch.empty` gives with NaN while it is deterministic: reading it is seen at once.

    Tensors as small as in tests only make threads wait; tests of threads ask for more themselves.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command `carousel`; gives the exit code and what it printed."""
    from carousel.cli import main

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["carousel", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return command
