"""Raw rows to token ids and labels: one document a row, and a reason with file and line for every row that is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from executor.chat_messages import ASSISTANT, RowError, check_content
from executor.chat_template import ChatTemplate, Rendered, compile_template
from executor.encoding import Encoded, encode_conversations, encode_texts, whole
from executor.kinds.dataset import Dataset, faults
from executor.model_files import end_of_turn
from executor.rows import BrokenRow, Row, read_rows
from executor.tokenizer_files import special_tokens
from state.diagnostic import Place, problem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH_ROWS = 1000
"""Rows that are encoded at once, on all processors."""


@frozen
class Prompt:
    """What a model is asked in an evaluation, as ids, and the text that it should answer."""

    ids: Sequence[int]
    reference: str


@frozen
class Document:
    """One row as the model sees it."""

    place: Place
    encoded: Encoded
    prompt: Prompt | None = None


@frozen
class Formatter:
    """Turns rows into documents with one tokenizer, one template and one rule of what is trained."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    """None where there are only plain texts."""
    end_id: int
    roles_to_train: frozenset[str]
    with_prompts: bool
    control_tokens: tuple[str, ...]

    def documents(self, dataset: Dataset, files: Sequence[tuple[Path, str]]) -> Iterator[Document | BrokenRow]:
        """Every row of a dataset's files (path, name for messages), in order."""
        rows = (row for path, name in files for row in read_rows(path, name))
        format_rows = self._texts if dataset.type == "completion" else self._conversations
        while batch := tuple(islice(rows, BATCH_ROWS)):
            yield from format_rows(dataset, batch)

    def _texts(self, dataset: Dataset, rows: Sequence[Row | BrokenRow]) -> Iterator[Document | BrokenRow]:
        sound = [row for row in rows if isinstance(row, Row) and not any(faults(row, dataset))]
        encoded = encode_texts(self.tokenizer, [str(row.values[dataset.field]) for row in sound], self.end_id)
        documents = {row.place: Document(row.place, one) for row, one in zip(sound, encoded, strict=True)}
        for row in rows:
            yield documents.get(row.place) or _broken(row, dataset)

    def _conversations(self, dataset: Dataset, rows: Sequence[Row | BrokenRow]) -> Iterator[Document | BrokenRow]:
        rendered, broken = dict[Place, tuple[Rendered, Prompt | None]](), dict[Place, BrokenRow]()
        for row in rows:
            if isinstance(row, BrokenRow) or any(faults(row, dataset)):
                broken[row.place] = _broken(row, dataset)
                continue
            try:
                rendered[row.place] = self._render(row.values[dataset.field_messages])
            except RowError as error:
                broken[row.place] = BrokenRow(row.place, str(error))
        encoded = encode_conversations(self.tokenizer, [text for text, _ in rendered.values()])
        ready = dict(zip(rendered, encoded, strict=True))
        for row in rows:
            yield broken.get(row.place) or _document(row.place, ready[row.place], rendered[row.place][1])

    def _render(self, messages: Any) -> tuple[Rendered, Prompt | None]:  # noqa: ANN401  checked by `faults`
        if self.template is None:
            message = "is a chat, and there is no chat template"
            raise RowError(message)
        check_content(messages, self.control_tokens)
        rendered = self.template.conversation(messages, self.roles_to_train)
        return rendered, self._prompt(self.template, messages) if self.with_prompts else None

    def _prompt(self, template: ChatTemplate, messages: Sequence[Mapping[str, Any]]) -> Prompt:
        """The conversation up to the last answer, and that answer."""
        last = max((at for at, one in enumerate(messages) if one["role"] == ASSISTANT), default=None)
        if last is None:
            message = "has no assistant message to compare an answer with"
            raise RowError(message)
        text = template.prompt(messages[:last])
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return Prompt(ids, str(messages[last]["content"]))


def _document(place: Place, encoded: Encoded | RowError, prompt: Prompt | None) -> Document | BrokenRow:
    return BrokenRow(place, str(encoded)) if isinstance(encoded, RowError) else Document(place, encoded, prompt)


def _broken(row: Row | BrokenRow, dataset: Dataset) -> BrokenRow:
    return row if isinstance(row, BrokenRow) else next(faults(row, dataset))


def formatter(tokenizer: Path, template: str | None, roles_to_train: Sequence[str], *, with_prompts: bool) -> Formatter:
    """A formatter for the tokenizer in a folder and the text of a template; None where there are only plain texts."""
    loaded = _load(tokenizer)
    special = special_tokens(tokenizer)
    end = loaded.token_to_id(end_of_turn(tokenizer))
    if end is None:
        detail = f"The eos_token {special['eos_token']!r} of `{tokenizer}` is not in its vocabulary."
        raise problem("No end token", detail, "Name a token that the vocabulary has.")
    return Formatter(
        tokenizer=loaded,
        template=None if template is None else compile_template(template, special.by_role),
        end_id=end,
        roles_to_train=frozenset(roles_to_train),
        with_prompts=with_prompts,
        control_tokens=tuple(token.content for token in loaded.get_added_tokens_decoder().values() if token.special),
    )


def _load(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        return whole(Tokenizer.from_file(str(folder / "tokenizer.json")))
    from transformers import AutoTokenizer

    converted: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return whole(converted)
