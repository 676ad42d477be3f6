"""`tune export-audit`: the papers of an artifact."""

from __future__ import annotations

from pathlib import Path

import click

from executor.audit.papers import CARD, FILES, audited, paper
from executor.audit.subject import DATA, AuditedFile
from state import artifacts
from state.diagnostic import problem
from state.durable import write_atomically
from state.layout import Layout
from state.record import Record
from state.wording import suggestion
from tune import __version__
from tune.project import open_project
from tune.writing import say


@click.command()
@click.argument("address")
@click.argument("recipe", default=".")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FILES)),
    help="Print one document; all are written to a folder without it.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder; `audit` here if left out.")
def command(address: str, recipe: str, form: str | None, out: Path | None) -> None:
    """Write the papers of ADDRESS: a CycloneDX 1.6 bill of materials, an in-toto statement, a model card.

    Files are proved and given their sha256 where the artifact is on this machine; otherwise the documents carry the
    digests that the state holds, and say so.
    """
    project = open_project(recipe)
    state = project.state()
    record = state.records.get(address)
    if record is None:
        raise problem("Unknown address", f"The state has no `{address}`.", suggestion(address, list(state.records)))
    files = _audited(record, project.layout)
    if record.artifact and not files:
        say(f"The artifact of {address} is not on this machine: its files are named without sha256.")
    wanted = [form] if form else [one for one in FILES if one != CARD or record.kind not in DATA]
    documents = {one: paper(one, address, state, files, __version__) for one in wanted}
    if form and out is None:
        click.echo(documents[form].decode(errors="replace"), nl=False)
        return
    folder = out or Path("audit")
    for one, content in documents.items():
        write_atomically(folder / FILES[one], content)
        click.echo(folder / FILES[one])


def _audited(record: Record, layout: Layout) -> tuple[AuditedFile, ...]:
    """The files of an artifact with both digests, read once; () if it is not here."""
    folder = layout.root / record.artifact
    manifest = artifacts.read(folder) if record.artifact else None
    if manifest is None:
        return ()
    changed = artifacts.verify(folder)
    if changed:
        detail = f"`{changed[0]}` of `.tune/{record.artifact}` is not what was made: there are no papers for it."
        raise problem("Changed artifact", detail, "`tune state verify` names everything that differs.")
    return tuple(audited(folder, one.path, one.digest) for one in manifest.files)
