"""A server from which Google's and Azure's clients read: it lists objects and hands them out as both of theirs do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from attrs import define, field

PAGE = 2
"""Objects in one answer to a listing; for more, it is asked again."""
BUCKET = "team"
MODIFIED = "Mon, 02 Nov 2026 10:00:00 GMT"
CREDENTIALS = {
    "gs": {"GOOGLE_BEARER_TOKEN": "planted-token"},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": "planted", "AZURE_STORAGE_ACCOUNT_KEY": "cGxhbnRlZC1rZXk="},
}
"""What clients find in the environment."""
LETS_IN = ("Bearer planted-token", "SharedKey planted:")


@define
class Cloud:
    """Where the server listens, and what lies in its one bucket, which Azure calls a container."""

    endpoint: str = ""
    objects: dict[str, bytes] = field(factory=dict)


def google_listing(page: Mapping[str, bytes], follows: str) -> str:
    """As on https://cloud.google.com/storage/docs/xml-api/get-bucket-list."""
    entries = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-02T10:00:00.000Z</LastModified>"
        f"<ETag>{_tag(content)}</ETag><Size>{len(content)}</Size></Contents>"
        for name, content in page.items()
    )
    more = f"<NextContinuationToken>{escape(follows)}</NextContinuationToken>" if follows else ""
    return f"<ListBucketResult>{entries}{more}</ListBucketResult>"


def azure_listing(page: Mapping[str, bytes], follows: str) -> str:
    """As on https://learn.microsoft.com/en-us/rest/api/storageservices/list-blobs."""
    entries = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified>"
        f"<Content-Length>{len(content)}</Content-Length><Content-Type>text/plain</Content-Type>"
        f"<Etag>{_tag(content)}</Etag></Properties></Blob>"
        for name, content in page.items()
    )
    return (
        f"<EnumerationResults><Blobs>{entries}</Blobs><NextMarker>{escape(follows)}</NextMarker></EnumerationResults>"
    )


class Answers(BaseHTTPRequestHandler):
    """Answers to both: they differ in how they say who asks, and in how a listing is written."""

    cloud: ClassVar[Cloud]

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not self.headers.get("Authorization", "").startswith(LETS_IN):
            self._refuse(403, "AccessDenied")
        elif bucket != BUCKET:
            self._refuse(404, "NoSuchBucket" if "x-ms-version" not in self.headers else "ContainerNotFound")
        elif not key:
            self._list({name: values[0] for name, values in parse_qs(parts.query).items()})
        elif key in self.cloud.objects:
            self._answer(200, self.cloud.objects[key])
        else:
            self._refuse(404, "NoSuchKey")

    do_HEAD = do_GET  # noqa: N815  the library's names

    def _list(self, asked: Mapping[str, str]) -> None:
        start = asked.get("continuation-token", asked.get("marker", ""))
        names = [name for name in sorted(self.cloud.objects) if name.startswith(asked.get("prefix", ""))]
        left = [name for name in names if name >= start]
        page = {name: self.cloud.objects[name] for name in left[:PAGE]}
        written = google_listing if "list-type" in asked else azure_listing
        self._answer(200, written(page, "".join(left[PAGE : PAGE + 1])).encode())

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", len(content)), ("ETag", _tag(content)), ("Last-Modified", MODIFIED)):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A server of the test's own, and an environment in which both clients turn to it."""
    held = Cloud()
    handler = type("Handler", (Answers,), {"cloud": held})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        held.endpoint = f"http://127.0.0.1:{server.server_port}"
        told = {"GOOGLE_BASE_URL": held.endpoint, "AZURE_STORAGE_ENDPOINT": held.endpoint, "NO_PROXY": "127.0.0.1"}
        for name, value in {**told, **CREDENTIALS["gs"], **CREDENTIALS["az"]}.items():
            monkeypatch.setenv(name, value)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield held
        server.shutdown()
