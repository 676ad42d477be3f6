"""Evaluations of a run that trains: they change nothing, unless the run ends by them or its best model is picked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.methods.sft import METHOD, Sft
from executor.tokens.token_files import TRAIN, VALIDATION, read_columns
from executor.training.evaluation_fields import Evaluation
from executor.training.training import train
from executor.workers.task import Task
from executor.workers.worker_reports import StopRequestedError
from state.diagnostic import ProblemError
from state.record import Checkpoint
from tests.executor.test_training import (
    BASIC,
    CONVERSATIONS,
    DROPPED_OUT,
    MANY,
    STAGES,
    Laboratory,
    StopAfter,
    Trained,
    _held_back_loss,
    _keep_handler,
    _kept,
    laboratory,
    metrics,
    resumed,
    run,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["_keep_handler", "laboratory"]

HELD_BACK = evolve(BASIC, val_set_size=0.25, num_epochs=8, learning_rate=3e-2)
"""Nine rows to train on, so three steps an epoch; it learns them by heart and becomes worse at the three others."""
SELECTING = Evaluation(eval_steps=2, early_stopping_patience=2, load_best_model_at_end=True)


@pytest.fixture(scope="module")
def overfitted(laboratory: Laboratory) -> Trained:
    """A run that ended early."""
    return run(laboratory.task(evolve(HELD_BACK, evaluation=SELECTING), laboratory.tokens(MANY, HELD_BACK)))


def interrupted(task: Task, at: int) -> tuple[Checkpoint, ...]:
    """Train until SIGTERM comes in a step, whose evaluation is given up if it has one; the checkpoints then."""
    said: list[Any] = []
    with pytest.raises(StopRequestedError):
        train(METHOD, task, StopAfter(task.address, said.append, step=at))
    return _kept(said)


def evaluated(made: Trained) -> dict[int, float]:
    return {row["step"]: row["eval_loss"] for row in metrics(made) if "eval_loss" in row}


@pytest.mark.parametrize("name", ["lora", "qlora"])
def test_evaluating_leaves_every_number_to_the_training(laboratory: Laboratory, name: str) -> None:
    """Random ones, and weights in four bits, which bitsandbytes packs otherwise where nobody asks for gradients."""
    stage = evolve(STAGES[name], val_set_size=0.25, num_epochs=8, max_steps=4)
    tokens = laboratory.tokens(MANY, stage)
    evaluations = (None, Evaluation(eval_steps=1))
    made = [run(laboratory.task(evolve(stage, evaluation=one), tokens)) for one in evaluations]
    assert made[0].weights == made[1].weights
    assert list(evaluated(made[0])) == [4]
    assert list(evaluated(made[1])) == [1, 2, 3, 4]
    assert [row["step"] for row in metrics(made[1])] == [1, 2, 3, 4]


def test_measures_are_means_over_tokens_whatever_batches_they_are_in(laboratory: Laboratory) -> None:
    """Rows of other lengths would else count for more or less, and another model could be found the best."""
    stage = evolve(BASIC, val_set_size=0.5, max_steps=1, learning_rate=1e-6, evaluation=Evaluation(eval_steps=1))
    tokens = laboratory.tokens([*CONVERSATIONS, *MANY[:4]], stage)
    learned = [sum(label >= 0 for label in row) for row in read_columns(Path(tokens.folder), VALIDATION)["labels"]]
    assert sorted(learned) == [3, 9, 9, 9]
    made = [run(laboratory.task(evolve(stage, micro_batch_size=micro), tokens)) for micro in (4, 2, 1)]
    for name in ("eval_loss", "eval_perplexity", "eval_mean_token_accuracy", "eval_entropy"):
        found = [next(row[name] for row in metrics(one) if name in row) for one in made]
        assert found == pytest.approx([found[0]] * 3, rel=1e-5), name
    assert evaluated(made[2])[1] == pytest.approx(_held_back_loss(made[2], tokens), abs=1e-5)


def test_a_run_ends_when_it_no_longer_becomes_better_and_yields_its_best_model(overfitted: Trained) -> None:
    losses = evaluated(overfitted)
    best = min(losses, key=lambda step: losses[step])
    facts: dict[str, Any] = {**overfitted.outcome.facts}
    figures: dict[str, Any] = {**overfitted.outcome.metrics}
    assert best + 4 == facts["stopped_early_at"] == figures["steps"] < facts["steps"] == 24
    assert facts["best_step"] == best
    assert figures["eval_loss"] == pytest.approx(losses[best], abs=1e-6)
    assert _held_back_loss(overfitted, overfitted.task.one("tokens")) == pytest.approx(losses[best], abs=1e-5)
    assert [one.step for one in overfitted.kept] == [facts["stopped_early_at"]]


def test_a_run_that_ended_early_is_not_trained_further(overfitted: Trained) -> None:
    task = evolve(overfitted.task, output=str(Path(overfitted.task.output).with_name("again")))
    Path(task.output).mkdir()
    again = run(evolve(task, resume_from=overfitted.kept[-1], earlier=overfitted.kept))
    assert again.said == []
    assert again.weights == overfitted.weights
    assert metrics(again) == metrics(overfitted)
    facts = again.outcome.facts
    assert facts["stopped_early_at"] == facts["resumed_from"] == overfitted.outcome.facts["stopped_early_at"]


@pytest.mark.parametrize("before", [1, 0, -2])
def test_an_interrupted_run_ends_and_chooses_as_if_nothing_had_been(
    overfitted: Trained, laboratory: Laboratory, before: int
) -> None:
    task = laboratory.task(evolve(HELD_BACK, evaluation=SELECTING), overfitted.task.one("tokens"))
    made = run(resumed(task, interrupted(task, int(str(overfitted.outcome.facts["best_step"])) - before)))
    assert made.weights == overfitted.weights
    assert made.outcome.output_digest == overfitted.outcome.output_digest
    assert metrics(made) == metrics(overfitted)


def test_a_metric_that_is_not_measured_is_told_at_the_first_evaluation(laboratory: Laboratory) -> None:
    evaluation = Evaluation(eval_steps=1, early_stopping_patience=1, metric_for_best_model="accuracy")
    with pytest.raises(ProblemError) as error:
        run(laboratory.task(evolve(HELD_BACK, evaluation=evaluation)))
    (found,) = error.value.diagnostics
    assert found.detail == "`metric_for_best_model` is accuracy, which the evaluation does not measure."
    assert "loss" in found.hint


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    ("told", "steps"), [({"eval_on_start": True}, [0, 3, 4]), ({"eval_delay": 4}, [4])], ids=["on start", "delayed"]
)
def test_a_resumed_run_evaluates_when_a_straight_one_does(
    laboratory: Laboratory, told: dict[str, Any], steps: list[int], at: int
) -> None:
    """Another evaluation could be the best one, or end the run."""
    stage = evolve(HELD_BACK, max_steps=4, trainer=told, evaluation=Evaluation(eval_steps=3))
    straight, task = run(laboratory.task(stage)), laboratory.task(stage)
    assert list(evaluated(straight)) == steps
    assert metrics(run(resumed(task, interrupted(task, at)))) == metrics(straight)


@pytest.mark.parametrize(("times", "steps"), [(1, [3, 6]), (2, [2, 4, 6]), (3, [1, 2, 3, 4, 5, 6])])
def test_evaluations_are_spread_over_an_epoch(laboratory: Laboratory, times: int, steps: list[int]) -> None:
    stage = evolve(HELD_BACK, evaluation=Evaluation(evals_per_epoch=times), num_epochs=2)
    assert list(evaluated(run(laboratory.task(stage)))) == steps


ANSWERING = Evaluation(
    eval_steps=3,
    metrics=("exact_match", "rougeL", "own.py:long", "own.py:words"),
    answers=2,
    max_new_tokens=6,
    samples=1,
)
OWN = """\
def long(answers, references):
    return sum(len(one) > 20 for one in answers) / len(answers)

