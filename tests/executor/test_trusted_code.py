"""A model whose architecture is a Python file that comes with it: run where it is trusted, and carried along."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.kinds.model import Model
from executor.models.adapter_fields import Adapter
from executor.models.loading import load_model
from executor.models.model_files import source_identity
from executor.workers.task import Input
from planner.structure import settings_of
from state.diagnostic import ProblemError
from state.files import FileDigests
from tests.executor.test_training import BASIC, Laboratory, laboratory, run

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SHORT = evolve(BASIC, max_steps=2)
CODE = """\
from transformers import LlamaConfig, LlamaForCausalLM


class MineConfig(LlamaConfig):
    model_type = "mine"


class MineForCausalLM(LlamaForCausalLM):
    config_class = MineConfig
"""


def with_code(laboratory: Laboratory, name: str, *, trusted: bool) -> Laboratory:
    folder = laboratory.folder / name
    shutil.copytree(laboratory.model.folder, folder)
    (folder / "modeling_mine.py").write_text(CODE)
    classes = {"AutoConfig": "modeling_mine.MineConfig", "AutoModelForCausalLM": "modeling_mine.MineForCausalLM"}
    config = json.loads((folder / "config.json").read_bytes())
    config |= {"model_type": "mine", "architectures": ["MineForCausalLM"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    settings = settings_of(Model(source=str(folder), trust_remote_code=trusted))
    made = Input("model.tiny", "", str(folder), settings, {})
    (laboratory.folder / f"{name}-runs").mkdir()
    return Laboratory(laboratory.folder / f"{name}-runs", made)


def test_code_is_run_where_it_is_trusted_and_travels_with_what_is_trained(laboratory: Laboratory) -> None:
    mine = with_code(laboratory, "trusted", trusted=True)
    made = run(mine.task(SHORT))
    plain = run(laboratory.task(SHORT))
    assert made.weights == plain.weights  # it computes what a Llama does
    assert made.outcome.facts["trust_remote_code"] is True
    assert (made.task.output_folder / "modeling_mine.py").read_text() == CODE
    below = Input("train.it", "", str(made.task.output_folder), made.task.settings, made.outcome.facts)
    again: Any = load_model([below], "float32", "sdpa")
    assert type(again).__name__ == "MineForCausalLM"
    adapted = run(
        evolve(mine.task(evolve(SHORT, adapter=Adapter(r=4))), inputs={**made.task.inputs, "model": (below,)})
    )
    assert adapted.outcome.facts["trust_remote_code"] is True
    assert "trust_remote_code" not in plain.outcome.facts


def test_code_that_nobody_trusts_is_not_run(laboratory: Laboratory) -> None:
    mine = with_code(laboratory, "untrusted", trusted=False)
    (Path(mine.model.folder) / "modeling_mine.py").write_text("raise RuntimeError('it was run')")
    with pytest.raises(ProblemError, match="is made of Python code that comes with it, which is not run unasked"):
        run(mine.task(SHORT))


def test_trusted_code_is_part_of_what_a_model_is(laboratory: Laboratory) -> None:
    folder = Path(with_code(laboratory, "edited", trusted=True).model.folder)
    before = [source_identity(folder, FileDigests(), with_code=trusted) for trusted in (True, False)]
    (folder / "modeling_mine.py").write_text(CODE + "# another\n")
    after = [source_identity(folder, FileDigests(), with_code=trusted) for trusted in (True, False)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]
