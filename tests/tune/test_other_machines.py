"""A plan needs only recipe and state: what another machine made or holds is assumed, and said so."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from attrs import evolve

from state.folder_backend import FolderBackend
from state.history import Author
from state.store import Store

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def leave_only_the_state(quickstart: Any) -> None:
    """A checkout with the state that a GPU host wrote, without its data, tokenizer and artifacts."""
    store = Store(FolderBackend(quickstart.path / ".tune", ".tune"), "test")
    state = store.load()
    records = {
        address: evolve(record, provenance=evolve(record.provenance, host="gpu-host"))
        for address, record in state.records.items()
    }
    store.save(evolve(state, records=records), Author("ada", "test"))
    for folder in ("data", "tokenizer", ".tune/artifacts", ".tune/checkpoints"):
        shutil.rmtree(quickstart.path / folder)


@pytest.fixture
def elsewhere(quickstart: Any) -> Any:
    """Where a plan is made that was not where the models are."""
    leave_only_the_state(quickstart)
    return quickstart


def test_what_cannot_be_read_here_is_assumed_unchanged_and_named(elsewhere: Any) -> None:
    shown = elsewhere.tune("plan", "--detailed-exitcode").stdout
    assert shown.count("Warning: Assumption") == 4
    assert "dataset.chats cannot be read on this machine and is assumed unchanged" in shown
    assert shown.endswith("No changes. Your models match the recipe.\n")
    refused = elsewhere.tune("plan", "--strict", expect=1).stderr
    assert "Error: Assumption" in refused


def test_an_edit_is_planned_here_and_refused_where_the_artifacts_are_not(elsewhere: Any) -> None:
    elsewhere.edit("learning_rate = 1e-3", "learning_rate = 5e-4")
    planned = dict.fromkeys(["train.assistant", "merge.assistant", "eval.assistant"], "rebuild")
    assert elsewhere.actions() == planned
    before = elsewhere.tune("state", "pull").stdout
    refused = elsewhere.tune("apply", "--auto-approve", expect=1)
    assert " ".join(refused.stderr.split()).count("was made on gpu-host; its artifact is not on this machine.") == 2
    assert "train.base was made" in refused.stderr
    assert "tokens.assistant was made" in refused.stderr
    assert "rebuild ..." not in refused.stdout
    assert elsewhere.tune("state", "pull").stdout == before
    assert elsewhere.actions() == planned


def test_rows_that_are_not_here_are_missed_before_the_first_step(elsewhere: Any) -> None:
    elsewhere.edit('"dataset.chats"]\nsequence_len = 64', '"dataset.chats"]\nsequence_len = 48')
    refused = elsewhere.tune("apply", "--auto-approve", expect=1)
    assert refused.stderr.startswith(
        "Error: Assumption [TUNE206]\n"
        "  tokens.assistant has to be made, and dataset.chats cannot be read on this machine.\n"
        "  hint: Bring what it names here, or apply where it is.\n"
    )
    assert "rebuild ..." not in refused.stdout


def test_what_may_not_be_needed_is_not_missed(elsewhere: Any, finished: Any) -> None:
    for folder in ("tokenizer", "data", ".tune/artifacts/model"):
        shutil.copytree(finished / folder, elsewhere.path / folder)
    rows = elsewhere.path / "data" / "chats.jsonl"
    rows.write_text(rows.read_text().replace('": "', '":  "'))  # the same rows, written otherwise
    assert elsewhere.actions()["train.assistant"] == "rebuild"
    done = elsewhere.apply()
    assert {done[one] for one in ("train.assistant", "merge.assistant", "eval.assistant")} == {"reused"}


def test_the_plan_is_the_same_here_and_where_the_models_are(quickstart: Any) -> None:
    quickstart.edit("learning_rate = 1e-3", "learning_rate = 5e-4")
    there = json.loads(quickstart.tune("plan", "--json").stdout)
    leave_only_the_state(quickstart)
    here = json.loads(quickstart.tune("plan", "--json").stdout)
    assert here["diagnostics"]
    for plan in (there, here):
        del plan["diagnostics"], plan["state"], plan["plan_digest"]
    assert here == there
