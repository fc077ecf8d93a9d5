"""The public names, the version, and what the documents say."""

from __future__ import annotations

import importlib.util
import inspect
import re
import runpy
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import carousel

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("name", carousel.__all__)
def test_public_names_are_documented_with_an_example(name: str) -> None:
    thing = getattr(carousel, name)
    assert inspect.getdoc(thing), f"carousel.{name} has no docstring"
    if inspect.ismodule(thing) or (isinstance(thing, type) and issubclass(thing, Exception)):
        return
    own = [thing, *vars(thing).values()] if isinstance(thing, type) else [thing]
    assert any(">>>" in (inspect.getdoc(one) or "") for one in own), f"carousel.{name} has no example"


def test_the_public_list_is_explicit_and_sorted() -> None:
    assert list(carousel.__all__) == sorted(set(carousel.__all__), key=lambda name: (name.lower(), name))
    assert set(carousel.__all__) <= set(dir(carousel))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        carousel.nothing  # noqa: B018


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", carousel.__version__)
    try:
        assert metadata.version("carousel-rnn") == carousel.__version__
    except metadata.PackageNotFoundError:
        pass  # running from the source folder, not installed


def test_what_is_needed_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in lines if "==" in line}
    groups = PROJECT["dependency-groups"].values()
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *(d for extra in PROJECT["project"]["optional-dependencies"].values() for d in extra),
        *(d for g in groups for d in g),
    ]
    names = {re.split(r"[<>=~!\[; ]", w)[0].lower().replace("_", "-") for w in wanted}
    assert names - pinned == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_examples_in_documents_run(document: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    if 'engine="native"' in "".join(blocks) and (reason := carousel.info().engines["native"]):
        pytest.skip(f"the native engine is missing: {reason}")
    source = tmp_path / "example.py"
    source.write_text("\n".join(blocks))
    runpy.run_path(str(source))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert target.startswith("https://") or (document.parent / target).exists(), f"{document.name}: {target}"


def test_generated_documents_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    documents = generate.documents()
    for path, text in documents.items():
        assert path.exists() and path.read_text() == text, f"{path} is not what the registry gives: run `make docs`"
    assert set(generate.CELLS.iterdir()) <= set(documents), "docs/cells has a page of no cell: run `make docs`"


def test_info_says_which_engines_there_are() -> None:
    found = carousel.info()
    assert found.engines["eager"] is None
    assert "native" in found.engines
    for name in found.engines:
        assert f"engine {name}: " in str(found)
    assert (found.variant is None) == (found.engines["native"] is not None)
