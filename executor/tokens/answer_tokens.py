"""Examples with a prompt and answers to compare or judge, as ids whose labels say which part they belong to.

TRL 1.16 cuts them in the same way in `_prepare_dataset` of its trainers (dpo_trainer.py, kto_trainer.py,
reward_trainer.py): an answer begins where the ids of prompt and answer together leave those of the prompt alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias, cast

from executor.data.chat_messages import Message, RowError, check_content, checked, checked_tools
from executor.data.examples import Judged, Preference, Prompt, Steps, Tools, Turns
from executor.tokens.encoding import Encoded
from executor.tokens.row_layout import BETTER, PROMPT, WORSE
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.tokens.documents import Formatter

Chat: TypeAlias = tuple[Message, ...]

STEP_END = "\n"
"""What stands behind each step of a solution; the verdict on the step is the label of its last token."""


def pair(formatter: Formatter, example: Preference, control_tokens: Sequence[str]) -> Encoded:
    """The prompt that both answers share, the chosen answer and the rejected one."""
    answers = (example.chosen, example.rejected)
    prompt, chosen, rejected = _encoded(formatter, example.prompt, answers, example.tools, control_tokens)
    shared = min(_common(prompt, chosen), _common(prompt, rejected))
    if chosen == rejected:
        reason = "prefers an answer to one that has the same tokens"
        raise RowError(reason)
    return _labelled(prompt[:shared], chosen[shared:], rejected[shared:])


def judged(formatter: Formatter, example: Judged, control_tokens: Sequence[str]) -> Encoded:
    """The prompt and the answer, which is labelled as better if it is a good one."""
    prompt, whole = _encoded(formatter, example.prompt, (example.completion,), example.tools, control_tokens)
    shared, nothing = _common(prompt, whole), array("i")
    answer = whole[shared:]
    return _labelled(prompt[:shared], *((answer, nothing) if example.label else (nothing, answer)))


def question(formatter: Formatter, example: Prompt, control_tokens: Sequence[str]) -> Encoded:
    """The prompt with the cue for an answer."""
    return _labelled(_encoded(formatter, example.prompt, (), example.tools, control_tokens)[0], array("i"), array("i"))


def steps(formatter: Formatter, example: Steps, control_tokens: Sequence[str]) -> Encoded:
    """A solution, whose verdicts are the labels of the last token of each step.

    As TRL's PRMTrainer prepared them until 1.9 (trl/trainer/prm_trainer.py, `tokenize_row`).
    """
    texts = [example.prompt, *example.completions]
    check_content([{"role": "assistant", "content": one} for one in texts], control_tokens)
    prompt, end, *solution = formatter.encoder.ids([example.prompt, STEP_END, *example.completions])
    ids = array("i", formatter.encoder.added.before) + prompt
    labels = array("i", [PROMPT]) * len(ids)
    for step, label in zip(solution, example.labels, strict=True):
        ids += step + end
        labels += array("i", [PROMPT]) * (len(step) + len(end) - 1) + array("i", [BETTER if label else WORSE])
    return Encoded(ids, labels)


def prompt_columns(example: Prompt) -> dict[str, Plain]:
    """What GRPOTrainer and RLOOTrainer hand to reward functions: the prompt as it stands, and the row's columns."""
    prompt = example.prompt if isinstance(example.prompt, str) else [dict(one) for one in example.prompt]
    tools = {} if example.tools is None else {"tools": [dict(one) for one in example.tools]}
    return {**example.columns, "prompt": prompt, **tools}


def _labelled(prompt: array[int], better: array[int], worse: array[int]) -> Encoded:
    parts = ((prompt, PROMPT), (better, BETTER), (worse, WORSE))
    labels = array("i")
    for ids, label in parts:
        labels += array("i", [label]) * len(ids)
    return Encoded(prompt + better + worse, labels)


def _encoded(
    formatter: Formatter, prompt: Turns, answers: Sequence[Turns], tools: Tools, control_tokens: Sequence[str]
) -> list[array[int]]:
    """The ids of a prompt, and of it with each answer; `control_tokens` are those that messages may not spell out."""
    if isinstance(prompt, str):
        texts = [prompt, *(prompt + str(answer) for answer in answers)]
        asked, *whole = formatter.encoder.ids(texts, special=True)
        for ids in whole:
            if ids[-1:] != array("i", [formatter.end_id]):
                ids.append(formatter.end_id)
    else:
        chats = [(*prompt, *cast("Chat", answer)) for answer in answers]  # all are alike
        asked, *whole = formatter.encoder.ids(_texts(formatter, prompt, chats, tools, control_tokens))
    if any(_common(asked, ids) == len(ids) for ids in whole):
        reason = "has an answer without any token of its own"
        raise RowError(reason)
    return [asked, *whole]


def _texts(
    formatter: Formatter, prompt: Chat, chats: Sequence[Chat], tools: Tools, control_tokens: Sequence[str]
) -> list[str]:
    """A conversational prompt with the cue for an answer, and it with each answer."""
    if formatter.template is None:
        reason = "is a chat, and there is no chat template"
        raise RowError(reason)
    for chat in chats or (prompt,):
        check_content(chat, control_tokens)
    render, given = formatter.template.render, checked_tools(tools)
    return [formatter.template.prompt(prompt, tools), *(render(checked(chat), given).text for chat in chats)]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
