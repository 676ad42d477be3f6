"""Direct preference optimization and its kin: chosen answers become likelier than rejected ones, through DPOTrainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from executor.training import answer_stage, trainers
from executor.training.answer_stage import LOSS, ReferredStage
from executor.training.method import Fault, Method
from executor.training.trainer_arguments import DPO
from planner.effects import Effect, setting
from planner.limits import fraction, not_empty
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

Loss: TypeAlias = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
]  # fmt: skip
SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")


@frozen
class Dpo(ReferredStage):
    """The fields of `method = "dpo"`."""

    method: Literal["dpo"] = setting("dpo", effect=Effect.REBUILD, why="the training is another")
    loss_type: tuple[Loss, ...] | Loss = setting("sigmoid", effect=Effect.REBUILD, why=LOSS, validator=not_empty)
    """One loss, or several that are added: `["sigmoid", "sft"]`."""
    loss_weights: tuple[float, ...] = setting((), effect=Effect.REBUILD, why=LOSS)
    """The weight of each of several losses; left out, 1 each."""
    label_smoothing: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=fraction)
    """For robust, exo_pair and aot: how likely a preference is the wrong way round."""


def faults(stage: Dpo) -> Iterator[Fault]:
    """Losses and their weights and smoothing must fit each other."""
    yield from answer_stage.faults(stage)
    losses = losses_of(stage.loss_type)
    if stage.loss_weights and len(stage.loss_weights) != len(losses):
        yield "loss_weights", f"{len(stage.loss_weights)} weights for {len(losses)} losses", "Give one for each."
    smoothed = [one for one in losses if one in SMOOTHED]
    if stage.label_smoothing and not smoothed:
        yield "label_smoothing", "none of the losses has it", f"It is for {', '.join(SMOOTHED)}."
    if "exo_pair" in losses and not stage.label_smoothing:
        yield "label_smoothing", "exo_pair needs some", "Its paper takes 0.001."
    if "robust" in losses and stage.label_smoothing >= 0.5:  # noqa: PLR2004  where nothing is left to learn
        yield "label_smoothing", "the robust loss needs less than 0.5", "Its paper takes 0.1."


def losses_of(loss_type: Any) -> list[str]:  # noqa: ANN401  a name, or several as a list or tuple
    """One loss or several, as a list."""
    return [loss_type] if isinstance(loss_type, str) else list(loss_type)


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer for pairs of answers."""
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    settings = run.settings
    own = {
        **{name: settings[name] for name in ("beta", "label_smoothing", "disable_dropout", "precompute_ref_log_probs")},
        "loss_type": losses_of(settings["loss_type"]),
        "loss_weights": list(settings["loss_weights"]) or None,
        "max_length": None,
    }
    arguments = DPOConfig(**{**own, **run.arguments()})
    made = trainers.common(run)
    for name in ("train_dataset", "eval_dataset"):
        made[name] = trainers.beside_checkpoints(run, made[name])
    return trainers.ready(trainers.unprepared(DPOTrainer)(args=arguments, **made, **trainers.reference(run)))


METHOD = Method(
    name="dpo",
    specification=Dpo,
    trainer_arguments=DPO,
    train=trainer,
    layout="pairs",
    faults=faults,
)
