"""Whether a chat template, a tokenizer and a model belong together: what is wrong is told before training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.data.chat_messages import ASSISTANT, REASONING, RowError
from executor.kinds.model import Model
from executor.templates import BuiltIn, built_in
from executor.templating.chat_template import ChatTemplate, Rendered
from planner.kind import Resource
from state.diagnostic import NOWHERE, Diagnostic, Place, Severity
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHAT = ({"role": "user", "content": "Hi"}, {"role": ASSISTANT, "content": "Hello"})
_THOUGHT = "Somebody greets me."
_SAID = "Zebras are striped"
_CONTROL = re.compile(r"(<[^<>\s]+>|\[[^\[\]\s]+\])$")


@frozen
class Use:
    """A chat template with the model that it is used for."""

    name: str
    """As the recipe writes it: "tokenizer", the name of a built-in template, or a path."""
    template: ChatTemplate
    tokenizer: Tokenizer
    folder: Path
    """Where the tokenizer's files are, and those of the model if there are any."""
    model_type: str
    """As config.json writes it; "" if it is not known."""
    place: Place = NOWHERE


def lint_model(
    model: Resource, folder: Path, tokenizer: Tokenizer, template: ChatTemplate | None
) -> tuple[Diagnostic, ...]:
    """What is wrong with the template of a model resource whose tokenizer is in a folder; nothing if it has none."""
    if template is None:
        return ()
    specification: Model = model.specification
    family = "" if specification.config else model_type(folder)  # random weights were never trained with any template
    return lint(Use(specification.chat_template, template, tokenizer, folder, family, model.place("chat_template")))


def lint(use: Use) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with the use of a template; nothing where it refuses the simplest of conversations."""
    found = [*_missing_tokens(use), *_family(use)]
    try:
        rendered = use.template.conversation(_CHAT, frozenset({ASSISTANT}))
        prompt = use.template.prompt(_CHAT[:1])
    except RowError:
        return tuple(found)
    return (*found, *_ending(use, rendered), *_beginning(use, rendered), *_asking(use, rendered, prompt))


def unwritten_reasoning(model: Resource, template: ChatTemplate, first: Place) -> tuple[Diagnostic, ...]:
    """A warning where rows hold reasoning, the first of them at a place, that the template never writes."""
    thought = {**_CHAT[1], REASONING[0]: _THOUGHT}
    try:
        text = template.conversation((_CHAT[0], thought), frozenset({ASSISTANT})).text
    except RowError:
        return ()
    if _THOUGHT in text:
        return ()
    detail = f"Messages hold reasoning, first {first}, and the chat template leaves it out of the last answer, too."
    hint = "Use a template that writes `reasoning_content`, or put the reasoning into `content`."
    return (Diagnostic("Unwritten reasoning", detail, hint, model.place("chat_template"), Severity.WARNING),)


def unwritten_role(model: Resource, template: ChatTemplate, role: str, first: Place) -> tuple[Diagnostic, ...]:
    """A warning where rows have messages of a role, the first at a place, that the template passes over."""
    asked = ({"role": "user", "content": _SAID},) if role == "user" else ({"role": role, "content": _SAID}, _CHAT[0])
    try:
        text = template.conversation((*asked, _CHAT[1]), frozenset({ASSISTANT})).text
    except RowError:
        return ()
    if _SAID.casefold() in text.casefold():
        return ()
    detail = f"Messages have the role {role}, first {first}, and the chat template writes nothing of them."
    hint = "Use a template that writes them; the model is trained without what they say."
    return (Diagnostic("Unwritten messages", detail, hint, model.place("chat_template"), Severity.WARNING),)


def _missing_tokens(use: Use) -> Iterator[Diagnostic]:
    """Control tokens that a built-in template writes and the tokenizer would cut into pieces."""
    missing = [token for token in _declared(use.name) if use.tokenizer.token_to_id(token) is None]
    if missing:
        detail = f"The template `{use.name}` writes {', '.join(missing)}, which the tokenizer has no token for."
        fitting = [one.name for one in _family_templates(use.model_type) if one.tokens and _knows(use.tokenizer, one)]
        hint = f"Templates that fit it: {', '.join(fitting)}." if fitting else "Use the template of the model's family."
        yield Diagnostic("Missing control tokens", detail, hint, use.place)


def _family(use: Use) -> Iterator[Diagnostic]:
    """A template of another family than the model's, or one that its tokenizer has outgrown."""
    named, own = built_in().get(use.name), _family_templates(use.model_type)
    if named is None or not named.families or not own:
        return
    if named not in own:
        detail = f"The model is of the type {use.model_type}, but `{use.name}` is the template of {named.families[0]}."
        hint = f"For {use.model_type}: {', '.join(one.name for one in own)}."
        yield Diagnostic("Foreign chat template", detail, hint, use.place, Severity.WARNING)
        return
    newer = [one.name for one in own if one.tokens and _knows(use.tokenizer, one)]
    if not named.tokens and newer:
        detail = f"The tokenizer has control tokens for the roles of a chat, which `{use.name}` does not use."
        hint = f"Templates that fit it: {', '.join(newer)}."
        yield Diagnostic("Foreign chat template", detail, hint, use.place, Severity.WARNING)


