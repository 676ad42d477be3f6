"""Measuring a model: how likely it finds the right tokens, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from executor.data.examples import IGNORED
from executor.models.loading import padding_id
from executor.training.collation import Collator
from executor.workers.worker_reports import Reporter
from state.canonical import Plain
from state.values import frozen


@frozen
class Prediction:
    """One answer: what was asked, what the model said, what it should have said; as text."""

    question: str
    answer: str
    reference: str

    @property
    def matches(self) -> bool:
        """Whether the answer is the reference, but for space around it."""
        return self.answer.strip() == self.reference.strip()


def negative_log_likelihood(
    model: Any,  # noqa: ANN401  transformers has no types
    columns: Mapping[str, Sequence[Any]],
    batch_size: int,
    reporter: Reporter,
) -> dict[str, Plain]:
    """`loss` (nats per labelled token), `perplexity` (its exponential) and `token_accuracy`, over all rows together.

    The last is the share of labelled tokens that the model holds for the likeliest, given the right ones before.
    """
    import torch

    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    collate = Collator(pad_id=0, packed=False)
    total, right, counted = 0.0, 0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = {name: one.to(model.device) for name, one in collate(rows[start : start + batch_size]).items()}
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch, use_cache=False).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="sum"
            )
            total += float(losses)
            right += int((logits.argmax(-1) == labels).sum())
            counted += int((labels != IGNORED).sum())
            reporter.progress(min(start + batch_size, len(rows)), len(rows), "rows")
    loss = total / counted
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "token_accuracy": right / counted}


def answer(  # noqa: PLR0913  what is asked, how, and who is told
    model: Any,  # noqa: ANN401  transformers has no types
    tokenizer: Any,  # noqa: ANN401  transformers has no types
    questions: Mapping[str, Sequence[Any]],
    batch_size: int,
    max_new_tokens: int,
    reporter: Reporter,
    *,
    between: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """The model's most likely continuation of every question, in the questions' order.

    `between` is called before each batch. Gradients are off, and what is computed can still be trained with after.
    """
    import torch

    ids, references = questions["input_ids"], questions["reference"]
    answers: dict[int, str] = {}
    by_length = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    with torch.no_grad():
        for start in range(0, len(ids), batch_size):
            between()
            places = by_length[start : start + batch_size]
            prompts = _padded([ids[at] for at in places], padding_id(tokenizer), model.device)
            generated = model.generate(
                **prompts,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                use_cache=True,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=padding_id(tokenizer),
            )
            width = prompts["input_ids"].shape[1]
            texts = tokenizer.batch_decode(generated[:, width:], skip_special_tokens=True)
            answers |= dict(zip(places, texts, strict=True))
            reporter.progress(len(answers), len(ids), "answers")
    asked = tokenizer.batch_decode(ids)
    return [Prediction(asked[at], answers[at], references[at]) for at in range(len(ids))]


def _padded(prompts: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:  # noqa: ANN401
    """Prompts of shape (prompts, longest), padded on the left so that all end where the answer begins."""
    import torch

    width = max(len(one) for one in prompts)
    ids = [[pad] * (width - len(one)) + list(one) for one in prompts]
    mask = [[0] * (width - len(one)) + [1] * len(one) for one in prompts]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
