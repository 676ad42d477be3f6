"""Every diagnostic that a person can get has a stable code, and a section that explains it."""

from __future__ import annotations

import re
import runpy
from itertools import pairwise

from state.diagnostic import Diagnostic
from state.explanations import SOURCE, explanations
from tests.diagnostic_sentences import unended
from tests.diagnostic_summaries import PACKAGES, ROOT, told


def test_every_section_explains_a_diagnostic_that_is_told() -> None:
    assert sorted(explanations().keys() - told().keys()) == []


def test_codes_are_never_given_twice_and_go_up() -> None:
    codes = re.findall(r"^### (TUNE\d+): ", SOURCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [after for before, after in pairwise(codes) if after <= before] == []
    assert codes == [one.code for one in explanations().values()]


def test_every_section_says_what_it_means_and_what_to_do() -> None:
    parted = {one.summary: one.text.partition("\n\n**What to do:** ") for one in explanations().values()}
    assert [name for name, (meaning, _, advice) in parted.items() if len(meaning) < 20 or len(advice) < 5] == []


def test_the_page_is_made_from_the_sections() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_diagnostics.py"))
    assert page["PAGE"].read_text(encoding="utf-8") == page["page"](), "run: python docs/make_diagnostics.py"


def test_what_a_plugin_tells_needs_no_code() -> None:
    assert Diagnostic("Out of coffee", "None is left.").code == ""


def test_what_is_wrong_and_what_to_do_are_sentences() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [one for path in modules for one in unended(path)] == []
