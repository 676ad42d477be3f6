"""A server that speaks as much of the Hugging Face hub's protocol as an upload and a download of files need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest
from attrs import define, field

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PART = 100_000
"""Bytes of a part of a large file."""
ASKED = re.compile(
    "(?:api/(?:models|datasets)/|datasets/)?(?P<name>[^/]+/[^/]+)"
    "(?:/(?P<what>revision|tree|resolve)/(?P<revision>[^/]+)(?:/(?P<file>.+))?)?"
)
"""`api/datasets/org/name/tree/main`, `datasets/org/name/resolve/main/data/rows.jsonl`, and the same of models."""


@define
class Hub:
    """What the server holds: the files of each repository, and what was asked of it."""

    endpoint: str = ""
    repositories: dict[str, dict[str, bytes]] = field(factory=dict)
    revisions: dict[str, str] = field(factory=lambda: {"main": COMMIT})
    """The commits that branches and tags lead to; whichever is asked for, the files are the same."""
    private: dict[str, bool] = field(factory=dict)
    commits: int = 0
    refuses: bool = False
    """Whether it takes nothing from anybody."""
    tokens: set[str] = field(factory=set)
    large: int = 1 << 40
    """Bytes from which on a file does not travel with the commit, but in parts before it, as Git LFS has it."""
    parts: dict[str, dict[int, bytes]] = field(factory=dict)
    """The parts of such files that have come, by the SHA-256 of the whole."""
    whole: dict[str, bytes] = field(factory=dict)

    def commit_of(self, revision: str) -> str | None:
        """The commit of a branch, of a tag, or of a commit itself."""
        return revision if revision in self.revisions.values() else self.revisions.get(revision)


class Answers(BaseHTTPRequestHandler):
    """What all answers have in common."""

    hub: ClassVar[Hub]

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""

    @property
    def asked(self) -> str:
        """The path that is asked for."""
        return unquote(urlsplit(self.path).path).strip("/")

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, content: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def plain(self, value: object) -> None:
        self.answer(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str, message: str = "") -> None:
        self.answer(b"{}", {"X-Error-Code": code, "X-Error-Message": message}, status)


class Downloads(Answers):
    """What a repository holds, and its files."""

    def do_GET(self) -> None:
        asked = ASKED.fullmatch(self.asked)
        assert asked is not None, self.asked
        files, commit = self.hub.repositories.get(asked["name"]), self.hub.commit_of(asked["revision"] or "main")
        if files is None:
            self.refuse(404, "RepoNotFound")
        elif commit is None:
            self.refuse(404, "RevisionNotFound")
        elif asked["what"] == "resolve":
            self.file(files.get(asked["file"]), commit)
        elif asked["what"] == "tree":
            kept = sorted(files.items())
            self.plain([{"type": "file", "path": path, "size": len(one), "oid": "0"} for path, one in kept])
        else:
            self.plain({"id": asked["name"], "sha": commit, "siblings": [{"rfilename": one} for one in files]})

    do_HEAD = do_GET  # noqa: N815  the library's names

    def file(self, content: bytes | None, commit: str) -> None:
        if content is None:
            self.refuse(404, "EntryNotFound")
        else:
            tag = hashlib.sha256(content).hexdigest()
            self.answer(content, {"ETag": f'"{tag}"', "X-Repo-Commit": commit})


class LargeFiles(Answers):
    """Files that come in parts before the commit that they belong to."""

    def do_PUT(self) -> None:
        """Take a part of a large file."""
        oid, number = self.asked.split("/")[1:]
        content = self.body()
        self.hub.parts.setdefault(oid, {})[int(number)] = content
        self.answer(b"", {"ETag": hashlib.sha256(content).hexdigest()})

    def batch(self, body: bytes) -> None:
        """Say where the parts of large files go."""
        objects = []
        for one in json.loads(body)["objects"]:
            numbers = range(1, -(-one["size"] // PART) + 1)
            header = {f"{number:05}": f"{self.hub.endpoint}/part/{one['oid']}/{number}" for number in numbers}
            href = f"{self.hub.endpoint}/complete/{one['oid']}"
            upload = {"href": href, "header": {"chunk_size": str(PART), **header}}
            objects.append({**one, "actions": {"upload": upload}})
        self.plain({"transfer": "multipart", "objects": objects})

    def complete(self, oid: str) -> None:
        """Put the parts of a large file together."""
        content = b"".join(part for _, part in sorted(self.hub.parts[oid].items()))
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.whole[oid] = content
        self.plain({})


class Uploads(LargeFiles):
    """Repositories that are made, and commits to them."""

    def do_POST(self) -> None:
        body, parts = self.body(), self.asked.split("/")
        self.hub.tokens.add(self.headers["Authorization"])
        if self.hub.refuses:
            self.refuse(403, "", "You may not write here.")
        elif parts == ["api", "repos", "create"]:
            self.create(json.loads(body))
        elif parts[0] == "complete":
            self.complete(parts[1])
        elif parts[-2:] == ["objects", "batch"]:
            self.batch(body)
        elif parts[1] == "validate-yaml":
            self.plain({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            self.tell_ways(json.loads(body)["files"])
        else:
            self.commit("/".join(parts[2:4]), body)

    def create(self, asked: Mapping[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        self.hub.repositories.setdefault(name, {".gitattributes": b""})
        self.hub.private[name] = asked.get("private", asked.get("visibility") == "private")
        self.plain({"url": f"{self.hub.endpoint}/{name}"})

    def tell_ways(self, files: list[Mapping[str, Any]]) -> None:
        """Say which files come with the commit, and which before it."""
        modes = {one["path"]: "lfs" if one["size"] >= self.hub.large else "regular" for one in files}
        told = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self.plain({"files": told})

    def commit(self, name: str, body: bytes) -> None:
        files = self.hub.repositories[name]
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.hub.whole[line["value"]["oid"]]
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        self.hub.commits += 1
        self.plain({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{COMMIT}", "commitOid": COMMIT})


class Handler(Downloads, Uploads):
    """Everything that the hub is asked."""


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Hub]:
    """A hub of the test's own, and an environment in which it is the only one."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()
