"""A plan as one comment on a pull request: the verdict and a table to read, everything else in folds.

The same plan gives the same text, byte for byte, so that a comment is only edited when the plan is another one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote

from attrs import asdict

from planner.kind import Kinds
from planner.plan import Plan, Step
from planner.planfile import to_plain
from planner.reason import FieldChanged
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.secrets import without_secrets
from tune.views.footer import footer
from tune.views.plan import headline
from tune.views.reasons import brief, chain, sentence
from tune.views.words import SYMBOLS, plural, verb_of

LIMIT = 60_000
"""Bytes that a comment stays below: GitHub takes 65,536 characters."""
RESERVE = 1_000
"""Bytes kept for the sentences that say what was left out."""
FOLD = 8_000
"""Bytes of a fold: one step, or a long list of assumptions, leaves room for the others."""
CELL = 160
"""Characters of a table's cell; the fold of the step has the rest."""
HEADING = "| | step | action | because |\n|---|---|---|---|"
_SPECIAL = frozenset("&<>|`*_[]~\\$")
ASSUMPTION = "Assumption"
Measured: TypeAlias = Mapping[str, Sequence[tuple[str, Mapping[str, Plain]]]]
"""By address: when each earlier result was finished, and its metrics."""
NOTHING_MEASURED: Measured = {}


def markdown(plan: Plan, kinds: Kinds, recipe: str, saved: str = "", measured: Measured = NOTHING_MEASURED) -> str:
    """The comment; `recipe` is the recipe's path as `tune apply` will be given it, `saved` that of a saved plan.

    `measured` is what `earlier_metrics` found.
    """
    digest = str(to_plain(plan)["plan_digest"])
    head = f"{_head(recipe)}\n\n**{footer(plan)}**\n"
    given = [saved] if saved else [recipe, *_options(plan)]
    tail = _tail(plan, digest, shlex.join(["tune", "apply", *given, "--expect-digest", digest]))
    room = LIMIT - RESERVE - _size(head) - _size(tail)
    # What to know before anything is approved: three folds at most, for which there is always room.
    notes = list(_notes(plan))
    room -= sum(_size(note) + 1 for note in notes)
    rows = [_row(step, kinds) for step in plan.changes]
    table = _fitting(rows, room - _size(HEADING))
    room -= sum(_size(row) + 1 for row in [HEADING, *table])
    results = list(_measured(measured))
    earlier = _fitting(results, room)
    details = list(_details(plan, kinds))
    shown = _fitting(details, room - sum(_size(fold) + 1 for fold in earlier))
    parts = [head]
    if table:
        parts.append("\n".join([HEADING, *table]) + "\n")
    parts += _left_out(len(rows) - len(table), "step", "the table leaves")
    parts += [*notes, *earlier, *shown]
    parts += _left_out(len(results) - len(earlier), "earlier result", "the details leave")
    parts += _left_out(len(details) - len(shown), "step", "the details leave")
    return "\n".join([*parts, tail])


def problems(diagnostics: Sequence[Diagnostic], recipe: str) -> str:
    """The comment where nothing could be planned, so that no earlier plan is left standing as if it still held."""
    shown = _fitting([without_secrets(_told(one)) for one in diagnostics], LIMIT - RESERVE - _size(recipe))
    verdict = f"**{plural(len(diagnostics), 'problem')} found; nothing was planned.**\n"
    parts = [f"{_head(recipe)}\n\n{verdict}", f"{fenced(chr(10).join(shown))}\n"]
    return "\n".join([*parts, *_left_out(len(diagnostics) - len(shown), "problem", "the list leaves")])


def _head(recipe: str) -> str:
    return f"{marker(recipe)}\n### tune plan: {code(recipe)}"


def marker(recipe: str) -> str:
    """The hidden first line by which a program finds the comment of a recipe again."""
    return f"<!-- tune-plan: {quote(recipe, safe='/._- ').replace('--', '-%2D')} -->"


def code(text: str) -> str:
    """Any text as code within a line: it cannot end the cell, become a link or call somebody by name."""
    line = _visible(" ".join(text.split()))
    return f"<code>{''.join(f'&#{ord(one)};' if one in _SPECIAL else one for one in line)}</code>"


def fenced(text: str) -> str:
    """Any text as a block of code, between fences that it does not hold itself."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(_visible(line) for line in text.split("\n"))
    return f"{fence}text\n{lines}\n{fence}"


def _visible(line: str) -> str:
    """A line in which nothing hides: control characters, and those that turn the direction of reading, are spelled."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in line)


