"""A team: state and artifacts in an object store, several machines, one truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.s3_server import S3Server

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def share(folder: Any, s3: S3Server, table: str, url: str) -> None:
    text = (folder.path / "recipe.toml").read_text()
    (folder.path / "recipe.toml").write_text(f'{text}\n[state]\n{table} = "{url}"\nendpoint = "{s3.endpoint}"\n')


def elsewhere(folder: Any, path: Path) -> Any:
    """Another machine's checkout: the recipe and its data, and nothing that was made."""
    shutil.copytree(folder.path, path, ignore=shutil.ignore_patterns(".tune"))
    return type(folder)(path)


@pytest.fixture
def url(s3_server: S3Server, s3_credentials: str) -> str:  # noqa: ARG001  in the environment of what is started
    return s3_server.new_url()


def test_what_one_machine_made_another_knows_and_fetches(
    quickstart: Any, s3_server: S3Server, url: str, tmp_path: Path
) -> None:
    share(quickstart, s3_server, "url", url)
    assert quickstart.tune("state", "push", ".tune").stdout.startswith("Serial ")
    assert quickstart.summary() == {"reuse": 11}
    assert set(quickstart.apply().values()) == {"reused"}  # uploads what is not shared yet
    shutil.rmtree(quickstart.path / ".tune" / "history")
    other = elsewhere(quickstart, tmp_path / "other")
    assert other.summary() == {"reuse": 11}
    missing = other.tune("output", "merge.assistant", expect=1)
    assert "`tune output merge.assistant --fetch` brings it" in missing.stderr
    path = Path(other.tune("output", "merge.assistant", "--fetch").stdout.strip())
    assert path.is_relative_to(other.path)
    made = quickstart.tune("output", "merge.assistant").stdout.strip()
    assert (path / "model.safetensors").read_bytes() == Path(made, "model.safetensors").read_bytes()
    other.edit("max_new_tokens = 24", "max_new_tokens = 23")
    assert other.actions() == {"eval.assistant": "rebuild"}
    assert other.apply()["eval.assistant"] == "rebuilt"
    quickstart.edit("max_new_tokens = 24", "max_new_tokens = 23")
    assert quickstart.summary() == {"reuse": 11}
    verified = json.loads(quickstart.tune("state", "verify", "--json").stdout)
    assert verified["intact"]
    assert verified["checked"]["shared artifacts"] == 9


def test_an_artifact_that_somebody_else_shared_is_fetched_not_computed(
    quickstart: Any, s3_server: S3Server, url: str, tmp_path: Path
) -> None:
    share(quickstart, s3_server, "artifacts", url)
    quickstart.apply()
    other = elsewhere(quickstart, tmp_path / "other")
    plan = other.tune("plan").stdout
    assert f"exactly this is in {url} already: fetched, not computed" in " ".join(plan.split())
    assert other.summary() == {"adopt": 8, "build": 3}  # data sets are only recorded
    done = other.apply()
    assert [one for one in done.values() if one not in ("adopted", "recorded")] == []
    assert other.summary() == {"reuse": 11}
    assert other.record("train.assistant")["output_digest"] == quickstart.record("train.assistant")["output_digest"]
