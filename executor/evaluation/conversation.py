"""Talking to a model: its template, its answers as they are written, and what was said so far."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from executor.data.chat_messages import Message, RowError, special_tokens_in
from executor.kinds.model import delivered
from executor.models.loading import load_as_trained, padding_id
from executor.models.trust import load, trusts
from executor.templating.chat_template import ChatTemplate, compile_template
from executor.tokens.tokenizer_files import special_tokens
from executor.workers.task import Input
from state.diagnostic import problem
from state.layout import Layout
from state.values import frozen

Say = Callable[[str], None]
"""Takes the next piece of an answer."""


@frozen
class Sampling:
    """How answers are drawn."""

    max_new_tokens: int
    temperature: float
    """0: always the most likely token."""
    seed: int


@define
class Conversation:
    """A model that is ready to answer, and what was said so far."""

    model: Any
    tokenizer: Any
    template: ChatTemplate
    sampling: Sampling
    messages: list[Message] = field(factory=list)

    def ask(self, text: str, say: Say) -> str:
        """Say something to the model; its answer, as far as it got before Ctrl-C, is kept with the question."""
        asked: list[Message] = [*self.messages, {"role": "user", "content": text}]
        ids = self._prompt(asked)
        heard: list[str] = []

        def hear(piece: str) -> None:
            heard.append(piece)
            say(piece)

        try:
            self._generate(ids, hear)
        finally:
            # A turn without an answer would change how the template writes what comes after it.
            answer = "".join(heard).strip()
            if answer:
                self.messages = [*asked, {"role": "assistant", "content": answer}]
        return answer

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        found = special_tokens_in(str(messages[-1]["content"]), tuple(self.tokenizer.all_special_tokens))
        if found:
            detail = f"The control token {found[0]} would end the turn in which it is said."
            raise problem("Cannot be said", detail, "Say it in other words.")
        try:
            text = self.template.prompt(messages)
        except RowError as error:
            raise problem("Cannot be said", f"This conversation {error}.") from None
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        limit = self._positions()
        if len(ids) >= limit:
            detail = f"The conversation has {len(ids)} tokens, and the model takes {limit}."
            raise problem("Conversation is too long", detail, "Begin a new one.")
        return ids

    def _positions(self) -> int:
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20

    def _generate(self, ids: list[int], hear: Say) -> None:
        import torch

        sampled = self.sampling.temperature > 0
        prompt = torch.tensor([ids], device=self.model.device)
        with torch.inference_mode():
            self.model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=min(self.sampling.max_new_tokens, self._positions() - len(ids)),
                do_sample=sampled,
                **({"temperature": self.sampling.temperature} if sampled else {}),
                eos_token_id=self._ends(),
                pad_token_id=padding_id(self.tokenizer),
                streamer=_streamer(self.tokenizer, hear),
            )

    def _ends(self) -> list[int]:
        """The tokenizer's own end, and those that the model's makers name beside it."""
        named = self.model.generation_config.eos_token_id
        ends = [self.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
        return sorted({one for one in ends if one is not None})


def _streamer(tokenizer: Any, hear: Say) -> Any:  # noqa: ANN401  transformers has no types
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  its signature
            if text:
                hear(text)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


def open_conversation(
    foundations: Sequence[Input], recipe_folder: Path, sampling: Sampling, system: str
) -> Conversation:
    """Load a model with the tokenizer and the template that it was trained with."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers
    folder, template = delivered(foundations[-1], recipe_folder)
    if template is None:
        detail = f"The tokenizer of {foundations[-1].address} has no chat template."
        raise problem("No chat template", detail, "Set `chat_template` of its model to a .jinja file.")
    # Between two people's words there is no place for what libraries have to say about themselves.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    model = load_as_trained(foundations, "auto", "sdpa", Layout(recipe_folder).root)
    torch.manual_seed(sampling.seed)
    return Conversation(
        model,
        load("AutoTokenizer", folder, trusted=trusts(foundations)),
        compile_template(template, special_tokens(folder).by_role),
        sampling,
        [{"role": "system", "content": system}] if system else [],
    )
