"""The house rules that can be checked: who imports whom, what stays off the plan path, what a file must hold."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.diagnostic_summaries import without_code

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "numpy", "accelerate"}

PLANS = """
import json, sys
from tune.project import open_project

plan, _ = open_project(sys.argv[1]).plan()
print(json.dumps([len(plan.steps), sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def modules(folder: str) -> list[Path]:
    found = sorted(path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")
    assert found
    return found


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def assigned(path: Path) -> list[str]:
    """The public names in capitals that a module binds at its top."""
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names += [one.id for one in targets if isinstance(one, ast.Name)]
    return names


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_a_plan_needs_no_training_library(tmp_path: Path) -> None:
    folder = tmp_path / "quickstart"
    shutil.copytree(ROOT / "examples" / "quickstart", folder, ignore=shutil.ignore_patterns(".tune"))
    command = [sys.executable, "-c", PLANS, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps, loaded = json.loads(done.stdout)
    assert steps > 3
    assert "planner" in loaded
    assert HEAVY & set(loaded) == set()


@pytest.mark.parametrize("path", modules("planner"), ids=lambda path: path.name)
def test_the_planner_has_no_clock_no_chance_and_no_network(path: Path) -> None:
    forbidden = {"time", "datetime", "random", "secrets", "uuid", "socket", "urllib", "subprocess"}
    assert forbidden & {name.partition(".")[0] for name in imported(path)} == set()


@pytest.mark.parametrize("path", modules("executor/kinds"), ids=lambda path: path.name)
def test_every_file_of_a_kind_defines_one_kind(path: Path) -> None:
    assert assigned(path).count("KIND") == 1
    assert "METHOD" not in assigned(path)


@pytest.mark.parametrize("path", modules("executor/methods"), ids=lambda path: path.name)
def test_every_file_of_a_method_defines_one_method(path: Path) -> None:
    assert assigned(path).count("METHOD") == 1
    assert "KIND" not in assigned(path)


def test_the_wheel_holds_the_four_packages_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("tune", "planner", "executor", "state", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(source)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"tune", "planner", "executor", "state", info}
    assert info.startswith("tuneform-")
    packaged = {name for name in names if name.endswith(".py")}
    written = {str(path.relative_to(ROOT)) for top in tops - {info} for path in (ROOT / top).rglob("*.py")}
    assert packaged == written
    assert {f"{top}/py.typed" for top in tops - {info}} <= set(names)
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "executor" / "templates").glob("*.jinja")} <= set(names)


def test_every_diagnostic_has_a_code_and_a_section() -> None:
    assert without_code() == "", without_code()
