"""Raw rows to token ids and labels: one document a row, and a reason with file and line for every row that is none."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from executor import formats
from executor.data.chat_messages import ASSISTANT, RowError, check_content
from executor.data.dataset_fields import Dataset
from executor.data.examples import (
    IGNORED,
    Conversation,
    Example,
    Judged,
    Preference,
    Prompt,
    Segments,
    Steps,
    Text,
    Tokenized,
)
from executor.data.format import Values
from executor.data.rows import BrokenRow, Row
from executor.models.model_files import end_of_turn
from executor.templating.chat_template import ChatTemplate, Rendered, compile_template
from executor.templating.turn_ends import TrainOnEos
from executor.tokens import answer_tokens
from executor.tokens.added_tokens import added_tokens
from executor.tokens.encoder import Encoder, encoder
from executor.tokens.encoding import Encoded, whole
from executor.tokens.row_layout import WANTED, RowLayout
from executor.tokens.tokenizer_files import special_tokens
from state.diagnostic import Place, problem
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH_ROWS = 500
"""Rows that are encoded at once."""


@frozen
class Question:
    """What a model is asked, as ids, and what its answer is measured with."""

    ids: array[int]
    reference: str
    """In an evaluation the right answer; in reinforcement learning the row as JSON, for the reward functions."""


@frozen
class Document:
    """One row as the model sees it."""

    place: Place
    encoded: Encoded
    question: Question | None = None


Ready: TypeAlias = Rendered | Text | Encoded
"""What is left to do with an example: to encode a chat with ranges, a text that is trained whole, or nothing."""
Reader: TypeAlias = Callable[[Values, Dataset], Example]


@frozen
class Formatter:
    """Turns rows into documents with one tokenizer, one template and one rule of what is trained."""

    encoder: Encoder
    template: ChatTemplate | None
    """None where there are only plain texts."""
    end_id: int
    roles_to_train: frozenset[str]
    train_on_eos: TrainOnEos
    with_prompts: bool
    control_tokens: tuple[str, ...]
    layout: RowLayout

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, for decoding."""
        return self.encoder.tokenizer

    def documents(self, dataset: Dataset, rows: Iterable[Row | BrokenRow]) -> Iterator[Document | BrokenRow]:
        """Every row as a document, in order, in batches that are read as they are asked for."""
        remaining = iter(rows)
        while batch := tuple(islice(remaining, BATCH_ROWS)):
            yield from self.batch(dataset, batch)

    def batch(self, dataset: Dataset, rows: Sequence[Row | BrokenRow]) -> list[Document | BrokenRow]:
        """Some rows as documents, each in its place."""
        read = formats.load()[dataset.type].example
        ready = [self._ready(row, read, dataset) for row in rows]
        chats = iter(self.encoder.conversations([one for one, _ in ready if isinstance(one, Rendered)]))
        texts = iter(self.encoder.texts([one.text for one, _ in ready if isinstance(one, Text)], self.end_id))
        documents: list[Document | BrokenRow] = []
        for row, (one, question) in zip(rows, ready, strict=True):
            encoded = next(chats) if isinstance(one, Rendered) else next(texts) if isinstance(one, Text) else one
            match encoded:
                case Encoded():
                    documents.append(Document(row.place, encoded, question))
                case RowError():
                    documents.append(BrokenRow(row.place, str(encoded)))
                case BrokenRow():
                    documents.append(encoded)
        return documents

    def _ready(self, row: Row | BrokenRow, read: Reader, dataset: Dataset) -> tuple[Ready | BrokenRow, Question | None]:
        if isinstance(row, BrokenRow):
            return row, None
        try:
            example = read(row.values, dataset)
            if self.layout != "documents":
                return self._answered(example, dataset)
            return self._rendered(example, dataset), self._question(example) if self.with_prompts else None
        except RowError as error:
            return BrokenRow(row.place, str(error)), None

    def _rendered(self, example: Example, dataset: Dataset) -> Ready:
        match example:
            case Conversation():
                return self._conversation(example, dataset)
            case Segments():
                return self._segments(example)
            case Tokenized():
                return self._tokenized(example)
            case Text():
                return example
        message = "cannot be trained by itself: it is an example for a method that compares or generates answers"
        raise RowError(message)

    def _answered(self, example: Example, dataset: Dataset) -> tuple[Encoded, Question | None]:
        """An example for a method that compares, judges or generates answers."""
        control = () if dataset.allow_control_tokens else self.control_tokens
        match self.layout, example:
            case "pairs", Preference():
                return answer_tokens.pair(self, example, control), None
            case "judged", Judged():
                return answer_tokens.judged(self, example, control), None
            case "steps", Steps():
                return answer_tokens.steps(self, example, control), None
            case "prompts", Prompt():
                encoded = answer_tokens.question(self, example, control)
                row = json.dumps(answer_tokens.prompt_columns(example), ensure_ascii=False, sort_keys=True)
                return encoded, Question(encoded.ids, row)
        message = f"is not {WANTED[self.layout]}, which this method learns from"
        raise RowError(message)

    def _conversation(self, example: Conversation, dataset: Dataset) -> Rendered:
        if self.template is None:
            message = "is a chat, and there is no chat template"
            raise RowError(message)
        if not dataset.allow_control_tokens:
            check_content(example.messages, self.control_tokens, example.tools)
        return self.template.conversation(example.messages, self.roles_to_train, example.tools, self.train_on_eos)

    def _segments(self, example: Segments) -> Rendered | Encoded:
        """One text with ranges, so that its tokens are those that a model will see; with an end if it asks for one."""
        texts = [text for text, _ in example.parts]
        ends = list(accumulate(map(len, texts)))
        ranges = zip([0, *ends], ends, (trained for _, trained in example.parts), strict=False)
        rendered = Rendered("".join(texts), tuple((start, end) for start, end, trained in ranges if trained))
        if not example.ended:
            return rendered
        (encoded,) = self.encoder.conversations([rendered])
        if isinstance(encoded, RowError):
            raise encoded
        before = array("i", self.encoder.added.before)
        ids, labels = before + encoded.ids, array("i", [IGNORED]) * len(before) + encoded.labels
        if ids[-1] != self.end_id:
            ids.append(self.end_id)
            labels.append(self.end_id)
        return Encoded(ids, labels)

    def _tokenized(self, example: Tokenized) -> Encoded:
        """Ids that the model's vocabulary has."""
        size = self.tokenizer.get_vocab_size()
        if (highest := max(example.ids)) >= size:
            message = f"has the token id {highest}, and the tokenizer knows only {size}"
            raise RowError(message)
        return Encoded(array("i", example.ids), array("i", example.labels))

    def _question(self, example: Example) -> Question | None:
        """The conversation up to the last answer, and that answer."""
        if not isinstance(example, Conversation) or self.template is None:
            return None
        messages = example.messages
        last = max((at for at, one in enumerate(messages) if one["role"] == ASSISTANT), default=None)
        if last is None:
            message = "has no assistant message to compare an answer with"
            raise RowError(message)
        (ids,) = self.encoder.ids([self.template.prompt(messages[:last], example.tools)])
        return Question(ids, str(messages[last]["content"]))


