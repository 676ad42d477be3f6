"""The recipe to start from: written once, right as it is, and in canonical form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from planner.formatting import formatted

QUICKSTART = Path(__file__).parent.parent.parent / "examples" / "quickstart"
NEXT = "Name your model and your data in it, then look at what that means: tune plan{}\n"


def test_a_recipe_and_an_ignore_file_are_written(empty: Any) -> None:
    done = empty.tune("init", "models/support")
    assert done.stdout == "models/support/recipe.toml\nmodels/support/.gitignore\n"
    assert done.stderr == NEXT.format(" models/support")
    assert (empty.path / "models" / "support" / ".gitignore").read_text() == (
        "# Saved plans of tune; .tune/ says itself what git should ignore.\n*.plan.json\n"
    )
    recipe = (empty.path / "models" / "support" / "recipe.toml").read_text()
    assert formatted(recipe) == recipe


@pytest.mark.parametrize("name", ["recipe.toml", "recipe.yaml", "recipe.yml"])
def test_no_recipe_is_overwritten(empty: Any, name: str) -> None:
    (empty.path / name).write_text("mine")
    refused = empty.tune("init", expect=1)
    assert refused.stdout == ""
    assert refused.stderr == (
        f"Error: Recipe exists [TUNE403]\n  `{name}` exists, and is left as it is.\n"
        "  hint: Name another folder: `tune init FOLDER`.\n"
    )
    assert [path.name for path in empty.path.iterdir()] == [name]
    assert (empty.path / name).read_text() == "mine"


def test_an_ignore_file_keeps_what_it_has_and_is_added_to_once(empty: Any) -> None:
    (empty.path / ".gitignore").write_bytes(b"caf\xe9")
    assert empty.tune("init").stderr == NEXT.format("")
    after = (empty.path / ".gitignore").read_bytes()
    assert after.startswith(b"caf\xe9\n# Saved plans of tune;")
    (empty.path / "recipe.toml").unlink()
    assert empty.tune("init").stdout == "recipe.toml\n"
    assert (empty.path / ".gitignore").read_bytes() == after


def test_the_recipe_lacks_nothing_but_a_model_and_data(empty: Any) -> None:
    empty.tune("init")
    for name in ("chats", "heldout"):
        (empty.path / "data").mkdir(exist_ok=True)
        shutil.copyfile(QUICKSTART / "data" / f"{name}.jsonl", empty.path / "data" / f"{name}.jsonl")
    shutil.copytree(QUICKSTART / "tokenizer", empty.path / "tokenizer")
    empty.edit('source = "Qwen/Qwen2.5-0.5B-Instruct"\nrevision = "main"', 'tokenizer = "tokenizer"\nconfig = {CONFIG}')
    quickstart = (QUICKSTART / "recipe.toml").read_text()
    config = quickstart.partition("config = {")[2].partition("}")[0]
    empty.edit("{CONFIG}", f"{{{config}}}")
    assert json.loads(empty.tune("validate", "--json").stdout)["diagnostics"] == []
    assert empty.summary() == {"build": 8}
