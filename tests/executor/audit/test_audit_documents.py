"""The three documents, whole, and held against the published schemas and the libraries that others read them with."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as some
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import (  # type: ignore[import-untyped]
    Provenance as ProvenancePredicate,
)
from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor  # type: ignore[import-untyped]
from in_toto_attestation.v1.statement import Statement  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from packageurl import PackageURL

from executor.audit import bill_of_materials, model_card, provenance_statement
from executor.audit.card_metadata import card_metadata
from executor.audit.identifiers import WITHOUT_FILES
from executor.audit.subject import AuditedFile, subject
from executor.workers.software import RECORDED
from state.diagnostic import ProblemError
from state.record import InputRecord, Provenance, Record, State, Status, Superseded

HERE = Path(__file__).parent
TOOL = "0.1.0"
BILLS = JsonStrictValidator(SchemaVersion.V1_6)
STATEMENTS = Draft202012Validator(
    json.loads((HERE / "statement.schema.json").read_text()), format_checker=Draft202012Validator.FORMAT_CHECKER
)


def check_bill(bill: Any) -> None:
    """Valid to the published schema, every reference leads somewhere, every package URL is in its one normal form."""
    fault = BILLS.validate_str(json.dumps(bill))
    assert fault is None, fault
    components = [bill["metadata"]["component"], *bill["components"]]
    references = [one["bom-ref"] for one in components]
    assert len(set(references)) == len(references)
    named = [one["ref"] for one in bill["dependencies"]] + [
        on for one in bill["dependencies"] for on in one["dependsOn"]
    ]
    cards = [one.get("modelCard", {}).get("modelParameters", {}) for one in components]
    named += [data["ref"] for card in cards for data in card.get("datasets", [])]
    assert set(named) <= set(references)
    for one in components:
        if "purl" in one:
            assert PackageURL.from_string(one["purl"]).to_string() == one["purl"]


def check_statement(statement: Any) -> None:
    """Valid to the specifications, and the fields that the library's messages have, no others."""
    assert [error.message for error in STATEMENTS.iter_errors(statement)] == []
    message = ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    predicate = ParseDict(statement["predicate"], ProvenancePredicate())
    definition, details = predicate.build_definition, predicate.run_details
    for one in (*definition.resolved_dependencies, *details.byproducts, *details.builder.builder_dependencies):
        ResourceDescriptor.copy_from_pb(one).validate()


def check_card(text: str, address: str, state: State) -> None:
    """Read by the hub's library, which keeps all of it."""
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

    data: Any = ModelCard(text).data
    read, expected = data.to_dict(), dict(card_metadata(subject(address, state), state))
    index: Any = expected.pop("model-index", None)
    assert {name: value for name, value in read.items() if name != "model-index"} == expected
    assert ("model-index" in read) == (index is not None)
    if index is not None:
        name, results = model_index_to_eval_results(index)
        assert (data.model_name, data.eval_results) == (name, results)
        assert read["model-index"] == eval_results_to_model_index(name, results)


def documents(address: str, state: State, files: Sequence[AuditedFile]) -> dict[str, str]:
    bill = bill_of_materials.make(address, state, files, TOOL)
    statement = provenance_statement.make(address, state, files, TOOL)
    check_bill(bill)
    check_statement(statement)
    texts = {"cdx.json": json.dumps(bill, indent=2) + "\n", "intoto.json": json.dumps(statement, indent=2) + "\n"}
    if subject(address, state).is_model:
        texts["README.md"] = model_card.make(address, state, files, TOOL)
        check_card(texts["README.md"], address, state)
    return texts


def golden(name: str) -> dict[str, str]:
    return {
        ending: (HERE / "golden" / f"{name}.{ending}").read_text()
        for ending in ("cdx.json", "intoto.json", "README.md")
    }


def test_an_adapter_with_its_files(state: State, adapter_files: tuple[AuditedFile, ...]) -> None:
    assert documents("train.sft", state, adapter_files) == golden("adapter")


def test_a_merged_model_whose_files_are_elsewhere(state: State) -> None:
    assert documents("merge.final", state, ()) == golden("merged")


def test_a_card_that_the_hub_writes_again_says_the_same(state: State) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(golden("merged")["README.md"])
    again: Any = ModelCard(str(card))
    assert (again.data.to_dict(), again.text) == (card.data.to_dict(), card.text)  # type: ignore[no-untyped-call]
    assert [one.metric_name for one in again.data.eval_results] == ["answers (eval.final)", "exact_match (eval.final)"]
    assert card.data.to_dict() == card_metadata(subject("merge.final", state), state)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "address",
    ["model.base", "dataset.chats", "tokens.sft", "train.sft", "merge.final", "eval.final", "tokens.eval.final"],
)
def test_every_kind_has_its_documents(state: State, address: str) -> None:
    assert documents(address, state, ())


