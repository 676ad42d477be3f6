"""What networks and servers do to requests: no write is lost, doubled or mistaken for somebody else's."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from state.backend import ConflictError
from state.diagnostic import ProblemError
from state.object_backend import ObjectBackend
from state.object_requests import Patience
from tests.faulty_proxy import Fault, FaultyProxy
from tests.processes import running
from tests.s3_server import S3Server

LITTLE = Patience(connect_seconds=5, answer_seconds=1, part_seconds=2, retries=3, retry_seconds=5)
LEAST = Patience(connect_seconds=5, answer_seconds=0.2, part_seconds=0.4, retries=1, retry_seconds=1)
PASSING = [
    [Fault.REFUSE],
    [Fault.DENY],
    [Fault.CUT],
    [Fault.STALL],
    [Fault.HANG],
    [Fault.REFUSE, Fault.REFUSE, Fault.REFUSE],
    [Fault.REFUSE, Fault.DENY],
    [Fault.REFUSE, Fault.CUT, Fault.REFUSE],
]
HINT = "Check the URL, the network, and the credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."
NO_ANSWER = "HTTP error: error sending request: no answer in time."
BROKEN = "Server returned non-2xx status code: 500 Internal Server Error."
WAITS = """
import sys
from state.object_backend import ObjectBackend
from state.object_requests import Patience

print("waiting", flush=True)
ObjectBackend("s3://team/a", sys.argv[1], patience=Patience(answer_seconds=500)).get("state.json")
"""


def names(faults: list[Fault]) -> str:
    return "+".join(fault.name.lower() for fault in faults)


@pytest.fixture
def url(s3_server: S3Server) -> str:
    return s3_server.new_url()


@pytest.fixture
def straight(s3_server: S3Server, url: str, proxy: FaultyProxy) -> ObjectBackend:  # noqa: ARG001
    """A client whose line has no faults."""
    return ObjectBackend(url, s3_server.endpoint)


@pytest.fixture
def backend(url: str, proxy: FaultyProxy) -> ObjectBackend:
    """A client behind the proxy, which downloads in small parts."""
    return ObjectBackend(url, proxy.endpoint, patience=LITTLE, part=1 << 20)


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that lets everybody in and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused(work: Callable[[], object]) -> tuple[str, str, str]:
    """Summary, detail and hint of the problem that some work ends in."""
    with pytest.raises(ProblemError) as caught:
        work()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.summary, diagnostic.detail, diagnostic.hint


@pytest.mark.parametrize("faults", PASSING, ids=names)
def test_an_object_is_created_once_whatever_becomes_of_requests(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, faults: list[Fault]
) -> None:
    proxy.plan("PUT", faults)
    version = backend.put_if_absent("lock.json", b"ours")
    stored = straight.get("lock.json")
    assert stored is not None
    assert (stored.content, stored.version) == (b"ours", version)
    assert not proxy.faults


@pytest.mark.parametrize("faults", PASSING, ids=names)
def test_an_object_is_replaced_once_whatever_becomes_of_requests(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, faults: list[Fault]
) -> None:
    first = straight.put_if_absent("state.json", b"1")
    proxy.plan("PUT", faults)
    second = backend.put_if_match("state.json", b"2", first)
    stored = straight.get("state.json")
    assert stored is not None
    assert (stored.content, stored.version) == (b"2", second)
    assert not proxy.faults


@pytest.mark.parametrize("faults", PASSING, ids=names)
def test_somebody_elses_write_stays_a_conflict_whatever_becomes_of_requests(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, faults: list[Fault]
) -> None:
    stale = straight.put_if_absent("state.json", b"1")
    straight.put_if_match("state.json", b"theirs", stale)
    proxy.plan("PUT", faults)
    with pytest.raises(ConflictError):
        backend.put_if_match("state.json", b"ours", stale)
    assert not proxy.faults
    proxy.plan("PUT", faults)
    with pytest.raises(ConflictError):
        backend.put_if_absent("state.json", b"ours")
    stored = straight.get("state.json")
    assert stored is not None
    assert stored.content == b"theirs"


def test_a_server_that_only_answers_with_errors_is_a_problem_and_nothing_was_written(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, url: str
) -> None:
    proxy.plan("PUT", [Fault.REFUSE] * 50)
    assert refused(lambda: backend.put_if_absent("state.json", b"1")) == (
        "State cannot be reached",
        f"`{url}/state.json`: Error performing PUT {proxy.endpoint}{url.removeprefix('s3:/')}/state.json: {BROKEN}",
        HINT,
    )
    assert straight.get("state.json") is None


@pytest.mark.slow
@pytest.mark.usefixtures("s3_credentials")
def test_a_server_that_says_nothing_is_a_problem(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(b"x" * (11 << 20))
    with silent_server() as endpoint:
        backend = ObjectBackend("s3://team/a", endpoint, patience=LEAST)
        assert refused(lambda: backend.get("state.json")) == (
            "State cannot be reached",
            f"`s3://team/a/state.json`: Error performing GET {endpoint}/team/a/state.json: {NO_ANSWER}",
            HINT,
        )
        for work in (
            lambda: backend.put_if_absent("state.json", b""),
            lambda: backend.put_if_match("state.json", b"", '{"e_tag": "1"}'),
            lambda: backend.delete("state.json"),
            lambda: backend.list(""),
            lambda: backend.size("state.json"),
            lambda: backend.upload("small", small, lambda _: None),
            lambda: backend.upload("large", large, lambda _: None),
            lambda: backend.download("small", tmp_path / "target", lambda _: None),
        ):
            assert refused(work)[0] == "State cannot be reached"


@pytest.mark.usefixtures("s3_credentials")
def test_ctrl_c_is_heard_while_a_server_says_nothing() -> None:
    with (
        silent_server() as endpoint,
        running(
            [sys.executable, "-c", WAITS, endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        said = interrupted(process)
    assert said.endswith("KeyboardInterrupt\n")


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a process says when Ctrl-C is pressed; again where it is not heard, for Python loses one within imports."""
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        try:
            return str(process.communicate(timeout=5)[1])
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("Ctrl-C was not heard")


