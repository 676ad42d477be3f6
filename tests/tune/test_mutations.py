"""Thousands of mistakes in valid recipes: never a traceback, always a place and what to do next."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from executor import kinds
from planner.overrides import Overrides
from planner.recipe import assemble
from planner.variables import with_variables
from planner.written import read
from state.diagnostic import Diagnostic, ProblemError
from tests.tune.mutations import RECIPES, ROWS, mutated
from tune.project import open_project

TOKENIZER = Path(__file__).parents[2] / "examples" / "quickstart" / "tokenizer"
COUNT = 5000
PYTHON = ("object", "attribute", "iterable", "subscriptable", "NoneType", "argument of type", "convert", "Errno")
"""Words of Python's own messages, which say nothing to whoever wrote a recipe."""
PLANNED_ONE_IN = 10
"""Of the recipes that are right in themselves, how many are planned too: that reads files."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what the recipes name is; the hub cannot be reached."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(TOKENIZER, tmp_path / "tokenizer")
    (tmp_path / "chats.jsonl").write_text(ROWS * 4)
    return tmp_path


def unhelpful(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    """Those without a place, without a word on what to do (a hint, what is expected, the row), or in Python's words."""
    return [
        one
        for one in found
        if not one.place.file
        or not (one.hint or "expected" in one.detail or one.summary == "Broken row")
        or any(word in one.detail for word in PYTHON)
    ]


def problems(text: str, folder: Path, *, planned: bool) -> tuple[Diagnostic, ...]:
    """What is said of a recipe; empty if nothing is wrong with it."""
    try:
        assemble(with_variables(read(text, "recipe.toml"), Overrides()), kinds.load())
        if planned:
            (folder / "recipe.toml").write_text(text, encoding="utf-8")
            open_project(str(folder), Overrides()).plan()
    except ProblemError as error:
        return error.diagnostics
    except Exception as error:
        raise AssertionError(text) from error
    return ()


@pytest.mark.slow
def test_every_mistake_has_a_place_and_a_way_out(folder: Path) -> None:
    assert [problems(one, folder, planned=False) for one in RECIPES] == [()] * len(RECIPES)
    random = Random(20_261_128)  # noqa: S311  nothing secret
    sound = 0
    for number in range(COUNT):
        text = mutated(RECIPES[number % len(RECIPES)], random)
        found = problems(text, folder, planned=sound % PLANNED_ONE_IN == 0)
        sound += not found
        assert unhelpful(found) == [], text
    assert sound > COUNT // 10
