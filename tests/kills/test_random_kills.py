"""An apply that is killed at random instants, again and again: nothing is lost, and nothing is made twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import frozen

from state.journal import Journal
from state.lock import is_dead, read_owner
from state.record import Status
from tests.fake_kinds import Workshop
from tests.kills.server import workshop
from tests.processes import running
from tests.s3_server import S3Server

ROOT = Path(__file__).parent.parent.parent
RECIPE = """
[raw.data]
source = "data.txt"

[thing.first]
base = ["raw.data"]
steps = 3

[thing.second]
base = ["thing.first"]

[thing.third]
base = ["thing.first", "thing.second"]
colour = "blue"

[thing.fourth]
base = ["thing.third"]
steps = 2
"""
KILLS = int(os.environ.get("KILLS", "30"))
"""How many; `make test-kills` asks for 300 of each kind."""
CEILING = 20
"""Kills of one apply, after which it is left alone: at random instants it could go on for ever."""


@frozen
class Server:
    """The process that forks those that are killed."""

    process: subprocess.Popen[str]

    def start(self, *what: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("\t".join(what) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        """The exit code; negative for the signal that ended it."""
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line and self.process.stderr is not None:
            pytest.fail(self.process.stderr.read())
        return line


@pytest.fixture
def server() -> Iterator[Server]:
    command, pipe = [sys.executable, "-m", "tests.kills.server"], subprocess.PIPE
    with running(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield Server(process)


def outputs(shop: Workshop) -> dict[str, str]:
    return {address: record.output_digest for address, record in shop.state().records.items()}


def builds(folder: Path) -> list[str]:
    """The addresses whose builds came to their end, in order."""
    log = folder / "builds.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.removeprefix("end ") for line in lines if line.startswith("end ")]


def check(shop: Workshop, ready: dict[str, int]) -> None:
    """What must hold at any instant; `ready` is how often each address had been built when it was first seen ready."""
    state = shop.state()
    shop.plan()
    list(shop.store.history.newest_first(shop.store.load()))
    done = builds(shop.folder)
    for address, record in state.records.items():
        if record.kind == "thing" and record.status is Status.READY:
            ready.setdefault(address, done.count(address))
            assert done.count(address) == ready[address], f"{address} was built again"
    owner = read_owner(shop.backend)
    assert owner is None or is_dead(owner)


def fresh(folder: Path) -> Path:
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "data.txt").write_text("rows")
    return folder


def kill_again_and_again(server: Server, tmp_path: Path, place: tuple[str, str], kills: int, longest: float) -> None:
    instants = random.Random(kills)  # noqa: S311  nothing secret
    undisturbed = Workshop(fresh(tmp_path / "undisturbed"))
    undisturbed.apply()
    expected, done, number = outputs(undisturbed), 0, 0
    while done < kills:
        number += 1
        folder = fresh(tmp_path / f"recipe{number}")
        url = place[0] and f"{place[0]}/{folder.name}"
        shop, ready, code, here = workshop(folder, url, place[1]), dict[str, int](), -1, 0
        while code:
            child = server.start(str(folder), url, place[1], "0.005")
            if here < CEILING:
                time.sleep(instants.uniform(0, longest))
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            code = server.ended()
            done, here = (done + 1, here + 1) if code == -signal.SIGKILL else (done, here)
            assert code in (0, -signal.SIGKILL)
            check(shop, ready)
        assert outputs(shop) == expected
        assert not shop.plan().changes
        assert Journal(shop.backend).read(shop.store.load()) == ()


@pytest.mark.slow
def test_killed_at_any_instant_it_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    kill_again_and_again(server, tmp_path, ("", ""), KILLS, 0.25)


@pytest.mark.slow
def test_so_does_one_whose_state_and_artifacts_are_in_an_object_store(
    s3_credentials: str,  # noqa: ARG001  in the environment before the server is started
    server: Server,
    tmp_path: Path,
    s3_server: S3Server,
) -> None:
    kill_again_and_again(server, tmp_path, (s3_server.new_url(), s3_server.endpoint), KILLS, 1.0)
