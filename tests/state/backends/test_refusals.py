"""What a person reads when an object store refuses: what, where and why, and never a secret."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from state.diagnostic import ProblemError
from state.object_backend import ObjectBackend
from state.object_requests import Patience
from tests.s3_server import S3Server

QUICK = Patience(connect_seconds=5, answer_seconds=1, retries=1, retry_seconds=1)
HINT = "Check the URL, the network, and the credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."
MISSING = "Server returned non-2xx status code: 404 Not Found: NoSuchBucket: The specified bucket does not exist."


class Tattler(BaseHTTPRequestHandler):
    """A server that repeats what it should not."""

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Be quiet."""

    def do_GET(self) -> None:
        body = f"<Error><Code>AccessDenied</Code><Message>Not with {self.server.secret}.</Message></Error>".encode()  # type: ignore[attr-defined]
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def tattling_endpoint(s3_credentials: str) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Tattler) as server:
        server.secret = s3_credentials  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def said(caught: pytest.ExceptionInfo[ProblemError]) -> tuple[str, str, str]:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.summary, diagnostic.detail, diagnostic.hint


@pytest.mark.usefixtures("s3_credentials")
def test_a_missing_bucket_is_not_an_empty_one(s3_server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    backend = ObjectBackend("s3://nobodys/team", s3_server.endpoint, patience=QUICK)
    request = f"{s3_server.endpoint}/nobodys/team/state.json"
    for method, work in (
        ("GET", lambda: backend.get("state.json")),
        ("PUT", lambda: backend.put_if_absent("state.json", b"")),
        ("PUT", lambda: backend.put_if_match("state.json", b"", '{"e_tag": "1"}')),
        ("DELETE", lambda: backend.delete("state.json")),
        ("PUT", lambda: backend.upload("state.json", tmp_path / "file", lambda _: None)),
    ):
        with pytest.raises(ProblemError) as caught:
            work()
        detail = f"`s3://nobodys/team/state.json`: Error performing {method} {request}: {MISSING}"
        assert said(caught) == ("State cannot be reached", detail, HINT)
    with pytest.raises(ProblemError) as caught:
        backend.list("")
    detail = f"`s3://nobodys/team`: Error performing GET {s3_server.endpoint}/nobodys: {MISSING}"
    assert said(caught) == ("State cannot be reached", detail, HINT)


@pytest.mark.usefixtures("s3_credentials")
def test_a_server_that_is_not_there_is_named_with_the_reason() -> None:
    with pytest.raises(ProblemError) as caught:
        ObjectBackend("s3://team/a", "http://127.0.0.1:1", patience=QUICK).get("state.json")
    detail = (
        "`s3://team/a/state.json`: Error performing GET http://127.0.0.1:1/team/a/state.json: "
        "HTTP error: error sending request: Connection refused."
    )
    assert said(caught) == ("State cannot be reached", detail, HINT)


def test_no_secret_is_repeated_even_if_the_server_does(tattling_endpoint: str, s3_credentials: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ObjectBackend("s3://team/a", tattling_endpoint, patience=QUICK).get("state.json")
    detail = (
        f"`s3://team/a/state.json`: Error performing GET {tattling_endpoint}/team/a/state.json: "
        "Server returned non-2xx status code: 403 Forbidden: AccessDenied: Not with (secret removed)."
    )
    assert said(caught) == ("State cannot be reached", detail, HINT)
    assert s3_credentials not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "variable", "value", "hint"),
    [
        (
            "gs://team/a",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            '{"private_key": "planted-secret"',
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        ("az://team/a", "AZURE_STORAGE_ACCOUNT_KEY", "planted-secret", "AZURE_STORAGE_ACCOUNT_KEY"),
    ],
)
def test_credentials_that_cannot_be_read_are_a_problem_that_does_not_repeat_them(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str, value: str, hint: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "team")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProblemError) as caught:
        ObjectBackend(url, patience=QUICK).get("state.json")
    summary, detail, advice = said(caught)
    assert summary == "State cannot be reached"
    assert detail.startswith(f"`{url}/state.json`: ")
    assert hint in advice
    assert "planted-secret" not in str(caught.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ProblemError) as caught:
        ObjectBackend("s3://team/a").get("state.json")
    assert said(caught) == (
        "Missing library",
        "Shared state in an object store needs the library obstore, which is not installed.",
        'Run `pip install "tuneform[remote]"`.',
    )


@pytest.mark.usefixtures("s3_credentials")
def test_an_endpoint_of_the_environment_is_used(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3_server.new_url()
    ObjectBackend(url, s3_server.endpoint).put_if_absent("state.json", b"{}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    stored = ObjectBackend(url).get("state.json")
    assert stored is not None
    assert stored.content == b"{}"


@pytest.mark.usefixtures("s3_credentials")
def test_two_different_endpoints_are_a_problem(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(ProblemError) as caught:
        ObjectBackend(s3_server.new_url(), s3_server.endpoint).get("state.json")
    assert said(caught) == (
        "Two endpoints",
        f"The endpoint is {s3_server.endpoint}, but AWS_ENDPOINT_URL_S3 in the environment names another one.",
        "Unset AWS_ENDPOINT_URL_S3, or name the same endpoint in both places.",
    )
