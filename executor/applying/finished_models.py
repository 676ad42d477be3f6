"""Models that exist, as the state has them: which there are, what each is made up of, and where that lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from executor.applying.shelf import Shelf
from executor.audit.subject import NO_RECORD, Material, direct_materials, subject
from executor.workers.task import Input
from planner.kind import Kinds
from state.diagnostic import problem
from state.record import State, Status

MODELS = ("merge", "train", "model")
"""Kinds of which the result is a model."""


def newest(state: State) -> str:
    """The address of the model that was finished last; a base only where nothing was made of one yet."""
    found = [
        (address.partition(".")[0] != "model", record.provenance.finished, address)
        for address, record in state.records.items()
        if address.partition(".")[0] in MODELS and record.status is Status.READY
    ]
    if not found:
        raise problem("No model", "The state holds no finished model.", "Make one with `tune apply`.")
    return max(found)[-1]


def foundations(address: str, state: State) -> tuple[Material, ...]:
    """What makes up a finished model: one with whole weights, then the adapters on it, exactly as they were used."""
    about = subject(address, state)
    if about.kind not in MODELS:
        hint = (
            "Addresses of models begin with " + ", ".join(f"`{kind}.`" for kind in MODELS) + "; see `tune state list`."
        )
        raise problem("No model", f"{address} is no model.", hint)
    if not about.is_adapter:
        return (about,)
    below = tuple(one for one in direct_materials(about, state) if one.is_model)
    for one in below:
        if one.record is NO_RECORD:
            detail = f"{address} is an adapter to an earlier {one.address}, which the state no longer holds."
            raise problem("Base is gone", detail, "Train it anew on what there is: `tune apply`.")
    return (*below, about)


def located(materials: Sequence[Material], kinds: Kinds, shelf: Shelf, recipe_folder: Path) -> tuple[Input, ...]:
    """The folders of all of them, fetched from where artifacts are shared if need be."""
    found = []
    for one in materials:
        locate = kinds[one.kind].locate
        if one.record.artifact or locate is None:
            folder = shelf.folder(one.address, one.record)
        else:
            folder = locate(one.record, recipe_folder)
        found.append(Input(one.address, one.digest, str(folder), one.record.settings, one.record.facts))
    return tuple(found)