KINDS = ("model", "dataset", "tokens", "train", "merge", "eval", "quantize")
ADDRESSES = [f"{kind}.{name}" for kind in KINDS for name in "ab"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = some.text(max_size=8)
NAMES = some.text(min_size=1, max_size=8)
DIGESTS = some.sampled_from([f"{number:032x}" for number in range(6)])
NUMBERS = some.integers(-(2**63), 2**63) | some.floats(allow_nan=False, allow_infinity=False)
PLAIN = some.recursive(
    some.none() | some.booleans() | NUMBERS | TEXTS,
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
TIMES = some.just("") | some.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=some.timezones()).map(  # noqa: DTZ001  bounds of times that have a zone
    lambda when: when.isoformat(timespec="seconds")
)
SETTINGS = some.fixed_dictionaries(
    {
        "source": some.from_regex(r"[A-Za-z0-9][\w.-]{0,4}/[\w.-]{1,4}", fullmatch=True),
        "description": TEXTS,
        "tags": PLAIN,
    },
    optional={
        "method": NAMES,
        "adapter": some.none() | some.fixed_dictionaries({}, optional={"type": NAMES, "target_modules": PLAIN}),
        "config": some.dictionaries(some.sampled_from(["model_type", "layers"]), PLAIN),
        "trainer": some.dictionaries(TEXTS, PLAIN, max_size=3),
        "gate": some.dictionaries(NAMES, TEXTS, max_size=1),
    },
)
INPUTS = some.lists(
    some.builds(
        InputRecord,
        some.sampled_from([*ADDRESSES, "train.gone"]),
        some.sampled_from(["", "", "tokenizer"]),
        DIGESTS | some.just(""),
        some.booleans(),
    ),
    max_size=3,
).map(tuple)
PROVENANCES = some.builds(
    Provenance,
    started=TIMES,
    finished=TIMES,
    git_commit=some.sampled_from(["", COMMIT]),
    git_dirty=some.booleans(),
    recipe=TEXTS,
    plan=some.just("") | DIGESTS,
    hardware=TEXTS,
    versions=some.dictionaries(
        some.sampled_from(["python", *RECORDED]), some.sampled_from(["1.0", "2.13.0+cpu", "1!3.0rc1"]), max_size=3
    ),
)
RECORDS = some.builds(
    Record,
    kind=some.sampled_from(KINDS),
    code=some.integers(1, 3),
    status=some.sampled_from(Status),
    settings=SETTINGS,
    content=some.dictionaries(TEXTS, DIGESTS, max_size=2) | some.just({"commit": COMMIT}),
    inputs=some.dictionaries(some.sampled_from(["model", "tokens", "datasets", "adapter"]), INPUTS),
    action_key=DIGESTS,
    output_digest=DIGESTS,
    files=some.dictionaries(NAMES, DIGESTS, max_size=2),
    metrics=some.dictionaries(NAMES, PLAIN, max_size=3),
    facts=some.dictionaries(some.sampled_from(["rows", "tokens", "parameters", "trainable_parameters"]), PLAIN),
    provenance=PROVENANCES,
)
STATES = some.builds(
    State,
    lineage=some.just("lineage"),
    serial=some.just(1),
    records=some.dictionaries(some.sampled_from(ADDRESSES), RECORDS, min_size=1, max_size=6),
    superseded=some.dictionaries(DIGESTS, some.builds(Superseded, some.sampled_from(ADDRESSES), RECORDS), max_size=2),
)
FILES = some.lists(
    some.builds(AuditedFile, NAMES, some.integers(0, 2**40), some.just("a" * 64), DIGESTS),
    max_size=2,
    unique_by=lambda file: file.path,
).map(tuple)


@settings(max_examples=60)
@given(STATES, FILES, some.data())
@pytest.mark.slow
def test_whatever_state_holds_the_documents_are_valid_and_the_same_again(
    state: State, files: tuple[AuditedFile, ...], data: some.DataObject
) -> None:
    address = data.draw(some.sampled_from(sorted(state.records)))
    shuffled = evolve(state, records=dict(reversed([(name, _reversed(state.records[name])) for name in state.records])))
    assert documents(address, state, files) == documents(address, shuffled, files)


def _reversed(record: Record) -> Record:
    """The same record, whose mappings have another order."""
    names = ("settings", "content", "inputs", "files", "metrics", "facts")
    turned: dict[str, Any] = {name: dict(reversed(getattr(record, name).items())) for name in names}
    return evolve(record, **turned)


def test_what_was_not_recorded_is_not_in_the_documents() -> None:
    record = Record(
        kind="train",
        settings={},
        content={},
        inputs={"model": (InputRecord("model.base", "", "", verified=False),)},
        code=1,
        action_key="",
        status=Status.READY,
        output_digest="0" * 32,
    )
    state = State(lineage="lineage", serial=1, records={"train.found": record})
    bill: Any = bill_of_materials.make("train.found", state, (), TOOL)
    statement: Any = provenance_statement.make("train.found", state, (), TOOL)
    check_bill(bill)
    check_statement(statement)
    reference = f"train.found@{'0' * 32}"
    assert bill["metadata"]["component"] == {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": "train.found",
        "version": "0" * 32,
        "modelCard": {"modelParameters": {"task": "text-generation"}},
        "properties": [{"name": "tuneform:digest:xxh3-128", "value": "0" * 32}],
        "pedigree": {"ancestors": [{"type": "machine-learning-model", "name": "model.base"}]},
    }
    assert bill["components"] == [
        {
            "type": "machine-learning-model",
            "bom-ref": "model.base",
            "name": "model.base",
            "modelCard": {"modelParameters": {"task": "text-generation"}},
            "properties": [{"name": "tuneform:verified", "value": "false"}],
        }
    ]
    assert bill["dependencies"] == [{"ref": reference, "dependsOn": ["model.base"]}]
    assert "timestamp" not in bill["metadata"]
    assert statement["subject"] == [
        {
            "name": "train.found",
            "digest": {"tuneform_output_xxh3_128": "0" * 32},
            "annotations": {"tuneform_note": WITHOUT_FILES},
        }
    ]
    assert statement["predicate"] == {
        "buildDefinition": {
            "buildType": "https://pypi.org/project/tuneform/#apply/v1",
            "externalParameters": {"address": "train.found"},
            "internalParameters": {"codeVersion": 1, "outputDigest": "0" * 32, "inputsWithoutDigest": ["model.base"]},
            "resolvedDependencies": [],
        },
        "runDetails": {
            "builder": {
                "id": "https://pypi.org/project/tuneform/#machine-of-the-user/v1",
                "builderDependencies": [{"name": "tuneform", "uri": "pkg:pypi/tuneform@0.1.0"}],
            },
        },
    }
    assert model_card.make("train.found", state, (), TOOL) == (
        '---\nlibrary_name: "transformers"\npipeline_tag: "text-generation"\ntags:\n  - "tuneform"\n---\n\n'
        "# train.found\n\nA language model, trained from `model.base`.\n\n"
        "## Made from\n\n| What | Source | xxh3-128 |\n|---|---|---|\n"
        "| `model.base` | (named by a person, proved by no run) |  |\n\n"
        "## Reproduce\n\n"
        "With the same software, the same type of machine gives the same bits; on others, results differ by rounding."
        "\n\n| What | Which |\n|---|---|\n"
        "| Output digest | `00000000000000000000000000000000` |\n| Card written by | tuneform 0.1.0 |\n\n"
        f"## Files\n\n{WITHOUT_FILES}\n"
    )


def test_no_place_on_the_machine_no_credential_and_nobody_is_named(state: State) -> None:
    chats = state.records["dataset.chats"]
    private = evolve(
        chats,
        settings={
            **chats.settings,
            "source": ("/home/lovelace/data/chats.jsonl", "s3://key:hush@bucket/chats?token=hush"),
        },
        content={"/home/lovelace/data/chats.jsonl": "0" * 32},
    )
    base = state.records["model.base"]
    template = evolve(base, settings={**base.settings, "chat_template": "C:\\Users\\lovelace\\chat.jinja"})
    records = {**state.records, "dataset.chats": private, "model.base": template}
    for text in documents("merge.final", evolve(state, records=records), ()).values():
        for secret in ("/home", "Users", "lovelace", "hush", "gpu-host"):
            assert secret not in text
    bill = documents("merge.final", evolve(state, records=records), ())["cdx.json"]
    assert '".../chat.jinja"' in bill
    assert '"tuneform:content:.../chats.jsonl"' in bill
    assert "s3://bucket/chats" in bill


def test_a_gate_that_was_not_passed_is_told(state: State) -> None:
    failed = evolve(
        state.records["eval.final"],
        status=Status.FAILED,
        error="exact_match is 0.97, and the gate asks for >= 0.99",
    )
    judged = evolve(state, records={**state.records, "eval.final": failed})
    bill: Any = bill_of_materials.make("merge.final", judged, (), TOOL)
    said = "eval.final: exact_match is 0.97, and the gate asks for >= 0.99"
    assert bill["metadata"]["component"]["modelCard"]["considerations"] == {"technicalLimitations": [said]}
    card = model_card.make("merge.final", judged, (), TOOL)
    assert "\n`eval.final` failed: exact_match is 0.97, and the gate asks for >= 0.99.\n" in card


def test_uncommitted_changes_are_told(state: State) -> None:
    train = state.records["train.sft"]
    dirty = evolve(train, provenance=evolve(train.provenance, git_dirty=True))
    changed = evolve(state, records={**state.records, "train.sft": dirty})
    statement: Any = provenance_statement.make("train.sft", changed, (), TOOL)
    recipe = statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert recipe["annotations"] == {"tuneform_uncommittedChanges": True}
    assert "held changes that this commit does not have" in model_card.make("train.sft", changed, (), TOOL)
    assert "tuneform:recipe:uncommitted-changes" in json.dumps(bill_of_materials.make("train.sft", changed, (), TOOL))


def test_a_bill_with_other_content_has_another_number(state: State, adapter_files: tuple[AuditedFile, ...]) -> None:
    made = [bill_of_materials.make("train.sft", state, files, TOOL) for files in (adapter_files, adapter_files, ())]
    assert made[0]["serialNumber"] == made[1]["serialNumber"] != made[2]["serialNumber"]


def test_metrics_of_the_run_travel_as_json(state: State) -> None:
    statement: Any = provenance_statement.make("train.sft", state, (), TOOL)
    (metrics,) = statement["predicate"]["runDetails"]["byproducts"]
    assert json.loads(base64.b64decode(metrics["content"])) == {"loss": 0.011368, "steps": 200}


@pytest.mark.parametrize(
    ("address", "summary", "detail"),
    [
        ("train.sfd", "Unknown address", "The state has no `train.sfd`."),
        ("train.stopped", "Nothing to audit", "train.stopped is interrupted: there is no result yet"),
        ("dataset.chats", "No model", "dataset.chats is no model, and only models have cards."),
    ],
)
def test_what_has_no_card_is_a_problem(state: State, address: str, summary: str, detail: str) -> None:
    stopped = evolve(state.records["train.sft"], status=Status.INTERRUPTED, output_digest="")
    with pytest.raises(ProblemError) as caught:
        model_card.make(address, evolve(state, records={**state.records, "train.stopped": stopped}), (), TOOL)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.summary == summary
    assert diagnostic.detail.startswith(detail)
    assert diagnostic.hint


@pytest.mark.parametrize(
    ("address", "chosen", "content", "sentence"),
    [
        ("model.it", {"source": "weights"}, {"weights": "0" * 32}, "A language model given as files."),
        ("model.it", {"config": {"model_type": "llama"}}, {}, "A language model with random weights."),
        ("model.it", {"source": "a/b"}, {"commit": COMMIT}, f"The language model `a/b` at commit `{COMMIT}`."),
        ("train.it", {"method": "sft", "adapter": None}, {}, "A language model, trained with `sft` from `model.base`."),
        ("train.it", {"adapter": {"type": "dora"}}, {}, "An adapter (`dora`), trained on top of `model.base`."),
        ("merge.it", {}, {}, "A language model, with adapters folded into the weights that they were trained on."),
        ("quantize.it", {}, {}, "A language model, made by `quantize` from `model.base`."),
    ],
)
def test_a_card_says_what_it_is_about(
    address: str, chosen: dict[str, Any], content: dict[str, str], sentence: str
) -> None:
    below = {} if address.startswith("model.") else {"model": (InputRecord("model.base", "", "1" * 32),)}
    record = Record("", chosen, content, below, 1, "", Status.READY, "0" * 32)
    card = model_card.make(address, State("lineage", 1, {address: record}), (), TOOL)
    assert f"\n# {address}\n\n{sentence}\n" in card


def test_the_architecture_is_told_where_a_recipe_chose_it(state: State) -> None:
    base = evolve(state.records["model.base"], settings={"config": {"model_type": "llama"}, "source": ""}, content={})
    made: Any = bill_of_materials.make(
        "merge.final", evolve(state, records={**state.records, "model.base": base}), (), TOOL
    )
    parameters = made["metadata"]["component"]["modelCard"]["modelParameters"]
    assert parameters["architectureFamily"] == "llama"
