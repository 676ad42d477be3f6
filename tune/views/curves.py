"""Curves on a terminal: drawn in Braille dots, told apart by their marks and not by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

from attrs import field
from rich.console import Console
from rich.text import Text

from executor.evaluation.curves import Curve, Panel, thinned
from executor.evaluation.sample_file import SAMPLED
from state.values import mutable
from tune.views.preview import visible
from tune.views.terminal import Hanging

ROWS = 9
"""Lines of a chart."""
BESIDE = 150
"""Columns from which on there is room for two charts beside each other."""
GAP = 4
LABEL = 11
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a Braille character by row and column."""
BRAILLE = 0x2800
STYLES = ("cyan", "yellow")
MARK = "o"
"""What a second curve's points are, so that nobody needs colours to tell it from the first."""


@mutable
class _Canvas:
    """Dots in a grid of characters, each 2 dots wide and 4 high."""

    columns: int
    bits: list[list[int]] = field(init=False)
    marks: dict[tuple[int, int], str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.bits = [[0] * self.columns for _ in range(ROWS)]

    def dot(self, x: int, y: int) -> None:
        """Set a dot, counted from the left and from the top."""
        self.bits[y // 4][x // 2] |= DOTS[y % 4][x % 2]

    def line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Set the dots from one to another."""
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for at in range(length + 1):
            self.dot(*(round(one + (other - one) * at / length) for one, other in zip(start, end, strict=True)))

    def row(self, number: int) -> Text:
        """One line of characters."""
        line = Text()
        for column, bits in enumerate(self.bits[number]):
            mark = self.marks.get((column, number))
            if mark is not None:
                line.append(mark, style=STYLES[1])
            else:
                line.append(chr(BRAILLE + bits) if bits else " ", style=STYLES[0])
        return line


def print_curves(out: Console, panels: Sequence[Panel]) -> None:
    """The panels below each other, or in pairs where the terminal is wide."""
    beside = 2 if out.width >= BESIDE else 1
    width = (out.width - GAP * (beside - 1)) // beside
    for start in range(0, len(panels), beside):
        charts = [_chart(panel, width) for panel in panels[start : start + beside]]
        for lines in zip_longest(*charts, fillvalue=Text()):
            out.print(_joined(lines, width), soft_wrap=True)
        out.print()


def print_samples(out: Console, samples: Sequence[Mapping[str, Any]]) -> None:
    """What a model answered, with what it was asked and should have said."""
    if samples:
        out.print(Text(f"Answers after step {samples[-1]['step']:,}", style="bold"))
    for one in samples:
        out.print()
        for name in (name for name in SAMPLED if name in one):
            out.print(Hanging(Text(visible(str(one[name]).strip())), LABEL + 2, f"  {name}"))


def _joined(lines: Sequence[Text], width: int) -> Text:
    joined = Text()
    for number, line in enumerate(lines):
        joined.append_text(line)
        if number < len(lines) - 1:
            joined.append(" " * (width - line.cell_len + GAP))
    joined.rstrip()
    return joined


def _chart(panel: Panel, width: int) -> list[Text]:
    """A title, the curves with the highest and the lowest value beside them, and the steps below."""
    columns = width - LABEL - 2
    canvas = _Canvas(columns)
    for number, curve in enumerate(panel.curves):
        _draw(canvas, curve, panel, marked=number > 0)
    low, high = panel.values
    labels = {0: f"{high:.4g}", ROWS - 1: f"{low:.4g}"}
    rows = (Text(f"{labels.get(number, ''):>{LABEL}} │").append_text(canvas.row(number)) for number in range(ROWS))
    lines = [_title(panel), *rows]
    first, last = (f"{step:,}" for step in panel.steps)
    lines.append(Text(" " * (LABEL + 1) + "└" + "─" * columns))
    steps = f"step {first}"
    lines.append(Text(" " * (LABEL + 2) + steps + last.rjust(columns - len(steps))))
    return lines


def _title(panel: Panel) -> Text:
    title = Text(" " * (LABEL + 2)).append(panel.title, style="bold")
    for number, curve in enumerate(panel.curves if len(panel.curves) > 1 else ()):
        mark = MARK if number else chr(BRAILLE + 0x12) * 2
        title.append(f"   {mark} ", style=STYLES[number]).append(curve.name)
    return title


def _draw(canvas: _Canvas, curve: Curve, panel: Panel, *, marked: bool) -> None:
    (first, last), (low, high) = panel.steps, panel.values
    wide, tall = 2 * canvas.columns - 1, 4 * ROWS - 1

    def place(point: tuple[int, float]) -> tuple[int, int]:
        step, value = point
        x = round((step - first) * wide / (last - first)) if last > first else 0
        y = round((high - value) * tall / (high - low)) if high > low else tall // 2
        return x, y

    places = [place(point) for point in thinned(curve.points, panel.steps, wide + 1)]
    if marked:
        canvas.marks |= {(x // 2, y // 4): MARK for x, y in places}
        return
    for one in places[:1]:
        canvas.dot(*one)
    for one, other in pairwise(places):
        canvas.line(one, other)