def test_what_writers_append_over_broken_lines_is_there_once(
    url: str, straight: ObjectBackend, proxy: FaultyProxy
) -> None:
    writers, rounds = 3, 8
    straight.put_if_absent("log", b"")
    proxy.plan("PUT", [Fault.CUT, Fault.NONE, Fault.DENY, Fault.REFUSE, Fault.NONE, Fault.NONE] * 20)

    def append(writer: int) -> None:
        backend = ObjectBackend(url, proxy.endpoint, patience=LITTLE)
        lines = [f"{writer}-{number}\n".encode() for number in range(rounds)]
        while lines:
            stored = backend.get("log")
            assert stored is not None
            if lines[0] in stored.content:  # a write was reported as a problem, and done
                lines.pop(0)
                continue
            with suppress(ConflictError, ProblemError):
                backend.put_if_match("log", stored.content + lines[0], stored.version)
                lines.pop(0)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(append, range(writers)))
    stored = straight.get("log")
    assert stored is not None
    expected = [f"{writer}-{number}" for writer in range(writers) for number in range(rounds)]
    assert sorted(stored.content.decode().split()) == expected


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.CUT, Fault.HALVE, Fault.STALL], ids=lambda fault: fault.name)
def test_reading_goes_on_after_faults(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    content = bytes(range(256)) * (10 << 10) + b"end"
    straight.put_if_absent("objects/file", content)
    proxy.plan("GET", [fault])
    stored = backend.get("objects/file")
    assert stored is not None
    assert stored.content == content
    assert not proxy.faults
    proxy.plan("GET", [Fault.NONE, fault])
    backend.download("objects/file", tmp_path / "target", lambda _: None)
    assert (tmp_path / "target").read_bytes() == content
    assert not proxy.faults


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.CUT], ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_listing_looking_and_deleting_go_on_after_faults(
    backend: ObjectBackend, proxy: FaultyProxy, method: str, fault: Fault
) -> None:
    backend.put_if_absent("locks/lock.json", b"ours")
    proxy.plan(method, [fault])
    assert [(one.name, one.size) for one in backend.list("locks/")] == [("locks/lock.json", 4)]
    assert backend.size("locks/lock.json") == 4
    backend.delete("locks/lock.json")
    assert not proxy.faults
    assert list(backend.list("")) == []


