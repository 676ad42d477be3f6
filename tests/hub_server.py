"""A server that speaks as much of the Hugging Face hub's protocol as an upload and a download of files need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import define, field

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@define
class Hub:
    """What the server holds: the files of each repository, and what was asked of it."""

    endpoint: str = ""
    repositories: dict[str, dict[str, bytes]] = field(factory=dict)
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


PART = 100_000
"""Bytes of a part of a large file."""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:  # noqa: C901  one class, one method for each request
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing is said."""

        def answer(self, content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def plain(self, value: object) -> None:
            self.answer(json.dumps(value).encode(), {"Content-Type": "application/json"})

        def do_GET(self) -> None:
            parts = urlsplit(self.path).path.strip("/").split("/")
            files = hub.repositories.get("/".join(parts[2:4] if parts[0] == "api" else parts[:2]))
            if files is None:
                self.answer(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)
            elif parts[0] == "api" and parts[4:5] == ["tree"]:
                kept = sorted(files.items())
                self.plain([{"type": "file", "path": path, "size": len(one), "oid": "0"} for path, one in kept])
            elif parts[0] == "api":
                self.plain(
                    {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": [{"rfilename": one} for one in files]}
                )
            elif "/".join(parts[4:]) in files:
                content = files["/".join(parts[4:])]
                tag = hashlib.sha256(content).hexdigest()
                self.answer(content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
            else:
                self.answer(b"", {"X-Error-Code": "EntryNotFound"}, 404)

        do_HEAD = do_GET  # noqa: N815  the library's names

        def do_PUT(self) -> None:
            """Take a part of a large file."""
            oid, number = self.path.strip("/").split("/")[1:]
            content = self.rfile.read(int(self.headers["Content-Length"]))
            hub.parts.setdefault(oid, {})[int(number)] = content
            self.answer(b"", {"ETag": hashlib.sha256(content).hexdigest()})

        def batch(self, body: bytes) -> None:
            """Say where the parts of large files go."""
            objects = []
            for one in json.loads(body)["objects"]:
                numbers = range(1, -(-one["size"] // PART) + 1)
                header = {f"{number:05}": f"{hub.endpoint}/part/{one['oid']}/{number}" for number in numbers}
                href = f"{hub.endpoint}/complete/{one['oid']}"
                upload = {"href": href, "header": {"chunk_size": str(PART), **header}}
                objects.append({**one, "actions": {"upload": upload}})
            self.plain({"transfer": "multipart", "objects": objects})

        def complete(self, oid: str) -> None:
            """Put the parts of a large file together."""
            content = b"".join(part for _, part in sorted(hub.parts[oid].items()))
            assert hashlib.sha256(content).hexdigest() == oid
            hub.whole[oid] = content
            self.plain({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.tokens.add(self.headers["Authorization"])
            parts = urlsplit(self.path).path.strip("/").split("/")
            name = "/".join(parts[2:4])
            if hub.refuses:
                self.answer(b'{"error": "no rights"}', {"X-Error-Message": "You may not write here."}, 403)
            elif parts == ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                hub.repositories.setdefault(name, {".gitattributes": b""})
                hub.private[name] = asked.get("private", asked.get("visibility") == "private")
                self.plain({"url": f"{hub.endpoint}/{name}"})
            elif parts[0] == "complete":
                self.complete(parts[1])
            elif parts[-2:] == ["objects", "batch"]:
                self.batch(body)
            elif parts[1] == "validate-yaml":
                self.plain({"errors": [], "warnings": []})
            elif parts[4] == "preupload":
                modes = {
                    one["path"]: "lfs" if one["size"] >= hub.large else "regular" for one in json.loads(body)["files"]
                }
                told = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
                self.plain({"files": told})
            else:
                self.commit(name, body)

        def commit(self, name: str, body: bytes) -> None:
            files = hub.repositories[name]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    files[line["value"]["path"]] = hub.whole[line["value"]["oid"]]
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            hub.commits += 1
            self.plain({"commitUrl": f"{hub.endpoint}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    return Handler


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Hub]:
    """A hub of the test's own, and an environment in which it is the only one."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
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
