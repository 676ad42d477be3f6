"""A model and its teacher are compared token by token, so that each id must mean the same to both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.models.lineage import root_model
from executor.tokens.vocabulary import changes_tokenizer
from planner.kind import Resource, Resources
from planner.structure import settings_of
from state.diagnostic import problem

if TYPE_CHECKING:
    from executor.training.method import Fault

HINT = "Name a teacher with the vocabulary of the model, or train on its answers with sft."


def teacher_faults(stage: Any, resources: Resources, folder: Path) -> Iterator[Fault]:  # noqa: ANN401  a Stage
    """A teacher with another vocabulary, as far as both can be read here; the rest is found when both are loaded."""
    teacher = getattr(stage, "teacher", ())
    if not isinstance(teacher, str):
        return
    known = [_vocabulary(resources[root_model(one, resources)], folder) for one in (stage.model, teacher)]
    if known[0] and known[1] and (detail := difference(known[0], known[1])):
        yield "teacher", detail, HINT


def difference(model: Mapping[str, int], teacher: Mapping[str, int]) -> str:
    """The first token that is another one to the teacher, in words; "" if there is none."""
    for token in sorted(model.keys() | teacher.keys(), key=lambda one: (model.get(one, teacher.get(one)), one)):
        own, others = model.get(token), teacher.get(token)
        if own != others:
            said = json.dumps(token, ensure_ascii=False)
            return f"the token {said} is {_place(own)} to the model and {_place(others)} to the teacher"
    return ""


def refuse_another(model: Any, tokenizer: Any, teacher: Any, teachers: Any) -> None:  # noqa: ANN401  transformers has no types
    """Raise ProblemError if a loaded teacher has another vocabulary, or logits for another number of ids."""
    found = difference(tokenizer.get_vocab(), teachers.get_vocab())
    sizes = model.config.get_text_config().vocab_size, teacher.config.get_text_config().vocab_size
    if not found and sizes[0] != sizes[1]:
        found = f"the model has logits for {sizes[0]} ids and the teacher for {sizes[1]}"
    if found:
        raise problem("Contradicting fields", f"{found[0].upper()}{found[1:]}.", HINT)


def _place(token: int | None) -> str:
    return "no token" if token is None else f"id {token}"


def _vocabulary(resource: Resource, folder: Path) -> dict[str, int]:
    """The ids of a model's tokens by text; nothing where its tokenizer is not at hand, or is changed first."""
    model = resource.specification
    path = folder / (model.tokenizer or model.source) / "tokenizer.json"
    if changes_tokenizer(settings_of(model)) or not path.is_file():
        return {}
    told = json.loads(path.read_bytes())
    listed = told["model"].get("vocab") or {}
    ids = listed if isinstance(listed, dict) else {token: at for at, (token, *_) in enumerate(listed)}
    return {**ids, **{one["content"]: one["id"] for one in told.get("added_tokens") or ()}}
