"""The recipe fields of methods that let the model answer and learn from rewards, and what makes their trainers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.training import answer_stage, trainers
from executor.training.answer_stage import AnswerStage
from executor.training.distributed_fields import known_micro_batch, known_processes
from executor.training.method import Fault
from executor.training.prompted_trainers import enough_prompts, on_token_rows
from executor.training.rewards import reward_faults, reward_functions
from planner.effects import Effect, setting
from planner.limits import positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

DRAWN = "other completions are drawn"
_PASSED_ON = ("beta", "num_generations", "max_completion_length", "temperature", "top_p", "use_vllm", "disable_dropout")


@frozen
class RewardStage(AnswerStage):
    """A training run on completions that the model gives and functions reward. `batch_size` counts completions."""

    reward_functions: tuple[str, ...] = setting((), effect=Effect.REBUILD, why="other answers are rewarded")
    """`exact_match`, `format`, `length`, or `FILE.py:FUNCTION`; their rewards are added."""
    reward_weights: tuple[float, ...] = setting((), effect=Effect.REBUILD, why="other answers are rewarded")
    """How much each reward counts; left out, 1 each."""
    num_generations: int = setting(8, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    """Completions of each prompt, which are compared with each other."""
    max_completion_length: int = setting(512, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    """Tokens after which a completion is cut off."""
    temperature: float = setting(1.0, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    top_p: float = setting(1.0, effect=Effect.REBUILD, why=DRAWN, validator=positive)
    use_vllm: bool = setting(default=False, effect=Effect.REBUILD, why="another engine draws completions")
    """Whether vLLM answers, instead of transformers; its settings are those of `trainer` that begin with `vllm_`."""


def faults(stage: Any) -> Iterator[Fault]:  # noqa: ANN401  a RewardStage with a beta
    """Completions of a prompt go together, and there must be something that rewards them."""
    yield from answer_stage.faults(stage)
    if not stage.reward_functions:
        yield "reward_functions", "nothing says which answers are good", 'For instance ["exact_match"].'
    for what, hint in reward_faults(stage.reward_functions):
        yield "reward_functions", what, hint
    if stage.reward_weights and len(stage.reward_weights) != len(stage.reward_functions):
        detail = f"{len(stage.reward_weights)} weights for {len(stage.reward_functions)} functions"
        yield "reward_weights", detail, "Give one for each."
    if stage.num_generations < 2:  # noqa: PLR2004  to compare
        yield "num_generations", "a completion is compared with others of its prompt", "Set it to 2 at least."
    elif stage.batch_size % stage.num_generations:
        detail = f"{stage.batch_size} completions are no whole number of prompts at `num_generations` = "
        yield "batch_size", f"{detail}{stage.num_generations}", "Use a multiple of it."
    yield from _evaluation_faults(stage)


def _evaluation_faults(stage: Any) -> Iterator[Fault]:  # noqa: ANN401  as above
    told = stage.trainer.get("num_generations_eval")
    path, answers = (
        ("trainer.num_generations_eval", told) if isinstance(told, int) else ("num_generations", stage.num_generations)
    )
    micro = known_micro_batch(stage.batch_size, stage.micro_batch_size, stage.distributed)
    together = micro * known_processes(stage.distributed)
    if (stage.val_set_size or stage.test_datasets) and answers and together % answers:
        detail = "to evaluate, all completions of a prompt go through the model at once, on all processes together"
        yield "micro_batch_size", detail, f"Use a multiple of `{path}` = {answers}."
    evaluation = stage.evaluation
    selects = evaluation is not None and (evaluation.early_stopping_patience or evaluation.load_best_model_at_end)
    if selects and evaluation.metric_for_best_model == "loss":
        detail = f"the loss of {stage.method} is about 0 however good the answers are"
        yield "evaluation.metric_for_best_model", detail, 'Use "reward".'


def passed_on(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What these fields are called by TRL's configuration classes: as here."""
    return {
        **{name: settings[name] for name in _PASSED_ON},
        "reward_weights": list(settings["reward_weights"]) or None,
    }


def made(run: Run, trainer: type[Any], arguments: Any) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer whose prompts are the token rows, and whose rewards are those of the recipe."""
    settings = run.settings
    prompts = settings["batch_size"] // settings["num_generations"]
    given = trainers.common(run)
    enough_prompts(given["train_dataset"], prompts)
    rewards = reward_functions(settings["reward_functions"], Path(run.task.recipe_folder), run.task.content)
    return trainers.ready(on_token_rows(trainer, prompts, run.drawn())(args=arguments, reward_funcs=rewards, **given))
