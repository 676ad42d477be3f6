"""The fields in front of a model card, by which the hub finds, links and ranks models."""

from __future__ import annotations

from collections.abc import Mapping

from executor.audit.disclosure import public_text
from executor.audit.identifiers import DISTRIBUTION, hub_id, without_empty
from executor.audit.subject import Material, all_materials, direct_materials, evaluations, measured_on
from state.canonical import Plain
from state.record import State

TASK = "text-generation"


def card_metadata(about: Material, state: State) -> dict[str, Plain]:
    """What is known of a model under the hub's names; the licence is not, since state has none."""
    materials = all_materials(about, state)
    results = [result for run in evaluations(about, state) for result in _results(run, state)]
    fields: dict[str, Plain] = {
        **_base_model(about, state),
        "library_name": "peft" if about.is_adapter else "transformers",
        "pipeline_tag": TASK,
        "tags": _tags((about, *materials)),
        "datasets": [hub_id(one) for one in materials if one.kind == "dataset" and hub_id(one)],
        "model-index": [{"name": about.address, "results": results}] if results else [],
    }
    return without_empty(fields)


def _base_model(about: Material, state: State) -> dict[str, Plain]:
    """The hub's model that this one descends from, and how.

    An adapter belongs to exactly the weights that it was trained on: where those are not on the hub there is no name
    for them. Folding an adapter in gives a fine-tune; to the hub a merge is one of several models.
    """
    if about.is_adapter:
        below = [one for one in direct_materials(about, state) if one.is_model]
        name = hub_id(below[0]) if len(below) == 1 else ""
        return {"base_model": name, "base_model_relation": "adapter"} if name else {}
    chain = (about, *all_materials(about, state))
    names = [hub_id(one) for one in chain[1:] if one.kind == "model" and hub_id(one)]
    trained = any(one.kind == "train" for one in chain)
    return {"base_model": names[0], "base_model_relation": "finetune"} if len(names) == 1 and trained else {}


def _tags(chain: tuple[Material, ...]) -> list[Plain]:
    tags = [DISTRIBUTION]
    for one in chain:
        if one.kind == "train":
            tags += ["trl"] if "trl" in one.record.provenance.versions else []
            tags += [str(one.record.settings["method"])] if "method" in one.record.settings else []
    adapter = chain[0].record.settings.get("adapter")
    tags += [str(adapter["type"])] if isinstance(adapter, Mapping) and "type" in adapter else []
    return list(dict.fromkeys((*tags, *map(public_text, chain[0].record.tags))))


def _results(run: Material, state: State) -> list[Plain]:
    """An evaluation as the hub has it: on which data, and every metric that is a number."""
    data = measured_on(run, state)
    metrics: list[Plain] = [
        {"type": name, "value": value, "name": f"{name} ({run.address})"}
        for name, value in sorted(run.record.metrics.items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if not data or not metrics:
        return []
    names = {
        "type": ", ".join(hub_id(one) or one.address for one in data),
        "name": ", ".join(one.address for one in data),
    }
    return [{"task": {"type": TASK}, "dataset": names, "metrics": metrics}]
