"""How far a step is, in words: in one line for logs, in a few that are overwritten for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from executor.workers import events
from tune.views.words import duration

BAR = 30
"""Columns of the widest bar."""
BETWEEN = "  "
FIGURES = (
    *(("loss", "loss"), ("eval_loss", "eval loss"), ("reward", "reward"), ("eval_reward", "eval reward")),
    *(("rewards/accuracies", "accuracy"), ("accuracy", "accuracy"), ("learning_rate", "lr")),
)
"""What a trainer measures, with what it is called in little room."""


def in_one_line(event: events.Progress) -> str:
    """Progress for a log: how far, the figures that there are, and how long it will take."""
    return ", ".join((_position(event), *_figures(event)))


def live(event: events.Progress, width: int) -> Text:
    """Progress for a terminal of so many columns: a bar with the address, and all figures, broken between them."""
    room = min(BAR, width - len(event.address) - len(BETWEEN))
    text = Text(event.address, style="bold")
    if room > 0:
        full = int(room * event.done / max(1, event.total))
        text.append(BETWEEN).append("━" * full, style="cyan").append("━" * (room - full), style="dim")
    beside = width - text.cell_len - len(BETWEEN)
    first, *others = _flowed((_position(event), *_figures(event)), width, beside)
    if first:
        text.append(f"{BETWEEN}{first}")
    for line in others:
        text.append(f"\n{line}")
    # Where not even one figure has room, it is cut rather than wrapped: what is overwritten must keep its height.
    return Text("\n").join(_cut(line, width) for line in text.split("\n"))


def waiting(address: str, seconds: float, width: int) -> Text:
    """What a terminal shows of a step that has not said yet how far it is, while it loads libraries and weights."""
    text = Text(address, style="bold").append(f"{BETWEEN}starting, {duration(seconds)}", style="dim")
    return _cut(text, width)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def _flowed(parts: Sequence[str], width: int, first_width: int) -> list[str]:
    """Parts in as few lines as they need, of which the first has less room and may stay empty."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}{BETWEEN if lines[-1] else ''}{part}"
        if len(longer) <= (first_width if len(lines) == 1 else width):
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _position(event: events.Progress) -> str:
    return f"{event.unit} {event.done:,}/{event.total:,}"


def _figures(event: events.Progress) -> Iterator[str]:
    """What is known beside the position, what is looked at most first."""
    values = event.values
    if "evaluated" in values:
        yield f"evaluating {values['evaluated']:,.0f}/{values['to_evaluate']:,.0f}"
    if "epoch" in values:
        yield f"epoch {values['epoch']:.2f}"
    for name, label in FIGURES:
        if name in values:
            yield f"{label} {values[name]:z.4g}"
    if "grad_norm" in values:
        yield f"grad norm {values['grad_norm']:.3g}"
    if event.seconds_left is not None and event.done < event.total:
        yield f"{duration(event.seconds_left)} left"
    if "tokens_per_second" in values:
        yield f"{values['tokens_per_second']:,.0f} tok/s"
    yield from _machine(event)


def _machine(event: events.Progress) -> Iterator[str]:
    values = event.values
    if "memory_gib" in values:
        total = f" of {values['memory_total_gib']:.0f}" if "memory_total_gib" in values else ""
        yield f"memory {values['memory_gib']:.1f}{total} GiB"
    if "gpu_utilisation" in values:
        yield f"GPU {values['gpu_utilisation']:.0f} %"
    if "next_checkpoint" in values and event.done < event.total:
        yield f"next checkpoint {values['next_checkpoint']:,.0f}"
