"""Rendering is transformers' rendering, and what is trained is exactly what an assistant writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.data.chat_messages import RowError, check_content, special_tokens_in
from executor.templating.chat_template import Rendered, compile_template
from executor.templating.template_environment import DATE
from state.diagnostic import ProblemError

pytest.importorskip("jinja2")

Chat = list[dict[str, Any]]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
ASSISTANT = frozenset({"assistant"})
MARKED = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
ANY_MARK = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


def without_marks(template: str) -> str:
    """The same template, white space included, that marks nothing."""
    return ANY_MARK.sub(lambda mark: f"{{%{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}%}}", template)


PLAIN = without_marks(MARKED)
TEMPLATES = {"marked": MARKED, "plain": PLAIN}
HELLO: Chat = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "naïve <&> 🙂"}}}
CHATS: dict[str, Chat] = {
    "one turn": HELLO[1:3],
    "system": HELLO,
    "two turns": HELLO[1:],
    "unicode": [{"role": "user", "content": " é\u0301\u00a0🙂\r\n"}, {"role": "assistant", "content": "👩‍👩‍👧 \t日本"}],
    "nulls": [{**HELLO[1], "tool_calls": None}, {**HELLO[2], "name": None}],
    "reasoning": [HELLO[1], {**HELLO[2], "reasoning_content": "It is a greeting."}],
    "old reasoning": [HELLO[1], {**HELLO[2], "thinking": "A greeting.\n"}, *HELLO[3:]],
    "reasoning in content": [HELLO[1], {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nHello"}],
    "tools": [
        HELLO[1],
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "name": "look", "content": "seen"},
        HELLO[2],
    ],
}


def trained(template: str, chat: Any, roles: frozenset[str] = ASSISTANT, **special: str) -> list[str]:
    rendered = compile_template(template, special or SPECIAL).conversation(chat, roles)
    return [rendered.text[start:end] for start, end in rendered.spans]


def trl_templates(pattern: str) -> dict[str, str]:
    trl = pytest.importorskip("trl")
    paths = sorted(Path(trl.__file__).parent.glob(f"chat_templates/{pattern}"))
    return {path.stem: without_clock(path.read_text()) for path in paths}


def without_clock(template: str) -> str:
    """The date that a template asks for, written out: transformers tells it today's, we a fixed one."""
    return re.sub(r"strftime_now\((['\"].*?['\"])\)", lambda asked: repr(DATE.strftime(asked[1][1:-1])), template)


def by_transformers(template: str, chat: Chat, *, prompt: bool) -> Rendered | None:
    """Text and marked ranges; None where the template refuses the conversation."""
    library: Any = pytest.importorskip("transformers.utils.chat_template_utils")
    given = [{name: value for name, value in message.items() if value is not None} for message in chat]
    asked = {"add_generation_prompt": prompt, "return_assistant_tokens_mask": "endgeneration" in template}
    try:
        texts, ranges = library.render_jinja_template([given], chat_template=template, **asked, **SPECIAL)
    except Exception:  # noqa: BLE001  templates fail in any way they like
        return None
    return Rendered(texts[0], tuple((start, end) for start, end in (ranges[0] if ranges else ()) if start < end))


@pytest.mark.torch
@pytest.mark.parametrize("name", CHATS)
def test_text_is_what_transformers_renders_with_every_template_of_trl(name: str) -> None:
    compared = 0
    for template in trl_templates("*.jinja").values():
        expected = by_transformers(template, CHATS[name], prompt=True)
        compiled = compile_template(template, SPECIAL)
        if expected is None:
            with pytest.raises(RowError, match="is refused by the chat template"):
                compiled.prompt(CHATS[name])
        else:
            assert compiled.prompt(CHATS[name]) == expected.text
            compared += 1
    assert compared > 15


REFUSING: dict[str, set[str]] = {
    "system": {"gemma_training"},
    "tools": {
        "cohere2_training", "cohere_training", "deepseek_r1_distill_training", "deepseekv3_training", "gemma3_training",
        "gemma_training", "idefics3_training", "lfm2_training", "llama3_training", "phi3_5_training", "phi3_training",
        "qwen2_5_vl_training", "smolvlm_training",
    },
}  # fmt: skip
"""Training templates of TRL that refuse a conversation, or that leave calls out of it, which is refused by us."""
OF_IMAGES = {"idefics3_training", "llava_next_training", "smolvlm_training"}
"""Those that drop or refuse contents which are plain texts."""


