"""Who made something from what: an in-toto Statement v1 with SLSA's provenance predicate, unsigned.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance.
No SLSA level is claimed: whoever runs tune also rules the machine that writes this down. Digests that are no SHA-256
stand under names of our own, which a verifier that does not know them must ignore.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence

from executor.audit.disclosure import as_text, public
from executor.audit.identifiers import (
    DISTRIBUTION,
    HOME,
    WITHOUT_FILES,
    content,
    hub_commit,
    hub_package,
    package,
    utc,
    without_empty,
)
from executor.audit.subject import AuditedFile, Material, all_materials, subject
from state.canonical import Plain
from state.record import Provenance, Record, State

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = f"{HOME}#apply/v1"
"""`tune apply` made the resource at `address` with `settings` from the resolved dependencies."""
BUILDER = f"{HOME}#machine-of-the-user/v1"
"""tune on a machine that its user controls: nothing keeps the user from writing another statement."""
FILE_DIGEST = "tuneform_file_xxh3_128"
"""The xxh3-128 of a file's bytes, lowercase hexadecimal."""
OUTPUT_DIGEST = "tuneform_output_xxh3_128"
"""The xxh3-128 of what a resource is, as tune defines it for each kind, lowercase hexadecimal."""


def make(address: str, state: State, files: Sequence[AuditedFile], tool_version: str) -> dict[str, Plain]:
    """The statement about a finished resource; `files` are those of its artifact, or () where it is not here."""
    about = subject(address, state)
    return {
        "_type": STATEMENT_TYPE,
        "subject": list(_subjects(about, files)),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": _definition(about, state),
            "runDetails": _details(about.record, tool_version),
        },
    }


def _subjects(about: Material, files: Sequence[AuditedFile]) -> Iterator[Plain]:
    note = {"tuneform_note": WITHOUT_FILES}
    for one in files:
        yield {"name": one.path, "digest": {"sha256": one.sha256, FILE_DIGEST: one.xxh3}}
    for path, xxh3 in sorted(about.record.files.items()) if not files else ():
        yield {"name": path, "digest": {FILE_DIGEST: xxh3}, "annotations": note}
    if not files and not about.record.files:
        yield {"name": about.address, "digest": {OUTPUT_DIGEST: about.digest}, "annotations": note}


def _definition(about: Material, state: State) -> dict[str, Plain]:
    record = about.record
    materials = all_materials(about, state)
    external: dict[str, Plain] = {
        "recipe": record.provenance.recipe,
        "address": about.address,
        "settings": public(record.settings),
    }
    internal: dict[str, Plain] = {
        "codeVersion": record.code,
        "actionKey": record.action_key,
        "outputDigest": about.digest,
        "hardware": record.provenance.hardware,
        # A descriptor needs a digest, but that something was there must not be kept quiet.
        "inputsWithoutDigest": [one.name for one in materials if not one.digest],
    }
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": without_empty(external),
        "internalParameters": without_empty(internal),
        "resolvedDependencies": [
            *_recipe(record.provenance),
            *(_dependency(one) for one in materials if one.digest),
            *(
                {"name": name, "uri": package(name, version)}
                for name, version in sorted(record.provenance.versions.items())
            ),
        ],
    }


def _recipe(made: Provenance) -> Iterator[Plain]:
    if made.git_commit:
        changed: dict[str, Plain] = {"tuneform_uncommittedChanges": made.git_dirty} if made.git_dirty else {}
        yield without_empty({"name": "recipe", "digest": {"gitCommit": made.git_commit}, "annotations": changed})


def _dependency(one: Material) -> dict[str, Plain]:
    commit = hub_commit(one)
    notes: dict[str, Plain] = {
        "tuneform_verified": None if one.verified else False,
        "tuneform_source": as_text(one.record.settings.get("source", "")),
        "tuneform_content": [{"name": name, "digest": digest} for name, digest in content(one)],
        "tuneform_facts": public(one.record.facts),
    }
    described: dict[str, Plain] = {
        "name": one.name,
        "uri": hub_package(one),
        "digest": {**({"gitCommit": commit} if commit else {}), OUTPUT_DIGEST: one.digest},
        "annotations": without_empty(notes),
    }
    return without_empty(described)


def _details(record: Record, tool_version: str) -> dict[str, Plain]:
    made = record.provenance
    # The version that writes this down need not be the one that did the work, whose code version is given above.
    writer = {"name": DISTRIBUTION, "uri": package(DISTRIBUTION, tool_version)}
    metadata: dict[str, Plain] = {
        "invocationId": made.plan,
        "startedOn": utc(made.started),
        "finishedOn": utc(made.finished),
    }
    details: dict[str, Plain] = {
        "builder": {"id": BUILDER, "builderDependencies": [writer]},
        "metadata": without_empty(metadata),
        "byproducts": [_metrics(record)] if record.metrics else [],
    }
    return without_empty(details)


def _metrics(record: Record) -> Plain:
    text = json.dumps(public(record.metrics), sort_keys=True)
    return {"name": "metrics", "content": base64.b64encode(text.encode()).decode(), "mediaType": "application/json"}
