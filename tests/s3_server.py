"""A server that speaks the S3 protocol, for tests: moto, in a process of its own on the loopback interface."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import frozen

from tests.processes import running

SERVES = """
import sys, threading
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
answer, one_at_a_time = server._server.app, threading.Lock()

def answer_alone(environ, start_response):
    # The server itself compares and replaces in two steps; an object store does it in one.
    with one_at_a_time:
        return [b"".join(answer(environ, start_response))]

server._server.app = answer_alone
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
BUCKET = "team"


@frozen
class S3Server:
    """Where the server listens, and what is in its bucket."""

    endpoint: str

    def new_url(self) -> str:
        """A folder in the bucket that nobody else uses."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def unfinished_uploads(self) -> int:
        """Uploads in parts that were neither completed nor given up: they cost money, and no listing shows them."""
        with urllib.request.urlopen(f"{self.endpoint}/{BUCKET}?uploads") as answer:  # noqa: S310
            return int(answer.read().count(b"<Upload>"))


@contextmanager
def serving() -> Iterator[S3Server]:
    """A server that lives as long as the `with` block, with one empty bucket."""
    with running(
        [sys.executable, "-c", SERVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        server = S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        bucket = urllib.request.Request(f"{server.endpoint}/{BUCKET}", method="PUT")  # noqa: S310
        urllib.request.urlopen(bucket).close()  # noqa: S310
        yield server


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """The server of one file of tests; `s3_credentials` lets clients in."""
    with serving() as server:
        yield server


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> str:
    """Credentials in the environment, and nothing else there that leads clients elsewhere; gives the secret one."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    secret = "planted/Secret+key0123456789"  # noqa: S105
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return secret
