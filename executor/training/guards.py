"""What ends a run that learns nothing any more, and what warns of one that may not."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from executor.workers.worker_reports import Reporter
from state.diagnostic import problem

WINDOW = 20
"""Rows over which a loss is averaged, because single batches say little."""
FLAT = 0.01
"""Change of the loss, as a share of it, below which it stands still."""
EXPLODED_BY = 1.0
"""Nats above the lowest loss below which a multiple of it is no explosion: of a loss near 0 all multiples are small."""
_ALIKE = (
    "in {} steps in a row all completions of a prompt got the same reward: nothing is learned. See what "
    "`reward_functions` give, raise `num_generations` or `temperature`, or take prompts that are solved sometimes."
)
_CUT_OFF = (
    "in {} steps in a row every completion was cut off at `max_completion_length`: what is rewarded has no end. "
    "Raise it, or start from a model that has learnt to end its answers."
)
SHARES = {
    "equal_rewards_steps": ("frac_reward_zero_std", _ALIKE),
    "cut_completions_steps": ("completions/clipped_ratio", _CUT_OFF),
}
"""By guard: what TRL calls a share that says that nothing is learned while it is 1, and what is said then."""
LOSS_SAYS_NOTHING = ("grpo", "rloo")
"""Methods whose loss is about 0 however much they learn."""


@define
class Warnings:
    """Looks at one row after the other, each once, and says what is wrong; every warning comes once in a run."""

    exploding_loss: float
    flat_loss_steps: int
    clipped_steps: int
    shares: Mapping[str, int]
    """After how many steps a share that stays 1 is told, by the guard."""
    max_grad_norm: float
    reads_loss: bool
    given: dict[str, str] = field(factory=dict, init=False)
    """What was said so far, by what it is about."""
    _first: list[float] = field(factory=list, init=False)
    _recent: deque[float] = field(factory=lambda: deque(maxlen=WINDOW), init=False)
    _lowest: float = field(default=math.inf, init=False)
    _judged: bool = field(default=False, init=False)
    """Whether it was seen if the loss has moved since the beginning, which is asked once."""
    _since: dict[str, int] = field(factory=dict, init=False)
    """The step from which on something has been so at every one, by what it is about."""

    def look(self, step: int, row: Mapping[str, float]) -> Iterator[str]:
        """What is new to say after a step, in sentences."""
        found: dict[str, str] = {}
        if self.reads_loss and "loss" in row:
            self._take(row["loss"])
            found |= self._exploding(step) | self._flat(step)
        if "grad_norm" in row:
            found |= self._clipped(step, row["grad_norm"])
        found |= self._whole_shares(step, row)
        for about, text in found.items():
            if about not in self.given:
                self.given[about] = text
                yield text

    def _take(self, loss: float) -> None:
        self._recent.append(loss)
        if len(self._first) < WINDOW:
            self._first.append(loss)

    def _exploding(self, step: int) -> dict[str, str]:
        if not self.exploding_loss or len(self._recent) < WINDOW:
            return {}
        mean = _mean(self._recent)
        lowest = self._lowest = min(self._lowest, mean)
        if mean < self.exploding_loss * lowest or mean < lowest + EXPLODED_BY:
            return {}
        text = (
            f"the loss is {mean:.3g} at step {step} and was {lowest:.3g} before: it explodes. "
            "Lower `learning_rate`, lengthen the warm-up, or lower `max_grad_norm`."
        )
        return {"exploding": text}

    def _flat(self, step: int) -> dict[str, str]:
        if not self.flat_loss_steps or step < self.flat_loss_steps or self._judged:
            return {}
        self._judged = True
        first, now = _mean(self._first), _mean(self._recent)
        if abs(now - first) > FLAT * abs(first):
            return {}
        text = (
            f"the loss is {now:.3g} after {step} steps, where it began: nothing is learned. Raise `learning_rate`, "
            "or see with `tune preview` what is trained."
        )
        return {"flat": text}

    def _clipped(self, step: int, norm: float) -> dict[str, str]:
        limit = self.max_grad_norm
        if not self._lasts("clipped", step, self.clipped_steps, holds=bool(limit) and norm > limit):
            return {}
        text = (
            f"the gradients of {self.clipped_steps} steps in a row were cut to `max_grad_norm` = {limit:g}, now from "
            f"{norm:.3g}: their length counts no more. Lower `learning_rate`, or raise `max_grad_norm`."
        )
        return {"clipped": text}

    def _whole_shares(self, step: int, row: Mapping[str, float]) -> dict[str, str]:
        return {
            guard: text.format(steps)
            for guard, (column, text) in SHARES.items()
            if column in row and self._lasts(guard, step, steps := self.shares[guard], holds=row[column] >= 1)
        }

    def _lasts(self, about: str, step: int, steps: int, *, holds: bool) -> bool:
        """Whether something has been so for so many steps; never for 0 of them."""
        if not steps or not holds:
            self._since.pop(about, None)
            return False
        return step - self._since.setdefault(about, step) + 1 >= steps


class Guarding:
    """Looks at all that is logged, that of an interrupted run before it included; ends the run or warns."""

    def __init__(self, settings: Mapping[str, Any], reporter: Reporter) -> None:
        """Go by a stage's settings."""
        guards = settings["guards"]
        self.threshold, self.patience = guards["loss_watchdog_threshold"], guards["loss_watchdog_patience"]
        self.reporter = reporter
        self.warnings = Warnings(
            exploding_loss=guards["exploding_loss"],
            flat_loss_steps=guards["flat_loss_steps"],
            clipped_steps=guards["clipped_steps"],
            shares={guard: guards[guard] for guard in SHARES},
            max_grad_norm=settings["max_grad_norm"],
            reads_loss=settings["method"] not in LOSS_SAYS_NOTHING,
        )
        self._high = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """What a resumed run had said already is not said again."""
        for row in state.log_history:
            tuple(self.warnings.look(int(row["step"]), row))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Look at the new figures."""
        row, step = logs or {}, int(state.global_step)
        if "loss" in row:
            self._end_if_hopeless(step, float(row["loss"]))
        for text in self.warnings.look(step, row):
            if state.is_world_process_zero:
                self.reporter.message(f"warning: {text}")

    def given(self) -> list[str]:
        """All warnings of the run."""
        return list(self.warnings.given.values())

    def _end_if_hopeless(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            knob = "lower `max_grad_norm`" if self.warnings.max_grad_norm else "set `max_grad_norm` = 1.0"
            hint = f"Lower `learning_rate`, or {knob}."
            raise problem("Loss is not a number", f"The loss is {loss} at step {step}.", hint)
        self._high = self._high + 1 if self.threshold and loss > self.threshold else 0
        if self._high >= self.patience:
            detail = (
                f"The loss is {loss:.4g} at step {step}, {_nth(self.patience)} time in a row above {self.threshold:g}."
            )
            hint = "Lower `learning_rate`, or raise `guards.loss_watchdog_threshold`; checkpoints are kept."
            raise problem("Loss watchdog", detail, hint)


def _nth(number: int) -> str:
    """A place in words that need no exceptions beyond the usual ones: the 3rd, the 12th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"the {number}{ending}"


def _mean(values: deque[float] | list[float]) -> float:
    return sum(values) / len(values)
