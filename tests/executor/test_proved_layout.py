"""What is filled in without rendering is what rendering gives, for every template that ships and any contents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import executor.templates
from executor.data.chat_messages import RowError
from executor.templating.chat_template import ChatTemplate, Rendered, compile_template
from executor.templating.proved_layout import LayoutProofs

pytest.importorskip("jinja2")

Chat = list[dict[str, Any]]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
ANSWERS = frozenset({"assistant"})
TEXTS = {path.stem: path.read_text() for path in Path(executor.templates.__file__).parent.glob("*.jinja")}
PIECES = ("a", "b c", " ", "\n", "\u3000", "<think>", "</think>", "</s>", "<tool_response>", "[/INST]", "\ue001", "é")
contents = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
exchanges = st.lists(st.tuples(contents, contents), min_size=1, max_size=2)


class Unproved(LayoutProofs):
    def layout(self, *_: object) -> None:
        return None


def answer(template: ChatTemplate, chat: Chat) -> Rendered | str:
    try:
        return template.conversation(chat, ANSWERS)
    except RowError as error:
        return str(error)


def compiled(text: str) -> tuple[ChatTemplate, ChatTemplate]:
    """A template that fills in what it can, and one that renders all."""
    template = compile_template(text, SPECIAL)
    return template, evolve(template, proofs=Unproved(text))


def without_marks(text: str) -> str:
    for mark in ("{%- generation -%}", "{%- endgeneration -%}"):
        text = text.replace(mark, "{#- -#}")
    return text


ALL = {
    **{name: compiled(text) for name, text in TEXTS.items()},
    **{f"{name}, unmarked": compiled(without_marks(text)) for name, text in TEXTS.items()},
}


@given(name=st.sampled_from(sorted(ALL)), system=st.none() | contents, said=exchanges)
def test_filling_in_is_rendering(name: str, system: str | None, said: list[tuple[str, str]]) -> None:
    filling, rendering = ALL[name]
    chat = [] if system is None else [{"role": "system", "content": system}]
    for question, reply in said:
        chat += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    expected = answer(rendering, chat)
    assert [answer(filling, chat) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_template_that_ships_is_proved_for_a_question_and_its_answer(name: str) -> None:
    template, _ = compiled(TEXTS[name])
    chat = [{"role": "user", "content": " ask\n"}, {"role": "assistant", "content": "reply "}]
    found = template.conversation(chat, ANSWERS)
    template.conversation(chat, ANSWERS)
    layout = template.proofs.layout(template, ("user", "assistant"), ANSWERS)
    assert layout is not None
    assert layout.fill([" ask\n", "reply "]) == (found.text, found.spans)
    assert layout.fill(["ask", " \n"]) is None


SHAPES = {
    "{{ m.content }}": True,
    "{{ m.content | trim }}": True,
    "{{ '<' ~ m.content ~ '>' }}": True,
    "{{ m.content.strip() if m.content is string else m.content[0].text }}": True,
    "{{ m.content if m.content else 'nothing' }}": True,
    "{{ m.get('content') | default('') }}": True,
    "{{ m.content.split('</think>')[-1] }}": True,
    "{{ m.content | upper }}": False,
    "{{ m.content | length }}": False,
    "{{ 'a' if m.content | trim | length > 0 else 'b' }}{{ m.content }}": True,
    "{{ m.content if m.content | length else 'b' }}": True,
    "{{ m.content if 1 <= m.content | count and m.content | length != 0 else 'b' }}": True,
    "{{ 'b' if m.content | length < 1 or m.content | length == 0 else m.content }}": True,
    "{{ m.content if m.content | length > 3 else 'b' }}": False,
    "{{ m.content if m.content | length == 1 else 'b' }}": False,
    "{{ m.content if m.content | length is number else 'b' }}": False,
    "{{ m.content if m.content | length in (1, 2) else 'b' }}": False,
    "{{ m.content if (m.content | length) + 1 > 1 else 'b' }}": False,
    "{{ m.content ~ (m.content | length) }}": False,
    "{{ m.content }}{% for i in range(m.content | length) %}.{% endfor %}": False,
    "{{ m.content }}{{ [m.content | length] | sum }}": False,
    "{{ m.content[:2] }}": False,
    "{{ m.content.upper() }}": False,
    "{{ m.content | e }}": False,
    "{{ ('<b>' | safe) + m.content }}": False,
    "{{ '%s' % m.content }}": False,
    "{{ '{}'.format(m.content) }}": False,
    "{{ [m.content] | join }}": False,
    "{{ m | tojson }}": False,
    "{{ m }}": False,
    "{{ m.content if m.content == 'a' else 'b' }}": False,
    "{{ m.content if m.content in ('a', 'b') else 'c' }}": False,
    "{{ 'a' if m.content < 'b' else 'c' }}": False,
    "{{ 'a' if {m.content: 1} else 'c' }}": False,
    "{% for c in m.content %}{{ c }}{% endfor %}": False,
    "{% set all %}{{ m.content }}{% endset %}{{ all | length }}": False,
    "{% macro say() %}{{ m.content }}{% endmacro %}{{ say() | length }}": False,
    "{% set all %}[{{ m.content }}]{% endset %}{{ all | trim }}": True,
    "{% set all | upper %}{{ m.content }}{% endset %}{{ all }}": False,
    "{% set all | trim %}{{ m.content }}{% endset %}{{ all if all else 'nothing' }}": True,
    "{% macro say(one) %}{{ one }}{% endmacro %}{{ say(m.content) | trim }}": True,
    "{% macro say(one) %}{{ one | upper }}{% endmacro %}{{ say(m.content) }}": False,
    "{% macro say() %} {% endmacro %}{{ say() + m.content }}": True,
    "{% macro say(one) %}<{{ caller() }}>{% endmacro %}{% call say(1) %}{{ m.content }}{% endcall %}": False,
    "{% filter upper %}{{ m.content }}{% endfilter %}": False,
    "{% autoescape true %}{{ m.content }}{% endautoescape %}": False,
    "{{ (messages | map(attribute='content') | list) | length }}{{ m.content }}": True,
    "{{ messages | map(attribute='content') | sort | first }}": False,
    "{{ m.content }}{{ messages[0].content is sameas m.content }}": False,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_content_that_is_looked_at_is_rendered(shape: str) -> None:
    text = "{% for m in messages %}{{ '<' + m.role + '>' }}" + shape + "{{ '</s>' }}{% endfor %}"
    filling, rendering = compiled(text)
    for said in ("a", "b c", "<&>", " a ", "x</think>y", "ß"):
        chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": said}]
        for _ in range(3):
            assert answer(filling, chat) == answer(rendering, chat)
    proved = filling.proofs.layout(filling, ("user", "assistant"), ANSWERS) is not None
    assert proved == SHAPES[shape]
