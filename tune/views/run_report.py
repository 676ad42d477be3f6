"""A training run as one page: its curves as pictures within it, and everything that its record says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from executor.evaluation.curves import Curve, Panel, thinned
from executor.evaluation.sample_file import SAMPLED
from state.lookup import Found
from state.record import State
from tune.views.html_page import html_page, html_table
from tune.views.preview import visible
from tune.views.state import lines

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 10, 30
"""Room around the curves, for labels."""
_STYLE = """td:first-child { white-space: nowrap; opacity: .7; }
td { overflow-wrap: anywhere; }
svg { width: 100%; max-width: 52rem; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; }
.axis { stroke: #8888; fill: none; }
.curve { fill: none; stroke-width: 1.5; }
.first { stroke: #07c; } .first.dot, .first.name { fill: #07c; stroke: none; }
.second { stroke: #d60; stroke-dasharray: 5 3; } .second.dot, .second.name { fill: #d60; stroke: none; }
"""
_NAMES = ("first", "second")


def run_report(found: Found, state: State, panels: Sequence[Panel], samples: Sequence[Mapping[str, Any]]) -> str:
    """The whole page; whatever a recipe, a path or a log says is escaped."""
    return html_page(found.address, _STYLE, _body(found, state, panels, samples))


def _body(found: Found, state: State, panels: Sequence[Panel], samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"<h1>{escape(found.address)}</h1>\n"
    for panel in panels:
        yield f"<h2>{escape(panel.title)}</h2>\n{_picture(panel)}\n"
    yield from _answers(samples)
    yield "<h2>Record</h2>\n"
    yield html_table([(escape(label), escape(text)) for label, text in lines(found, state)])


def _answers(samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if samples:
        yield f"<h2>Answers after step {samples[-1]['step']:,}</h2>\n"
    for one in samples:
        for name in (name for name in SAMPLED if name in one):
            yield f"<p>{name}</p><pre>{escape(visible(str(one[name])))}</pre>\n"


def _picture(panel: Panel) -> str:
    (low, high), (first, last) = panel.values, panel.steps
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(panel.title)}</title>',
        f'<path class="axis" d="M{LEFT},{TOP}V{bottom}H{right}"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{high:.4g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">{low:.4g}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">step {first:,}</text>',
        f'<text x="{right}" y="{HEIGHT - 8}" text-anchor="end">{last:,}</text>',
    ]
    for number, curve in enumerate(panel.curves):
        parts += _drawn(curve, panel, number)
    return "\n".join([*parts, "</svg>"])


def _drawn(curve: Curve, panel: Panel, number: int) -> Iterator[str]:
    (low, high), (first, last) = panel.values, panel.steps
    wide, tall, name = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, _NAMES[number]
    places = [
        (
            LEFT + (step - first) * wide / max(1, last - first),
            TOP + ((high - value) * tall / (high - low) if high > low else tall / 2),
        )
        for step, value in thinned(curve.points, panel.steps, wide)
    ]
    if len(places) == 1:
        yield f'<circle class="{name} dot" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="2.5"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="curve {name}" points="{points}"/>'
    if len(panel.curves) > 1:
        x = WIDTH - RIGHT - 90 * (len(panel.curves) - number)
        yield f'<text class="{name} name" x="{x}" y="{TOP + 12}">{escape(curve.name)}</text>'
