"""Built-in templates write what the families' published ones write, and train exactly what an assistant says."""

# ruff: noqa: RUF001  DeepSeek writes its tokens with such characters

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.data.chat_messages import Message, RowError
from executor.templates import built_in
from executor.templating.chat_template import ChatTemplate, Rendered, compile_template

pytest.importorskip("jinja2")

Chat = list[dict[str, Any]]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
ASSISTANT = frozenset({"assistant"})
SYSTEM = {"role": "system", "content": "Be kind."}
CHAT: Chat = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALL = {"type": "function", "id": "abcdef123", "function": {"name": "look", "arguments": {"at": "é"}}}
CALLS: Chat = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "seen", "tool_call_id": "abcdef123"},
    {"role": "assistant", "content": "Hello"},
]


@cache
def compiled(name: str) -> ChatTemplate:
    return compile_template(built_in()[name].text, SPECIAL)


def labelled(rendered: Rendered) -> str:
    """The text, with what is trained between double brackets."""
    text = rendered.text
    for start, end in reversed(rendered.spans):
        text = f"{text[:start]}⟦{text[start:end]}⟧{text[end:]}"
    return text


LABELLED = {
    "alpaca": "<s>Be kind.\n\n### Instruction:\nHi\n\n### Response:\n⟦Hello</s>⟧"
    "\n\n### Instruction:\nBye\n\n### Response:\n⟦See you</s>⟧",
    "chatml": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you<|im_end|>⟧\n",
    "command_r": "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be kind.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>⟦Hello<|END_OF_TURN_TOKEN|>⟧"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>⟦See you<|END_OF_TURN_TOKEN|>⟧",
    "deepseek_v2": "<s>Be kind.\n\nUser: Hi\n\nAssistant:⟦ Hello</s>⟧User: Bye\n\nAssistant:⟦ See you</s>⟧",
    "deepseek_v3": "<s>Be kind.<｜User｜>Hi<｜Assistant｜>⟦Hello</s>⟧<｜User｜>Bye<｜Assistant｜>⟦See you</s>⟧",
    "exaone": "[|system|]Be kind.[|endofturn|]\n[|user|]Hi\n[|assistant|]⟦Hello[|endofturn|]⟧\n"
    "[|user|]Bye\n[|assistant|]⟦See you[|endofturn|]⟧\n",
    "falcon_h1": "<s>\n<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you<|im_end|>⟧\n",
    "gemma": "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello<end_of_turn>⟧\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n⟦See you<end_of_turn>⟧\n",
    "gemma3": "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello<end_of_turn>⟧\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n⟦See you<end_of_turn>⟧\n",
    "granite": "<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>⟦Hello<|end_of_text|>⟧\n"
    "<|start_of_role|>user<|end_of_role|>Bye<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>⟦See you<|end_of_text|>⟧\n",
    "lfm2": "<s><|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you<|im_end|>⟧\n",
    "llama2": "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]⟦ Hello </s>⟧<s>[INST] Bye [/INST]⟦ See you </s>⟧",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello<|eot_id|>⟧"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦See you<|eot_id|>⟧",
    "llama3_1": "<s><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello<|eot_id|>⟧"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦See you<|eot_id|>⟧",
    "llama4": "<s><|header_start|>system<|header_end|>\n\nBe kind.<|eot|>"
    "<|header_start|>user<|header_end|>\n\nHi<|eot|><|header_start|>assistant<|header_end|>\n\n⟦Hello<|eot|>⟧"
    "<|header_start|>user<|header_end|>\n\nBye<|eot|><|header_start|>assistant<|header_end|>\n\n⟦See you<|eot|>⟧",
    "mistral_v1": "<s> [INST] Be kind.\n\nHi [/INST]⟦ Hello</s>⟧ [INST] Bye [/INST]⟦ See you</s>⟧",
    "mistral_v3": "<s>[INST] Hi[/INST]⟦ Hello</s>⟧[INST] Be kind.\n\nBye[/INST]⟦ See you</s>⟧",
    "mistral_v3_tekken": "<s>[INST]Hi[/INST]⟦Hello</s>⟧[INST]Be kind.\n\nBye[/INST]⟦See you</s>⟧",
    "mistral_v7": "<s>[SYSTEM_PROMPT] Be kind.[/SYSTEM_PROMPT][INST] Hi[/INST]⟦ Hello</s>⟧"
    "[INST] Bye[/INST]⟦ See you</s>⟧",
    "mistral_v7_tekken": "<s>[SYSTEM_PROMPT]Be kind.[/SYSTEM_PROMPT][INST]Hi[/INST]⟦Hello</s>⟧"
    "[INST]Bye[/INST]⟦See you</s>⟧",
    "olmo2": "<s><|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\n⟦Hello</s>⟧\n"
    "<|user|>\nBye\n<|assistant|>\n⟦See you</s>⟧",
    "openchat": "<s>GPT4 Correct System: Be kind.<|end_of_turn|>GPT4 Correct User: Hi<|end_of_turn|>"
    "GPT4 Correct Assistant:⟦ Hello<|end_of_turn|>⟧GPT4 Correct User: Bye<|end_of_turn|>"
    "GPT4 Correct Assistant:⟦ See you<|end_of_turn|>⟧",
    "phi3": "<|system|>\nBe kind.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n⟦Hello<|end|>⟧\n"
    "<|user|>\nBye<|end|>\n<|assistant|>\n⟦See you<|end|>\n</s>⟧",
    "phi4": "<|im_start|>system<|im_sep|>Be kind.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
    "<|im_start|>assistant<|im_sep|>⟦Hello<|im_end|>⟧<|im_start|>user<|im_sep|>Bye<|im_end|>"
    "<|im_start|>assistant<|im_sep|>⟦See you<|im_end|>⟧",
    "qwen2_5": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you<|im_end|>⟧\n",
    "qwen3": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦<think>\n\n</think>\n\nSee you<|im_end|>⟧\n",
    "qwen3_instruct": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you<|im_end|>⟧\n",
    "tulu": "<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\n⟦Hello</s>⟧\n"
    "<|user|>\nBye\n<|assistant|>\n⟦See you</s>⟧",
    "vicuna": "<s>Be kind. USER: Hi ASSISTANT:⟦ Hello</s>⟧USER: Bye ASSISTANT:⟦ See you</s>⟧",
    "zephyr": "<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\n⟦Hello</s>⟧\n"
    "<|user|>\nBye</s>\n<|assistant|>\n⟦See you</s>⟧\n",
}
"""Labelled by hand: a system prompt where the family has one, two questions, two answers."""


