"""What a row of data is once its format has been read: one example, the same for all ways of writing it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from executor.data.chat_messages import Message
from state.canonical import Plain
from state.values import frozen

IGNORED = -100
"""The label that every loss of PyTorch leaves out."""

Tools: TypeAlias = tuple[Mapping[str, Plain], ...] | None
"""The tools that a conversation may call, as JSON schemas; None where there are none."""

Turns: TypeAlias = tuple[Message, ...] | str
"""A conversational text as messages, a plain one as it stands."""


@frozen
class Conversation:
    """Messages; one may say with `train` whether it is trained, else its role decides."""

    messages: tuple[Message, ...]
    tools: Tools = None


@frozen
class Text:
    """A text that is trained whole, and ends with the end token."""

    text: str


@frozen
class Segments:
    """Pieces of one text, each with whether it is trained; no template adds anything."""

    parts: tuple[tuple[str, bool], ...]
    ended: bool = False
    """Whether the end token follows the last piece, and is trained as that piece is."""


@frozen
class Tokenized:
    """Token ids and labels that somebody else has made."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


@frozen
class Preference:
    """Two answers to a prompt, the better and the worse."""

    prompt: Turns
    chosen: Turns
    rejected: Turns
    tools: Tools = None


@frozen
class Judged:
    """One answer to a prompt, and whether it is a good one."""

    prompt: Turns
    completion: Turns
    label: bool
    tools: Tools = None


@frozen
class Prompt:
    """A prompt to answer in training, and the row's other columns for the reward functions."""

    prompt: Turns
    columns: Mapping[str, Plain]
    tools: Tools = None


@frozen
class Steps:
    """A solution step by step, each with whether it is right."""

    prompt: str
    completions: tuple[str, ...]
    labels: tuple[bool, ...]


TRAINED_ALONE = (Conversation, Text, Segments, Tokenized)
"""The examples that say themselves what to learn; the others are for methods that compare or generate answers."""
Example: TypeAlias = Conversation | Text | Segments | Tokenized | Preference | Judged | Prompt | Steps
