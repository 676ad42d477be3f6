"""The sections of a model card, each as lines of Markdown; a section about which nothing is known has none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from executor.audit.card_tables import code, figure, table, value
from executor.audit.disclosure import as_text, settings
from executor.audit.identifiers import DISTRIBUTION, WITHOUT_FILES, hub_commit, hub_id, utc
from executor.audit.subject import AuditedFile, Material, direct_materials, evaluations, measured_on
from state.record import Splice, State

_TOLD = ("description", "tags")
"""Settings that a card tells in places of their own."""


def introduction(about: Material, state: State) -> list[str]:
    """What it is, how large, and what its maker says of it."""
    facts = about.record.facts
    said = [_what(about, state)]
    if "parameters" in facts:
        having = "Base and adapter have" if about.is_adapter else "It has"
        trained = figure(facts.get("trainable_parameters"))
        of_them = f", {trained} of them trained" if trained else ""
        said.append(f"{having} {figure(facts['parameters'])} parameters{of_them}.")
    description = as_text(about.record.settings.get("description", ""))
    return [" ".join(said), *(["", description] if description else [])]


def _what(about: Material, state: State) -> str:
    chosen = about.record.settings
    method = f" with {code(as_text(chosen['method']))}" if "method" in chosen else ""
    below = " and ".join(_origin(one) for one in direct_materials(about, state) if one.is_model)
    match about.kind, chosen.get("adapter"):
        case "train", Mapping() as adapter:
            kind = f" ({code(as_text(adapter['type']))})" if "type" in adapter else ""
            return f"An adapter{kind}, trained{method}" + (f" on top of {below}." if below else ".")
        case "train", _:
            return f"A language model, trained{method}" + (f" from {below}." if below else ".")
        case "merge", _:
            return "A language model, with adapters folded into the weights that they were trained on."
        case "model", _:
            return _what_base(about)
        case kind, _:
            return f"A language model, made by {code(kind)}" + (f" from {below}." if below else ".")


def _what_base(about: Material) -> str:
    if hub_id(about):
        return f"The language model {_origin(about)}."
    return f"A language model {'with random weights' if about.record.settings.get('config') else 'given as files'}."


def _origin(one: Material) -> str:
    return f"{code(hub_id(one))} at commit {code(hub_commit(one))}" if hub_id(one) else code(one.name)


def made_from(materials: Sequence[Material]) -> list[str]:
    """Everything that it goes back to, with digests."""
    rows = ((code(one.name), _source(one), code(one.digest) if one.digest else "") for one in materials)
    return table(("What", "Source", "xxh3-128"), rows)


def _source(one: Material) -> str:
    source = as_text(one.record.settings.get("source", ""))
    known = _origin(one) if hub_id(one) else code(source) if source else ""
    return known if one.verified else f"{known} (named by a person, proved by no run)".strip()


def training_data(chain: Sequence[Material], state: State) -> list[str]:
    """How much there was of it, and how much of that was trained on."""
    rows = [(code(one.name), figure(one.record.facts.get("rows"))) for one in chain if one.kind == "dataset"]
    names = ("documents", "tokens", "trained_tokens", "validation_rows")
    views = []
    for one in chain:
        if one.kind == "tokens":
            data = ", ".join(code(below.name) for below in direct_materials(one, state) if below.kind == "dataset")
            views.append((code(one.name), data, *(figure(one.record.facts.get(name)) for name in names)))
    header = ("Resource", "Datasets", "Documents", "Tokens", "Trained tokens", "Rows held back")
    return _apart(table(("Dataset", "Rows"), rows), table(header, views))


def settings_of(chain: Sequence[Material]) -> list[str]:
    """The settings of the result and of every training before it."""
    blocks = []
    for one in chain:
        if one is chain[0] or one.kind == "train":
            rows = [(code(path), value(chosen)) for path, chosen in settings(one.record) if path not in _TOLD]
            blocks.append([f"### {code(one.name)}", "", *table(("Setting", "Value"), rows)] if rows else [])
            blocks += [[_splice(splice)] for splice in one.record.splices]
    return _apart(*blocks)


def _splice(one: Splice) -> str:
    return (
        f"No run from scratch with these settings: it went on from step {one.step}, though the learning rate of step "
        f"{one.differs} was {one.before:.6g} and would have been {one.after:.6g}."
    )


def evaluation(chain: Sequence[Material], state: State) -> list[str]:
    """What was measured afterwards and what while training, and which gates were not passed."""
    runs = evaluations(chain[0], state)
    measured = []
    for run in runs:
        data = ", ".join(code(one.name) for one in measured_on(run, state))
        measured += [(code(run.name), data, code(name), number) for name, number in _metrics(run)]
    trained = [(code(one.name), code(name), number) for one in chain for name, number in _metrics(one)]
    failures = [f"{code(run.name)} failed: {run.record.error}." for run in runs if run.record.error]
    return _apart(
        table(("Evaluation", "On", "Metric", "Value"), measured),
        failures,
        table(("Resource", "Metric of its own run", "Value"), trained),
    )


def _metrics(one: Material) -> Iterator[tuple[str, str]]:
    return ((name, figure(number)) for name, number in sorted(one.record.metrics.items()))


def reproduce(about: Material, tool_version: str) -> list[str]:
    """What has to be the same for the same result."""
    record, made = about.record, about.record.provenance
    software = ", ".join(code(f"{name} {version}") for name, version in sorted(made.versions.items()))
    known = {
        "Recipe": code(made.recipe) if made.recipe else "",
        "Git commit": code(made.git_commit) if made.git_commit else "",
        "Not committed": "The recipe's folder held changes that this commit does not have." if made.git_dirty else "",
        "Plan": code(made.plan) if made.plan else "",
        "Action key": code(record.action_key) if record.action_key else "",
        "Output digest": code(about.digest),
        "Finished": utc(made.finished),
        "Hardware": made.hardware,
        "Software": software,
        "Card written by": f"{DISTRIBUTION} {tool_version}",
    }
    commands = [f"git checkout {made.git_commit}", f"tune apply {shlex.quote(made.recipe)}"]
    again = ["```sh", *commands, "```"] if made.recipe and made.git_commit else []
    note = [
        "With the same software, the same type of machine gives the same bits; on others, results differ by rounding."
    ]
    return _apart(again, note, table(("What", "Which"), [(name, which) for name, which in known.items() if which]))


def files_of(about: Material, files: Sequence[AuditedFile]) -> list[str]:
    """Every file with its digest."""
    if files:
        return table(
            ("File", "Bytes", "SHA-256"), [(code(one.path), figure(one.size), code(one.sha256)) for one in files]
        )
    recorded = [(code(path), code(xxh3)) for path, xxh3 in sorted(about.record.files.items())]
    return _apart([WITHOUT_FILES], table(("File", "xxh3-128"), recorded))


def _apart(*blocks: list[str]) -> list[str]:
    """The blocks that hold something, an empty line between them."""
    lines: list[str] = []
    for block in blocks:
        lines += ["", *block] if lines and block else block
    return lines