def test_every_built_in_template_is_labelled_by_hand() -> None:
    assert set(LABELLED) == set(built_in())


@pytest.mark.parametrize("name", LABELLED)
def test_text_and_what_is_trained_are_as_labelled_by_hand(name: str) -> None:
    chat = CHAT if name == "gemma" else [SYSTEM, *CHAT]
    assert labelled(compiled(name).conversation(chat, ASSISTANT)) == LABELLED[name]


CALLED = {
    "deepseek_v3": "<s><｜User｜>Hi<｜Assistant｜>"
    "⟦<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n"
    '```json\n{"at": "é"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜></s>⟧'
    "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>seen<｜tool▁output▁end｜><｜tool▁outputs▁end｜>⟦Hello</s>⟧",
    "granite": '<|start_of_role|>assistant<|end_of_role|>⟦<|tool_call|>[{"name": "look", "arguments": {"at": "é"}}]'
    "<|end_of_text|>⟧\n<|start_of_role|>tool<|end_of_role|>seen<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>⟦Hello<|end_of_text|>⟧\n",
    "llama3_1": "<|start_header_id|>assistant<|end_header_id|>\n\n"
    '⟦{"name": "look", "parameters": {"at": "é"}}<|eot_id|>⟧'
    '<|start_header_id|>ipython<|end_header_id|>\n\n"seen"<|eot_id|>'
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello<|eot_id|>⟧",
    "llama4": "<|header_start|>assistant<|header_end|>\n\n"
    '⟦<|python_start|><|python_end|>{"name": "look", "parameters": '
    '{"at": "é"}}<|eot|>⟧<|header_start|>ipython<|header_end|>\n\n"seen"<|eot|>'
    "<|header_start|>assistant<|header_end|>\n\n⟦Hello<|eot|>⟧",
    "mistral_v3": '[INST] Hi[/INST]⟦[TOOL_CALLS] [{"name": "look", "arguments": {"at": "é"}, "id": "abcdef123"}]</s>⟧'
    '[TOOL_RESULTS] {"content": seen, "call_id": "abcdef123"}[/TOOL_RESULTS]⟦ Hello</s>⟧',
    "mistral_v3_tekken": "[INST]Hi[/INST]"
    '⟦[TOOL_CALLS][{"name": "look", "arguments": {"at": "é"}, "id": "abcdef123"}]</s>⟧'
    '[TOOL_RESULTS]{"content": seen, "call_id": "abcdef123"}[/TOOL_RESULTS]⟦Hello</s>⟧',
    "qwen2_5": "<|im_start|>assistant\n"
    '⟦<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call><|im_end|>⟧\n'
    "<|im_start|>user\n<tool_response>\nseen\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n",
    "qwen3_instruct": '<|im_start|>assistant\n⟦<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call>'
    "<|im_end|>⟧\n<|im_start|>user\n<tool_response>\nseen\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n",
    "qwen3": "<|im_start|>assistant\n"
    '⟦<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call><|im_end|>⟧\n'
    "<|im_start|>user\n<tool_response>\nseen\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n⟦<think>\n\n</think>\n\nHello<|im_end|>⟧\n",
}
"""How conversations end in which a tool is called, labelled by hand."""
LISTS_TOOLS = {"granite", "lfm2", "llama3_1", "llama4", "mistral_v3", "mistral_v3_tekken"} | {
    "qwen2_5",
    "qwen3",
    "qwen3_instruct",
}


