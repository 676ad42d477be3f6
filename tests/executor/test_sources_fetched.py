"""Rows that lie elsewhere: listed by their versions, fetched once, read like files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from executor.data.dataset_fields import Dataset
from executor.data.rows import Row
from executor.kinds.dataset import identity
from executor.sources import fetching, origin, remote
from planner.structure import settings_of
from state.diagnostic import ProblemError
from state.object_backend import ObjectBackend
from tests.cloud_server import BUCKET, Cloud
from tests.s3_server import S3Server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tune"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder that plays the part of a bucket."""
    folder = tmp_path / "bucket"
    for name in ("rows/b.jsonl", "rows/a.jsonl", "rows/deep/c.jsonl", "rows/readme.md", "other/d.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": name}) + "\n")
    return folder


@pytest.fixture
def server(bucket: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a web server for the bucket, and what it was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            asked.append(f"{self.command} {self.path} {code} {size}".split(" 20")[0])

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(bucket))) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()


def texts(dataset: Dataset, folder: Path) -> list[object]:
    return [row.values["text"] for row in origin.rows(dataset, folder) if isinstance(row, Row)]


def fetched(source: str | tuple[str, ...], recipe_folder: Path) -> tuple[dict[str, str], list[object]]:
    dataset = Dataset(source=source)
    content = fetching.versions(dataset, recipe_folder, "")
    folder = fetching.fetch(dataset, content)
    assert fetching.located(dataset, recipe_folder, content) == folder
    return content, texts(dataset, folder)


def test_patterns_folders_and_lists_are_listed_in_order(bucket: Path, tmp_path: Path) -> None:
    root = f"file://{bucket}"
    assert fetched(f"{root}/rows/*.jsonl", tmp_path)[1] == ["rows/a.jsonl", "rows/b.jsonl", "rows/deep/c.jsonl"]
    assert fetched(f"{root}/rows/", tmp_path)[1] == ["rows/a.jsonl", "rows/b.jsonl", "rows/deep/c.jsonl"]
    both = (f"{root}/rows/b.jsonl", f"{root}/other/d.jsonl")
    assert sorted(map(str, fetched(both, tmp_path)[1])) == ["other/d.jsonl", "rows/b.jsonl"]


def test_an_object_is_fetched_once_and_again_when_it_changed(
    server: tuple[str, list[str]], bucket: Path, tmp_path: Path
) -> None:
    root, asked = server
    first, rows = fetched(f"{root}/rows/a.jsonl", tmp_path)
    again, _ = fetched(f"{root}/rows/a.jsonl", tmp_path)
    assert (rows, again) == (["rows/a.jsonl"], first)
    assert asked == ["HEAD /rows/a.jsonl", "GET /rows/a.jsonl", "HEAD /rows/a.jsonl"]
    (bucket / "rows" / "a.jsonl").write_text('{"text": "other"}\n{"text": "more"}\n')
    changed, rows = fetched(f"{root}/rows/a.jsonl", tmp_path)
    assert rows == ["other", "more"]
    assert changed != first


def test_messages_name_the_address(bucket: Path, tmp_path: Path) -> None:
    dataset = Dataset(source=f"file://{bucket}/rows/a.jsonl")
    folder = fetching.fetch(dataset, fetching.versions(dataset, tmp_path, ""))
    assert [name for _, name in origin.named_files(dataset, folder)] == [f"file:/{bucket}/rows/a.jsonl"]


def test_what_moved_while_it_was_fetched_is_refused(bucket: Path, tmp_path: Path, cache: Path) -> None:
    dataset = Dataset(source=f"file://{bucket}/rows/a.jsonl")
    content = fetching.versions(dataset, tmp_path, "")
    (bucket / "rows" / "a.jsonl").write_text("longer than before, and thus another version\n")
    with pytest.raises(ProblemError, match="changed while it was being fetched"):
        fetching.fetch(dataset, content)
    assert not [one for one in (cache / "objects").rglob("*") if one.is_file()]


def test_what_is_not_there_is_said_in_words(server: tuple[str, list[str]], bucket: Path, tmp_path: Path) -> None:
    for source in (f"{server[0]}/none.jsonl", f"file://{bucket}/none.jsonl", "nonsense://x/y"):
        with pytest.raises(ProblemError, match="cannot be listed: "):
            fetching.versions(Dataset(source=source), tmp_path, "")
    with pytest.raises(ProblemError, match="names no object of a known format"):
        fetching.versions(Dataset(source=f"file://{bucket}/none/*.jsonl"), tmp_path, "")
    with pytest.raises(ProblemError, match="was not fetched to this machine"):
        fetching.located(Dataset(source="s3://a/b.jsonl"), tmp_path, {"s3://a/b.jsonl": "1"})