@pytest.mark.torch
@pytest.mark.parametrize("name", CHATS)
def test_what_is_trained_is_what_transformers_finds_marked(name: str) -> None:
    templates, compared = trl_templates("*_training.jinja"), set()
    for of, template in templates.items():
        expected = by_transformers(template, CHATS[name], prompt=False)
        if expected is None:
            continue
        compiled = compile_template(template, SPECIAL)
        try:
            rendered = [compiled.conversation(CHATS[name], ASSISTANT) for _ in range(2)]  # the second one by a proof
        except RowError as error:
            assert "leaves out" in str(error)  # noqa: PT017  it may well render: idefics3 and smolvlm drop all text
            continue
        assert rendered == [expected, expected]
        compared.add(of)
    assert set(templates) - compared == OF_IMAGES | REFUSING.get(name, set())


MARKS_MORE = {"deepseek_r1_distill", "deepseekv3", "gptoss", "muse_glimmer", "qwen2_5"}
"""Training templates of TRL that also mark the header of a turn, or its line break, which a prompt holds already."""
PROMPTS_MORE = {"nemotron_3_5_lightning", "nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra"} | {
    "qwen3_5_nothink",
    "qwen3_5_think",
    "qwen3_6",
    "qwen3_8",
}
"""Those whose prompts begin or hold a thought already, which they mark nevertheless."""


@pytest.mark.torch
@pytest.mark.parametrize("chat", [HELLO, HELLO[1:], HELLO[1:3]], ids=["system", "two turns", "one turn"])
def test_templates_without_marks_train_the_same_text(chat: Chat) -> None:
    """But for white space behind the end of a turn, and what a prompt holds already."""
    compared = 0
    for name, template in trl_templates("*_training.jinja").items():
        try:
            marked = trained(template, chat)
        except RowError:
            continue
        plain = trained(without_marks(template), chat)
        if name.removesuffix("_training") in MARKS_MORE | PROMPTS_MORE:
            assert all(long.rstrip().endswith(short) for long, short in zip(marked, plain, strict=True)), name
        else:
            assert re.sub(r"\s+", "", "".join(marked)) == re.sub(r"\s+", "", "".join(plain)), name
        compared += 1
    assert compared > 15


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_an_answer_is_trained_to_the_end_of_its_turn(template: str) -> None:
    assert trained(template, HELLO) == ["Hello<|im_end|>", "See you<|im_end|>"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_other_roles_are_trained_with_their_headers(template: str) -> None:
    texts = trained(template, HELLO, frozenset({"assistant", "user"}))
    assert texts[:2] == ["<|im_start|>user\nHi<|im_end|>", "Hello<|im_end|>"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_message_may_say_itself_whether_it_is_trained(template: str) -> None:
    chat = [*HELLO[:2], {**HELLO[2], "train": False}, {**HELLO[3], "train": True}, HELLO[4]]
    assert trained(template, chat) == ["<|im_start|>user\nBye<|im_end|>", "See you<|im_end|>"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_an_empty_answer_trains_the_end_of_the_turn(template: str) -> None:
    assert trained(template, [HELLO[1], {"role": "assistant", "content": ""}]) == ["<|im_end|>"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_conversation_may_begin_with_an_answer(template: str) -> None:
    assert trained(template, HELLO[2:]) == ["Hello<|im_end|>", "See you<|im_end|>"]


def test_a_prompt_ends_where_the_answer_begins() -> None:
    compiled = compile_template(PLAIN, {})
    prompt = compiled.prompt(HELLO[:2])
    whole = compiled.conversation(HELLO[:3], ASSISTANT)
    assert whole.text.startswith(prompt)
    assert whole.spans[0][0] == len(prompt)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
AWKWARD = [
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "🙂",
    "👩‍👩‍👧",
    "e\u0301",
    "\u2028",
    "\n\n",
    " ",
    "{{ x }}",
    "a",
    "\x00",
    "\x1f",
]
contents = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=5), max_size=4).map("".join)
roles = st.sampled_from(["system", "user", "assistant", "tool"])
chats = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), max_size=6)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@unhurried
@given(chat=chats)
def test_exactly_the_answers_are_trained_whatever_they_say(template: str, chat: Chat) -> None:
    answers = [message["content"] + "<|im_end|>" for message in chat if message["role"] == "assistant"]
    if answers:
        assert trained(template, chat) == answers
    else:
        with pytest.raises(RowError, match="yields no trained token"):
            trained(template, chat)


