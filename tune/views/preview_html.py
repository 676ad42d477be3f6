"""What a run sees of its data as one page that needs nothing else: no script, no font, no address of anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from executor.tokens.decoding import Part
from executor.tokens.preview import Preview, ShownRow
from executor.tokens.supervision import RowSummary
from tune.views.html_page import html_page, html_table
from tune.views.preview import counted, headline, numbers, too_long_title, visible

_STYLE = """td.number { text-align: right; }
mark { background: #2a02; color: inherit; border-bottom: 2px solid #2a0; }
b { color: #b0b; font-weight: 600; }
del { opacity: .5; }
i { opacity: .4; font-style: normal; }
meter { width: 20rem; }
.warning { border-left: 4px solid #e90; padding-left: .7rem; }
"""


def page(previews: Sequence[Preview]) -> str:
    """The whole page; every text of the data is escaped."""
    return html_page("Training data", _STYLE, (line for preview in previews for line in _section(preview)))


def _section(preview: Preview) -> Iterator[str]:
    yield f"<h1>{escape(headline(preview))}</h1>\n"
    for one in preview.diagnostics:
        said = f"<strong>{escape(one.summary)}</strong> {one.code}: {escape(one.detail)} {escape(one.hint)}"
        yield f'<p class="warning">{said}</p>\n'
    yield html_table([(escape(label), escape(text)) for label, text in numbers(preview)])
    yield "<h2>Tokens a row</h2>\n" + html_table(list(_bars(preview)))
    yield "<h2>Longest rows</h2>\n" + html_table([_numbers(row) for row in preview.longest])
    if preview.too_long:
        yield f"<h2>{escape(too_long_title(preview))}</h2>\n"
        yield html_table([_numbers(row) for row in preview.too_long])
    if preview.broken:
        yield "<h2>Rows that cannot be trained on</h2>\n"
        yield html_table([(escape(str(one.place)), escape(visible(one.why))) for one in preview.broken])
    if preview.shown:
        yield "<h2>Rows</h2>\n<p><mark>trained</mark> <b>&lt;special token&gt;</b> <del>cut off</del></p>\n"
    yield from (_row(row) for row in preview.shown)


def _bars(preview: Preview) -> Iterator[tuple[str, ...]]:
    bars = preview.histogram()
    most = max((count for _, _, count in bars), default=0) or 1
    for low, high, count in bars:
        yield f"{low:,} to {high:,}", f'<meter max="{most}" value="{count}"></meter>', f"{count:,}"


def _numbers(row: RowSummary) -> tuple[str, ...]:
    return counted(row), f"{row.trained:,} trained, {row.trained_kept:,} kept", escape(str(row.place))


def _row(row: ShownRow) -> str:
    one = row.summary
    title = f"Row {row.number}, {one.place}: {counted(one)}, {one.trained:,} trained"
    return f"<h3>{escape(title)}</h3>\n<pre>{''.join(_parts(row.parts))}</pre>\n"


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    """Each part, with the name of an answer where one begins."""
    before = ""
    for part in parts:
        if part.answer and part.answer != before:
            yield f"\n<strong>{escape(part.answer)}: </strong>"
        before = part.answer
        yield _part(part)


def _part(part: Part) -> str:
    text = escape(visible(part.text)).replace("⏎\n", "<i>⏎</i>\n")
    for wanted, tag in ((part.special, "b"), (part.trained, "mark"), (not part.kept, "del")):
        if wanted:
            text = f"<{tag}>{text}</{tag}>"
    return text
