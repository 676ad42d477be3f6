"""Rows of every format to examples, as they are written in the wild; and the sentences for those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from executor import formats
from executor.data.chat_messages import RowError
from executor.data.dataset_fields import Dataset
from executor.data.examples import (
    Conversation,
    Example,
    Judged,
    Preference,
    Prompt,
    Segments,
    Steps,
    Text,
    Tokenized,
)


def example(type_: str, values: dict[str, Any], **fields: Any) -> Example:
    return formats.load()[type_].example(values, Dataset(source="x", type=type_, **fields))


def refusal(type_: str, values: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(RowError) as refused:
        example(type_, values, **fields)
    return str(refused.value)


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ASKED, ANSWERED = said("user", "hi"), said("assistant", "ho")


def test_chats_are_read_under_the_usual_names() -> None:
    assert example("chat_template", {"messages": [ASKED, ANSWERED], "id": 7}) == Conversation((ASKED, ANSWERED))


def test_chats_are_read_under_any_names() -> None:
    row = {"talk": [{"who": "customer", "text": "hi", "lang": "en"}, {"who": "bot", "text": "ho"}]}
    fields = {
        "field_messages": "talk",
        "message_property_mappings": {"role": "who", "content": "text"},
        "roles": {"user": ["customer"], "assistant": ["bot", "agent"]},
    }
    assert example("chat_template", row, **fields) == Conversation((said("user", "hi", lang="en"), ANSWERED))


@pytest.mark.parametrize(
    "flag", [{"train": False}, {"training": False}, {"weight": 0}, {"weight": 0.0}, {"loss": False}]
)
def test_a_message_may_say_whether_it_is_trained(flag: dict[str, Any]) -> None:
    row = {"messages": [ASKED, {**ANSWERED, **flag}]}
    assert example("chat_template", row) == Conversation((ASKED, said("assistant", "ho", train=False)))


def test_a_named_flag_is_the_only_one_that_counts() -> None:
    row = {"messages": [ASKED, {**ANSWERED, "learn": True, "weight": 0}]}
    expected = Conversation((ASKED, said("assistant", "ho", weight=0, train=True)))
    assert example("chat_template", row, message_field_training="learn") == expected


def test_flags_that_are_null_say_nothing() -> None:
    assert example("chat_template", {"messages": [{**ASKED, "train": None}]}) == Conversation((ASKED,))


def test_system_prompts_and_tools_come_from_their_fields() -> None:
    tool: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
    row = {"messages": [ASKED, ANSWERED], "system": "be kind", "tools": [tool]}
    expected = Conversation((said("system", "be kind"), ASKED, ANSWERED), (tool,))
    assert example("chat_template", row) == expected
    assert example("chat_template", {**row, "tools": '[{"type": "function", "function": '
                   '{"name": "f", "parameters": {}}}]'}) == expected  # fmt: skip


def test_a_system_prompt_in_the_messages_goes_before_that_of_the_row() -> None:
    own = said("system", "be brief")
    assert example("chat_template", {"messages": [own, ASKED], "system": "be kind"}) == Conversation((own, ASKED))


def test_calls_have_arguments_that_templates_can_read() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}
    read = {"type": "function", "function": {"name": "f", "arguments": {"a": [1]}}}
    row = {"messages": [ASKED, said("assistant", None, tool_calls=[call])]}
    assert example("chat_template", row) == Conversation((ASKED, said("assistant", None, tool_calls=[read])))


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "o"}]
    row = {"messages": [ASKED, {"role": "assistant", "content": parts}]}
    assert example("chat_template", row) == Conversation((ASKED, ANSWERED))


def test_messages_may_be_written_as_text() -> None:
    row = {"messages": '[{"role": "user", "content": "hi"}]'}
    assert example("chat_template", row) == Conversation((ASKED,))


def test_messages_as_text_that_nothing_could_encode_are_none() -> None:
    half = '[{"role": "user", "content": "\\ud800"}]'
    assert refusal("chat_template", {"messages": half}) == "has no list of messages in the field `messages`"
    assert formats.load()["chat_template"].recognises({"messages": half}) is None
    whole = half.replace("ud800", "ud83d\\ude00")
    assert example("chat_template", {"messages": whole}) == Conversation((said("user", "😀"),))


def test_lists_of_objects_may_be_kept_as_an_object_of_lists() -> None:
    chat: dict[str, Any] = {"role": ["user", "assistant"], "content": ["hi", "ho"], "train": [None, False]}
    assert example("chat_template", {"messages": chat}) == Conversation((ASKED, said("assistant", "ho", train=False)))
    talk = {"from": ["human", "gpt"], "value": ["hi", "ho"]}
    assert example("sharegpt", {"conversations": talk}) == Conversation((ASKED, ANSWERED))
    assert example("input_output", {"segments": {"label": [True], "text": ["a"]}}) == Segments((("a", True),))
    recognised = formats.load()["chat_template"].recognises({"messages": chat})
    assert recognised == {"field_messages": "messages"}
    torn = {"messages": {**chat, "content": ["hi"]}}
    assert refusal("chat_template", torn) == "has lists of different lengths in the field `messages`"


def test_of_a_conversational_prompt_nothing_is_trained() -> None:
    expected = Conversation((said("user", "hi", train=False), ANSWERED))
    assert example("chat_template", {"prompt": [ASKED], "completion": [ANSWERED]}) == expected


def test_sharegpt_is_read_with_the_roles_of_its_kind() -> None:
    row = {
        "conversations": [
            {"from": "system", "value": "s"},
            {"from": "human", "value": "hi"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "ho", "weight": 1},
        ],
        "tools": "",
    }
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert example("sharegpt", row) == Conversation(
        (
            said("system", "s"),
            ASKED,
            said("assistant", "", tool_calls=[call]),
            said("tool", "3"),
            said("assistant", "ho", train=True),
        )
    )


def test_sharegpt_takes_other_roles_only_by_name() -> None:
    row = {"conversations": [{"from": "narrator", "value": "once"}]}
    assert refusal("sharegpt", row) == "has the unknown role 'narrator' in message 1; name it in `roles`"
    assert example("sharegpt", row, roles={"user": ["narrator"]}) == Conversation((said("user", "once"),))


ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd.\n\n### Response:\n"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n"
)


@pytest.mark.parametrize("without", [{}, {"input": ""}, {"input": None}])
def test_alpaca_is_written_as_stanford_wrote_it(without: dict[str, Any]) -> None:
    row = {"instruction": "Add.", "output": "3"}
    assert example("alpaca", {**row, **without}) == Segments(((ALPACA, False), ("3", True)), ended=True)
    with_input = example("alpaca", {**row, "input": "1 2"})
    assert with_input == Segments(((ALPACA_WITH_INPUT, False), ("3", True)), ended=True)


def test_alpaca_can_be_a_chat() -> None:
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "be kind"}
    chat = (said("system", "be kind"), said("user", "Add.\n1 2"), said("assistant", "3"))
    assert example("alpaca", row, prompt_style="chat_template") == Conversation(chat)


def test_alpaca_can_be_written_in_words_of_ones_own() -> None:
    row = {"question": "{input} of {x}?", "context": "C", "answer": "3"}
    fields = {"field_instruction": "question", "field_input": "context", "field_output": "answer"}
    own = {"format": "[{instruction}|{input}|{unknown}] ", "no_input_format": "[{instruction}] "}
    with_input = example("alpaca", row, **fields, **own)
    assert with_input == Segments((("[{input} of {x}?|C|{unknown}] ", False), ("3", True)), ended=True)
    without = example("alpaca", {**row, "context": ""}, **fields, **own)
    assert without == Segments((("[{input} of {x}?] ", False), ("3", True)), ended=True)


@pytest.mark.parametrize(("name", "part"), [("input", {"input": "1 2"}), ("system", {"system": "S"})])
def test_an_own_format_leaves_nothing_of_a_row_out(name: str, part: dict[str, str]) -> None:
    row = {"instruction": "Add.", "output": "3", **part}
    said = f"has a text for {{{name}}}, which the format of the recipe leaves out"
    assert refusal("alpaca", row, format="[{instruction}]") == said
    assert isinstance(example("alpaca", row, format=f"[{{instruction}}{{{name}}}]"), Segments)


def test_an_alpaca_system_prompt_stands_above() -> None:
    row = {"instruction": "Add.", "output": "3"}
    wanted = Segments((("S\n\n### Instruction:\nAdd.\n\n### Response:\n", False), ("3", True)), ended=True)
    assert example("alpaca", row, system_prompt="S") == wanted
    assert example("alpaca", {**row, "system": "S"}, system_prompt="T") == wanted


def test_texts_are_trained_whole() -> None:
    assert example("completion", {"text": "once"}) == Text("once")
    assert example("pretrain", {"body": "once"}, field="body") == Text("once")


def test_segments_are_taken_as_they_are() -> None:
    row = {
        "segments": [{"label": False, "text": "<s>Q"}, {"label": True, "text": "A</s>"}, {"label": True, "text": ""}]
    }
    assert example("input_output", row) == Segments((("<s>Q", False), ("A</s>", True), ("", True)))


def test_a_plain_prompt_and_completion_are_two_segments_with_an_end() -> None:
    wanted = Segments((("2+2=", False), ("4", True)), ended=True)
    assert example("input_output", {"prompt": "2+2=", "completion": "4"}) == wanted


OTHER = said("assistant", "hm")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "ho", "rejected": "hm"},
        {"question": "hi", "chosen": "ho", "rejected": "hm"},
        {"instruction": "hi", "chosen_response": "ho", "rejected_response": "hm"},
        {"input": "hi", "chosen": "ho", "rejected": "hm", "system": ""},
    ],
)
def test_plain_preferences_stay_plain(row: dict[str, Any]) -> None:
    assert example("preference", row) == Preference("hi", "ho", "hm")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER]},
        {"chosen": [ASKED, ANSWERED], "rejected": [ASKED, OTHER]},
        {"prompt": "hi", "chosen": [ASKED, ANSWERED], "rejected": [ASKED, OTHER]},
        {"prompt": "hi", "chosen": [ANSWERED], "rejected": [OTHER]},
        {"messages": [ASKED], "chosen": ANSWERED, "rejected": OTHER},
        {"prompt": [ASKED], "chosen": "ho", "rejected": "hm"},
    ],
)
def test_conversational_preferences_have_their_prompt_apart(row: dict[str, Any]) -> None:
    assert example("preference", row) == Preference((ASKED,), (ANSWERED,), (OTHER,))


def test_a_system_prompt_makes_a_preference_conversational() -> None:
    row = {"system": "be kind", "question": "hi", "chosen": "ho", "rejected": "hm"}
    assert example("preference", row) == Preference((said("system", "be kind"), ASKED), (ANSWERED,), (OTHER,))


@pytest.mark.torch
@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {"chosen": "Hi! Ho", "rejected": "Hi! Hm"},
        {"chosen": [ASKED, ANSWERED, ASKED, ANSWERED], "rejected": [ASKED, ANSWERED, ASKED, OTHER]},
        {"chosen": [ASKED, ANSWERED, ASKED], "rejected": [ASKED, OTHER]},
    ],
)
def test_shared_beginnings_are_cut_where_trl_cuts_them(row: dict[str, Any]) -> None:
    from trl.data_utils import extract_prompt

    theirs = extract_prompt(row)
    found = example("preference", row)
    assert isinstance(found, Preference)
    kept = {name: getattr(found, name) for name in ("prompt", "chosen", "rejected")}
    assert {name: one if isinstance(one, str) else list(one) for name, one in kept.items()} == theirs


@pytest.mark.parametrize(("label", "good"), [(True, True), (0, False), ("True", True), ("0", False)])
def test_judged_answers_are_read(label: object, good: bool) -> None:  # noqa: FBT001
    plain = {"prompt": "hi", "completion": "ho", "label": label}
    assert example("kto", plain) == Judged("hi", "ho", good)
    chat = {"prompt": [ASKED], "completion": [ANSWERED], "label": label}
    assert example("kto", chat) == Judged((ASKED,), (ANSWERED,), good)


@pytest.mark.parametrize(
    ("type_", "row", "fields", "name"),
    [
        ("preference", {"prompt": "a", "chosen": "bc", "rejected": "bd"}, {"field_prompt": "promt"}, "promt"),
        ("kto", {"question": "a", "completion": "b", "label": 1}, {"field_messages": "talk"}, "talk"),
        ("prompt", {"input": "a"}, {"field_messages": "talk"}, "talk"),
    ],
)
def test_nothing_stands_in_for_a_field_that_is_named(
    type_: str, row: dict[str, Any], fields: dict[str, str], name: str
) -> None:
    assert refusal(type_, row, **fields) == f"has nothing in the field `{name}`"


@pytest.mark.parametrize(
    ("type_", "row"),
    [
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}]}),
        ("chat_template", {"prompt": [ASKED], "completion": [ANSWERED]}),
    ],
)
def test_no_other_messages_stand_in_for_those_that_are_named(type_: str, row: dict[str, Any]) -> None:
    assert isinstance(example(type_, row), Conversation)
    assert refusal(type_, row, field_messages="talk") == "has no list of messages in the field `talk`"


def test_an_instruction_has_its_input_with_it() -> None:
    row = {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"}
    assert example("preference", row) == Preference("Add.\n1 2", "3", "4")
    assert example("preference", {**row, "input": ""}) == Preference("Add.", "3", "4")
    assert example("preference", row, field_prompt="instruction") == Preference("Add.", "3", "4")


def test_prompts_take_the_other_columns_along() -> None:
    assert example("prompt", {"prompt": "2+2?", "answer": 4}) == Prompt("2+2?", {"answer": 4})
    chat = {"prompt": [ASKED], "answer": "4", "tools": [{"name": "f"}], "system": "s"}
    assert example("prompt", chat) == Prompt((said("system", "s"), ASKED), {"answer": "4"}, ({"name": "f"},))


def test_a_prompt_that_looks_like_json_is_a_text_all_the_same() -> None:
    assert example("prompt", {"prompt": "[1, 2]"}) == Prompt("[1, 2]", {})


def test_steps_are_read() -> None:
    row = {"prompt": "a", "completions": ["b", "c"], "labels": [True, 0]}
    assert example("stepwise", row) == Steps("a", ("b", "c"), (True, False))


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"labels": [-100, 6, 7, -100]}, (-100, 6, 7)),
        ({}, (5, 6, 7)),
        ({"assistant_masks": [0, 1, 1, 0]}, (-100, 6, 7)),
        ({"assistant_masks": [1, 1, 1, 0], "completion_mask": [0, 1, 1, 0]}, (-100, 6, 7)),
    ],
)
def test_tokens_are_taken_without_their_padding(row: dict[str, Any], labels: tuple[int, ...]) -> None:
    made = example("tokenized", {"input_ids": [5, 6, 7, 0], "attention_mask": [1, 1, 1, 0], **row})
    assert made == Tokenized((5, 6, 7), labels)


REFUSALS = [
    ("chat_template", {"messages": []}, "has no list of messages in the field `messages`"),
    ("chat_template", {"messages": [{"role": "", "content": "a"}]}, "has no role in message 1"),
    (
        "chat_template",
        {"messages": [{"from": "user", "value": "a"}]},
        "has no `role` in message 1, but `from`, `value`; name the right one in `message_property_mappings`",
    ),
    ("chat_template", {"messages": [ASKED, {"role": "assistant"}]}, "has no text content in message 2"),
    (
        "chat_template",
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        "has a part of type 'image' in message 1; only text can be trained",
    ),
    ("chat_template", {"messages": [{**ASKED, "train": 2}]}, "has neither true nor false as `train` of message 1"),
    ("chat_template", {"messages": [ASKED], "tools": "f"}, "has no list of tools in the field `tools`"),
    (
        "chat_template",
        {"messages": [ASKED, {"role": "Asistant", "content": "ho"}]},
        "has the role 'Asistant' in message 2, which is nearly 'assistant'; name it in `roles`",
    ),
    ("chat_template", {"messages": [ASKED], "system": ["s"]}, "has a system prompt that is no text"),
    ("sharegpt", {}, "has no list of messages in the field `messages`"),
    ("alpaca", {"instruction": "a"}, "has no text in the field `output`"),
    ("completion", {"text": ""}, "has no text in the field `text`"),
    ("input_output", {"segments": [{"label": 1}]}, "has no `text` in segment 1"),
    ("input_output", {"segments": [{"text": "a"}]}, "has neither true nor false as `label` of segment 1"),
    (
        "input_output",
        {"segments": [{"text": "a", "label": False}]},
        "yields no trained token: no segment with a text has the label true",
    ),
    ("preference", {"prompt": "a", "chosen": "b"}, "has nothing in the field `rejected`"),
    ("preference", {"prompt": "a", "chosen": "b", "rejected": "b"}, "has the same answer as chosen and as rejected"),
    (
        "preference",
        {"chosen": "b", "rejected": "c"},
        "has no prompt: `chosen` and `rejected` share no beginning",
    ),
    (
        "preference",
        {"chosen": "ab", "rejected": "abc"},
        "has an empty answer: one of `chosen` and `rejected` is the beginning of the other",
    ),
    ("kto", {"completion": "b", "label": True}, "has nothing in the field `prompt`"),
    ("kto", {"prompt": "a", "completion": "b", "label": 2}, "has neither true nor false in the field `label`"),
    ("prompt", {"answer": "a"}, "has nothing in the field `prompt`"),
    (
        "prompt",
        {"messages": [ASKED, ANSWERED]},
        "has a prompt that ends with an answer already; only what comes before it is to be asked",
    ),
    ("stepwise", {"prompt": "a", "completions": ["b"], "labels": []}, "has 1 completions and 0 labels"),
    ("tokenized", {"input_ids": [1.5]}, "has no list of whole numbers in the field `input_ids`"),
    ("tokenized", {"input_ids": [1], "labels": []}, "has 1 token ids and 0 numbers in the field `labels`"),
    ("tokenized", {"input_ids": [1], "labels": [2]}, "has a label that is neither -100 nor the token's own id"),
    ("tokenized", {"input_ids": [1], "labels": [-100]}, "yields no trained token: every label is -100"),
]


@pytest.mark.parametrize(("type_", "row", "sentence"), REFUSALS)
def test_rows_that_are_none_are_told_in_a_sentence(type_: str, row: dict[str, Any], sentence: str) -> None:
    assert refusal(type_, row) == sentence


DETECTED: list[tuple[dict[str, Any], list[tuple[str, dict[str, str]]]]] = [
    ({"messages": [ASKED]}, [("chat_template", {"field_messages": "messages"})]),
    ({"conversations": [ASKED]}, [("chat_template", {"field_messages": "conversations"})]),
    ({"conversations": [{"from": "a", "value": "b"}]}, [("sharegpt", {"field_messages": "conversations"})]),
    ({"instruction": "a", "input": "", "output": "b", "text": "c"}, [("alpaca", {"field_output": "output"})]),
    (
        {"instruction": "a", "context": None, "response": "b"},
        [("alpaca", {"field_output": "response", "field_input": "context"})],
    ),
    ({"text": "a", "meta": {}}, [("completion", {"field": "text"})]),
    ({"segments": []}, [("input_output", {})]),
    ({"prompt": "a", "completion": "b"}, [("input_output", {})]),
    ({"prompt": [ASKED], "completion": [ANSWERED]}, [("chat_template", {"field_messages": "messages"})]),
    ({"prompt": "a", "completion": "b", "label": False}, [("kto", {})]),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, [("preference", {})]),
    ({"chosen": [ASKED], "rejected": [ASKED]}, [("preference", {})]),
    ({"prompt": "a", "answer": "b"}, [("prompt", {})]),
    ({"prompt": "a", "prompt_id": "b", "messages": [ASKED]}, [("chat_template", {"field_messages": "messages"})]),
    ({"prompt": "a", "completions": ["b"], "labels": [True]}, [("stepwise", {})]),
    ({"input_ids": [1], "labels": [1], "attention_mask": [1]}, [("tokenized", {})]),
    (
        {"prompt": "a", "messages": [ASKED], "chosen": [ASKED], "rejected": [ASKED]},
        [("chat_template", {"field_messages": "messages"}), ("preference", {})],
    ),
    ({"question": "a", "answer": "b"}, []),
]


@pytest.mark.parametrize(("row", "ways"), DETECTED)
def test_formats_recognise_their_own_rows_and_no_others(row: Any, ways: Any) -> None:
    told = ((name, form.recognises(row)) for name, form in formats.load().items())
    assert [(name, settings) for name, settings in told if settings is not None] == ways