@pytest.mark.parametrize("name", CALLED)
def test_calls_of_tools_are_trained_as_labelled_by_hand(name: str) -> None:
    tools = [TOOL] if name in LISTS_TOOLS else None
    assert labelled(compiled(name).conversation(CALLS, ASSISTANT, tools)).endswith(CALLED[name])


@pytest.mark.parametrize("name", sorted(set(built_in()) - set(CALLED)))
def test_a_template_without_calls_refuses_them(name: str) -> None:
    with pytest.raises(RowError, match=r"is refused by the chat template|the template leaves out its call of look"):
        compiled(name).conversation(CALLS, ASSISTANT)


@pytest.mark.parametrize("name", built_in())
def test_tools_are_written_or_refused(name: str) -> None:
    if name in LISTS_TOOLS:
        assert '"look"' in compiled(name).conversation(CHAT, ASSISTANT, [TOOL]).text
    else:
        with pytest.raises(RowError, match="lists the tool look, which the chat template leaves out"):
            compiled(name).conversation(CHAT, ASSISTANT, [TOOL])


ANY_MARK = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


@cache
def without_marks(name: str) -> ChatTemplate:
    """The same template, white space included, that marks nothing."""
    text = ANY_MARK.sub(
        lambda mark: f"{{%{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}%}}", built_in()[name].text
    )
    unmarked = compile_template(text, SPECIAL)
    assert not unmarked.marks_answers
    return unmarked


@pytest.mark.parametrize("name", built_in())
def test_what_is_marked_is_what_is_found_without_marks(name: str) -> None:
    assert without_marks(name).conversation(CHAT, ASSISTANT) == compiled(name).conversation(CHAT, ASSISTANT)


@pytest.mark.parametrize("name", built_in())
def test_a_prompt_is_what_stands_before_an_answer(name: str) -> None:
    whole = compiled(name).conversation(CHAT, ASSISTANT)
    for answer, (start, _) in zip((1, 3), whole.spans, strict=True):
        assert compiled(name).prompt(CHAT[:answer]) == whole.text[:start]


@pytest.mark.parametrize("name", built_in())
def test_control_tokens_that_a_file_declares_are_those_that_it_writes(name: str) -> None:
    declared = built_in()[name].tokens
    body = built_in()[name].text.replace("<|' + message.role + '|>", "<|system|><|user|><|assistant|>")
    body = body.replace("[|' + message.role + '|]", "[|user|][|assistant|]")
    assert [token for token in declared if body.count(token) < 2] == []


AWKWARD = ["</s>", "[/INST]", "<|im_end|>", "🙂", "e\u0301", "\u2028", "\n\n", "{{ x }}", "<think>", "a", " b"]
says = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=5), min_size=1, max_size=4).map("".join)
turns = st.lists(st.tuples(says, says), min_size=1, max_size=3)


def conversation(turns: list[tuple[str, str]]) -> Chat:
    """Questions and answers by turns."""
    return [
        {"role": role, "content": said}
        for turn in turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]


TRIMS = {"command_r", "gemma", "gemma3", "llama2", "llama3", "llama3_1", "mistral_v3"}
BEFORE = {"deepseek_v2": " ", "llama2": " ", "mistral_v1": " ", "mistral_v3": " ", "mistral_v7": " "} | {
    "openchat": " ",
    "vicuna": " ",
}


