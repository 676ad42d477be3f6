"""The quickstart, killed with all its processes at random instants: real trainers, on a disk and in an object store."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.s3_server import S3Server

pytestmark = [pytest.mark.torch, pytest.mark.slow]

KILLS = int(os.environ.get("KILLS", "30")) // 15
"""Each costs the start of a trainer."""
QUICKSTART = Path(__file__).parent.parent.parent / "examples" / "quickstart"
TUNE = Path(sys.executable).parent / "tune"


def tune(folder: Path, *arguments: str) -> str:
    done = subprocess.run([TUNE, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def quickstart(folder: Path, *, state: str = "") -> Path:
    """A small quickstart: few steps, a checkpoint after nearly each of them."""
    folder.mkdir()
    for name in ("data", "tokenizer"):
        (folder / name).symlink_to(QUICKSTART / name)
    text = (QUICKSTART / "recipe.toml").read_text()
    text = re.sub("num_epochs = .", "max_steps = 12", text)
    text = re.sub("save_steps = .*", "save_steps = 2", text)
    assert text.count("max_steps = 12") == 2
    gate = text.index("[eval.assistant.gate]")
    (folder / "recipe.toml").write_text(text[:gate] + state)
    return folder


def digests(folder: Path) -> Any:
    records = json.loads(tune(folder, "state", "list", "--json"))
    return {address: record["output_digest"] for address, record in records.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = quickstart(tmp_path_factory.mktemp("kills") / "undisturbed")
    tune(folder, "apply", "--auto-approve")
    return digests(folder)


def kill_and_finish(folder: Path, seed: int) -> int:
    """Kill the whole group again and again, then let it finish; returns how many kills hit."""
    instants = random.Random(seed)  # noqa: S311  nothing secret
    hits = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [TUNE, "apply", "--auto-approve"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(instants.uniform(1, 25))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            hits += 1
        process.wait()
        tune(folder, "plan")
        tune(folder, "state", "verify")
    tune(folder, "apply", "--auto-approve")
    return hits


def test_on_a_disk(undisturbed: Any, tmp_path: Path) -> None:
    folder = quickstart(tmp_path / "recipe")
    assert kill_and_finish(folder, 3) > 0
    assert digests(folder) == undisturbed


def test_in_an_object_store(undisturbed: Any, tmp_path: Path, s3_server: S3Server, s3_credentials: str) -> None:  # noqa: ARG001
    table = f'[state]\nurl = "{s3_server.new_url()}"\nendpoint = "{s3_server.endpoint}"\n'
    folder = quickstart(tmp_path / "recipe", state=table)
    assert kill_and_finish(folder, 4) > 0
    assert digests(folder) == undisturbed
