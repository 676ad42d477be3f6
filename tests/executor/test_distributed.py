"""Several ranks: the same training as on one process, stopped and resumed together, with one diagnostic at most."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.evaluation.metrics_file import read
from executor.training.best_model import KEPT
from executor.training.distributed_fields import Distributed
from executor.training.evaluation_fields import Evaluation
from executor.workers import rank_process
from executor.workers.events import Event
from executor.workers.launch import Stop, run_in_worker
from executor.workers.task import Input, Task
from executor.workers.world import World, free_port
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.files import digest_file
from tests.executor.rank_script import LAST_WORDS
from tests.executor.test_training import BASIC, MANY, Laboratory, Trained, laboratory, run  # noqa: F401  a fixture

SCRIPT = Path(__file__).parent / "rank_script.py"
TWO = World("ddp", 2)
OWN: dict[str, Plain] = {"zero_optimization": {"reduce_bucket_size": 1_000_000}}
"""What a DeepSpeed configuration of one's own may say beside the recipe."""
IDLE = Task("train.it", "train", {}, {}, {}, "", "", "", "", world=TWO)


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has ranks run one of the acts of the script."""

    def choose(name: str) -> None:
        monkeypatch.setattr(rank_process, "COMMAND", (sys.executable, str(SCRIPT), name))

    return choose


def wait_until_gone(pids: list[int]) -> None:
    for _ in range(100):
        alive = [pid for pid in pids if _is_alive(pid)]
        if not alive:
            return
        time.sleep(0.1)
    message = f"processes {alive} are still there"
    raise AssertionError(message)


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(*logs: Path) -> list[int]:
    """The processes that ranks have started, as they say in their logs."""
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return [int(line.partition(" ")[2]) for line in lines if line.startswith("child ")]


@pytest.mark.parametrize(
    ("name", "summary", "detail"),
    [
        ("one_lacks_a_module", "Step failed", "ModuleNotFoundError: No module named 'no_such_module'."),
        ("one_is_killed", "Worker died", "The worker process of rank 1 was killed by SIGKILL without a last word."),
        ("one_leaves", "Worker died", "The worker process of rank 1 ended with exit code 0 without a last word."),
    ],
)
def test_a_rank_that_dies_ends_the_step_with_one_diagnostic_and_leaves_nobody(
    act: Callable[[str], None], tmp_path: Path, name: str, summary: str, detail: str
) -> None:
    act(name)
    first, second = tmp_path / "it.log", tmp_path / "it.rank1.log"
    with pytest.raises(ProblemError) as failed:
        run_in_worker(IDLE, lambda _: None, Stop(), first)
    (diagnostic,) = failed.value.diagnostics
    assert diagnostic.summary == summary
    assert diagnostic.detail.startswith(detail)
    assert f"`{second}`" in diagnostic.detail + diagnostic.hint
    if name == "one_lacks_a_module":
        assert f"{LAST_WORDS}\nTraceback (most recent call last)" in second.read_text()
        assert "import no_such_module" in second.read_text()
    children = _children(first)
    assert len(children) == 1
    wait_until_gone(children)


def test_a_rank_that_hangs_when_the_first_has_finished_is_ended(
    act: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workers.launch.ENDING_SECONDS", 1.0)
    act("one_says_no_more")
    assert not run_in_worker(IDLE, lambda _: None, Stop(), tmp_path / "it.log").has_artifact
    wait_until_gone(_children(tmp_path / "it.rank1.log"))


def test_a_killed_parent_leaves_no_orphans(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from executor.workers import rank_process
from executor.training.best_model import KEPT
from executor.workers.launch import Stop, run_in_worker
from executor.evaluation.metrics_file import read
from tests.executor.test_distributed import IDLE, SCRIPT
rank_process.COMMAND = (sys.executable, str(SCRIPT), "sleep")
run_in_worker(IDLE, lambda _: None, Stop(), Path({str(tmp_path)!r}) / "it.log")
"""
    logs = (tmp_path / "it.log", tmp_path / "it.rank1.log")
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as parent:
        while not (all(log.exists() for log in logs) and len(_children(*logs)) == 2):
            assert parent.poll() is None
            time.sleep(0.05)
        ranks = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
    assert len(ranks) == 2
    wait_until_gone([*map(int, ranks), *_children(*logs)])


def distributed(laboratory: Laboratory, table: Distributed, tokens: Input | None = None) -> Task:  # noqa: F811
    """The training of `BASIC` on two processes."""
    assert table.strategy in ("ddp", "fsdp", "deepspeed")
    task = laboratory.task(evolve(BASIC, micro_batch_size=2), tokens)
    settings = {**task.settings, "distributed": settings_of(table)}
    return evolve(task, settings=settings, world=World(table.strategy, 2, main_port=free_port()))