def words(answers, references):
    return {"words": len(answers), "first": len(references[0])}
"""


def answering(laboratory: Laboratory, stage: Sft, own: str = OWN) -> Task:
    """A task whose metrics are in a file."""
    task = laboratory.task(stage, laboratory.tokens(MANY, stage))
    (Path(task.recipe_folder) / "own.py").write_text(own)
    return task


@pytest.fixture(scope="module")
def answered(laboratory: Laboratory) -> Trained:
    stage = evolve(HELD_BACK, adapter=DROPPED_OUT, max_steps=6, evaluation=ANSWERING)
    return run(answering(laboratory, stage))


def samples(made: Trained) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.task.output_folder / "samples.jsonl").read_text().splitlines()]


def test_answers_are_measured_kept_and_change_nothing(laboratory: Laboratory, answered: Trained) -> None:
    silent = run(laboratory.task(evolve(HELD_BACK, adapter=DROPPED_OUT, max_steps=6), answered.task.one("tokens")))
    assert answered.weights == silent.weights
    measured = [row for row in metrics(answered) if "eval_loss" in row]
    assert [row["step"] for row in measured] == [3, 6]
    for row in measured:
        assert row["eval_perplexity"] == pytest.approx(math.exp(row["eval_loss"]))
        assert {"eval_exact_match", "eval_rougeL", "eval_long"} <= row.keys()
        assert row["eval_words"] == 2
    assert answered.outcome.metrics["eval_long"] == measured[-1]["eval_long"]
    kept = samples(answered)
    assert [row["step"] for row in kept] == [3, 6]
    assert kept[0]["prompt"].endswith("<|im_start|>assistant\n")
    assert kept[0]["reference"].startswith("It is ")
    assert measured[0]["eval_first"] == len(kept[0]["reference"])


def test_answers_are_those_of_the_model(answered: Trained, laboratory: Laboratory) -> None:
    from executor.models.loading import load_model, load_tokenizer

    adapter = evolve(laboratory.model, folder=answered.task.output)
    model = load_model((laboratory.model, adapter), "float32", "sdpa").eval()
    tokenizer = load_tokenizer((laboratory.model,))
    last = samples(answered)[-1]
    asked = tokenizer(last["prompt"], add_special_tokens=False, return_tensors="pt")
    said = model.generate(**asked, max_new_tokens=6, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(said, skip_special_tokens=True) == last["answer"]


@pytest.mark.parametrize("at", [3, 4])
def test_a_resumed_run_has_each_answer_once(laboratory: Laboratory, answered: Trained, at: int) -> None:
    task = answering(laboratory, evolve(HELD_BACK, adapter=DROPPED_OUT, max_steps=6, evaluation=ANSWERING))
    made = run(resumed(task, interrupted(task, at)))
    assert made.weights == answered.weights
    assert metrics(made) == metrics(answered)
    assert samples(made) == samples(answered)


def test_a_metric_of_the_users_own_may_choose_the_model_and_its_mistakes_are_told(laboratory: Laboratory) -> None:
    chosen = evolve(ANSWERING, eval_steps=1, load_best_model_at_end=True, metric_for_best_model="long")
    stage = evolve(HELD_BACK, max_steps=2, evaluation=chosen)
    worse = OWN.replace("sum(", "next(count) or sum(").replace("def long", "count = iter([0.5, 0.25])\ndef long")
    made = run(answering(laboratory, stage, worse))
    assert made.outcome.facts["best_step"] == 1
    with pytest.raises(ProblemError) as error:
        run(answering(laboratory, stage, OWN.replace("len(answers)", "0")))
    (found,) = error.value.diagnostics
    assert found.detail == "`own.py:long` ended with ZeroDivisionError: division by zero (own.py:2)."
    moved = answering(laboratory, stage)
    with pytest.raises(ProblemError, match=r"`own\.py` changed while it was being applied"):
        run(evolve(moved, content={"own.py": "0" * 32}))


def test_rows_of_other_datasets_are_evaluated_on(laboratory: Laboratory) -> None:
    stage = evolve(BASIC, max_steps=2, evaluation=Evaluation(eval_steps=2))
    tests = laboratory.tokens(MANY[:3], BASIC)
    task = laboratory.task(stage)
    made = run(evolve(task, inputs={**task.inputs, "test_datasets": (tests,)}))
    assert evaluated(made)[2] == pytest.approx(_held_back_loss(made, tests, TRAIN), abs=1e-5)
