"""Tokenizers that pad with the token that ends an answer, as many do: every method learns the end all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.executor.test_methods import CASES, Bench, run
from tests.executor.test_training import BASIC, Laboratory, _keep_handler, laboratory
from tests.executor.test_training import run as run_sft

__all__ = ["_keep_handler", "laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

END = "<|im_end|>"
METHODS = [name for name in CASES if name.endswith(" full")]


@pytest.fixture(scope="module")
def benches(laboratory: Laboratory) -> tuple[Bench, Bench]:
    """The same model with a token of its own for padding, and with its end for that."""
    folder = laboratory.folder / "ending"
    shutil.copytree(laboratory.model.folder, folder / "model")
    shutil.copytree(laboratory.folder / "tokenizer", folder / "tokenizer")
    ids = json.loads((folder / "model" / "tokenizer.json").read_bytes())["added_tokens"]
    end = next(one["id"] for one in ids if one["content"] == END)
    for name, change in (("tokenizer_config.json", {"pad_token": END}), ("config.json", {"pad_token_id": end})):
        path = folder / "model" / name
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    ending = Laboratory(folder, evolve(laboratory.model, folder=str(folder / "model")))
    return Bench(laboratory), Bench(ending)


def losses(bench: Bench, name: str) -> list[float]:
    settings: dict[str, Any] = {"max_steps": 2, "micro_batch_size": 4}
    if name == "sft":
        made = run_sft(bench.laboratory.task(evolve(BASIC, **settings)))
    else:
        task = bench.task(name)
        made = run(evolve(task, settings={**task.settings, **settings}))
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (Path(made.task.output) / "metrics.jsonl").read_text().splitlines()
    ]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.parametrize("name", ["sft", *METHODS])
def test_padding_with_the_end_changes_no_loss(benches: tuple[Bench, Bench], name: str) -> None:
    """Labels say what is trained, never the id of the padding: a first and a second loss are the same to the bit."""
    own, end = (losses(bench, name) for bench in benches)
    assert len(own) == 2
    assert own == end