def check(alone: Trained, task: Task, layout: str) -> None:
    """The losses are those of one process, and a break leaves no trace."""
    results: dict[str, Any] = json.loads(Path(task.recipe_folder, "results.json").read_text())
    assert results["metrics"][0]["loss"] == pytest.approx(alone.outcome.metrics["loss"], abs=1e-4)
    assert _losses(task, "straight") == pytest.approx([one["loss"] for one in alone.log if "loss" in one], abs=1e-4)
    assert results["kept"] == [[3, layout, 2]]
    assert results["facts"]["resumed_from"] == 3
    assert results["facts"]["world_size"] == 2
    assert results["resumed"] == results["taken"] == results["straight"]
    assert list(results["straight"]) == ["model.safetensors"]
    _compare(Path(task.tune_folder) / "straight", alone.task.output_folder)


def _losses(task: Task, name: str) -> list[float]:
    state = Path(task.tune_folder) / f"{name}-checkpoints" / "checkpoint-6" / "trainer_state.json"
    return [one["loss"] for one in json.loads(state.read_text())["log_history"] if "loss" in one]


def _compare(folder: Path, alone: Path) -> None:
    """A plain model folder with the weights of one process, up to rounding."""
    from transformers import AutoModelForCausalLM

    states = [AutoModelForCausalLM.from_pretrained(str(one)).state_dict() for one in (folder, alone)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert tensor.dtype == states[1][name].dtype
        assert float((tensor - states[1][name]).abs().max()) < 1e-3


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_ddp_on_rows_that_two_ranks_cannot_share_evenly(
    laboratory: Laboratory,  # noqa: F811
    act: Callable[[str], None],
    tmp_path: Path,
) -> None:
    act("train_and_lose_one")
    tokens = laboratory.tokens(MANY[:10], BASIC)
    task = distributed(laboratory, Distributed("ddp", 2), tokens)
    alone = run(laboratory.task(BASIC, tokens))
    said: list[Event] = []
    with pytest.raises(ProblemError) as failed:
        run_in_worker(task, said.append, Stop(), tmp_path / "it.log")
    check(alone, task, "torch")
    (diagnostic,) = failed.value.diagnostics
    assert diagnostic.summary == "Worker died"
    assert diagnostic.detail.startswith("The worker process of rank 1 was killed by SIGKILL without a last word.")


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "table", "layout"),
    [
        ("train_with_fsdp", Distributed("fsdp", 2), "fsdp-sharded"),
        ("train", Distributed("deepspeed", 2, zero_stage=2), "zero-2"),
        ("train", Distributed("deepspeed", 2, zero_stage=3, config=OWN), "zero-3"),
    ],
    ids=["fsdp", "zero-2", "zero-3"],
)
def test_sharded(
    laboratory: Laboratory,  # noqa: F811
    act: Callable[[str], None],
    tmp_path: Path,
    name: str,
    table: Distributed,
    layout: str,
) -> None:
    act(name)
    task = distributed(laboratory, table)
    run_in_worker(task, lambda _: None, Stop(), tmp_path / "it.log")
    check(laboratory.straight("full"), task, layout)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "table", [Distributed("ddp", 2), Distributed("deepspeed", 2, zero_stage=3)], ids=["ddp", "zero-3"]
)
def test_ranks_answer_stop_early_and_choose_together(
    laboratory: Laboratory,  # noqa: F811
    act: Callable[[str], None],
    tmp_path: Path,
    table: Distributed,
) -> None:
    act("train_once")
    evaluation = Evaluation(
        eval_steps=1,
        metrics=("exact_match", "own.py:worse"),
        answers=2,
        max_new_tokens=4,
        samples=1,
        early_stopping_patience=1,
        load_best_model_at_end=True,
        metric_for_best_model="worse",
    )
    stage = evolve(BASIC, micro_batch_size=2, val_set_size=0.25, evaluation=evaluation)
    task = distributed(laboratory, table, laboratory.tokens(MANY, stage))
    task = evolve(task, settings={**settings_of(stage), "distributed": settings_of(table)})
    own = "values = iter([0.5, 0.75, 0.25])\ndef worse(answers, references):\n    return next(values)\n"
    (Path(task.recipe_folder) / "own.py").write_text(own)
    run_in_worker(task, lambda _: None, Stop(), tmp_path / "it.log")
    folder = Path(task.tune_folder) / "straight"
    rows = list(read(folder / "metrics.jsonl"))
    assert [row["eval_worse"] for row in rows] == [0.5, 0.75, 0.25]
    assert [json.loads(line)["step"] for line in (folder / "samples.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert (folder / "model.safetensors").is_file()
    last = Path(f"{folder}-checkpoints") / "checkpoint-3"
    assert digest_file(last / KEPT / "model.safetensors") == digest_file(folder / "model.safetensors")
