"""Pages that need nothing else: no script, no font, no address of anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
td, th {{ text-align: left; padding: 0 1rem 0 0; vertical-align: top; font-weight: normal; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; border-radius: 6px; padding: .7rem; }}
{style}</style></head><body>
"""


def html_page(title: str, style: str, body: Iterable[str]) -> str:
    """A whole page; the body is HTML, whose texts were escaped, and the title is text."""
    return _HEAD.format(title=escape(title), style=style) + "".join(body) + "</body></html>\n"


def html_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells that are HTML already."""
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>\n{''.join(lines)}</table>\n"
