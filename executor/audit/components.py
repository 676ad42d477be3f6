"""The entries of a bill of materials: models with their cards, data, files and software, as CycloneDX 1.6 has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from executor.audit.disclosure import as_text, public_text, settings
from executor.audit.identifiers import content, hub_commit, hub_package, package, utc, without_empty
from executor.audit.subject import AuditedFile, Material, all_materials, each_once, measured_on
from state.canonical import Plain
from state.record import State

MODEL = "machine-learning-model"
APPROACHES = {"sft": "supervised"}
"""The training methods that are one of the format's types of learning; others go without."""


def component(one: Material, runs: Sequence[Material], state: State) -> dict[str, Plain]:
    """A model or data; `runs` are the evaluations to report with it."""
    described: dict[str, Plain] = {
        "type": MODEL if one.is_model else "data",
        "bom-ref": one.reference,
        "name": one.name,
        "version": hub_commit(one) or one.digest,
        "description": as_text(one.record.settings.get("description", "")),
        "tags": list(map(public_text, one.record.tags)),
        "purl": hub_package(one),
        "modelCard": _model_card(one, runs, state) if one.is_model else {},
        "data": [] if one.is_model else [{"type": "configuration" if one.part else "dataset", "name": one.name}],
        "properties": [own_property(name, value) for name, value in _properties(one)],
    }
    return without_empty(described)


def ancestor(one: Material) -> dict[str, Plain]:
    """A model once more, for the pedigree of what was made from it: enough to find its own entry."""
    version = hub_commit(one) or one.digest
    return without_empty({"type": MODEL, "name": one.name, "version": version, "purl": hub_package(one)})


def file(one: AuditedFile) -> dict[str, Plain]:
    """A file that was read."""
    hashes = [{"alg": "SHA-256", "content": one.sha256}]
    properties = [own_property("file:bytes", one.size), own_property("file:xxh3-128", one.xxh3)]
    return {"type": "file", "name": one.path, "hashes": hashes, "properties": properties}


def recorded_file(path: str, xxh3: str) -> dict[str, Plain]:
    """A file that only state knows; the format has no name for xxh3, so it is a property and no hash."""
    return {"type": "file", "name": path, "properties": [own_property("file:xxh3-128", xxh3)]}


def software(materials: Iterable[Material]) -> list[dict[str, Plain]]:
    """Every distribution that any of the records ran with, Python among them."""
    used = {version for one in materials for version in one.record.provenance.versions.items()}
    return [
        {
            "type": "platform" if name == "python" else "library",
            "bom-ref": package(name, version),
            "name": name,
            "version": version,
            "purl": package(name, version),
        }
        for name, version in sorted(used)
    ]


def own_property(name: str, value: Plain) -> dict[str, Plain]:
    """A value under a name of ours."""
    return {"name": f"tuneform:{name}", "value": as_text(value)}


def _properties(one: Material) -> Iterator[tuple[str, Plain]]:
    record, made = one.record, one.record.provenance
    known: dict[str, Plain] = {
        "digest:xxh3-128": one.digest,
        "action-key:xxh3-128": record.action_key,
        "recipe": made.recipe,
        "recipe:git-commit": made.git_commit,
        "plan:xxh3-128": made.plan,
        "started": utc(made.started),
        "finished": utc(made.finished),
        "hardware": made.hardware,
    }
    yield from without_empty(known).items()
    if made.git_dirty:
        yield "recipe:uncommitted-changes", True
    if not one.verified:
        yield "verified", False
    yield from ((f"content:{name}", digest) for name, digest in content(one))
    yield from ((f"setting:{path}", value) for path, value in settings(record))
    yield from ((f"fact:{name}", value) for name, value in sorted(record.facts.items()))
    # Those of a model stand in its card.
    yield from ((f"metric:{name}", value) for name, value in sorted(record.metrics.items()) if not one.is_model)


def _model_card(one: Material, runs: Sequence[Material], state: State) -> dict[str, Plain]:
    chain = (one, *all_materials(one, state))
    measured = [on for run in runs for on in measured_on(run, state)]
    data: list[Plain] = [{"ref": each.reference} for each in each_once((*chain, *measured)) if each.kind == "dataset"]
    failures = [f"{run.address}: {run.record.error}" for run in runs if run.record.error]
    metrics = [*_metrics(one, ""), *(metric for run in runs for metric in _metrics(run, _slice(run, state)))]
    return without_empty(
        {
            "modelParameters": without_empty({**_learning(chain), "datasets": data}),
            "quantitativeAnalysis": without_empty({"performanceMetrics": metrics}),
            "considerations": without_empty({"technicalLimitations": failures}),
        }
    )


def _learning(chain: Sequence[Material]) -> dict[str, Plain]:
    methods = [str(one.record.settings.get("method", "")) for one in chain if one.kind == "train"]
    configs = [one.record.settings.get("config") for one in chain if one.kind == "model"]
    types = [config["model_type"] for config in configs if isinstance(config, Mapping) and "model_type" in config]
    approach = APPROACHES.get(methods[0], "") if methods else ""
    return {
        "approach": without_empty({"type": approach}),
        "task": "text-generation",
        "architectureFamily": as_text(types[0]) if types else "",
    }


def _metrics(one: Material, measured: str) -> Iterator[dict[str, Plain]]:
    for name, value in sorted(one.record.metrics.items()):
        yield without_empty({"type": name, "value": as_text(value), "slice": measured})


def _slice(run: Material, state: State) -> str:
    return " on ".join((run.address, *filter(None, [", ".join(one.address for one in measured_on(run, state))])))