@pytest.mark.parametrize("name", sorted(set(built_in()) - {"qwen3", "deepseek_v3"}))
@given(turns=turns)
def test_exactly_the_answers_are_trained_whatever_they_say(name: str, turns: list[tuple[str, str]]) -> None:
    rendered = compiled(name).conversation(conversation(turns), ASSISTANT)
    ends = [LABELLED[name].split(answer)[1].split("⟧")[0] for answer in ("Hello", "See you")]
    said = [answer.strip() if name in TRIMS else answer for _, answer in turns]
    trained = [rendered.text[start:stop] for start, stop in rendered.spans]
    expected = [BEFORE.get(name, "") + answer + ends[0] for answer in said[:-1]]
    assert trained == [*expected, BEFORE.get(name, "") + said[-1] + ends[1]]


@pytest.mark.parametrize("name", built_in())
@settings(max_examples=30)
@given(turns=turns)
def test_without_marks_the_same_is_found_or_nothing_is_taken_for_proved(
    name: str, turns: list[tuple[str, str]]
) -> None:
    chat = conversation(turns)
    try:
        found = without_marks(name).conversation(chat, ASSISTANT)
    except RowError as error:
        assert "cannot be masked" in str(error) or "yields no trained token" in str(error)  # noqa: PT017  or all is well
        return
    marked = compiled(name).conversation(chat, ASSISTANT)
    texts = [[one.text[slice(*span)] for span in one.spans] for one in (found, marked)]
    assert [one.rstrip() for one in texts[0]] == [one.rstrip() for one in texts[1]]


