"""Several ranks: the same training as on one process, stopped and resumed together, with one diagnostic at most."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.evaluation.metrics_file import read
from executor.models.adapter_fields import Adapter
from executor.training.best_model import KEPT
from executor.training.distributed_fields import Distributed
from executor.training.evaluation_fields import Evaluation
from executor.training.kernel_fields import GradientCheckpointing
from executor.workers import rank_process
from executor.workers.events import CheckpointWritten, Event, Message
from executor.workers.launch import Emit, Stop, run_in_worker
from executor.workers.task import Input, Task, to_plain
from executor.workers.world import World, free_port
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.files import digest_file
from tests.executor.rank_script import LAST_WORDS, TOGETHER
from tests.executor.test_methods import CASES, PAIRS, ROWS, Bench, bench  # noqa: F401  a fixture
from tests.executor.test_methods import run as run_method
from tests.executor.test_training import (  # noqa: F401  a fixture
    BASIC,
    CONVERSATIONS,
    MANY,
    Laboratory,
    Trained,
    _keep_handler,
    laboratory,
    run,
    stopped,
)

SCRIPT = Path(__file__).parent / "rank_script.py"
TWO = World("ddp", 2)
DDP = Distributed("ddp", 2)
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
@pytest.mark.processes
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


@pytest.mark.processes
def test_a_rank_that_hangs_when_the_first_has_finished_is_ended(
    act: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workers.launch.ENDING_SECONDS", 1.0)
    act("one_says_no_more")
    assert not run_in_worker(IDLE, lambda _: None, Stop(), tmp_path / "it.log").has_artifact
    wait_until_gone(_children(tmp_path / "it.rank1.log"))


@pytest.mark.processes
def test_a_killed_parent_leaves_no_orphans(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from executor.workers import rank_process
from executor.workers.launch import Stop, run_in_worker
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


LEARNT = [*MANY, *CONVERSATIONS]
EVALUATED = evolve(BASIC, micro_batch_size=2, val_set_size=0.25, evaluation=Evaluation(eval_steps=3))
"""Twelve rows to train on, and an evaluation in the middle and at the end."""
REENTRANT = GradientCheckpointing(use_reentrant=True)
PACKED = evolve(
    EVALUATED,
    adapter=Adapter(r=4),
    sample_packing=True,
    sequence_len=64,
    batch_size=2,
    micro_batch_size=1,
    gradient_checkpointing=True,
    gradient_checkpointing_kwargs=REENTRANT,
)
"""Rows of several documents, and activations that are computed again in the way that DDP is wary of."""
CHOOSING = Evaluation(
    eval_steps=1,
    metrics=("exact_match", "own.py:worse"),
    answers=2,
    max_new_tokens=4,
    samples=1,
    early_stopping_patience=1,
    load_best_model_at_end=True,
    metric_for_best_model="worse",
)
OWN_METRIC = "values = iter([0.5, 0.75, 0.25])\ndef worse(answers, references):\n    return next(values)\n"


def distributed(task: Task, table: Distributed) -> Task:
    """A task on two processes."""
    assert table.strategy in ("ddp", "fsdp", "deepspeed")
    settings = {**task.settings, "distributed": settings_of(table)}
    return evolve(task, settings=settings, world=World(table.strategy, 2, main_port=free_port()))


def launch(tasks: Sequence[Task], log: Path, emit: Emit = lambda _: None) -> None:
    """Train all of them on one pair of processes."""
    (Path(tasks[0].recipe_folder) / TOGETHER).write_text(json.dumps([to_plain(one) for one in tasks]))
    run_in_worker(tasks[0], emit, Stop(), log)


def check(task: Task, layout: str, alone: Trained | None) -> None:
    """The losses are those of one process, and no break leaves a trace, be it in an evaluation."""
    results: dict[str, Any] = json.loads(Path(task.recipe_folder, "results.json").read_text())
    straight, resumed, taken = results["metrics"]
    assert results["kept"] == [[3, layout, 2], [straight["steps"], layout, 2]]
    assert results["facts"]["resumed_from"] == 3
    assert results["facts"]["world_size"] == 2
    assert results["resumed"] == results["taken"] == results["straight"]
    assert len(results["straight"]) == 1
    evaluations = [one.get("eval_loss") for one in (straight, resumed, taken)]
    assert evaluations == [evaluations[0]] * 3
    assert (evaluations[0] is not None) is bool(task.settings["evaluation"])
    if alone is not None:
        assert evaluations[0] == pytest.approx(alone.outcome.metrics.get("eval_loss"), abs=1e-4)
        assert straight["loss"] == pytest.approx(alone.outcome.metrics["loss"], abs=1e-4)
        found = _losses(Path(task.tune_folder) / "straight-checkpoints", straight["steps"])
        assert found == pytest.approx([one["loss"] for one in alone.log if "loss" in one], abs=1e-4)
        _compare(Path(task.tune_folder) / "straight", alone.task.output_folder, *results["straight"])


def _losses(checkpoints: Path, step: int) -> list[float]:
    state = checkpoints / f"checkpoint-{step}" / "trainer_state.json"
    return [one["loss"] for one in json.loads(state.read_text())["log_history"] if "loss" in one]


def _compare(folder: Path, alone: Path, name: str) -> None:
    """Weights in one file, as one process writes them, up to rounding."""
    from safetensors.torch import load_file

    found, wanted = (load_file(one / name) for one in (folder, alone))
    assert found.keys() == wanted.keys()
    for one, tensor in found.items():
        assert tensor.dtype == wanted[one].dtype
        assert float((tensor - wanted[one]).abs().max()) < 1e-3
    assert (folder / "config.json").is_file() is (alone / "config.json").is_file()


def choosing(laboratory: Laboratory, table: Distributed) -> Task:  # noqa: F811
    """A training that answers, ends early and yields its best model."""
    task = distributed(laboratory.task(evolve(EVALUATED, evaluation=CHOOSING)), table)
    (Path(task.recipe_folder) / "own.py").write_text(OWN_METRIC)
    return task


def check_choice(task: Task) -> None:
    """All ranks have stopped together, and the best weights are the result."""
    folder = Path(task.tune_folder) / "straight"
    rows = list(read(folder / "metrics.jsonl"))
    assert [row["eval_worse"] for row in rows] == [0.5, 0.75, 0.25]
    assert [json.loads(line)["step"] for line in (folder / "samples.jsonl").read_text().splitlines()] == [1, 2, 3]
    last = Path(f"{folder}-checkpoints") / "checkpoint-3"
    assert digest_file(last / KEPT / "model.safetensors") == digest_file(folder / "model.safetensors")


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_ddp_on_rows_that_two_ranks_cannot_share_evenly_goes_on_after_a_rank_was_killed(
    laboratory: Laboratory,  # noqa: F811
    bench: Bench,  # noqa: F811
    act: Callable[[str], None],
    tmp_path: Path,
) -> None:
    act("train_and_lose_one")
    tokens = laboratory.tokens(LEARNT[4:], EVALUATED)
    assert (tokens.facts["rows"], tokens.facts["validation_rows"]) == (9, 3)
    task = distributed(laboratory.task(EVALUATED, tokens), DDP)
    chosen, said = choosing(laboratory, DDP), list[Event]()
    with pytest.raises(ProblemError) as failed:
        launch([task, chosen], tmp_path / "it.log", said.append)
    (diagnostic,) = failed.value.diagnostics
    assert diagnostic.summary == "Worker died"
    assert diagnostic.detail.startswith("The worker process of rank 1 was killed by SIGKILL without a last word.")
    check(task, "torch", run(laboratory.task(evolve(EVALUATED, micro_batch_size=4), tokens)))
    check_choice(chosen)

    act("train")
    kept = next(one.kept for one in reversed(said) if isinstance(one, CheckpointWritten))
    assert [one.step for one in kept] == [2]
    lost = evolve(task, resume_from=kept[-1], earlier=kept, world=evolve(task.world, main_port=free_port()))
    methods = {name: distributed(bench.task(name), DDP) for name in ("dpo lora", "reward full", "grpo full")}
    by_length = evolve(EVALUATED, group_by_length=True)
    grouped = distributed(laboratory.task(by_length, tokens), DDP)
    packed = laboratory.tokens(LEARNT, PACKED)
    joined = distributed(laboratory.task(PACKED, packed), DDP)
    uneven, joining = _uneven_pairs(bench), _begun_alone(laboratory, tokens)
    measured = [_measured(bench, name, **own) for name, own in MEASURED.items()]
    sharded = distributed(laboratory.task(EVALUATED, tokens), Distributed("fsdp", 2))
    told = list[Event]()
    together = [lost, grouped, joined, uneven, joining, *measured, *methods.values(), sharded]
    launch(together, tmp_path / "again.log", told.append)
    check(uneven, "torch", None)
    twice = "2 rows are seen twice in each epoch, so that all 2 processes get as many"
    assert twice in {one.text for one in told if isinstance(one, Message)}
    expected = _losses(Path(task.tune_folder) / "straight-checkpoints", 6)
    assert _losses(Path(joining.tune_folder) / "lost-checkpoints", 6) == pytest.approx(expected, abs=1e-4)
    check(grouped, "torch", run(laboratory.task(evolve(by_length, micro_batch_size=4), tokens)))
    check(joined, "torch", run(laboratory.task(evolve(PACKED, micro_batch_size=2), packed)))
    _check_lost(task)
    for one in measured:
        _check_measures(one)
    for name, one in methods.items():
        # What a model says to its prompts is drawn anew on every process.
        check(one, "torch", None if name == "grpo full" else bench.straight(name))
    _check_refusal(sharded)
    _goes_on_alone(evolve(task, resume_from=kept[-1], earlier=kept))


def _check_lost(task: Task) -> None:
    """A run whose rank was killed comes to the same bits."""
    folders = [Path(task.tune_folder) / name for name in ("lost", "straight")]
    assert digest_file(folders[0] / "model.safetensors") == digest_file(folders[1] / "model.safetensors")


def _check_refusal(sharded: Task) -> None:
    refusal = (
        "Wrong strategy: The recipe asks for fsdp on 2 processes; accelerate set up MULTI_CPU on 2. "
        "FSDP needs GPUs: on a CPU use another strategy."
    )
    assert json.loads(Path(sharded.recipe_folder, "results.json").read_text()) == [refusal]


def _uneven_pairs(bench: Bench) -> Task:  # noqa: F811
    """A training on pairs of answers, none of which can be left out of a loss."""
    task = distributed(bench.task("dpo full"), DDP)
    return evolve(task, inputs={**task.inputs, "tokens": (bench.tokens("pairs", "preference", PAIRS[:10]),)})


MEASURED: dict[str, dict[str, Plain]] = {
    "dpo full": {},
    "reward lora": {},
    "kto unpaired": {},
    "simpo full": {"cpo_alpha": 0.0},
    "grpo full": {"reward_functions": ["own.py:asked"], "reward_weights": []},
}
"""Methods whose losses or rewards are means over rows, each with what makes it so."""
ASKED = "def asked(prompts, **_):\n    return [float(len(one[0]['content'])) for one in prompts]\n"
ROW_MEANS = frozenset(
    f"eval_{name}"
    for name in (
        *("loss", "accuracy", "margin", "mean_reward", "reward"),
        *("rewards/accuracies", "rewards/margins", "rewards/chosen", "logps/rejected"),
    )
)
"""What is a mean over rows, and not over the tokens of all rows of a batch."""


def _measured(bench: Bench, name: str, **own: Plain) -> Task:  # noqa: F811
    """A training that is evaluated on what two processes cannot share: the last row goes through both."""
    task = bench.task(name)
    (Path(task.recipe_folder) / "own.py").write_text(ASKED)
    layout, kind, rows = ROWS[type(CASES[name])]
    held_back = rows[: 3 if layout == "prompts" else 7]
    inputs = {**task.inputs, "test_datasets": (bench.tokens(layout, kind, held_back),)}
    settings = {**task.settings, **own, "evaluation": settings_of(Evaluation(eval_steps=3)), "max_steps": 6}
    return distributed(evolve(task, settings={**settings, "num_epochs": 1.0}, inputs=inputs), DDP)


def _check_measures(task: Task) -> None:
    """Every row counts once, whatever processes and batches they are in."""
    shared = Path(task.tune_folder) / "straight"
    alone = run_method(
        evolve(task, world=World(), settings={**task.settings, "distributed": settings_of(Distributed())})
    )
    check(task, "torch", alone)
    found, wanted = (list(read(folder / "metrics.jsonl")) for folder in (shared, alone.task.output_folder))
    assert [row["step"] for row in found if "eval_loss" in row] == [3, 6]
    for one, other in zip(found, wanted, strict=True):
        names = [name for name in one if name in ROW_MEANS]
        assert names == [name for name in other if name in ROW_MEANS]
        assert [one[name] for name in names] == pytest.approx([other[name] for name in names], abs=1e-4)


def _begun_alone(laboratory: Laboratory, tokens: Input) -> Task:  # noqa: F811
    """What one process began, for two to go on with."""
    task = laboratory.task(evolve(EVALUATED, micro_batch_size=4), tokens)
    begun = stopped(task, 1)
    task = evolve(task, settings={**task.settings, "micro_batch_size": 2}, resume_from=begun[-1], earlier=begun)
    return distributed(task, DDP)


def _goes_on_alone(task: Task) -> None:
    """What two processes began, one can end: as many rows make a step."""
    alone = settings_of(evolve(EVALUATED, micro_batch_size=4))
    found = run(evolve(task, settings=alone, world=World()))
    expected = _losses(Path(task.tune_folder) / "straight-checkpoints", 6)[2:]
    assert [one["loss"] for one in found.log if one["step"] > 2 and "loss" in one] == pytest.approx(expected, abs=1e-4)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "tables"),
    [
        (
            "train_with_fsdp",
            {
                "fsdp-sharded": Distributed("fsdp", 2),
                "fsdp-full": Distributed("fsdp", 2, state_dict_type="full"),
            },
        ),
        (
            "train",
            {
                "zero-1": Distributed("deepspeed", 2, zero_stage=1),
                "zero-2-offload": Distributed("deepspeed", 2, zero_stage=2, offload_optimizer="cpu"),
                "zero-3": Distributed("deepspeed", 2, zero_stage=3, config=OWN),
            },
        ),
    ],
    ids=["fsdp", "deepspeed"],
)
def test_sharded(
    laboratory: Laboratory,  # noqa: F811
    act: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    name: str,
    tables: dict[str, Distributed],
) -> None:
    act(name)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "compiled"))
    tokens = laboratory.tokens(LEARNT, EVALUATED)
    adapted = evolve(EVALUATED, adapter=Adapter(r=4))
    stages = {"full": EVALUATED, "lora": adapted, "again": evolve(adapted, gradient_checkpointing=True)}
    stages["in bfloat16"] = evolve(adapted, bf16=True)
    stages["with its head"] = evolve(adapted, adapter=Adapter(r=4, modules_to_save=("lm_head",)))
    tried = {
        "fsdp-sharded": ("full", "again"),
        "fsdp-full": ("full", "with its head"),
        "zero-3": ("full", "lora", "in bfloat16"),
    }
    tasks = {
        (layout, stage): distributed(laboratory.task(stages[stage], tokens), table)
        for layout, table in tables.items()
        for stage in tried.get(layout, ("full",))
    }
    chosen = choosing(laboratory, tables["zero-3"]) if name == "train" else None
    launch([*tasks.values(), *([chosen] if chosen else [])], tmp_path / "it.log")
    # With bfloat16, DeepSpeed alone holds weights in it too.
    compared = {stage for _, stage in tasks} - {"in bfloat16"}
    alone = {stage: run(laboratory.task(evolve(stages[stage], micro_batch_size=4), tokens)) for stage in compared}
    for (layout, stage), task in tasks.items():
        check(task, layout, alone.get(stage))
    # DeepSpeed would have compiled for a minute, where there is a compiler.
    assert not (tmp_path / "compiled").exists()
    if chosen is not None:
        check_choice(chosen)
