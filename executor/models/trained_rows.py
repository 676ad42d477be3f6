"""Rows of a vocabulary's matrices: training those of some tokens only, and proof that new ones are trained at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from executor.models.lora import ADAPTER
from executor.workers.task import Input
from state.diagnostic import problem

IDLE = "pad_token"
"""The role of the token that is never trained on and never answered with."""


def token_rows(adapter: Mapping[str, Any] | None, model: Any, tokenizer: Any) -> dict[str, list[int]] | None:  # noqa: ANN401  transformers has no types
    """PEFT's `trainable_token_indices`: the ids of `trainable_tokens` by the module that has a row for each.

    Raises ProblemError for a text that is no token.
    """
    if adapter is None or not adapter["trainable_tokens"]:
        return None
    vocabulary = tokenizer.get_vocab()
    unknown = [one for one in adapter["trainable_tokens"] if one not in vocabulary]
    if unknown:
        detail = f"`adapter.trainable_tokens` names {', '.join(unknown)}, which the tokenizer has not as one token."
        raise problem("No such token", detail, "Add it to the model's `tokens`, or remove it.")
    ids = [vocabulary[one] for one in adapter["trainable_tokens"]]
    names = {id(module): name for name, module in model.named_modules()}
    embedding, output = _matrices(model)
    tied = output is None or output.weight is embedding.weight  # PEFT trains rows of tied ones together by itself
    return {names[id(one)]: ids for one in ((embedding,) if tied else (embedding, output))}


def show_biases(model: Any) -> None:  # noqa: ANN401  PEFT has no types
    """Let TRL's loss read the bias of an output of which single rows are trained: PEFT's wrapper hides it."""
    from peft.utils.other import TrainableTokensWrapper

    for module in model.modules():
        if isinstance(module, TrainableTokensWrapper):
            module.__dict__["bias"] = getattr(module.original_module, "bias", None)


def prove_trained(model: Any, tokenizer: Any, foundations: Sequence[Input]) -> None:  # noqa: ANN401  as above
    """Raise ProblemError if rows that were added to a model would stay as they were drawn.

    What was trained on the model before has been asked already.
    """
    added: Any = foundations[0].facts.get("added_tokens") or {}
    texts = {text: number for text, number in added.items() if text != getattr(tokenizer, IDLE)}
    if len(foundations) > 1 or not texts:
        return
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = {id(module): name for name, module in base.named_modules()}
    for module in _matrices(base):
        left = [] if module is None else [text for text, number in texts.items() if not _is_trained(module, number)]
        if left:
            detail = f"Rows of `{names[id(module)]}` for {', '.join(left)} are new, and nothing trains them."
            raise problem(
                "Untrained tokens", detail, "Name the tokens in `adapter.trainable_tokens`, or train all rows."
            )


def _matrices(model: Any) -> tuple[Any, Any]:  # noqa: ANN401  as above
    """The embedding, and the output's matrix if there is one."""
    return model.get_input_embeddings(), model.get_output_embeddings()


def _is_trained(module: Any, row: int) -> bool:  # noqa: ANN401  as above
    from peft.utils.other import TrainableTokensWrapper

    if isinstance(module, TrainableTokensWrapper):
        return row in module.token_adapter.token_indices[ADAPTER]
    return any(_trained(module))


def _trained(module: Any) -> Iterator[bool]:  # noqa: ANN401  as above
    return (parameter.requires_grad for parameter in module.parameters())
