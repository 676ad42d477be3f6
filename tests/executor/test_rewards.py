"""Rewards that need no code of the user's own, and those that a recipe names."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.training.rewards import answer_format, exact_match, length, reward_faults, reward_functions
from state.diagnostic import ProblemError
from state.files import digest_file


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_an_answer_is_what_stands_in_its_tags_or_the_whole_text() -> None:
    given = ["4", " 4\n", "<think>2+2</think><answer> 4 </answer>", "5", "<answer>4</answer><answer>5</answer>"]
    assert exact_match(given, answer=["4"] * 5) == [1, 1, 1, 0, 0]
    assert exact_match([said("7")], answer=[7], other=["x"]) == [1]


def test_answers_are_compared_with_a_column_that_there_is() -> None:
    with pytest.raises(ProblemError, match="compares with a column `answer`, and the rows have none"):
        exact_match(["4"], reply=["4"])


def test_the_format_is_thoughts_and_then_an_answer() -> None:
    given = [
        "<think>a\nb</think>\n<answer>c</answer>",
        "<answer>c</answer>",
        "<think>a</think> so <answer>c</answer>",
        "<think>a<think>b</think></think><answer>c</answer>",
    ]
    assert answer_format([said(one) for one in given]) == [1, 0, 0, 0]


def test_the_shorter_the_better() -> None:
    assert length(completion_ids=[[1, 2], []], completions=["ab", ""]) == [-0.002, 0]


def test_names_are_looked_up_and_mistakes_told() -> None:
    assert list(reward_faults(["length", "rewards.py:polite"])) == []
    assert list(reward_faults(["lenght"])) == [("there is no reward 'lenght'", "Did you mean `length`?")]
    assert list(reward_faults(["accuracy of it"])) == [
        (
            "there is no reward 'accuracy of it'",
            "Known: exact_match, format, length; or your own, as `FILE.py:NAME`.",
        )
    ]


def test_a_file_that_is_not_what_was_planned_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def ones(completions, **_):\n    return [1.0] * len(completions)\n")
    planned = {"rewards.py": digest_file(tmp_path / "rewards.py")}
    (found, built_in) = reward_functions(["rewards.py:ones", "length"], tmp_path, planned)
    assert (found(completions=["a", "b"]), built_in) == ([1, 1], length)
    (tmp_path / "rewards.py").write_text("raise SystemExit\n")
    with pytest.raises(ProblemError, match="changed while it was being applied"):
        reward_functions(["rewards.py:ones"], tmp_path, planned)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('raise ValueError("no")', "`rewards.py:f` ended with ValueError: no (rewards.py:2)."),
        ("return 1.0", "`rewards.py:f` ended with TypeError: 'float' object is not iterable."),
        ('return ["a", "b"]', "`rewards.py:f` ended with ValueError: could not convert string to float: 'a'."),
        ("return [1.0]", "`rewards.py:f` gave 1 rewards for 2 completions."),
        ('return [1.0, float("nan")]', "`rewards.py:f` gave nan for a completion."),
        ('return [float("inf"), None]', "`rewards.py:f` gave inf for a completion."),
    ],
)
def test_what_a_function_of_ones_own_does_wrong_is_told_as_its_own(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "rewards.py").write_text(f"def f(completions, **_):\n    {body}\n")
    planned = {"rewards.py": digest_file(tmp_path / "rewards.py")}
    (found,) = reward_functions(["rewards.py:f"], tmp_path, planned)
    with pytest.raises(ProblemError) as error:
        found(prompts=["p", "q"], completions=["a", "b"], completion_ids=[[1], [2]])
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.summary, diagnostic.detail) == ("Reward failed", told)
    assert found.__name__ == "f"


def test_what_a_function_of_ones_own_lacks_a_column_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def f(completions, level, **_):\n    return [len(one) for one in level]\n")
    planned = {"rewards.py": digest_file(tmp_path / "rewards.py")}
    (found,) = reward_functions(["rewards.py:f"], tmp_path, planned)
    assert found(completions=["a", "b"], level=["one", "three"]) == [3, 5]
    with pytest.raises(ProblemError, match="f\\(\\) missing 1 required positional argument: 'level'"):
        found(completions=["a", "b"])
