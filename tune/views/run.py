"""What happens while a plan is applied: a live line on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from executor.applying.apply import Result
from executor.workers import events
from planner.planfile import diagnostic_to_plain
from tune.views.progress import in_one_line, live, waiting
from tune.views.terminal import hanging
from tune.views.words import duration

LINE_SECONDS = 5.0
"""How often progress is told where nothing can be overwritten."""


class View(ABC):
    """Where events go; a context manager, so that a terminal is always left in order."""

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027  most views have nothing to put in order
        """Leave everything in order."""

    @abstractmethod
    def show(self, event: events.Event) -> None:
        """Show one event."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Say something that is no event."""

    @abstractmethod
    def end(self, result: Result) -> None:
        """Sum up."""

    def urgently(self, text: str) -> None:
        """Say something from within a signal handler."""
        # Straight to the descriptor: whoever was interrupted may hold the locks of any stream.
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())


class JsonView(View):
    """One JSON object a line, for programs."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        self.stream = stream

    def show(self, event: events.Event) -> None:
        """The event with its `type`."""
        self._write(events.to_plain(event))

    def note(self, text: str) -> None:
        """As a message without an address."""
        self._write(events.to_plain(events.Message("", text)))

    def end(self, result: Result) -> None:
        """What became of each address."""
        ended = "failed" if result.failure else "interrupted" if result.interrupted else "complete"
        steps, spared = dict(result.done), dict(result.spared)
        told = {"result": ended, "steps": steps, "spared": spared, "serial": result.state.serial}
        wrong = [diagnostic_to_plain(one) for one in result.failure.diagnostics] if result.failure else []
        self._write({"type": "summary", **told, "failed": result.failed, "diagnostics": wrong})

    def _write(self, plain: object) -> None:
        self.stream.write(json.dumps(plain, ensure_ascii=False) + "\n")
        self.stream.flush()


class LineView(View):
    """Plain lines, for logs."""

    def __init__(self, out: Console) -> None:
        """Write to a console."""
        self.out = out
        self.began = time.monotonic()
        self._last = 0.0

    def show(self, event: events.Event) -> None:
        """Steps always, progress now and then."""
        match event:
            case events.StepStarted(address, action):
                self.line(f"{address}: {action} ...")
            case events.Progress():
                if time.monotonic() - self._last >= LINE_SECONDS:
                    self._last = time.monotonic()
                    self.line(f"{event.address}: {in_one_line(event)}")
            case events.CheckpointWritten(address, kept):
                self.line(f"{address}: checkpoint at step {kept[-1].step}")
            case events.Message(address, text):
                self.line(f"{address}: {text}")
            case events.StepEnded(result=result, detail=detail) if result != "reused" or detail:
                self.line(ended(event))

    def note(self, text: str) -> None:
        """A line of its own."""
        self.line(text)

    def line(self, text: str) -> None:
        """One paragraph, broken between words on a terminal; a line of a log stays a line, whose words can be found."""
        if self.out.is_terminal:
            self.out.print(hanging(text, 0))
        else:
            self.out.print(Text(text), soft_wrap=True)

    def end(self, result: Result) -> None:
        """How many of what, and how long it took."""
        counts = Counter(result.done.values())
        done = ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing done"
        if result.failure:
            head = "Apply failed"
        elif result.interrupted:
            head = "Apply interrupted; `tune apply` continues where it stopped"
        else:
            head = "Apply complete"
        self.out.print()
        self.line(f"{head}: {done}, in {duration(time.monotonic() - self.began)}.")
        if result.spared:
            self.line(spared(result.spared))


class LiveView(LineView):
    """As lines, with the progress of the running step below them in a few lines that are overwritten."""

    def __init__(self, out: Console) -> None:
        """Write to a terminal."""
        super().__init__(out)
        self._running: events.StepStarted | events.Progress | None = None
        self._since = 0.0
        self._urgent = ""
        self._live = Live(console=out, get_renderable=self.below, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        """Take over the bottom lines."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the bottom lines back."""
        self._tell_urgent()
        self._live.stop()

    def show(self, event: events.Event) -> None:
        """Progress below until the step is over, everything else above it."""
        match event:
            case events.Progress():
                self._running = event
                return
            case events.StepStarted():
                self._running, self._since = event, time.monotonic()
            case events.StepEnded():
                self._running = None
        self._tell_urgent()
        super().show(event)

    def below(self) -> Text:
        """What is overwritten: how far the running step is, or for how long it has been starting."""
        match self._running:
            case events.Progress() as event:
                text = live(event, self.out.width)
            case events.StepStarted(address):
                text = waiting(address, time.monotonic() - self._since, self.out.width)
            case None:
                text = Text()
        return Text("\n").join((text, Text(self._urgent))) if self._urgent else text

    def urgently(self, text: str) -> None:
        """With the progress, which would overwrite it otherwise; it becomes a line when the next one is printed."""
        self._urgent = text

    def _tell_urgent(self) -> None:
        text, self._urgent = self._urgent, ""
        self._live.refresh()  # or what was below until now would come once more below the next line
        if text:
            self.line(text)


_SHOWN = (
    *("loss", "eval_loss", "eval_reward", "eval_rewards/accuracies", "eval_accuracy"),
    *("perplexity", "exact_match"),
)


def spared(steps: Mapping[str, float]) -> str:
    """What early cutoff was worth."""
    told = "step turned out to be unnecessary" if len(steps) == 1 else "steps turned out to be unnecessary"
    seconds = sum(steps.values())
    worth = f"; the last time, {'it' if len(steps) == 1 else 'they'} took {duration(seconds)}" if seconds else ""
    return f"{len(steps)} {told}{worth}."


def ended(event: events.StepEnded) -> str:
    """The last word on a step."""
    text = f"{event.address}: {event.result}"
    if event.result not in ("reused", "updated", "recorded", "forgotten", "adopted", "found", "moved"):
        text += f" in {duration(event.seconds)}"
        figures = [f"{name} {event.metrics[name]:z.4g}" for name in _SHOWN if name in event.metrics]
        text += f" ({', '.join(figures)})" if figures else ""
    return f"{text}; {event.detail}" if event.detail else text
