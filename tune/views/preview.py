"""What a run sees of its data, on a terminal: numbers, lengths, and rows with what is trained between marks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from executor.data.rows import MOST_REPORTED
from executor.tokens.decoding import Part
from executor.tokens.preview import Preview, ShownRow
from executor.tokens.supervision import RowSummary
from state.canonical import Plain
from tune.views.diagnostics import render
from tune.views.terminal import Hanging, hanging

OPEN, CLOSE, BREAK, CUT = "⟦", "⟧", "⏎", "✂"
LINE = "\n"
ENDS = 200
"""Characters at both ends of a long part that are shown where the whole is not asked for."""
_TURNS_TEXT_AROUND = range(0x202A, 0x202F), range(0x2066, 0x206A)


def print_preview(out: Console, preview: Preview, *, whole: bool = False) -> None:
    """Numbers first, then the rows; `whole` shows long texts uncut."""
    for diagnostic in preview.diagnostics:
        render(out, diagnostic)
    if preview.diagnostics:
        out.print()
    out.print(hanging(Text(headline(preview), style="bold"), 0))
    out.print()
    for label, text in numbers(preview):
        out.print(Hanging(Text(text), 14, f"  {label}"))
    _print_lengths(out, preview)
    _print_rows(out, "Longest rows", preview.longest)
    _print_rows(out, too_long_title(preview), preview.too_long)
    _print_broken(out, preview)
    if preview.shown:
        out.print()
        out.print(hanging(f"{OPEN}trained{CLOSE}  {BREAK} line break  {CUT} cut off from here", 0, style="dim"))
    for row in preview.shown:
        _print_row(out, row, whole=whole)


def headline(preview: Preview) -> str:
    """Which rows, and as what model sees them."""
    how = {"": "", "tokenizer": ", with the tokenizer's own chat template"}
    with_template = how.get(preview.template, f", with the chat template {preview.template}")
    return f"{preview.address}: {', '.join(preview.datasets)} as {preview.model} sees it{with_template}"


def numbers(preview: Preview) -> list[tuple[str, str]]:
    """What there is, in words."""
    tokens, trained = (sum(getattr(row, name) for row in preview.rows) for name in ("tokens", "trained"))
    partly = "" if preview.complete else ", the first ones of each dataset"
    found = [("rows", f"{len(preview.rows):,}{partly}")]
    if preview.broken:
        found.append(("broken", f"{len(preview.broken):,}"))
    if tokens:
        found.append(("tokens", f"{tokens:,}"))
        kept = sum(row.trained_kept for row in preview.rows)
        cut = "" if kept == trained else f"; {kept:,} of them within `sequence_len`"
        found.append(("trained", f"{trained:,} ({trained / tokens:.1%}){cut}"))
        found.append(("masked", f"{tokens - trained:,} ({1 - trained / tokens:.1%})"))
    return found


def too_long_title(preview: Preview) -> str:
    """What rows over the length limit are called."""
    fate = {"error": "an error", "drop": "left out", "truncate": "cut off", "split": "split"}[preview.strategy]
    return f"Longer than `sequence_len` = {preview.limit}: {fate}"


def counted(row: RowSummary) -> str:
    """How many tokens a row has, and of several answers the longest with its prompt."""
    several = f", {row.length:,} with the longer answer" if row.length < row.tokens else ""
    return f"{row.tokens:,} token{'s' * (row.tokens != 1)}{several}"


def to_plain(preview: Preview) -> dict[str, Plain]:
    """The preview for programs."""
    return {
        "address": preview.address,
        "datasets": list(preview.datasets),
        "model": preview.model,
        "chat_template": preview.template,
        "sequence_len": preview.limit,
        "excess_length_strategy": preview.strategy,
        "complete": preview.complete,
        "rows": len(preview.rows),
        "tokens": sum(row.tokens for row in preview.rows),
        "trained_tokens": sum(row.trained for row in preview.rows),
        "histogram": [{"from": low, "to": high, "rows": count} for low, high, count in preview.histogram()],
        "longest": [_row(row) for row in preview.longest],
        "too_long": [_row(row) for row in preview.too_long],
        "broken": [{"place": str(one.place), "why": one.why} for one in preview.broken],
        "diagnostics": [
            {
                "severity": str(one.severity),
                "code": one.code,
                "summary": one.summary,
                "detail": one.detail,
                "hint": one.hint,
            }
            for one in preview.diagnostics
        ],
        "shown": [
            {"row": row.number, **_row(row.summary), "parts": [_part(part) for part in row.parts]}
            for row in preview.shown
        ],
    }


def visible(text: str, break_sign: str = BREAK) -> str:
    """Text in which nothing can move the cursor or hide: line breaks are shown and kept, other controls spelt out."""
    return "".join(f"{break_sign}\n" if one == "\n" else _spelt(one) for one in text)


def _spelt(character: str) -> str:
    code = ord(character)
    hidden = unicodedata.category(character) in {"Cc", "Cs"} or any(code in one for one in _TURNS_TEXT_AROUND)
    return character.encode("unicode_escape").decode() if hidden else character


def _row(row: RowSummary) -> dict[str, Plain]:
    counts: dict[str, Plain] = {"tokens": row.tokens, "trained_tokens": row.trained}
    return {"place": str(row.place), **counts, "trained_tokens_kept": row.trained_kept}


def _part(part: Part) -> dict[str, Plain]:
    answer: dict[str, Plain] = {"answer": part.answer} if part.answer else {}
    return {"text": part.text, "trained": part.trained, "special": part.special, "kept": part.kept, **answer}


def _print_lengths(out: Console, preview: Preview) -> None:
    bars = preview.histogram()
    if bars:
        out.print("\nTokens a row")
    most = max((count for _, _, count in bars), default=0)
    room = max(10, min(60, out.width - 34))
    for low, high, count in bars:
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        bar = "█" * (-(-count * room // most) if most else 0)
        line = Text(f"  {span:>16}  ").append(bar.ljust(room), style="cyan").append(f"{count:>9,}")
        out.print(line, soft_wrap=True)


def _print_rows(out: Console, title: str, rows: Sequence[RowSummary]) -> None:
    if rows:
        out.print(f"\n{title}")
    for row in rows[:MOST_REPORTED]:
        kept = f", {row.trained_kept:,} of them kept" if row.trained_kept < row.trained else ""
        line = f"{counted(row)}, {row.trained:,} trained{kept}  {row.place}"
        out.print(hanging(line, 2))
    if len(rows) > MOST_REPORTED:
        out.print(hanging(f"and {len(rows) - MOST_REPORTED:,} more", 2))


def _print_broken(out: Console, preview: Preview) -> None:
    if preview.broken:
        out.print("\nRows that cannot be trained on")
    for one in preview.broken[:MOST_REPORTED]:
        out.print(hanging(f"{one.place}: {visible(one.why)}", 2))
    if len(preview.broken) > MOST_REPORTED:
        out.print(hanging(f"and {len(preview.broken) - MOST_REPORTED:,} more", 2))


def _print_row(out: Console, row: ShownRow, *, whole: bool) -> None:
    one = row.summary
    out.print()
    out.print(hanging(f"Row {row.number}  {one.place}  {counted(one)}, {one.trained:,} trained", 0))
    out.print(hanging(as_text(row.parts, whole=whole), 4))


def as_text(parts: Sequence[Part], *, whole: bool) -> Text:
    """A row with marks around what is trained, which colours repeat; with a sign where a length limit cuts it."""
    text, before = Text(), None
    for part in parts:
        begins = part.answer if before is None or part.answer != before.answer else ""
        if before is not None and before.trained and (begins or not part.trained):
            text.append(CLOSE, style="green")
        if begins:
            text.append(f"{'' if text.plain.endswith(LINE) else LINE}{begins}: ", style="bold")
        if not part.kept and (before is None or before.kept):
            text.append(CUT, style="red")
        if part.trained and (begins or before is None or not before.trained):
            text.append(OPEN, style="green")
        text.append(visible(part.text if whole else _shortened(part.text)), style=_style(part))
        before = part
    if before is not None and before.trained:
        text.append(CLOSE, style="green")
    text.rstrip()  # a last line break is shown by its sign
    return text


def _shortened(text: str) -> str:
    left = len(text) - 2 * ENDS
    return text if left <= ENDS else f"{text[:ENDS]} [... {left:,} characters ...] {text[-ENDS:]}"


def _style(part: Part) -> str:
    colour = "green" if part.trained else "dim"
    if not part.kept:
        colour = "red strike"
    return f"{colour} bold" if part.special else colour
