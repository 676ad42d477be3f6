"""The learning rates that the settings of a training run come to, and when those of two are one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from executor.training.dropout import ANSWERS
from planner.effects import Made
from planner.resume import STOPPED_EARLY
from planner.schedule import Schedule, accepted_arguments, are_one, total_steps
from state.canonical import Plain

SAME = "every step has the learning rate that it had, and nothing is trained again"


def schedule_of(settings: Mapping[str, Any], rows: int) -> Schedule:
    """The learning rates that a stage's settings imply for a number of rows, in one process."""
    micro = settings["micro_batch_size"]
    accumulation, sequences = settings["batch_size"] // micro, _sequences(settings, rows)
    steps = total_steps(sequences, micro, accumulation, settings["num_epochs"], settings["max_steps"])
    # transformers rounds a ratio up (TrainingArguments.get_warmup_steps).
    warmup = settings["warmup_steps"] or math.ceil(steps * settings["warmup_ratio"])
    scheduler = settings["lr_scheduler"]
    arguments = taken(scheduler, settings["lr_scheduler_kwargs"])
    return Schedule(scheduler, settings["learning_rate"], warmup, steps, arguments)


def taken(scheduler: str, settings: Mapping[str, Plain]) -> dict[str, Plain]:
    """The arguments that a scheduler is called with."""
    return {name: settings[name] for name in accepted_arguments(scheduler) if settings.get(name) is not None}


def same_schedule(made: Made, wanted: Mapping[str, Plain]) -> str:
    """Of fields that decide nothing but learning rates: a run that ended early is asked up to its end."""
    tokens = made.inputs.get("tokens", ())
    if not tokens:
        return ""
    rows = cast("int", tokens[0].facts["rows"])
    before, after = schedule_of(made.settings, rows), schedule_of(wanted, rows)
    ended = cast("int", made.facts.get(STOPPED_EARLY, before.total_steps))
    return SAME if are_one(before, after, ended) else ""


def _sequences(settings: Mapping[str, Any], rows: int) -> int:
    """How many sequences an epoch trains on: rows, or completions of prompts, of which a last few may be left out."""
    if ANSWERS not in settings:
        return rows
    batch = int(settings["batch_size"])
    return max(1, rows // max(1, batch // int(settings.get("num_generations", 1)))) * batch
