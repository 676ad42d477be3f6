"""What a token row is to its trainer: a document, answers that are compared or judged, judged steps, a prompt alone.

Rows of every layout are kept as ids with labels. Answers stand behind each other after the prompt that they share, and
the label of a token says which part it belongs to: PROMPT, BETTER or WORSE.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from executor.data.examples import IGNORED, TRAINED_ALONE, Judged, Preference, Prompt, Steps

RowLayout: TypeAlias = Literal["documents", "pairs", "judged", "steps", "prompts"]

PROMPT, BETTER, WORSE = IGNORED, 1, 0
"""Labels: of the prompt; of the chosen answer, or a good one; of the rejected answer, or a bad one."""
NAMES: Mapping[RowLayout, Mapping[int, str]] = {
    "documents": {},
    "pairs": {BETTER: "chosen", WORSE: "rejected"},
    "judged": {BETTER: "good", WORSE: "bad"},
    "steps": {BETTER: "right", WORSE: "wrong"},
    "prompts": {},
}
"""What answers are called, by their label."""
LEARNT_FROM: Mapping[RowLayout, tuple[type, ...]] = {
    "documents": TRAINED_ALONE,
    "pairs": (Preference,),
    "judged": (Judged,),
    "steps": (Steps,),
    "prompts": (Prompt,),
}
"""The examples that become rows of each layout."""
WANTED: Mapping[RowLayout, str] = {
    "documents": "an example that can be trained by itself",
    "pairs": "a pair of answers",
    "judged": "an answer with a verdict",
    "steps": "a solution with judged steps",
    "prompts": "a prompt alone",
}
"""What a method learns from, in words."""


def positions(labels: Sequence[int], layout: RowLayout) -> Sequence[int]:
    """The place of each token in the sequence that the model reads: both answers of a pair follow the prompt."""
    everything = range(len(labels))
    if layout != "pairs":
        return everything
    prompt = list(labels).count(PROMPT)
    worse = list(labels).count(WORSE)
    return [*everything[: len(labels) - worse], *range(prompt, prompt + worse)]


def sequence_length(labels: array[int], layout: RowLayout) -> int:
    """Tokens of the longest sequence that the model reads of a row."""
    if layout != "pairs":
        return len(labels)
    return labels.count(PROMPT) + max(labels.count(BETTER), labels.count(WORSE))