def test_a_download_that_breaks_off_keeps_what_it_has(
    backend: ObjectBackend, straight: ObjectBackend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(240)) * ((10 << 20) // 240))
    straight.upload("file", source, lambda _: None)
    proxy.plan("GET", [Fault.NONE] * 5 + [Fault.HALVE] * 50)
    assert refused(lambda: backend.download("file", target, lambda _: None))[0] == "State cannot be reached"
    kept = target.stat().st_size
    assert kept >= 1 << 20
    assert source.read_bytes().startswith(target.read_bytes())
    proxy.plan("GET", [])
    received: list[int] = []
    backend.download("file", target, received.append)
    assert sum(received) == source.stat().st_size - kept
    assert target.read_bytes() == source.read_bytes()


def test_an_object_that_goes_away_under_a_download_is_not_there(
    backend: ObjectBackend, straight: ObjectBackend, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * (10 << 20))
    straight.upload("file", source, lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"^file$"):
        backend.download("file", target, lambda _: straight.delete("file"))
    assert source.read_bytes().startswith(target.read_bytes())


@pytest.mark.parametrize(
    ("size", "method", "faults"),
    [
        *((1 << 10, "PUT", [fault]) for fault in (Fault.REFUSE, Fault.DENY, Fault.CUT)),
        (1 << 10, "PUT", [Fault.CUT] * 4),
        (11 << 20, "POST", [Fault.NONE] + [Fault.CUT] * 4),
        *((11 << 20, "POST", [fault]) for fault in (Fault.REFUSE, Fault.DENY, Fault.CUT)),
        *((11 << 20, "PUT", [Fault.NONE, fault]) for fault in (Fault.REFUSE, Fault.DENY, Fault.CUT)),
        *((11 << 20, "POST", [Fault.NONE, fault]) for fault in (Fault.REFUSE, Fault.DENY, Fault.CUT, Fault.HANG)),
    ],
    ids=lambda value: names(value) if isinstance(value, list) else str(value),
)
def test_an_upload_arrives_whole_after_a_fault(  # noqa: PLR0913, PLR0917
    url: str, straight: ObjectBackend, proxy: FaultyProxy, tmp_path: Path, size: int, method: str, faults: list[Fault]
) -> None:
    backend = ObjectBackend(url, proxy.endpoint, patience=LITTLE)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * (size >> 8))
    proxy.plan(method, faults)
    sent: list[int] = []
    backend.upload("file", source, sent.append)
    assert not proxy.faults
    assert sum(sent) == size
    straight.download("file", target, lambda _: None)
    assert target.read_bytes() == source.read_bytes()


def test_an_upload_that_fails_leaves_nothing_behind(
    url: str, straight: ObjectBackend, proxy: FaultyProxy, s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * (11 << 20))
    straight.upload("whole", source, lambda _: None)
    before = s3_server.unfinished_uploads()
    backend = ObjectBackend(url, proxy.endpoint, patience=LITTLE)
    proxy.plan("PUT", [Fault.NONE] + [Fault.REFUSE] * 50)
    assert refused(lambda: backend.upload("file", source, lambda _: None))[0] == "State cannot be reached"
    assert [one.name for one in straight.list("")] == ["whole"]
    assert s3_server.unfinished_uploads() == before
