"""Distillation: the model answers, and learns to find its own tokens as likely as a teacher does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from executor.training import answer_stage, trainers
from executor.training.answer_stage import LOSS, AnswerStage
from executor.training.method import Fault, Method
from executor.training.prompted_trainers import enough_prompts, on_token_rows
from executor.training.reward_stage import DRAWN
from executor.training.shared_vocabulary import refuse_another
from executor.training.trainer_arguments import DISTILLATION
from planner.effects import Effect, reference, setting
from planner.limits import not_negative, positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

FIELDS = ("beta", "max_completion_length", "temperature", "top_p", "use_vllm", "disable_dropout")


@frozen
class Distillation(AnswerStage):
    """The fields of `method = "distillation"`."""

    method: Literal["distillation"] = setting("distillation", effect=Effect.REBUILD, why="the training is another")
    teacher: str | tuple[str, ...] = reference("model", "train", "merge", default=())
    """The model to learn from, which has the same vocabulary."""
    beta: float = setting(1.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """From 0, the teacher's divergence from the model, to 1, the model's from the teacher; Jensen-Shannon between."""
    max_completion_length: int = setting(512, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    """Tokens after which an answer is cut off."""
    temperature: float = setting(1.0, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    top_p: float = setting(1.0, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    use_vllm: bool = setting(default=False, effect=Effect.REBUILD, why="another engine draws completions")
    """Whether vLLM answers, instead of transformers; its settings are those of `trainer` that begin with `vllm_`."""


def faults(stage: Distillation) -> Iterator[Fault]:
    """There is one teacher, and a weight between two divergences."""
    yield from answer_stage.faults(stage)
    if not isinstance(stage.teacher, str):
        yield "teacher", "there must be one model to learn from", 'For instance teacher = "model.large".'
    if stage.beta > 1:
        yield "beta", "it lies between two divergences", "Set it to a number from 0 to 1."


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that lets the model answer, and compares it with its teacher token by token."""
    from trl.trainer.distillation_config import DistillationConfig
    from trl.trainer.distillation_trainer import DistillationTrainer

    from executor.models.loading import load_model, load_tokenizer

    settings = run.settings
    given = trainers.common(run)
    enough_prompts(given["train_dataset"], settings["batch_size"])
    teacher = load_model(run.task.inputs["teacher"], run.dtype, settings["attn_implementation"])
    refuse_another(given["model"], given["processing_class"], teacher, load_tokenizer(run.task.inputs["teacher"]))
    own = {name: settings[name] for name in FIELDS}
    arguments = DistillationConfig(**{**own, **run.arguments()})
    made = on_token_rows(DistillationTrainer, settings["batch_size"], run.drawn())
    return trainers.ready(made(teacher_model=teacher, args=arguments, **given))


METHOD = Method(
    name="distillation",
    specification=Distillation,
    trainer_arguments=DISTILLATION,
    train=trainer,
    layout="prompts",
    faults=faults,
)