@frozen
class FormatterSettings:
    """What a formatter is made from, as plain values that other processes can be given."""

    tokenizer: Path
    """The tokenizer's folder."""
    template: str | None
    roles_to_train: tuple[str, ...]
    train_on_eos: TrainOnEos
    with_prompts: bool
    layout: RowLayout = "documents"
    proved: Path | None = None
    """Where it is kept what was proved of the tokenizer's encoder; None proves it anew."""

    @property
    def with_questions(self) -> bool:
        """Whether rows come with questions, for which the cache of encoded rows has no room."""
        return self.with_prompts or self.layout == "prompts"

    def formatter(self, *, tables: bool = True) -> Formatter:
        """Load the tokenizer and compile the template; raises ProblemError.

        Tables for the fast way to ids take a moment and numpy, so a plan, which reads a few rows, goes without.
        """
        load = cache(partial(_load, self.tokenizer))
        made = encoder(load, self.proved) if tables else Encoder(load, None, added_tokens(load()))
        special, end_token = special_tokens(self.tokenizer), end_of_turn(self.tokenizer)
        end = made.added.ids.get(end_token)
        if end is None and (end := load().token_to_id(end_token)) is None:
            detail = f"The eos_token {special['eos_token']!r} of `{self.tokenizer}` is not in its vocabulary."
            raise problem("No end token", detail, "Name a token that the vocabulary has.")
        control = made.added.special
        return Formatter(
            encoder=made,
            template=None if self.template is None else compile_template(self.template, special.by_role, control),
            end_id=end,
            roles_to_train=frozenset(self.roles_to_train),
            train_on_eos=self.train_on_eos,
            with_prompts=self.with_prompts,
            control_tokens=control,
            layout=self.layout,
        )


def _load(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        return whole(Tokenizer.from_file(str(folder / "tokenizer.json")))
    from transformers import AutoTokenizer

    converted: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return whole(converted)
