"""Kahneman-Tversky optimization: answers that are good become likelier, bad ones less so, through KTOTrainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from executor.training import answer_stage, trainers
from executor.training.answer_stage import LOSS, ReferredStage
from executor.training.distributed_fields import known_micro_batch, known_processes
from executor.training.method import Fault, Method
from executor.training.shared_batches import SharedBatches
from executor.training.trainer_arguments import KTO
from executor.workers.world import micro_batch
from planner.effects import Effect, setting
from planner.limits import positive
from state.diagnostic import problem
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

ANSWERS, MISMATCHED = "completion_ids", "KL_completion_ids"
MOST = 4 / 3
"""How much more all good answers may weigh than all bad ones."""
ROUNDED = 0.01
"""How far a weight may be off that a user has rounded."""
NEEDS = "the loss needs other answers in a micro-batch"


@frozen
class Kto(ReferredStage):
    """The fields of `method = "kto"`."""

    method: Literal["kto"] = setting("kto", effect=Effect.REBUILD, why="the training is another")
    loss_type: Literal["kto", "apo_zero_unpaired"] = setting("kto", effect=Effect.REBUILD, why=LOSS)
    desirable_weight: float = setting(1.0, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How much good answers count."""
    undesirable_weight: float = setting(1.0, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How much bad answers count."""


def faults(stage: Kto) -> Iterator[Fault]:
    """The loss compares each answer with those of other prompts in the same micro-batch."""
    yield from answer_stage.faults(stage)
    share = stage.batch_size // known_processes(stage.distributed)
    micro = known_micro_batch(stage.batch_size, stage.micro_batch_size, stage.distributed)
    if stage.loss_type == "kto" and micro == 1:
        path, least = ("batch_size", 2 * stage.batch_size // share) if share == 1 else ("micro_batch_size", 2)
        yield path, f"{NEEDS}, and there is only one", f"Set it to {least} at least."


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer for judged answers, which are read in their order: the micro-batches decide the loss."""
    import pyarrow.compute as pc
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    settings = run.settings
    micro = micro_batch(settings, run.task.world)
    if settings["loss_type"] == "kto" and micro == 1:
        detail = f"With {run.task.world.size} processes, {NEEDS}, and there is only one."
        raise problem("Contradicting fields", detail, "Raise `batch_size`, or lower `distributed.processes`.")
    names = ("beta", "loss_type", "desirable_weight", "undesirable_weight", "disable_dropout")
    own = {name: settings[name] for name in (*names, "precompute_ref_log_probs")}
    arguments = KTOConfig(**{**own, "max_length": None, **run.arguments()})
    made = trainers.common(run)
    labels = made["train_dataset"].data.column("label")
    weights = (settings["desirable_weight"], settings["undesirable_weight"])
    if text := imbalance(pc.sum(labels).as_py(), len(labels), *weights):
        run.reporter.message(f"warning: {text}")
    for name, processes in (("train_dataset", 1), ("eval_dataset", run.task.world.size)):
        rows = made[name]
        if rows is not None and settings["loss_type"] == "kto":
            rows = with_mismatched(rows, SharedBatches(range(len(rows)), len(rows), micro, processes))
        made[name] = trainers.beside_checkpoints(run, rows)
    return trainers.ready(trainers.unprepared(KTOTrainer)(args=arguments, **made, **trainers.reference(run)))


def imbalance(good: int, rows: int, desirable: float, undesirable: float) -> str:
    """What is odd about how good and bad answers weigh, in words; "" if nothing is.

    The paper has them weigh as 1 to 1 up to 4 to 3 (equation 8 of https://huggingface.co/papers/2402.01306).
    """
    bad = rows - good
    if not good or not bad:
        return f"all {rows} answers are {'good' if good else 'bad'}, and the loss learns from both kinds"
    weighs = (desirable * good, undesirable * bad)
    if weighs[1] * (1 - ROUNDED) <= weighs[0] <= weighs[1] * MOST * (1 + ROUNDED):
        return ""
    ranges = [(weighs[1] / good, weighs[1] / good * MOST), (weighs[0] / bad / MOST, weighs[0] / bad)]
    first, second = (f"from {least:.3g} to {most:.3g}" for least, most in ranges)
    return (
        f"{good} good answers weigh {weighs[0]:g} and {bad} bad ones {weighs[1]:g}; its paper has 1 to 1 up to 4 to 3: "
        f"set `desirable_weight` {first}, or `undesirable_weight` {second}"
    )


def with_mismatched(rows: Any, batches: Iterable[Sequence[int]]) -> Any:  # noqa: ANN401  datasets has no types
    """The rows with answers for KTO's KL term: in each micro-batch, every prompt gets the one of the row before it."""
    import pyarrow as pa
    from datasets import Dataset

    before = {row: batch[at - 1] for batch in batches for at, row in enumerate(batch)}
    table = rows.data.table
    places = pa.array(before[row] for row in range(len(rows)))
    return Dataset(table.append_column(MISMATCHED, table.column(ANSWERS).take(places)))


METHOD = Method(
    name="kto",
    specification=Kto,
    trainer_arguments=KTO,
    train=trainer,
    layout="judged",
    faults=faults,
)
