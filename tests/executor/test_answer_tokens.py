"""Prompts with answers become the columns that TRL's trainers make of them, and read without preparing them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from executor.data.chat_messages import Message, RowError
from executor.data.examples import Judged, Preference, Prompt, Steps, Turns
from executor.tokens import answer_tokens
from executor.tokens.answer_tokens import prompt_columns
from executor.tokens.documents import Formatter, FormatterSettings
from executor.tokens.encoding import Encoded
from executor.tokens.row_layout import BETTER, PROMPT, WORSE
from state.canonical import Plain

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '</s>\n' -}}"
    "{%- endfor -%}{%- if tools -%}{{- tools | tojson -}}{%- endif -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
CORPUS = ["What is one and one? Two. I do not know, really. Hello there!"] * 5
TOOLS: tuple[Mapping[str, Plain], ...] = ({"type": "function", "function": {"name": "add", "description": "adds"}},)


def said(role: str, content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},)


ASKED, TWO, UNSURE = said("user", "What is one and one?"), said("assistant", "Two."), said("assistant", "I do not know")
PAIRS = {
    "conversational": Preference(ASKED, TWO, UNSURE),
    "with tools": Preference(ASKED, TWO, UNSURE, TOOLS),
    "plain": Preference("What is one and one?", " Two.", " I do not know"),
    "a word goes on behind the prompt": Preference("What is one and o", "ne? Two.", "ther"),
    "ended": Preference("One?", " Two.</s>", " No"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that puts a beginning before plain texts."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    made.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    there: Path = tmp_path_factory.mktemp("tokenizer")
    made.save(str(there / "tokenizer.json"))
    special = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (there / "tokenizer_config.json").write_text(json.dumps(special))
    return there


@pytest.fixture(scope="module")
def formatter(folder: Path) -> Formatter:
    return FormatterSettings(folder, TEMPLATE, ("assistant",), "turn", with_prompts=False).formatter()


def plain(turns: Turns) -> Any:
    return turns if isinstance(turns, str) else [dict(one) for one in turns]


def labelled(encoded: Encoded, label: int) -> list[int]:
    """The ids of one part of a row."""
    return [one for one, own in zip(encoded.ids, encoded.labels, strict=True) if own == label]


def pair(formatter: Formatter, example: Preference) -> dict[str, list[int]]:
    """A pair in the columns of TRL."""
    encoded = answer_tokens.pair(formatter, example, formatter.control_tokens)
    names = {"prompt_ids": PROMPT, "chosen_ids": BETTER, "rejected_ids": WORSE}
    return {name: labelled(encoded, label) for name, label in names.items()}


def prepared(folder: Path, method: str, row: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """What a trainer of TRL makes of a row; only its preparation runs."""
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("trl")
    from transformers import AutoTokenizer
    from trl.trainer import dpo_trainer, kto_trainer, reward_trainer

    trainer_class: Any = {
        "dpo": dpo_trainer.DPOTrainer,
        "kto": kto_trainer.KTOTrainer,
        "reward": reward_trainer.RewardTrainer,
    }[method]
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    trainer: Any = object.__new__(trainer_class)
    trainer._tokenizer = tokenizer
    trainer.calculate_KL = False
    trainer.desirable_weight = trainer.undesirable_weight = 1.0

    class Arguments:
        dataset_num_proc = None
        max_length = None
        truncation_mode = "keep_start"

    rows = trainer._prepare_dataset(datasets.Dataset.from_list([row]), tokenizer, Arguments(), "train")
    first: dict[str, Any] = rows[0]
    return {name: first[name] for name in wanted}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("one", PAIRS.values(), ids=PAIRS)
def test_pairs_are_the_columns_of_trl(formatter: Formatter, folder: Path, one: Preference) -> None:
    row = {"prompt": plain(one.prompt), "chosen": plain(one.chosen), "rejected": plain(one.rejected)}
    row |= {} if one.tools is None else {"tools": json.dumps(one.tools)}
    ours = pair(formatter, one)
    assert ours == prepared(folder, "dpo", row, list(ours))
    whole = {name: ours["prompt_ids"] + ours[name] for name in ("chosen_ids", "rejected_ids")}
    assert whole == prepared(folder, "reward", row, list(whole))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("one", PAIRS.values(), ids=PAIRS)
def test_judged_answers_are_the_columns_of_trl(
    formatter: Formatter, folder: Path, one: Preference, *, good: bool
) -> None:
    row = {"prompt": plain(one.prompt), "completion": plain(one.chosen), "label": good}
    row |= {} if one.tools is None else {"tools": json.dumps(one.tools)}
    example = Judged(one.prompt, one.chosen, label=good, tools=one.tools)
    encoded = answer_tokens.judged(formatter, example, formatter.control_tokens)
    ours = {
        "prompt_ids": labelled(encoded, PROMPT),
        "completion_ids": labelled(encoded, BETTER if good else WORSE),
        "label": BETTER in encoded.labels,
    }
    assert ours == prepared(folder, "kto", row, list(ours))


def test_a_pair_written_out(formatter: Formatter) -> None:
    columns = pair(formatter, PAIRS["conversational"])
    decoded = {name: formatter.tokenizer.decode(ids, skip_special_tokens=False) for name, ids in columns.items()}
    assert decoded == {
        "prompt_ids": "<|im_start|>user\nWhat is one and one?</s>\n<|im_start|>assistant\n",
        "chosen_ids": "Two.</s>\n",
        "rejected_ids": "I do not know</s>\n",
    }


def test_a_prompt_stays_as_it_is_beside_the_columns_for_rewards() -> None:
    assert prompt_columns(Prompt("One?", {"answer": 1})) == {"answer": 1, "prompt": "One?"}
    assert prompt_columns(Prompt(ASKED, {}, TOOLS)) == {"prompt": [dict(ASKED[0])], "tools": [dict(TOOLS[0])]}


def test_steps_are_judged_at_their_last_token(formatter: Formatter) -> None:
    example = Steps("One and one?", ("One.", "Two."), (False, True))
    encoded = answer_tokens.steps(formatter, example, formatter.control_tokens)
    assert formatter.tokenizer.decode(encoded.ids, skip_special_tokens=False) == "<s>One and one?One.\nTwo.\n"
    judged = [(at, label) for at, label in enumerate(encoded.labels) if label != PROMPT]
    ends = [at for at, token in enumerate(encoded.ids) if formatter.tokenizer.decode([token]) == "\n"]
    assert judged == list(zip(ends, [0, 1], strict=True))


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (Preference("One?", " Two.", " Two.</s>"), "prefers an answer to one that has the same tokens"),
        (Preference(ASKED, said("assistant", "a <|im_end|>"), UNSURE), "has the control token <|im_end|>"),
        (Preference(ASKED, (), UNSURE), "has an answer without any token of its own"),
    ],
    ids=["the same", "a control token", "nothing"],
)
def test_pairs_that_teach_nothing_are_told(formatter: Formatter, one: Preference, reason: str) -> None:
    with pytest.raises(RowError, match=reason.replace("|", r"\|")):
        pair(formatter, one)
