"""Steps of the finished quickstart done again: the same bits, unless the machine computes in another way."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tune.conftest import TUNE

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file but logs."""
    files = [one for one in folder.rglob("*") if one.is_file() and "logs" not in one.parts]
    return {str(one): (one.stat().st_size, one.stat().st_mtime_ns) for one in files}


def test_all_but_trainings_comes_out_the_same_and_nothing_is_touched(quickstart: Any) -> None:
    before = everything(quickstart.path / ".tune")
    for address in ("tokens.assistant", "merge.assistant", "eval.assistant"):
        output = quickstart.record(address)["output_digest"]
        shown = quickstart.tune("verify", address, "--replay").stdout
        assert shown.startswith(f"{address}: done again in ")
        assert shown.endswith(f"; the output is the same, {output[:12]}.\n")
        assert shown.count("\n") == 1
    assert everything(quickstart.path / ".tune") == before


def test_a_training_comes_out_the_same(quickstart: Any) -> None:
    found = json.loads(quickstart.tune("verify", "train.assistant", "--replay", "--json").stdout)
    assert (found["same"], found["differences"], found["circumstances"]) == (True, [], [])


def test_another_type_of_machine_is_told_with_the_tensors_that_differ(quickstart: Any) -> None:
    command = [str(TUNE), "verify", "model.tiny", "--replay", "--json"]
    other = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}  # as on a processor without vector instructions
    done = subprocess.run(command, cwd=quickstart.path, env=other, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["same"]) == (1, False)
    assert "tensor model.embed_tokens.weight differs" in told["differences"]
    assert not any("layernorm" in one for one in told["differences"])  # ones, on every machine
    assert told["circumstances"][0].endswith(f"and done again on cpu ({os.uname().machine}, DEFAULT)")


def test_changed_inputs_are_told_before_anything_is_done(quickstart: Any) -> None:
    settings = quickstart.path / "tokenizer" / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("{", '{ "added": 1,', 1))
    said = quickstart.tune("verify", "tokens.assistant", "--replay", expect=1).stderr
    assert "The tokenizer of model.tiny changed after the step was made." in said


def test_what_is_only_read_is_not_done_again(quickstart: Any) -> None:
    said = " ".join(quickstart.tune("verify", "dataset.chats", "--replay", expect=1).stderr.split())
    assert "cannot be done again: only what model, tokens, train, merge and eval make can." in said


def test_an_artifact_is_checked_by_its_bytes(quickstart: Any) -> None:
    assert quickstart.tune("verify", "train.assistant").stdout == "train.assistant is what was written.\n"
    path = Path(quickstart.tune("output", "train.assistant").stdout.strip(), "adapter_model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "`adapter_model.safetensors` has changed" in quickstart.tune("verify", "train.assistant", expect=1).stderr
    quickstart.tune("verify", "tokens.assistant")
