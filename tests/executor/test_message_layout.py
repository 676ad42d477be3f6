"""Messages are found by the layout of their roles exactly where a search in each conversation finds them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from executor.data.chat_messages import RowError
from executor.templating.chat_template import ChatTemplate, Rendered, compile_template
from executor.templating.message_layout import Layout

pytest.importorskip("jinja2")

Chat = list[dict[str, Any]]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
ROLES = frozenset({"user", "assistant"})
PLAIN = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<' + message.role + '>' + CONTENT + '</s>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}"""
TEMPLATES = {
    "as it is": PLAIN.replace("CONTENT", "message.content"),
    "trimmed": PLAIN.replace("CONTENT", "(message.content | trim)"),
    "some trimmed": PLAIN.replace("CONTENT", "(message.content | trim if loop.index0 % 2 else message.content)"),
    "thoughts": PLAIN.replace("CONTENT", "('' if loop.last else '<think>') + message.content.split('</think>')[-1]"),
    "counted": PLAIN.replace("CONTENT", "(messages | length) | string + message.content"),
    "closed": PLAIN.replace("CONTENT", "message.content") + "{{ '' if add_generation_prompt else eos_token }}",
    "numbers": PLAIN.replace("CONTENT", "(message.content | length) | string + message.content"),
}
says = st.lists(st.sampled_from(["a", " ", "\n", "</think>", "</s>", "<user>", "\ue000", "\ue001"]), max_size=4)
turns = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), says.map("".join)), min_size=1, max_size=5)


def searched(template: ChatTemplate, chat: Chat) -> Rendered | None:
    """What is found without any layout, of a conversation that looks unlike others because of an unused field."""
    try:
        return template.conversation([{**message, "name": "ada"} for message in chat], ROLES)
    except RowError:
        return None


@pytest.mark.parametrize("text", TEMPLATES.values(), ids=TEMPLATES)
@given(conversations=st.lists(turns, min_size=1, max_size=3))
def test_a_layout_changes_nothing_but_what_could_not_be_proved(
    text: str, conversations: list[list[tuple[str, str]]]
) -> None:
    template = compile_template(text, SPECIAL)
    for one in conversations:
        chat = [{"role": role, "content": said} for role, said in one]
        expected = searched(template, chat)
        try:
            found = template.conversation(chat, ROLES)
        except RowError:
            assert expected is None
            continue
        if expected is not None:
            assert found == expected
        assert all(message["content"].strip() in found.text for message in chat) or "</think>" in str(chat)


@given(conversations=st.lists(turns, min_size=1, max_size=3))
def test_what_is_found_does_not_depend_on_what_was_seen_before(conversations: list[list[tuple[str, str]]]) -> None:
    used = compile_template(TEMPLATES["some trimmed"], SPECIAL)
    for one in conversations:
        chat = [{"role": role, "content": said} for role, said in one]
        fresh = compile_template(TEMPLATES["some trimmed"], SPECIAL)
        assert used.conversation(chat, ROLES) == fresh.conversation(chat, ROLES)


def test_only_exactly_such_a_text_is_laid_out_so() -> None:
    layout = Layout(("<", ">;<", ">"), ((1, 1, 1),))
    assert layout.spans(("a", " b "), "<a>;< b >") == [(4, 9)]
    assert layout.spans(("a", " b "), "<a>;<b>") == [(4, 7)]
    assert layout.spans(("", ""), "<>;<>") == [(3, 5)]
    for other in ("<a>;< b >.", "a>;< b >", "<a>,< b >", "<A>;< b >", ""):
        assert layout.spans(("a", " b "), other) is None
    assert evolve(layout, trained=()).spans(("a", "b"), "<a>;<b>") == []
