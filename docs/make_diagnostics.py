"""Writes docs/reference/diagnostics.md from state/diagnostics.md, which travels with the package, and an index.

Run `python docs/make_diagnostics.py` after a section was changed; a test fails until it was.
"""

from __future__ import annotations

from pathlib import Path

from state.explanations import SOURCE, explanations

PAGE = Path(__file__).parent / "reference" / "diagnostics.md"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The introduction, an index in the words that people search for, and all sections."""
    introduction, _, sections = SOURCE.read_text(encoding="utf-8").partition("\n## ")
    told = sorted(explanations().values(), key=lambda one: one.summary.casefold())
    rows = "\n".join(f"| {one.summary} | [{one.code}](#{_anchor(one.code, one.summary)}) |" for one in told)
    return f"{introduction}\n| diagnostic | code |\n|---|---|\n{rows}\n\n## {sections}"


def _anchor(code: str, summary: str) -> str:
    """The anchor that GitHub and GitLab give a heading."""
    return f"{code}: {summary}".lower().replace(":", "").replace("'", "").replace(" ", "-")


if __name__ == "__main__":
    main()
