"""Rewards that need no code of the user's own, and the functions that a recipe names for others.

A reward function is called as TRL calls it: with `prompts`, `completions`, `completion_ids` and every column of the
rows by name; it returns a number for each completion, or None where it has nothing to say.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from executor.evaluation.answer_metrics import named_twice
from executor.evaluation.user_functions import calling, load_function, user_function
from state.diagnostic import problem
from state.wording import suggestion

Reward: TypeAlias = Callable[..., "list[float | None]"]

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FORMAT = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*<answer>(?:(?!</?answer>).)*</answer>\s*", re.DOTALL)


def exact_match(completions: Sequence[Any], answer: Sequence[Any] | None = None, **_: object) -> list[float | None]:
    """1 where the answer is that of the row's column `answer`: what stands in <answer> tags, else the whole text."""
    if answer is None:
        detail, hint = "`exact_match` compares with a column `answer`, and the rows have none.", "Name that column so."
        raise problem("Reward failed", detail, hint)
    given = [text_of(one) for one in completions]
    found = [(tagged[-1] if (tagged := _TAGGED.findall(text)) else text).strip() for text in given]
    return [float(one == str(wanted).strip()) for one, wanted in zip(found, answer, strict=True)]


def answer_format(completions: Sequence[Any], **_: object) -> list[float | None]:
    """1 where a completion is thoughts in <think> tags, and then an answer in <answer> tags."""
    return [float(_FORMAT.fullmatch(text_of(one)) is not None) for one in completions]


def length(completion_ids: Sequence[Sequence[int]], **_: object) -> list[float | None]:
    """Minus a thousandth for each token: the shorter the better."""
    return [-len(one) / 1000 for one in completion_ids]


BUILT_IN: Mapping[str, Reward] = {"exact_match": exact_match, "format": answer_format, "length": length}


_CALLED = (
    "It is called with `prompts`, `completions`, `completion_ids` and each column of the rows by name, takes `**` for "
    "what it does not use, and returns a number for each completion, or None."
)


def text_of(completion: Any) -> str:  # noqa: ANN401  a text, or messages
    """What a completion says, plain or as messages."""
    return completion if isinstance(completion, str) else "".join(str(one["content"]) for one in completion)


def reward_faults(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the names of rewards, and what to do."""
    for name in names:
        if name not in BUILT_IN and user_function(name) is None:
            hint = suggestion(name, list(BUILT_IN)) or f"Known: {', '.join(BUILT_IN)}; or your own, as `FILE.py:NAME`."
            yield f"there is no reward {name!r}", hint
    for name in named_twice(names):
        hint = "Give each a name of its own; `reward_weights` says how much one counts."
        yield f"several rewards are called `{name}`, whose figures would be mixed up", hint


def reward_functions(names: Sequence[str], folder: Path, planned: Mapping[str, str]) -> list[Reward]:
    """The functions of the names; raises ProblemError for a file that is not what was planned."""
    own = {name: function for name in names if (function := user_function(name)) is not None}
    return [
        _checked(name, load_function(own[name], folder, planned)) if name in own else BUILT_IN[name] for name in names
    ]


def _checked(text: str, function: Callable[..., Any]) -> Reward:
    """A function of the user's own, whose mistakes are told as its own; TRL takes no number for nothing to say."""

    @functools.wraps(function)
    def reward(**given: Any) -> list[float | None]:  # noqa: ANN401  columns of rows
        wanted = len(given["completions"])
        with calling(text, "Reward failed", _CALLED):
            found = [None if one is None else float(one) for one in function(**given)]
        if len(found) != wanted:
            raise problem("Reward failed", f"`{text}` gave {len(found)} rewards for {wanted} completions.", _CALLED)
        wrong = [one for one in found if one is not None and not math.isfinite(one)]
        if wrong:
            raise problem("Reward failed", f"`{text}` gave {wrong[0]} for a completion.", _CALLED)
        return found

    return reward