def _row(step: Step, kinds: Kinds) -> str:
    because = without_secrets(_because(step, kinds))
    cut = because if len(because) <= CELL else f"{because[: CELL - 3]}..."
    more = f" and {plural(len(step.reasons) - 1, 'more reason')}" if len(step.reasons) > 1 else ""
    action = headline(step, verb_of(step.address, kinds))
    return f"| {code(SYMBOLS[step.action])} | {code(step.address)} | {action} | {code(cut)}{more} |"


def _because(step: Step, kinds: Kinds) -> str:
    """The first reason; what a changed field forces stands in the column beside it already."""
    if not step.reasons:
        return ""
    first = step.reasons[0]
    return brief(first) if isinstance(first, FieldChanged) else sentence(first, verb_of(step.address, kinds))


def _measured(measured: Measured) -> Iterator[str]:
    """What evaluations that are run again gave before, the newest first."""
    for address, results in measured.items():
        names = list(dict.fromkeys(name for _, metrics in results for name in sorted(metrics)))
        rows = [("finished", *names)]
        for finished, metrics in results:
            rows.append((finished[:16].replace("T", " "), *(_figure(metrics.get(name)) for name in names)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        yield _fold(f"{code(address)} was measured before", lines)


def _figure(plain: Plain) -> str:
    return f"{plain:z.4g}" if isinstance(plain, float) else "" if plain is None else str(plain)


def _details(plan: Plan, kinds: Kinds) -> Iterator[str]:
    """The whole chain of reasons of each step whose row does not hold it already."""
    steps = {one.address: one for one in plan.steps}
    for step in plan.changes:
        lines = [f"{'  ' * depth}{text}" for depth, text in chain(step, steps, kinds)]
        if lines not in ([], [_because(step, kinds)]):
            head = headline(step, verb_of(step.address, kinds))
            yield _fold(f"{code(f'{SYMBOLS[step.action]} {step.address}')} {head}", lines)


def _notes(plan: Plan) -> Iterator[str]:
    """What to know beside the steps."""
    assumptions = [_told(one) for one in plan.diagnostics if one.summary == ASSUMPTION]
    others = [_told(one) for one in plan.diagnostics if one.summary != ASSUMPTION]
    for found, noun in ((others, "warning"), (assumptions, "assumption")):
        if found:
            yield _fold(plural(len(found), noun), found)
    if plan.left_out:
        yield _fold(f"{plural(len(plan.left_out), 'step')} left out, as asked for", plan.left_out)


def _told(diagnostic: Diagnostic) -> str:
    place = f"{diagnostic.place}: " if diagnostic.place.file else ""
    hint = f"\n  hint: {diagnostic.hint}" if diagnostic.hint else ""
    code = f" [{diagnostic.code}]" if diagnostic.code else ""
    return f"{place}{diagnostic.summary}{code}\n  {diagnostic.detail}{hint}"


def _fold(title: str, entries: Sequence[str]) -> str:
    shown = _fitting([without_secrets(one) for one in entries], FOLD)
    text = fenced("\n".join(shown))
    more = f"\n{plural(len(entries) - len(shown), 'more line')} left out.\n" if len(shown) < len(entries) else ""
    return f"<details><summary>{title}</summary>\n\n{text}\n{more}\n</details>\n"


def _tail(plan: Plan, digest: str, command: str) -> str:
    serial = f"State serial {plan.state.serial}" if plan.state.lineage else "No state yet"
    approve = f" To do exactly this, or less:\n\n{fenced(without_secrets(command))}\n" if plan.changes else "\n"
    return f"{serial}, plan digest <code>{digest}</code>.{approve}"


def _options(plan: Plan) -> Iterator[str]:
    """What was given beside the recipe, so that the same plan is made again."""
    for name, text in plan.overrides.variables.items():
        yield from ("--var", f"{name}={text}")
    for setting in plan.overrides.settings:
        yield from ("--set", setting)
    for name, addresses in asdict(plan.selection).items():
        for address in addresses:
            yield from (f"--{name}", address)


def _fitting(parts: Sequence[str], room: int) -> list[str]:
    """The first parts, as many as there is room for."""
    fit: list[str] = []
    for part in parts:
        room -= _size(part) + 1
        if room < 0:
            break
        fit.append(part)
    return fit


def _left_out(count: int, noun: str, where: str) -> list[str]:
    if not count:
        return []
    return [f"To keep this comment small, {where} out {plural(count, noun)}; `tune plan` shows everything.\n"]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
