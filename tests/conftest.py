"""What tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from executor.workers.world import visible_gpus
from tests.fake_kinds import RECIPE, Workshop

pytest_plugins = ("tests.cloud_server", "tests.hub_server", "tests.s3_server")

# Tests run side by side, and threads that wait for each other cost several times as much; tests start no others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("tune", deadline=None)  # machines are noisy: no test asserts a time
hypothesis.settings.load_profile("tune")


# Whatever starts the tests may ignore Ctrl-C, as `nohup` and shells do for what runs in the background. Then every
# process that a test starts would ignore it too, those included to which the test sends one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


STARTING = {"empty", "fresh", "quickstart", "s3_server", "hub_server"}
"""Fixtures for tests that start commands of tune or servers: half a second each, and there are hundreds of them."""


BEGUN_WITH = {"test_distributed.py", "test_nodes.py", "test_real_kills.py", "test_models.py"}
"""What takes longest of all that trains."""
LOADED = [len(sys.modules)]
"""How many modules there were whenever those that stay for good were set aside."""


def _starts_processes(item: pytest.Function) -> bool:
    where = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "s3" in where or bool(STARTING.intersection(item.fixturenames))


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts processes, leave out what needs a GPU where there is none, and begin with what takes longest."""
    for item in items:
        if isinstance(item, pytest.Function) and _starts_processes(item):
            item.add_marker("processes")
    left_out = [item for item in items if "gpu" in item.keywords]
    if left_out and not visible_gpus():
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if "gpu" not in item.keywords]
    if workers := getattr(config, "workerinput", {}).get("workercount"):
        items[:] = _longest_first(items, workers)


def _longest_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The order in which no worker waits for another, nor has a long test left when the others have ended.

    Each worker gets a stretch of as many tests, and who has none left takes from the end of another's. So the first
    stretch begins with what needs the finished quickstart, which one worker alone makes then, and the second with all
    else that trains; what ends in a moment comes last in both.
    """
    shared = [item for item in items if "slow" in item.keywords and item.path.parent.name == "tune"]
    heavy = [item for item in items if item not in shared and {"slow", "torch"} & set(item.keywords)]
    heavy.sort(key=lambda item: item.path.name not in BEGUN_WITH)
    placed = {*shared, *heavy}
    light = [item for item in items if item not in placed]
    fill = max(0, len(items) // workers - len(shared))
    return [*shared, *light[:fill], *heavy, *light[fill:]]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Spare trainers what libraries keep for good: each looks through all objects for garbage before it begins.

    That is half the time of a small training, so it is done again whenever a test has loaded many modules.
    """
    if len(sys.modules) > LOADED[-1] + 200:
        LOADED.append(len(sys.modules))
        gc.collect()
        gc.freeze()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def make_workshop() -> Callable[[Path], Workshop]:
    return Workshop


@pytest.fixture
def finished(workshop: Workshop) -> Workshop:
    """Data and two things, made."""
    workshop.write(RECIPE, **{"data.txt": "one"})
    assert workshop.apply().failure is None
    return workshop