def test_one_version_is_one_dataset_wherever_it_lies() -> None:
    one, other = (settings_of(Dataset(source=f"s3://{name}/x.jsonl", type="completion")) for name in "ab")
    assert identity(one, ['12 "etag"']) == identity(other, ['12 "etag"']) != identity(one, ['13 "etag"'])


def test_objects_of_one_name_do_not_meet(bucket: Path) -> None:
    (bucket / "other" / "a.jsonl").write_text("{}\n")
    objects = remote.listed([f"file://{bucket}/rows/a.jsonl", f"file://{bucket}/other/a.jsonl"])
    folder = remote.fetch(objects)
    assert len([one for one in folder.rglob("*") if one.is_file()]) == 2


@pytest.mark.usefixtures("s3_credentials")
def test_rows_come_from_an_s3_bucket(
    s3_server: S3Server, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    url = s3_server.new_url()
    place = ObjectBackend(url, s3_server.endpoint)
    for name in ("a", "b"):
        place.upload(f"rows/{name}.jsonl", bucket / "rows" / f"{name}.jsonl", lambda _: None)
    content, rows = fetched(f"{url}/rows/*.jsonl", tmp_path)
    assert rows == ["rows/a.jsonl", "rows/b.jsonl"]
    assert list(content) == [f"{url}/rows/a.jsonl", f"{url}/rows/b.jsonl"]
    place.upload("rows/a.jsonl", bucket / "other" / "d.jsonl", lambda _: None)
    changed, rows = fetched(f"{url}/rows/*.jsonl", tmp_path)
    assert rows == ["other/d.jsonl", "rows/b.jsonl"]
    assert [changed[name] != version for name, version in content.items()] == [True, False]


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_rows_come_from_google_and_azure(scheme: str, cloud: Cloud, tmp_path: Path) -> None:
    url = f"{scheme}://{BUCKET}"
    names = ("rows/a.jsonl", "rows/b c ü.jsonl", "rows/deep/d.jsonl", "rows/e.jsonl", "rows/f.jsonl")
    cloud.objects = {name: json.dumps({"text": name}).encode() for name in (*names, "rows/g.md", "other/h.jsonl")}
    content, rows = fetched(f"{url}/rows/*.jsonl", tmp_path)
    assert (list(content), rows) == ([f"{url}/{name}" for name in names], list(names))
    assert fetched(f"{url}/rows/", tmp_path) == (content, rows)
    cloud.objects["rows/e.jsonl"] = b'{"text": "other"}'
    one, rows = fetched(f"{url}/rows/e.jsonl", tmp_path)
    assert rows == ["other"]
    assert one[f"{url}/rows/e.jsonl"] != content[f"{url}/rows/e.jsonl"]


REFUSED = "Server returned non-2xx status code: "


@pytest.mark.parametrize(
    ("source", "credential", "said"),
    [
        ("gs://team/none.jsonl", "", "there is no such object."),
        ("az://team/none.jsonl", "", "there is no such object."),
        ("gs://nobody/*.jsonl", "", f"Error performing GET SERVER/nobody: {REFUSED}404 Not Found: NoSuchBucket."),
        ("az://nobody/*.jsonl", "", f"Error performing GET SERVER/nobody: {REFUSED}404 Not Found: ContainerNotFound."),
        (
            "gs://team/a.jsonl", "GOOGLE_BEARER_TOKEN",
            f"Error performing HEAD SERVER/team/a%2Ejsonl: {REFUSED}403 Forbidden.",
        ),
        (
            "az://team/a.jsonl", "AZURE_STORAGE_ACCOUNT_NAME",
            f"Error performing HEAD SERVER/team/a.jsonl: {REFUSED}403 Forbidden.",
        ),
        ("az://team/a.jsonl", "AZURE_STORAGE_ACCOUNT_KEY", "Invalid Access Key: Invalid symbol 45, offset 3."),
    ],
)  # fmt: skip
def test_why_a_store_hands_out_nothing_is_said(
    source: str, credential: str, said: str, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if credential:
        monkeypatch.setenv(credential, "not-the-one")
    with pytest.raises(ProblemError) as refused:
        fetching.versions(Dataset(source=source), tmp_path, "")
    (problem,) = refused.value.diagnostics
    assert problem.detail.replace(cloud.endpoint, "SERVER") == f"`{source}` cannot be listed: {said}"
    assert problem.hint.startswith("Check the address, the network, and the credentials in the environment (")
