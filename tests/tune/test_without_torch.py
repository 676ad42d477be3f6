"""A machine that only plans: the base installation, without torch and without anything that needs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a fresh virtual environment with the base installation."""
    venv = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(ROOT)]
    subprocess.run(pip, check=True)
    return venv / "bin"


def test_the_base_installation_plans_and_audits(installed: Path, finished: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    shutil.copytree(finished, recipe)

    def tune(*arguments: str, command: str = "tune") -> str:
        done = subprocess.run([str(installed / command), *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    libraries = subprocess.run([str(installed / "pip"), "list"], capture_output=True, text=True, check=True).stdout
    assert "torch" not in libraries.split()
    assert tune("validate", str(recipe)) == "recipe.toml is valid: 11 resources.\n"
    assert tune("plan", str(recipe), command="tuneform") == "No changes. Your models match the recipe.\n"
    assert "train.assistant" in tune("state", "list", str(recipe))
    assert "not installed: this machine plans, and trains nothing" in tune("doctor", str(recipe))
    assert json.loads(tune("state", "show", "train.assistant", str(recipe), "--json"))["status"] == "ready"
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(text.replace("learning_rate = 1e-3", "learning_rate = 1e-4"))
    assert "Plan: 3 to rebuild, 8 reused." in tune("plan", str(recipe))
