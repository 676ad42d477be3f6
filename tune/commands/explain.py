"""`tune explain`: what a diagnostic means, why it matters, and what to do about it."""

from __future__ import annotations

import click

from state.diagnostic import problem
from state.explanations import explanations
from tune.views.explanation import print_explanation


@click.command()
@click.argument("code")
def command(code: str) -> None:
    """Explain the diagnostic with this CODE, such as TUNE100."""
    known = {one.code: one for one in explanations().values()}
    if code.upper() not in known:
        hint = "It stands in brackets behind what a diagnostic is called: [TUNE100]."
        raise problem("Unknown code", f"No diagnostic has the code `{code}`.", hint)
    print_explanation(known[code.upper()])
