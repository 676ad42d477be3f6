"""`tune explain`: the code that stands behind a diagnostic leads to what it means."""

from __future__ import annotations

import re
from typing import Any


def test_a_code_leads_from_a_message_to_its_explanation(fresh: Any) -> None:
    (fresh.path / "data" / "chats.jsonl").unlink()
    found = re.search(r"Error: Missing file \[(TUNE\d+)\]\n", fresh.tune("plan", expect=1).stderr)
    assert found is not None
    assert fresh.tune("explain", found[1].lower()).stdout == (
        "TUNE100: Missing file\n"
        "\n"
        "  A path or pattern matches no file. Paths are relative to the recipe's folder.\n"
        "\n"
        "  What to do: Correct the path, or bring the file. Data that lies only on another machine is assumed\n"
        "  unchanged once it was recorded there.\n"
    )


def test_an_unknown_code_is_refused(empty: Any) -> None:
    assert empty.tune("explain", "TUNE1", expect=1).stderr == (
        "Error: Unknown code [TUNE405]\n"
        "  No diagnostic has the code `TUNE1`.\n"
        "  hint: It stands in brackets behind what a diagnostic is called: [TUNE100].\n"
    )
