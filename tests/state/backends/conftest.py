"""The places that every test of the contract runs against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from state.backend import Backend
from state.folder_backend import FolderBackend
from state.object_backend import ObjectBackend
from tests.faulty_proxy import FaultyProxy, proxying
from tests.s3_server import S3Server

Opener: TypeAlias = Callable[[], Backend]
SMALL_PART = 5 << 20
"""The smallest part that S3 accepts."""


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same empty place again and again, as other processes and machines do."""
    if request.param == "folder":
        return lambda: FolderBackend(tmp_path / "place", "place")
    request.getfixturevalue("s3_credentials")
    server: S3Server = request.getfixturevalue("s3_server")
    url = server.new_url()
    return lambda: ObjectBackend(url, server.endpoint, part=SMALL_PART)


@pytest.fixture
def backend(place: Opener) -> Backend:
    return place()


@pytest.fixture
def proxy(s3_server: S3Server, s3_credentials: str) -> Iterator[FaultyProxy]:  # noqa: ARG001  in the environment
    with proxying(s3_server.endpoint) as running:
        yield running