@unhurried
@given(chat=chats, marked=st.booleans())
def test_ranges_are_in_order_and_hold_text(chat: Chat, marked: bool) -> None:  # noqa: FBT001  drawn by name
    compiled = compile_template(MARKED if marked else PLAIN, {})
    try:
        rendered = compiled.conversation(chat, frozenset({"assistant", "user", "tool"}))
    except RowError:
        assert {message["role"] for message in chat} <= {"system"}
        return
    edges = [edge for span in rendered.spans for edge in span]
    assert edges == sorted(edges)
    assert all(start < end for start, end in rendered.spans)


THINKING = """\
{%- set last = namespace(user=-1) -%}
{%- for one in messages -%}{%- if one.role == "user" -%}{%- set last.user = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for message in messages -%}
{%- set content = message.content.split('</think>')[-1] if loop.index0 < last.user else message.content -%}
{{- '<|im_start|>' + message.role + '\n' -}}
{%- if message.role == 'assistant' and loop.index0 > last.user and '</think>' not in content -%}
{{- '<think>\n\n</think>\n\n' -}}
{%- endif -%}
{{- content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""


def test_answers_written_differently_once_a_question_follows_are_found() -> None:
    assert trained(THINKING, HELLO) == ["Hello<|im_end|>", "<think>\n\n</think>\n\nSee you<|im_end|>"]


def test_reasoning_that_the_template_would_drop_is_an_error() -> None:
    chat = [HELLO[1], {"role": "assistant", "content": "<think>Hm</think>Hello"}, *HELLO[3:]]
    with pytest.raises(RowError, match=r"cannot be masked: .* message 2 .* leaves some of it out.*`train`"):
        trained(THINKING, chat)
    assert trained(THINKING, [chat[0], {**chat[1], "train": False}, *chat[2:]])[0].endswith("See you<|im_end|>")
    assert trained(THINKING, chat[:2]) == ["<think>Hm</think>Hello<|im_end|>"]


def test_a_last_answer_may_be_closed_by_another_token() -> None:
    """As gpt-oss does it."""
    template = """\
{%- for message in messages -%}
{%- set last = loop.last and not add_generation_prompt and message.role == 'assistant' -%}
{{- '<|start|>' + message.role + '<|message|>' + message.content + ('<|return|>' if last else '<|end|>') -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start|>assistant' -}}{%- endif -%}"""
    assert trained(template, HELLO) == ["<|message|>Hello<|end|>", "<|message|>See you<|return|>"]


@pytest.mark.parametrize("marked", [True, False])
def test_a_conversation_may_be_closed_by_one_more_token(*, marked: bool) -> None:
    """As Phi-3 does it."""
    closing = "{% generation %}{{ eos_token }}{% endgeneration %}"
    marks = MARKED.replace("{%- if add_generation_prompt", "{%- if not add_generation_prompt -%}" + closing)
    template = marks.replace(closing + " -%}", closing + "{%- else -%}")
    if not marked:
        template = without_marks(template)
    texts = trained(template, [*HELLO[:2], {**HELLO[2], "content": "Hello there"}, *HELLO[3:]])
    assert texts[0] == "Hello there<|im_end|>"
    assert "".join(texts[1:]).replace("\n", "") == "See you<|im_end|></s>"


def test_white_space_that_ends_a_turn_is_trained() -> None:
    template = "{% for one in messages %}{{ one.role }}: {{ one.content }}\n\n{% endfor %}"
    template += "{% if add_generation_prompt %}assistant: {% endif %}"
    assert trained(template, HELLO) == ["Hello\n\n", "See you\n\n"]


def test_spaces_that_the_template_trims_are_not_missed() -> None:
    template = MARKED.replace("message['content']", "message['content'] | trim")
    chat = [HELLO[1], {"role": "assistant", "content": "  Hello \n"}]
    assert trained(template, chat) == trained(without_marks(template), chat) == ["Hello<|im_end|>"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_that_leaves_an_answer_out_is_an_error(template: str) -> None:
    silent = template.replace("message['content']", "''")
    with pytest.raises(RowError, match=r"yields no trained token for message 3 \(assistant\)"):
        trained(silent, HELLO)


@pytest.mark.parametrize(
    "template",
    [
        "{% for one in messages %}{{ one.content }};{% endfor %}{{ messages[0].content }}{{ messages | length }}",
        "{{ messages | length }}{% for one in messages %}{{ one.content }};{{ one.content }};{% endfor %}",
        "{% for one in messages | reverse %}{{ one.role }}: {{ one.content }}\n{% endfor %}",
        "{% for one in messages[-1:] %}{{ one.content }}{% endfor %}",
        "{% for one in messages %}{{ '' if loop.last else one.content }};{% endfor %}",
    ],
    ids=["counts", "twice", "backwards", "forgets", "hides"],
)
def test_what_cannot_be_told_apart_is_an_error(template: str) -> None:
    with pytest.raises(RowError, match="cannot be masked"):
        trained(template, HELLO[1:], frozenset({"user", "assistant"}))


NEEDS_A_QUESTION = "{{- raise_exception('ask first') if messages[0]['role'] != 'user' -}}"


def test_a_template_that_refuses_a_part_of_a_conversation_may_still_take_the_whole() -> None:
    greedy = PLAIN.replace("'<|im_end|>'", "('<|im_end|>' if loop.last else '<|end|>')")
    assert trained("{{- messages[0]['role'] | length -}}" + PLAIN, HELLO[2:])[0] == "Hello<|im_end|>"
    with pytest.raises(RowError, match="cannot be masked"):
        trained("{{- messages[0]['role'] | length -}}" + greedy, HELLO[2:])


def test_parts_of_consecutive_answers_are_told_apart() -> None:
    template = NEEDS_A_QUESTION + MARKED.replace(
        "{%- generation -%}", "{% generation %}>{% endgeneration %}{% generation %}"
    )
    chat = [HELLO[1], {**HELLO[2], "train": False}, HELLO[4]]
    assert trained(template, chat) == [">", "See you<|im_end|>"]


def test_marks_whose_place_cannot_be_known_are_an_error() -> None:
    marked = "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    captured = MARKED.replace(marked, "{%- set said -%}so: " + marked + "{%- endset -%}{{- said -}}")
    with pytest.raises(RowError, match="yields no trained token for message 3"):
        trained(captured, HELLO)


def test_marks_may_come_in_several_parts() -> None:
    part = "{%- generation -%}{{- message['content'] -}}{%- endgeneration -%}"
    template = MARKED.replace("{%- generation -%}{{- message", part + "{{- ';' -}}{%- generation -%}{{- message")
    texts = trained(template, [*HELLO[:2], {**HELLO[2], "train": False}, *HELLO[3:]])
    assert texts == ["See you", "See you<|im_end|>"]


@pytest.mark.parametrize(
    ("messages", "wrong"),
    [
        ("Hi", "has no list of messages but a str"),
        ([], "yields no trained token: it has no message of a role to train (assistant)"),
        (["Hi"], "has a broken message 1: it is no object with `role` and `content` but a str"),
        ([HELLO[1], {"content": "Hello"}], "has a broken message 2: its `role` is missing or no text"),
        ([{"role": 3, "content": "Hello"}], "has a broken message 1: its `role` is missing or no text"),
        ([HELLO[1], {"role": "assistant"}], "has a broken message 2: its `content` is missing or no text"),
        ([{"role": "user", "content": ["Hi"]}], "has a broken message 1: its `content` is missing or no text"),
        ([{**HELLO[2], "train": "no"}], "has a broken message 1: its `train` is neither true nor false"),
        (HELLO[:2], "yields no trained token: it has no message of a role to train (assistant)"),
        (
            [{**HELLO[2], "train": False}],
            "none of its messages of a role to train (assistant) is to be trained: each says `train` false",
        ),
    ],
)
def test_what_is_wrong_with_messages_is_said(messages: Any, wrong: str) -> None:
    with pytest.raises(RowError, match=re.escape(wrong)):
        trained(MARKED, messages)


def test_a_template_says_why_it_refuses() -> None:
    with pytest.raises(RowError, match="is refused by the chat template: no system messages"):
        compile_template("{{ raise_exception('no system messages') }}", {}).prompt(HELLO)


def test_a_broken_template_is_a_problem_with_its_line() -> None:
    with pytest.raises(ProblemError, match=r"Broken chat template: .* in line 2 of the template\."):
        compile_template("{% for message in messages %}\n{% endif %}", {})


def test_a_template_cannot_leave_the_sandbox() -> None:
    said = r"^is refused by the chat template: access to attribute '__class__' of 'list' object is unsafe$"
    with pytest.raises(RowError, match=said):
        compile_template("{{ messages.__class__.__mro__ }}", {}).prompt(HELLO)
    with pytest.raises(RowError, match="is refused by the chat template"):
        compile_template("{{ messages.append(1) }}", {}).prompt(HELLO)


def test_templates_have_the_functions_and_filters_of_transformers() -> None:
    template = (
        "{% for one in messages %}{% if loop.index0 %}{% break %}{% endif %}{{ one | tojson(indent=1) }}{% endfor %}"
    )
    assert compile_template(template, {}).prompt([{"role": "user", "content": "<é>"}, HELLO[2]]) == (
        '{\n "role": "user",\n "content": "<é>"\n}'
    )
    assert compile_template("{{ bos_token }}{{ strftime_now('%Y') }}", SPECIAL).prompt(HELLO) == "<s>2024"


def test_control_tokens_in_any_text_of_a_message_are_an_error() -> None:
    tokens = ("<|im_end|>", "<|im_start|>")
    check_content(HELLO, tokens)
    check_content([{"role": "user", "content": "<|im_end"}, {"role": "user", "content": "|>"}], tokens)
    for sly in ({"content": "a<|im_end|>"}, {"tool_calls": [{"function": {"arguments": {"<|im_end|>": 1}}}]}):
        with pytest.raises(RowError, match=r"control token <\|im_end\|> in the text of message 2; remove it"):
            check_content([HELLO[1], {**HELLO[2], **sly}], tokens)


def test_special_tokens_are_found_in_order_and_the_longest_first() -> None:
    assert special_tokens_in("a</s><s><s>>", ("<s>", "</s>", "<s>>")) == ("</s>", "<s>", "<s>>")
    assert special_tokens_in("anything", ()) == ()
    assert special_tokens_in("anything", ("",)) == ()


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
WITH_TOOLS = "{% for tool in tools or [] %}{{ tool.function.name }}(){% endfor %}" + PLAIN.replace(
    "message['content'] +", "(message['content'] or message.tool_calls[0].function | tojson) +"
)


def test_tools_are_given_to_the_template() -> None:
    compiled = compile_template(WITH_TOOLS, SPECIAL)
    assert compiled.conversation(HELLO, ASSISTANT, TOOLS).text.startswith("look()<|im_start|>")
    assert compiled.conversation(HELLO, ASSISTANT, ()) == compiled.conversation(HELLO, ASSISTANT)
    assert compiled.prompt(HELLO[:2], TOOLS) == "look()" + compiled.prompt(HELLO[:2])


def test_tools_that_the_template_leaves_out_are_an_error() -> None:
    with pytest.raises(RowError, match="lists the tool look, which the chat template leaves out"):
        compile_template(PLAIN, SPECIAL).conversation(HELLO, ASSISTANT, TOOLS)


@pytest.mark.parametrize(
    ("tools", "wrong"),
    [
        ({"look": 1}, "has no list of tools but a dict"),
        (["look"], "has a broken tool 1: it is no function with a `name`"),
        ([*TOOLS, {"function": {}}], "has a broken tool 2: it is no function with a `name`"),
    ],
)
def test_what_is_wrong_with_tools_is_said(tools: Any, wrong: str) -> None:
    with pytest.raises(RowError, match=re.escape(wrong)):
        compile_template(WITH_TOOLS, SPECIAL).conversation(HELLO, ASSISTANT, tools)


def test_calls_that_the_template_leaves_out_are_an_error() -> None:
    silent = PLAIN.replace("message['content'] +", "(message['content'] or '') +")
    chat = [HELLO[1], {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    assert trained(WITH_TOOLS, chat) == ['{"name": "look", "arguments": {"at": "naïve <&> 🙂"}}<|im_end|>']
    with pytest.raises(RowError, match="the template leaves out its call of look; use another template"):
        trained(silent, chat)


def test_arguments_that_the_template_would_quote_are_an_error() -> None:
    """OpenAI gives arguments as a text, which templates that expect an object write as a string in a string."""
    arguments = json.dumps(CALL["function"]["arguments"])  # type: ignore[index]  # a plain dictionary
    chat = [HELLO[1], {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": arguments}}]}]
    with pytest.raises(RowError, match="leaves out the arguments of look as they stand, a string and no object"):
        trained(WITH_TOOLS, chat)


@pytest.mark.parametrize("calls", ["look", [{"function": {}}], [{"function": "look"}], ["look"]])
def test_calls_that_are_none_are_an_error(calls: Any) -> None:
    with pytest.raises(RowError, match="its `tool_calls` are no list of functions with a `name`"):
        trained(WITH_TOOLS, [HELLO[1], {"role": "assistant", "content": "", "tool_calls": calls}])


def test_control_tokens_in_a_tool_are_an_error() -> None:
    with pytest.raises(RowError, match=r"control token <\|im_end\|> in the text of a tool; remove it"):
        check_content(HELLO, ["<|im_end|>"], [{"name": "look<|im_end|>"}])
