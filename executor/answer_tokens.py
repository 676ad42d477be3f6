"""Examples with a prompt and answers to compare, judge or check, as the columns that trainers read without preparing.

TRL 1.16 makes these columns itself in `_prepare_dataset` of its trainers (dpo_trainer.py, kto_trainer.py,
reward_trainer.py): an answer begins where the ids of prompt and answer together leave those of the prompt alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import takewhile
from typing import TypeAlias, cast

from executor.chat_messages import Message, RowError, check_content, checked, checked_tools
from executor.documents import Formatter
from executor.examples import IGNORED, Judged, Preference, Prompt, Steps, Tools, Turns
from state.canonical import Plain

Chat: TypeAlias = tuple[Message, ...]
Columns: TypeAlias = "dict[str, array[int]]"

STEP_END = "\n"
"""What stands behind each step of a solution; the verdict on the step is the label of its last token."""


def preference_columns(formatter: Formatter, example: Preference) -> Columns:
    """What DPOTrainer reads: the prompt that both answers share, and each answer."""
    prompt, chosen, rejected = _encoded(formatter, example.prompt, (example.chosen, example.rejected), example.tools)
    shared = min(_common(prompt, chosen), _common(prompt, rejected))
    columns = {"prompt_ids": prompt[:shared], "chosen_ids": chosen[shared:], "rejected_ids": rejected[shared:]}
    if columns["chosen_ids"] == columns["rejected_ids"]:
        reason = "prefers an answer to one that has the same tokens"
        raise RowError(reason)
    return columns


def reward_columns(formatter: Formatter, example: Preference) -> Columns:
    """What RewardTrainer reads: each answer with its prompt."""
    _, chosen, rejected = _encoded(formatter, example.prompt, (example.chosen, example.rejected), example.tools)
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def judged_columns(formatter: Formatter, example: Judged) -> tuple[Columns, bool]:
    """What KTOTrainer reads: prompt and answer; and the `label`. For the KL term it wants `mismatched` ones, too."""
    prompt, whole = _encoded(formatter, example.prompt, (example.completion,), example.tools)
    shared = _common(prompt, whole)
    return {"prompt_ids": prompt[:shared], "completion_ids": whole[shared:]}, example.label


def mismatched(completions: Sequence[array[int]], micro_batch_size: int) -> list[array[int]]:
    """KTO's `KL_completion_ids`: in each micro-batch, every prompt gets the answer of the one before it."""
    groups = range(0, len(completions), micro_batch_size)
    batches = [completions[start : start + micro_batch_size] for start in groups]
    return [batch[at - 1] for batch in batches for at in range(len(batch))]


def prompt_columns(example: Prompt) -> dict[str, Plain]:
    """What GRPOTrainer and RLOOTrainer read: the prompt as it stands, for they tokenize where they generate."""
    prompt = example.prompt if isinstance(example.prompt, str) else [dict(one) for one in example.prompt]
    tools = {} if example.tools is None else {"tools": [dict(one) for one in example.tools]}
    return {**example.columns, "prompt": prompt, **tools}


def step_columns(formatter: Formatter, example: Steps) -> Columns:
    """What a model that judges steps learns from: ids, and 0 or 1 as label of the last token of each step.

    As TRL's PRMTrainer prepared them until 1.9 (trl/trainer/prm_trainer.py, `tokenize_row`).
    """
    prompt, end, *steps = formatter.encoder.ids([example.prompt, STEP_END, *example.completions])
    ids = array("i", formatter.encoder.before) + prompt
    labels = array("i", [IGNORED]) * len(ids)
    for step, label in zip(steps, example.labels, strict=True):
        ids += step + end
        labels += array("i", [IGNORED]) * (len(step) + len(end) - 1) + array("i", [int(label)])
    return {"input_ids": ids, "labels": labels}


def _encoded(formatter: Formatter, prompt: Turns, answers: Sequence[Turns], tools: Tools) -> list[array[int]]:
    """The ids of a prompt, and of it with each answer."""
    if isinstance(prompt, str):
        texts = [prompt, *(prompt + str(answer) for answer in answers)]
        asked, *whole = formatter.encoder.ids(texts, special=True)
        for ids in whole:
            if ids[-1:] != array("i", [formatter.end_id]):
                ids.append(formatter.end_id)
    else:
        chats = [(*prompt, *cast("Chat", answer)) for answer in answers]  # all are alike
        asked, *whole = formatter.encoder.ids(_texts(formatter, prompt, chats, tools))
    if any(_common(asked, ids) == len(ids) for ids in whole):
        reason = "has an answer without any token of its own"
        raise RowError(reason)
    return [asked, *whole]


def _texts(formatter: Formatter, prompt: Chat, chats: Sequence[Chat], tools: Tools) -> list[str]:
    """A conversational prompt with the cue for an answer, and it with each answer."""
    if formatter.template is None:
        reason = "is a chat, and there is no chat template"
        raise RowError(reason)
    for chat in chats:
        check_content(chat, formatter.control_tokens)
    render, given = formatter.template.render, checked_tools(tools)
    return [formatter.template.prompt(prompt, tools), *(render(checked(chat), given).text for chat in chats)]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
