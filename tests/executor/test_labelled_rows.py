"""Rows of every format on their whole way, from what a file says to labelled tokens, compared with labels by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from executor import formats
from executor.data.dataset_fields import Dataset
from executor.data.rows import Row
from executor.formats.alpaca import SYSTEM, SYSTEM_WITH_INPUT
from executor.templates import built_in
from executor.tokens.decoding import parts
from executor.tokens.documents import Document, Formatter, FormatterSettings
from executor.tokens.row_layout import LEARNT_FROM, RowLayout
from state.diagnostic import Place

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer that has a token for each byte, and puts a beginning before plain texts."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({one: at for at, one in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    beginning = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=beginning)
    there: Path = tmp_path_factory.mktemp("tokenizer")
    made.save(str(there / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    (there / "tokenizer_config.json").write_text(json.dumps(special))
    return there


def layout_of(type_: str) -> RowLayout:
    """The layout of the methods that learn from such rows."""
    return next(layout for layout, examples in LEARNT_FROM.items() if formats.yields(type_, examples))


def labelled(tokenizer: Path, dataset: Dataset, row: dict[str, Any]) -> str:
    """The row as its tokens say it, with what is trained between brackets, after the name of its answer."""
    layout = layout_of(dataset.type)
    template = built_in()["chatml"].text
    formatter: Formatter = FormatterSettings(
        tokenizer, template, ("assistant",), "turn", with_prompts=False, layout=layout
    ).formatter()
    (document,) = formatter.documents(dataset, iter([Row(Place("rows.jsonl", 1), row)]))
    assert isinstance(document, Document), document
    text, within = "", ""
    for part in parts(formatter.tokenizer, document.encoded, 10_000, layout):
        name = f"{part.answer}:" if part.answer else ""
        now = f"⟦{name}" if part.trained else ""
        text += ("⟧" if within and now != within else "") + (now if now != within else "") + part.text
        within = now
    return text + ("⟧" if within else "")


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


ASKED, CUE = "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|>assistant\n"
HELLO = f"{ASKED}{CUE}⟦Hello<|im_end|>⟧\n"
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("chat_template", {}, {"messages": [user("Hi"), assistant("Hello")]}, HELLO),
    (
        "chat_template", {},
        {"system": "Be kind.", "messages": [user("Hi"), assistant("Hello")]},
        f"<|im_start|>system\nBe kind.<|im_end|>\n{HELLO}",
    ),
    (
        "chat_template", {},
        {"messages": [user("Hi", train=True), assistant("No", train=False), user("Hi"), assistant("Hello")]},
        f"⟦{ASKED[:-1]}⟧\n{CUE}No<|im_end|>\n{HELLO}",
    ),
    (
        "chat_template", {},
        {"prompt": [user("Hi"), assistant("Oh"), user("Hi")], "completion": [assistant("Hello")]},
        f"{ASKED}{CUE}Oh<|im_end|>\n{HELLO}",
    ),
    (
        "chat_template",
        {
            "field_messages": "talk",
            "message_property_mappings": {"role": "who", "content": "says"},
            "roles": {"user": ["guest"], "assistant": ["host"]},
            "message_field_training": "learn",
        },
        {"talk": [
            {"who": "guest", "says": "Hi"}, {"who": "host", "says": "No", "learn": 0},
            {"who": "guest", "says": "Hi"}, {"who": "host", "says": "Hello", "learn": 1},
        ]},
        f"{ASKED}{CUE}No<|im_end|>\n{HELLO}",
    ),
    ("sharegpt", {}, {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, HELLO),
    (
        "sharegpt", {},
        {"conversations": [
            {"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
        ]},
        f"<|im_start|>system\nBe kind.<|im_end|>\n{HELLO}",
    ),
    (
        "alpaca", {}, {"instruction": "Add", "input": "1, 2", "output": "3"},
        f"<s>{SYSTEM_WITH_INPUT}\n\n### Instruction:\nAdd\n\n### Input:\n1, 2\n\n### Response:\n⟦3</s>⟧",
    ),
    (
        "alpaca", {}, {"instruction": "Greet", "input": "", "output": "Hi"},
        f"<s>{SYSTEM}\n\n### Instruction:\nGreet\n\n### Response:\n⟦Hi</s>⟧",
    ),
    (
        "alpaca", {"format": "Q: {instruction} {input}\nA: ", "no_input_format": "Q: {instruction}\nA: "},
        {"instruction": "Greet", "output": "Hi"}, "<s>Q: Greet\nA: ⟦Hi</s>⟧",
    ),
    (
        "alpaca", {"prompt_style": "chat_template"}, {"instruction": "Hi", "output": "Hello"}, HELLO,
    ),
    ("completion", {}, {"text": "Hello"}, "⟦<s>Hello</s>⟧"),
    ("pretrain", {}, {"text": "Hello"}, "⟦<s>Hello</s>⟧"),
    (
        "input_output", {},
        {"segments": [
            {"label": False, "text": "<s>Hi "}, {"label": True, "text": "Hello"}, {"label": False, "text": "\n"},
            {"label": True, "text": "Bye</s>"},
        ]},
        "<s>Hi ⟦Hello⟧\n⟦Bye</s>⟧",
    ),
    ("input_output", {}, {"prompt": "Hi ", "completion": "Hello"}, "<s>Hi ⟦Hello</s>⟧"),
    ("tokenized", {}, {"input_ids": [39, 72, 0], "labels": [-100, 72, -100], "attention_mask": [1, 1, 0]}, "H⟦i⟧"),
    (
        "preference", {}, {"prompt": "Hi ", "chosen": "Hello", "rejected": "No"},
        "<s>Hi ⟦chosen:Hello</s>⟧⟦rejected:No</s>⟧",
    ),
    (
        "preference", {}, {"chosen": [user("Hi"), assistant("Hello")], "rejected": [user("Hi"), assistant("No")]},
        f"{ASKED}{CUE}⟦chosen:Hello<|im_end|>\n⟧⟦rejected:No<|im_end|>\n⟧",
    ),
    ("kto", {}, {"prompt": "Hi ", "completion": "Hello", "label": True}, "<s>Hi ⟦good:Hello</s>⟧"),
    (
        "kto", {}, {"prompt": [user("Hi")], "completion": [assistant("No")], "label": False},
        f"{ASKED}{CUE}⟦bad:No<|im_end|>\n⟧",
    ),
    ("prompt", {}, {"prompt": [user("Hi")], "answer": "4"}, f"{ASKED}{CUE}"),
    ("prompt", {}, {"prompt": "Hi"}, "<s>Hi"),
    (
        "stepwise", {}, {"prompt": "2+2*2?", "completions": ["2*2=4", "4+2=7"], "labels": [True, False]},
        "<s>2+2*2?2*2=4⟦right:\n⟧4+2=7⟦wrong:\n⟧",
    ),
]  # fmt: skip
"""Of each: the type, other fields of the dataset, a row, and the text of its tokens."""


def test_every_format_is_labelled_by_hand() -> None:
    assert {type_ for type_, *_ in CASES} == set(formats.load())


@pytest.mark.parametrize(("type_", "fields", "row", "text"), CASES, ids=[one[0] for one in CASES])
def test_tokens_are_labelled_as_by_hand(
    tokenizer: Path, type_: str, fields: dict[str, Any], row: dict[str, Any], text: str
) -> None:
    assert labelled(tokenizer, Dataset(source="rows.jsonl", type=type_, **fields), row) == text
