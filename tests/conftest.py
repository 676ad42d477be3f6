"""What tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.fake_kinds import RECIPE, Workshop

pytest_plugins = ("tests.hub_server", "tests.s3_server")

hypothesis.settings.register_profile("tune", deadline=None)  # machines are noisy: no test asserts a time
hypothesis.settings.load_profile("tune")


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
