"""A template, a tokenizer and a model that do not belong together are told apart before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from executor.kinds.model import KIND
from executor.templates import built_in
from executor.templating.chat_template import compile_template
from executor.templating.template_lint import Use, lint, model_type, unwritten_role
from planner.kind import Resource
from state.diagnostic import NOWHERE, Diagnostic, Severity

if TYPE_CHECKING:
    from tokenizers import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

LLAMA3 = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHATML = ["<|im_start|>", "<|im_end|>"]


def tokenizer_with(*special: str) -> Tokenizer:
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0}, []))
    tokenizer.add_special_tokens(["<s>", "</s>", *special])
    return tokenizer


def found(name: str, folder: Path, *special: str, text: str = "", model_type: str = "", eos: str = "</s>") -> object:
    """What is wrong with a template (a built-in one, or a text) for a tokenizer with some special tokens."""
    tokenizer = tokenizer_with(*special)
    written = text or built_in()[name].text
    template = compile_template(written, {"bos_token": "<s>", "eos_token": eos}, ["<s>", "</s>", *special])
    return lint(Use(name, template, tokenizer, folder, model_type))


def warning(summary: str, detail: str, hint: str) -> Diagnostic:
    return Diagnostic(summary, detail, hint, severity=Severity.WARNING)


@pytest.mark.parametrize("name", built_in())
def test_a_template_of_the_family_with_its_tokens_is_right(name: str, tmp_path: Path) -> None:
    template = built_in()[name]
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    ids = {"bos_token": "<s>", "eos_token": "</s>"}
    rendered = compile_template(template.text, ids).conversation(chat, frozenset({"assistant"}))
    answer = rendered.text[slice(*rendered.spans[-1])]
    eos = next((token for token in template.tokens if answer.endswith(token)), "</s>")
    family = (template.families or ("",))[0]
    assert found(name, tmp_path, *template.tokens, model_type=family, eos=eos) == ()


def test_control_tokens_that_the_tokenizer_lacks_are_an_error(tmp_path: Path) -> None:
    assert found("chatml", tmp_path, *LLAMA3, model_type="llama", eos="<|im_end|>") == (
        Diagnostic(
            "Missing control tokens",
            "The template `chatml` writes <|im_start|>, <|im_end|>, which the tokenizer has no token for.",
            "Templates that fit it: llama3, llama3_1.",
        ),
    )
    assert found("gemma", tmp_path, model_type="gemma", eos="<end_of_turn>") == (
        Diagnostic(
            "Missing control tokens",
            "The template `gemma` writes <start_of_turn>, <end_of_turn>, which the tokenizer has no token for.",
            "Use the template of the model's family.",
        ),
    )


def test_a_template_of_another_family_is_told(tmp_path: Path) -> None:
    assert found("llama3", tmp_path, *LLAMA3, model_type="qwen2", eos="<|eot_id|>") == (
        warning(
            "Foreign chat template",
            "The model is of the type qwen2, but `llama3` is the template of llama.",
            "For qwen2: qwen2_5.",
        ),
    )
    assert found("llama2", tmp_path, *LLAMA3, model_type="llama") == (
        warning(
            "Foreign chat template",
            "The tokenizer has control tokens for the roles of a chat, which `llama2` does not use.",
            "Templates that fit it: llama3, llama3_1.",
        ),
    )
    assert found("zephyr", tmp_path, *LLAMA3, model_type="llama") == ()


PLAIN = "{% for one in messages %}{{ one.role }}: {{ one.content }}END{% endfor %}"
ASKS = "{% if add_generation_prompt %}assistant: {% endif %}"


@pytest.mark.parametrize(
    ("end", "special", "detail", "hint"),
    [
        (
            "\n",
            (),
            "The chat template closes an answer by no token; generation stops at </s>, which is never trained.",
            "Write {{ eos_token }} behind an answer's content, inside {% generation %} if the template has it.",
        ),
        (
            "<|end|>\n",
            (),
            "The chat template closes an answer by <|end|>, which the tokenizer has no token for.",
            "Use a template whose tokens the tokenizer has.",
        ),
        (
            "<|end|>",
            ("<|end|>",),
            "The chat template closes an answer by <|end|>, but generation stops at </s>.",
            "Make <|end|> the `eos_token` of the tokenizer, or one of `eos_token_id` in generation_config.json.",
        ),
    ],
)
def test_answers_that_nothing_ends_are_told(
    end: str, special: tuple[str, ...], detail: str, hint: str, tmp_path: Path
) -> None:
    text = PLAIN.replace("END", end) + ASKS
    assert found("own.jinja", tmp_path, *special, text=text) == (warning("Answers without end", detail, hint),)


def test_generation_may_stop_at_more_tokens_than_one(tmp_path: Path) -> None:
    text = PLAIN.replace("END", "<|end|>") + ASKS
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 3]}))
    assert tokenizer_with("<|end|>").token_to_id("<|end|>") == 3
    assert found("own.jinja", tmp_path, "<|end|>", text=text) == ()


def test_the_tokenizer_s_own_template_may_end_turns_as_its_makers_do(tmp_path: Path) -> None:
    assert found("tokenizer", tmp_path, "<|end|>", text=PLAIN.replace("END", "<|end|>") + ASKS) == ()


def test_a_doubled_beginning_is_an_error(tmp_path: Path) -> None:
    text = "{{ bos_token }}<s>" + PLAIN.replace("END", "</s>") + ASKS
    assert found("own.jinja", tmp_path, text=text) == (
        Diagnostic(
            "Doubled beginning",
            "The chat template writes <s> twice at the beginning of a conversation.",
            "Write {{ bos_token }} once, and not as text besides; tune's tokenizer adds none to a conversation.",
        ),
    )


def test_prompts_that_are_unlike_the_rows_are_told(tmp_path: Path) -> None:
    marked = (
        "{% for one in messages %}{{ one.role }}: {% generation %}{{ one.content }}</s>{% endgeneration %}{% endfor %}"
    )
    short = marked.replace("{% generation %}{{ one.content }}</s>{% endgeneration %}", "X").replace(
        "X",
        "{% if one.role == 'user' %}{{ one.content }}{% else %}"
        "{% generation %}{{ one.content }}</s>{% endgeneration %}{% endif %}",
    )
    assert found("own.jinja", tmp_path, text=short) == (
        warning(
            "Unlike prompts",
            "A prompt ends before 'assistant: ', which stands before every answer.",
            "Write it where `add_generation_prompt` is true, or put it inside {% generation %}.",
        ),
    )
    thinks = short + "{% if add_generation_prompt %}assistant: <think>{% endif %}"
    assert found("own.jinja", tmp_path, text=thinks) == (
        warning(
            "Unlike prompts",
            "A prompt ends with 'user: Hiassistant: <think>', but rows have 'user: Hiassistant: ' before an answer.",
            "A model that is asked in another way than it was trained answers worse: make both the same.",
        ),
    )


def test_a_template_that_refuses_the_simplest_chat_is_told_by_its_rows(tmp_path: Path) -> None:
    assert found("own.jinja", tmp_path, text="{{ raise_exception('no') }}") == ()


def test_the_type_of_a_model_is_what_its_configuration_says(tmp_path: Path) -> None:
    assert model_type(tmp_path) == ""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert model_type(tmp_path) == "llama"
    (tmp_path / "config.json").write_text("[")
    assert model_type(tmp_path) == ""


@pytest.mark.parametrize("name", sorted(built_in()))
@pytest.mark.parametrize("role", ["system", "user"])
def test_every_template_of_ours_writes_what_is_asked_or_refuses_it(name: str, role: str) -> None:
    template = compile_template(built_in()[name].text, {"bos_token": "<s>", "eos_token": "</s>"}, ["<s>", "</s>"])
    assert unwritten_role(Resource("model.tiny", KIND, None), template, role, NOWHERE) == ()
