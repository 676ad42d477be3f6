"""A machine-learning bill of materials: CycloneDX 1.6 as JSON (https://cyclonedx.org/docs/1.6/json/).

What the format has no field for stands in properties whose names begin with `tuneform:`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from executor.audit.components import ancestor, component, file, own_property, recorded_file, software
from executor.audit.identifiers import DISTRIBUTION, HOME, WITHOUT_FILES, package, utc, without_empty
from executor.audit.subject import (
    NO_RECORD,
    AuditedFile,
    Material,
    all_materials,
    direct_materials,
    each_once,
    evaluations,
    subject,
)
from state.canonical import Plain, digest
from state.record import State

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, HOME)


def make(address: str, state: State, files: Sequence[AuditedFile], tool_version: str) -> dict[str, Plain]:
    """The bill of materials of a finished resource; `files` are those of its artifact, or () where it is not here."""
    about = subject(address, state)
    runs = evaluations(about, state)
    chain = (*all_materials(about, state), *runs, *(one for run in runs for one in all_materials(run, state)))
    materials = [one for one in each_once(chain) if one.reference != about.reference]
    body: dict[str, Plain] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": without_empty(
            {
                "timestamp": utc(about.record.provenance.finished),
                "lifecycles": [{"phase": "post-build"}],
                "tools": {"components": [_tool(tool_version)]},
                "component": _about(about, runs, files, state),
                "properties": [] if files else [own_property("files", WITHOUT_FILES)],
            }
        ),
        "components": [*(component(one, (), state) for one in materials), *software((about, *materials))],
        "dependencies": [_dependency(one, state) for one in (about, *materials) if one.record is not NO_RECORD],
    }
    # Drawn from all of the content: the same document always has this number, and any other has another.
    return {**body, "serialNumber": uuid.uuid5(NAMESPACE, digest(body)).urn}


def _tool(version: str) -> dict[str, Plain]:
    return {"type": "application", "name": DISTRIBUTION, "version": version, "purl": package(DISTRIBUTION, version)}


def _about(about: Material, runs: Sequence[Material], files: Sequence[AuditedFile], state: State) -> dict[str, Plain]:
    """The component that the document is about, with its files and what it descends from."""
    ancestors = [ancestor(one) for one in all_materials(about, state) if one.is_model and about.is_model]
    parts = [file(one) for one in files] or [recorded_file(*one) for one in sorted(about.record.files.items())]
    lineage = without_empty({"pedigree": without_empty({"ancestors": ancestors}), "components": parts})
    return {**component(about, runs, state), **lineage}


def _dependency(one: Material, state: State) -> dict[str, Plain]:
    """What a component was made from and with; what is not known to have been made from nothing has no entry."""
    made_with = [package(name, version) for name, version in sorted(one.record.provenance.versions.items())]
    made_from = [below.reference for below in direct_materials(one, state) if below.reference != one.reference]
    return {"ref": one.reference, "dependsOn": [*made_from, *made_with]}