def _ending(use: Use, rendered: Rendered) -> Iterator[Diagnostic]:
    """An answer that is not closed by a token at which generation stops."""
    answer = rendered.text[slice(*rendered.spans[-1])].rstrip()
    stops = stopping_tokens(use)
    if not stops or answer.endswith(stops) or (use.name == "tokenizer" and _closed(use, answer)):
        return
    known = ", ".join(stops)
    written = _CONTROL.search(answer)
    if written is None:
        detail = f"The chat template closes an answer by no token; generation stops at {known}, which is never trained."
        hint = "Write {{ eos_token }} behind an answer's content, inside {% generation %} if the template has it."
    elif use.tokenizer.token_to_id(written[0]) is None:
        detail = f"The chat template closes an answer by {written[0]}, which the tokenizer has no token for."
        hint = "Use a template whose tokens the tokenizer has."
    else:
        detail = f"The chat template closes an answer by {written[0]}, but generation stops at {known}."
        hint = (
            f"Make {written[0]} the `eos_token` of the tokenizer, or one of `eos_token_id` in generation_config.json."
        )
    yield Diagnostic("Answers without end", detail, hint, use.place, Severity.WARNING)


def _closed(use: Use, answer: str) -> bool:
    """Whether a control token of the tokenizer closes an answer."""
    return any(token and answer.endswith(token) for token in use.template.control_tokens)


def _beginning(use: Use, rendered: Rendered) -> Iterator[Diagnostic]:
    """A conversation that begins with two beginning tokens."""
    token = use.template.special_tokens.get("bos_token", "")
    if token and rendered.text.lstrip().removeprefix(token).lstrip().startswith(token):
        detail = f"The chat template writes {token} twice at the beginning of a conversation."
        hint = "Write {{ bos_token }} once, and not as text besides; tune's tokenizer adds none to a conversation."
        yield Diagnostic("Doubled beginning", detail, hint, use.place)


def _asking(use: Use, rendered: Rendered, prompt: str) -> Iterator[Diagnostic]:
    """A prompt that is not how the rows that are trained begin."""
    start = rendered.spans[-1][0]
    if prompt == rendered.text[:start]:
        return
    if rendered.text.startswith(prompt):
        detail = f"A prompt ends before {rendered.text[len(prompt) : start]!r}, which stands before every answer."
        hint = "Write it where `add_generation_prompt` is true, or put it inside {% generation %}."
    else:
        detail = f"A prompt ends with {prompt[-40:]!r}, but rows have {rendered.text[:start][-40:]!r} before an answer."
        hint = "A model that is asked in another way than it was trained answers worse: make both the same."
    yield Diagnostic("Unlike prompts", detail, hint, use.place, Severity.WARNING)


def stopping_tokens(use: Use) -> tuple[str, ...]:
    """The tokens at which generation stops: the tokenizer's end token, and those of generation_config.json."""
    ids = _loaded(use.folder / "generation_config.json").get("eos_token_id") or []
    named = [use.tokenizer.id_to_token(one) for one in ([ids] if isinstance(ids, int) else ids)]
    return tuple(dict.fromkeys(filter(None, [use.template.special_tokens.get("eos_token"), *named])))


def model_type(folder: Path) -> str:
    """What the model in a folder calls its architecture; "" where there is no config.json."""
    return str(_loaded(folder / "config.json").get("model_type") or "")


def _loaded(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _declared(name: str) -> tuple[str, ...]:
    return built_in()[name].tokens if name in built_in() else ()


def _family_templates(model_type: str) -> list[BuiltIn]:
    return [one for one in built_in().values() if model_type in one.families]


def _knows(tokenizer: Tokenizer, template: BuiltIn) -> bool:
    return all(tokenizer.token_to_id(token) is not None for token in template.tokens)
