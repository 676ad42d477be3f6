"""Too little memory, really: told with what was in use, and made do with where the recipe says so."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.applying.smaller_batches import build_in_memory, smaller
from executor.workers import events, launch, out_of_memory, worker
from executor.workers.launch import Stop
from executor.workers.out_of_memory import OutOfMemoryError, Usage
from executor.workers.rank_process import RankProcess
from executor.workers.task import Input, Outcome, Task, outcome_from
from executor.workers.worker_reports import Reporter
from planner.recipe import parse
from state.diagnostic import ProblemError
from tests.executor.test_training import BASIC, Laboratory, _keep_handler, laboratory, run
from tests.processes import running

__all__ = ["_keep_handler", "laboratory"]

ROOM = 350 * 2**20
"""Bytes beyond what the process has: less than the logits of all rows at once take."""
SETTINGS = {
    "micro_batch_size": 6,
    "batch_size": 12,
    "auto_micro_batch": True,
    "gradient_checkpointing": False,
    "adapter": None,
}


def _task(folder: Path, **settings: Any) -> Task:
    tokens = Input("tokens.sft", "", str(folder), {"sequence_len": 512}, {})
    model = Input("model.base", "", str(folder), {}, {})
    inputs = {"tokens": (tokens,), "model": (model,)}
    return Task("train.sft", "train", {**SETTINGS, **settings}, {}, inputs, "", str(folder / "output"), "", str(folder))


@contextmanager
def _limited(room: int) -> Iterator[None]:
    """As `ulimit -v` does it: no address beyond those that the process has, and some."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + room, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, most))


class _Means:
    """What an apply builds with, in this process and with little memory."""

    stop = Stop()

    def build(self, task: Task, emit: Any, stop: Stop, log: Path) -> Outcome:
        with _limited(ROOM):
            last = worker._build(task, Reporter(task.address, emit))
        if isinstance(last, events.Finished):
            return outcome_from(last.outcome)
        with running(["true"]) as process:
            raise launch.failure([RankProcess(0, log, process, last)], stop)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_a_training_that_lacks_memory_goes_on_with_smaller_parts(laboratory: Laboratory) -> None:
    import torch
    from safetensors.torch import load_file

    count = 96
    stage = evolve(BASIC, batch_size=count, micro_batch_size=24, num_epochs=1, auto_micro_batch=True)
    said = " ".join(["What is one and one, and two and two, my dear?"] * 4)[:80]
    tokens = laboratory.tokens([[("user", f"{said} {at}"), ("assistant", "It is good.")] for at in range(count)], stage)
    expected = run(laboratory.task(stage, tokens))
    task = laboratory.task(evolve(stage, micro_batch_size=count), tokens)
    told: list[Any] = []
    outcome = build_in_memory(_Means(), task, told.append, Path("log"), tuple)  # type: ignore[arg-type]  # the part that is used
    used = outcome.facts["micro_batch_size"]
    assert used in (48, 24, 12)
    messages = [one.text for one in told if hasattr(one, "text")]
    assert messages[0].startswith("train.it had ")
    assert " GiB of the address space that `ulimit -v` allows in use at its peak, and " in messages[0]
    assert " GiB more were refused." in messages[0]
    assert messages[-1].endswith(f" Going on with `micro_batch_size` = {used}.")
    found = load_file(task.output_folder / "model.safetensors")
    wanted = load_file(expected.task.output_folder / "model.safetensors")
    assert all(torch.allclose(found[name], wanted[name], atol=1e-5) for name in wanted)


def test_memory_that_python_itself_is_refused_is_recognised() -> None:
    with pytest.raises(MemoryError) as error:
        bytearray(2**62)
    assert out_of_memory.is_out_of_memory(error.value)
    assert not out_of_memory.is_out_of_memory(ValueError("the shape is wrong"))


def test_the_knobs_are_named_with_what_they_are_now(tmp_path: Path) -> None:
    assert out_of_memory.knobs(_task(tmp_path)) == (
        "Lower `micro_batch_size` = 6: `batch_size` = 12 stays what a step sees. "
        "Set `gradient_checkpointing` = true, which changes no weight. "
        "Or train something else: a lower `sequence_len` = 512, an `adapter` instead of all weights."
    )
    small = _task(tmp_path, micro_batch_size=1, gradient_checkpointing=True, adapter={"r": 8})
    assert out_of_memory.knobs(small) == "Or train something else: a lower `sequence_len` = 512."
    assert str(Usage(3 * 2**29, 2**31, "GPU memory")) == "1.5 of 2.0 GiB of GPU memory"


def test_a_micro_batch_is_halved_only_where_that_is_the_same_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"attention_dropout": 0.0, "hidden_size": 8}')
    assert smaller(_task(tmp_path)) == 3
    assert smaller(_task(tmp_path, micro_batch_size=3)) == 1
    assert smaller(_task(tmp_path, micro_batch_size=1)) is None
    assert smaller(_task(tmp_path, auto_micro_batch=False)) is None
    for name in ("attention_dropout", "attn_pdrop"):
        (tmp_path / "config.json").write_text(f'{{"{name}": 0.1}}')
        assert smaller(_task(tmp_path)) is None


@pytest.mark.parametrize(
    ("written", "decisive"),
    [
        ('method = "sft"\nadapter = { lora_dropout = 0.1 }', "dropout"),
        ('method = "sft"\nneftune_noise_alpha = 5.0', "NEFTune"),
        ('method = "kto"', 'method = "kto"'),
    ],
)
def test_smaller_micro_batches_are_refused_where_they_would_be_another_training(written: str, decisive: str) -> None:
    recipe = f"""\
[model.base]
source = "."
[dataset.chats]
source = "chats.jsonl"
[train.sft]
model = "model.base"
datasets = ["dataset.chats"]
learning_rate = 1e-4
auto_micro_batch = true
{written}
"""
    from executor import kinds

    with pytest.raises(ProblemError) as error:
        parse(recipe, "recipe.toml", kinds.load())
    (found,) = error.value.diagnostics
    expected = f"train.sft.auto_micro_batch: with {decisive}, a smaller micro-batch would be another training."
    assert found.detail == expected
    assert found.place.line == 9


def test_a_worker_that_somebody_kills_is_not_said_to_lack_memory(tmp_path: Path) -> None:
    counted = out_of_memory.before()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert out_of_memory.killed(_task(tmp_path), counted) is None
    failure = launch.failure([RankProcess(0, tmp_path / "log", process, ended=1.0)], Stop())
    assert isinstance(failure, ProblemError)
    (found,) = failure.diagnostics
    assert not isinstance(failure, OutOfMemoryError)
    assert found.detail.startswith("The worker process was killed by SIGKILL without a last word.")
