"""A recipe names a template as the tokenizer's own, as a built-in one, or as a file; its text is what counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from executor import kinds
from executor.applying.probe import desire
from executor.kinds.model import template_text
from executor.templates import built_in
from planner.recipe import parse
from state.diagnostic import ProblemError
from state.files import FileDigests
from state.record import State

TOKENIZER = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a tokenizer."""
    shutil.copytree(TOKENIZER, tmp_path / "tokenizer")
    return tmp_path


def identity(folder: Path, template: str) -> str:
    """What a template counts as in a plan."""
    recipe = f'[model.m]\ntokenizer = "tokenizer"\nconfig = {{ model_type = "llama" }}\nchat_template = "{template}"\n'
    desired, _ = desire(parse(recipe, "recipe.toml", kinds.load()), folder, FileDigests(), State("lineage", 1))
    return desired[0].content["chat_template"]


def test_the_same_text_is_the_same_template_whatever_it_is_called(folder: Path) -> None:
    text = (TOKENIZER / "chat_template.jinja").read_text()
    (folder / "own.jinja").write_text(text)
    (folder / "copied.jinja").write_text(built_in()["llama3"].text)
    assert identity(folder, "own.jinja") == identity(folder, "tokenizer")
    assert identity(folder, "copied.jinja") == identity(folder, "llama3")
    assert len({identity(folder, name) for name in ("tokenizer", "llama3", "chatml", "gemma")}) == 4


def test_the_text_of_a_template_is_found_under_all_its_names(folder: Path) -> None:
    (folder / "own.jinja").write_text("{{ messages }}")
    found = {
        name: template_text({"chat_template": name}, folder / "tokenizer", folder) for name in ("own.jinja", "phi4")
    }
    assert found == {"own.jinja": "{{ messages }}", "phi4": built_in()["phi4"].text}


def test_a_template_that_is_none_is_told_with_what_was_meant(folder: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        identity(folder, "lama3")
    (one,) = caught.value.diagnostics
    assert (
        one.detail == 'model.m.chat_template: expected "tokenizer", the name of a built-in template, or a .jinja file.'
    )
    assert (one.hint, one.place.line) == ("Did you mean `llama3`?", 4)
    with pytest.raises(ProblemError) as caught:
        identity(folder, "missing.jinja")
    assert [one.summary for one in caught.value.diagnostics] == ["Missing file"]


def test_every_template_says_what_it_is_in_its_first_line() -> None:
    for template in built_in().values():
        assert template.text.startswith("{#- "), template.name
        assert template.text.partition("\n")[0].endswith(". -#}"), template.name
