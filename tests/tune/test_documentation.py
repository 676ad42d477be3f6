"""What the documentation says is so."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executor import formats, methods
from tune.cli import COMMANDS

ROOT = Path(__file__).parent.parent.parent


def test_the_tables_of_fields_and_templates_are_made_from_their_declarations() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_recipe.py"))
    page = (ROOT / "docs" / "recipe.md").read_text()
    assert made["page"](page) == page
    assert made["reference"]() == (ROOT / "docs" / "reference" / "recipe.md").read_text()


def test_every_type_of_dataset_is_described() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    assert [name for name in formats.load() if f"\n| `{name}` | " not in page] == []
    *most, last = (f"`{name}`" for name in formats.yielding(methods.load()["sft"].learns_from))
    assert f"It trains on datasets of the types {', '.join(most)} and {last}." in page


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`tune {name}" not in readme] == []


def test_every_page_that_is_linked_exists() -> None:
    import re

    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


@pytest.mark.torch
def test_the_quickstart_s_data_is_what_its_script_makes(tmp_path: Path) -> None:
    quickstart = ROOT / "examples" / "quickstart"
    shutil.copyfile(quickstart / "make_data.py", tmp_path / "make_data.py")
    subprocess.run([sys.executable, str(tmp_path / "make_data.py")], check=True, capture_output=True)
    for folder in ("data", "tokenizer"):
        made = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (quickstart / folder).iterdir()}
