"""Functions of the user's own: found by reading, run by name, and only as they were planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.evaluation.answer_metrics import answer_metrics, metric_faults, metric_name
from executor.evaluation.evaluating import Prediction
from executor.evaluation.user_functions import (
    UserFunction,
    function_digests,
    function_faults,
    load_function,
    place_in_user_code,
    user_function,
)
from state.diagnostic import ProblemError
from state.files import digest_file

OWN = """\
from dataclasses import dataclass

open("was_run", "w").close()

@dataclass
class Counted:
    number: int

def count(answers, references):
    return Counted(len(answers)).number

def judge(answers, references, questions):
    return {"negated": sum("not" in one for one in questions), "judged": len(questions)}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("def count(:\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("own.py:count", UserFunction("own.py", "count")),
        ("./metrics/own.py:count", UserFunction("./metrics/own.py", "count")),
        ("f1", None),
        ("own.py", None),
        ("own.py:2nd", None),
        ("own:count", None),
    ],
)
def test_functions_are_named_by_file_and_name(text: str, expected: UserFunction | None) -> None:
    assert user_function(text) == expected
    assert metric_name(text) == (expected.name if expected else text)


def test_what_is_wrong_is_found_without_running_anything(folder: Path) -> None:
    named = [UserFunction(file, "count") for file in ("own.py", "missing.py", "broken.py")]
    faults = list(function_faults([*named, UserFunction("own.py", "counts")], folder))
    assert [what.partition(":")[0] for what, _ in faults] == [
        "`missing.py` does not exist",
        "`broken.py` is no Python",
        "`own.py` defines no function `counts`",
    ]
    assert faults[-1][1] == "It defines count, judge."
    assert not (folder / "was_run").exists()


def test_a_function_is_loaded_from_the_bytes_that_were_planned(folder: Path) -> None:
    count = UserFunction("own.py", "count")
    planned = function_digests([count], folder)
    assert planned == {"own.py": digest_file(folder / "own.py")}
    assert load_function(count, folder, planned)(["a", "b"], ["c", "d"]) == 2
    assert load_function(count, folder, planned) is load_function(count, folder, {})
    (folder / "own.py").write_text(OWN + "# edited\n")
    with pytest.raises(ProblemError, match=r"`own\.py` changed while it was being applied"):
        load_function(count, folder, planned)


def test_metrics_measure_answers_by_name(folder: Path) -> None:
    measured: dict[str, float] = {}
    given = [Prediction("Is it?", "yes ", "yes"), Prediction("Is it not?", "no", "yes")]
    for metric in answer_metrics(["exact_match", "f1", "own.py:count", "own.py:judge"], folder, {}):
        measured |= metric(given)
    assert measured == {"exact_match": 0.5, "f1": 0.5, "count": 2.0, "negated": 1.0, "judged": 2.0}


def test_a_metric_that_nobody_knows_is_told() -> None:
    assert list(metric_faults(["exact_match", "own.py:count", "rouge", "elegance"])) == [
        ("there is no metric `rouge`", "Did you mean `rougeL`?"),
        (
            "there is no metric `elegance`",
            "Known: exact_match, f1, bleu, rouge1, rouge2, rougeL; your own are named `FILE.py:FUNCTION`.",
        ),
    ]


def test_what_fails_in_a_file_of_the_users_own_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def ratio(predictions):\n    return 1 / len(predictions)\n")
    ratio = load_function(UserFunction("own.py", "ratio"), tmp_path, {})
    with pytest.raises(ZeroDivisionError) as error:
        ratio([])
    assert place_in_user_code(error.value) == " (own.py:2)"
    assert not place_in_user_code(ValueError())