PUBLISHED = {
    "command_r": "cohere",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "lfm2": "lfm2",
    "llama3": "llama3",
    "llama3_1": "llama3_1",
    "phi3": "phi3",
    "qwen2_5": "qwen2_5",
    "qwen3": "qwen3",
    "qwen3_instruct": "qwen3_instruct_2507",
}
"""Names of the published templates that TRL ships."""
CONVERSATIONS: dict[str, Chat] = {
    "one turn": CHAT[:2],
    "two turns": CHAT,
    "system": [SYSTEM, *CHAT],
    "unicode": [{"role": "user", "content": " é\u0301\u00a0🙂\r\n"}, {"role": "assistant", "content": "👩‍👩‍👧 \t日本"}],
    "reasoning": [CHAT[0], {**CHAT[1], "reasoning_content": "It is a greeting."}],
    "old reasoning": [CHAT[0], {**CHAT[1], "reasoning_content": "A greeting.\n"}, *CHAT[2:]],
    "reasoning in content": [CHAT[0], {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nHello"}],
    "calls": CALLS,
    "calls with a system prompt": [SYSTEM, *CALLS],
    "two calls": [CHAT[0], {"role": "assistant", "content": "So.", "tool_calls": [CALL, CALL]}, *CALLS[2:]],
}


def shipped(name: str) -> ChatTemplate:
    """A template from TRL's folder, without the seconds that importing TRL takes."""
    found = find_spec("trl")
    if found is None or found.origin is None:
        pytest.skip("TRL, which ships published templates, is not installed")
    return compile_template((Path(found.origin).parent / "chat_templates" / f"{name}.jinja").read_text(), SPECIAL)


@pytest.mark.parametrize("tools", [None, [TOOL]], ids=["no tools", "tools"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_text_is_what_the_published_template_writes(name: str, tools: Any) -> None:
    published, compared = shipped(PUBLISHED[name]), 0
    for chat in CONVERSATIONS.values():
        messages: list[Message] = [{"content": "", **one} for one in chat]
        for prompt in (False, True):
            try:
                expected = published.render(messages, tools, prompt=prompt)
            except RowError:
                with pytest.raises(RowError):
                    compiled(name).render(messages, tools, prompt=prompt)
                continue
            try:
                own = compiled(name).render(messages, tools, prompt=prompt)
            except RowError as error:
                assert "it has no place for" in str(error)  # noqa: PT017  published ones leave such messages out
                continue
            assert own.text == expected.text
            compared += 1
    assert compared >= 10


MASKED = {"gemma", "gemma3", "lfm2", "llama3", "phi3", "qwen2_5", "qwen3_instruct", "command_r"}
"""Those for which TRL ships a template for training that writes the same text; for Qwen3 it writes more thoughts."""


@pytest.mark.parametrize("name", sorted(MASKED))
def test_what_is_trained_is_what_trl_s_template_for_training_marks(name: str) -> None:
    """But for white space around a turn, of which it marks some."""
    reference = shipped(f"{PUBLISHED[name]}_training")
    for chat in (CHAT[:2], CHAT, CHAT[2:]):
        expected, own = (one.conversation(chat, ASSISTANT) for one in (reference, compiled(name)))
        assert own.text == expected.text
        marked, trained = ("".join(one.text[slice(*span)] for span in one.spans) for one in (expected, own))
        assert "".join(trained.split()) == "".join(marked.split())


ASKED: Chat = [
    {"role": "system", "content": "You are a helpful assistant"},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "Who are you"},
    {"role": "assistant", "content": "   I am an assistant   "},
    {"role": "user", "content": "Another question"},
]
PROMPTS = {
    "chatml": "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    "<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n"
    "<|im_start|>assistant\n   I am an assistant   <|im_end|>\n<|im_start|>user\nAnother question<|im_end|>\n"
    "<|im_start|>assistant\n",
    "command_r": "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>You are a helpful assistant<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hello<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hi there<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Who are you<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>I am an assistant<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Another question<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "deepseek_v2": "You are a helpful assistant\n\nUser: Hello\n\nAssistant: Hi there</s>User: Who are you\n\n"
    "Assistant:    I am an assistant   </s>User: Another question\n\nAssistant:",
    "gemma3": "<start_of_turn>user\nYou are a helpful assistant\n\nHello<end_of_turn>\n"
    "<start_of_turn>model\nHi there<end_of_turn>\n<start_of_turn>user\nWho are you<end_of_turn>\n"
    "<start_of_turn>model\nI am an assistant<end_of_turn>\n<start_of_turn>user\nAnother question<end_of_turn>\n"
    "<start_of_turn>model\n",
    "granite": "<|start_of_role|>system<|end_of_role|>You are a helpful assistant<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>Hi there<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>Who are you<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>   I am an assistant   <|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>Another question<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    "llama3": "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nI am an assistant<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnother question<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama2": "[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s>"
    "[INST] Who are you [/INST] I am an assistant </s>[INST] Another question [/INST]",
    "mistral_v1": " [INST] You are a helpful assistant\n\nHello [/INST] Hi there</s> [INST] Who are you [/INST]"
    "    I am an assistant   </s> [INST] Another question [/INST]",
    "mistral_v3": "[INST] Hello[/INST] Hi there</s>[INST] Who are you[/INST] I am an assistant</s>"
    "[INST] You are a helpful assistant\n\nAnother question[/INST]",
    "mistral_v3_tekken": "[INST]Hello[/INST]Hi there</s>[INST]Who are you[/INST]   I am an assistant   </s>"
    "[INST]You are a helpful assistant\n\nAnother question[/INST]",
    "mistral_v7": "[SYSTEM_PROMPT] You are a helpful assistant[/SYSTEM_PROMPT][INST] Hello[/INST] Hi there</s>"
    "[INST] Who are you[/INST]    I am an assistant   </s>[INST] Another question[/INST]",
    "openchat": "GPT4 Correct System: You are a helpful assistant<|end_of_turn|>GPT4 Correct User: Hello<|end_of_turn|>"
    "GPT4 Correct Assistant: Hi there<|end_of_turn|>GPT4 Correct User: Who are you<|end_of_turn|>"
    "GPT4 Correct Assistant:    I am an assistant   <|end_of_turn|>"
    "GPT4 Correct User: Another question<|end_of_turn|>GPT4 Correct Assistant:",
    "phi3": "<|system|>\nYou are a helpful assistant<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n"
    "<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n"
    "<|user|>\nAnother question<|end|>\n<|assistant|>\n",
    "phi4": "<|im_start|>system<|im_sep|>You are a helpful assistant<|im_end|><|im_start|>user<|im_sep|>Hello<|im_end|>"
    "<|im_start|>assistant<|im_sep|>Hi there<|im_end|><|im_start|>user<|im_sep|>Who are you<|im_end|>"
    "<|im_start|>assistant<|im_sep|>   I am an assistant   <|im_end|>"
    "<|im_start|>user<|im_sep|>Another question<|im_end|><|im_start|>assistant<|im_sep|>",
}
"""What llama.cpp expects of the published templates (ggml-org/llama.cpp, tests/test-chat-template.cpp, MIT)."""


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_those_that_llama_cpp_expects(name: str) -> None:
    template = compile_template(built_in()[name].text, {"bos_token": "", "eos_token": "</s>"})
    assert template.prompt(ASKED) == PROMPTS[name]
