"""Libraries are imported before a step begins: those that there are, and without losing a wish to stop."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from executor import kinds
from executor.workers.libraries import import_early
from executor.workers.worker_reports import StopRequestedError

SCRIPT = """
import gc
from executor.workers.libraries import import_early
import_early(("there.is.no.such", "colorsys"))
import sys
print("colorsys" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 1000)
"""


def test_what_is_imported_is_kept_out_of_the_search_for_garbage() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout == "True True True\n"


def test_a_wish_to_stop_is_heard_while_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stopping.py").write_text(
        "from executor.workers.worker_reports import StopRequestedError\nraise StopRequestedError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StopRequestedError):
        import_early(("stopping",))
    assert gc.isenabled()


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_what_kinds_name_can_be_imported() -> None:
    """A name that is wrong would be passed over without a word."""
    named = {name for kind in kinds.load().values() for name in kind.libraries}
    assert named
    script = f"from importlib import import_module\nfor name in {sorted(named)}: import_module(name)"
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
