"""Prompts with answers become the columns that TRL's trainers make of them, and read without preparing them."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from executor.answer_tokens import (
    judged_columns,
    mismatched,
    preference_columns,
    prompt_columns,
    reward_columns,
    step_columns,
)
from executor.chat_messages import Message, RowError
from executor.documents import Formatter, FormatterSettings
from executor.examples import Judged, Preference, Prompt, Steps, Turns
from state.canonical import Plain

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

NO = -100
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


def lists(columns: dict[str, array[int]]) -> dict[str, list[int]]:
    return {name: ids.tolist() for name, ids in columns.items()}


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
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_pairs_are_the_columns_of_trl(formatter: Formatter, folder: Path, pair: Preference) -> None:
    row = {"prompt": plain(pair.prompt), "chosen": plain(pair.chosen), "rejected": plain(pair.rejected)}
    row |= {} if pair.tools is None else {"tools": json.dumps(pair.tools)}
    ours = lists(preference_columns(formatter, pair))
    assert ours == prepared(folder, "dpo", row, list(ours))
    ours = lists(reward_columns(formatter, pair))
    assert ours == prepared(folder, "reward", row, list(ours))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_judged_answers_are_the_columns_of_trl(formatter: Formatter, folder: Path, pair: Preference) -> None:
    row = {"prompt": plain(pair.prompt), "completion": plain(pair.chosen), "label": True}
    row |= {} if pair.tools is None else {"tools": json.dumps(pair.tools)}
    columns, label = judged_columns(formatter, Judged(pair.prompt, pair.chosen, label=True, tools=pair.tools))
    assert {**lists(columns), "label": label} == prepared(folder, "kto", row, [*columns, "label"])


def test_a_pair_written_out(formatter: Formatter) -> None:
    columns = preference_columns(formatter, PAIRS["conversational"])
    decoded = {name: formatter.tokenizer.decode(ids, skip_special_tokens=False) for name, ids in columns.items()}
    assert decoded == {
        "prompt_ids": "<|im_start|>user\nWhat is one and one?</s>\n<|im_start|>assistant\n",
        "chosen_ids": "Two.</s>\n",
        "rejected_ids": "I do not know</s>\n",
    }


def test_the_kl_term_gets_the_answers_of_others_in_a_micro_batch() -> None:
    answers = [array("i", [number]) for number in range(5)]
    assert [ids.tolist() for ids in mismatched(answers, 2)] == [[1], [0], [3], [2], [4]]


def test_a_prompt_stays_as_it_is_beside_the_columns_for_rewards() -> None:
    assert prompt_columns(Prompt("One?", {"answer": 1})) == {"answer": 1, "prompt": "One?"}
    assert prompt_columns(Prompt(ASKED, {}, TOOLS)) == {"prompt": [dict(ASKED[0])], "tools": [dict(TOOLS[0])]}


def test_steps_are_judged_at_their_last_token(formatter: Formatter) -> None:
    columns = step_columns(formatter, Steps("One and one?", ("One.", "Two."), (False, True)))
    assert formatter.tokenizer.decode(columns["input_ids"], skip_special_tokens=False) == "<s>One and one?One.\nTwo.\n"
    judged = [(at, label) for at, label in enumerate(columns["labels"]) if label != NO]
    ends = [at for at, token in enumerate(columns["input_ids"]) if formatter.tokenizer.decode([token]) == "\n"]
    assert judged == list(zip(ends, [0, 1], strict=True))


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (Preference("One?", " Two.", " Two.</s>"), "prefers an answer to one that has the same tokens"),
        (Preference(ASKED, said("assistant", "a <|im_end|>"), UNSURE), "has the control token <|im_end|>"),
        (Preference(ASKED, (), UNSURE), "has an answer without any token of its own"),
    ],
    ids=["the same", "a control token", "nothing"],
)
def test_pairs_that_teach_nothing_are_told(formatter: Formatter, pair: Preference, reason: str) -> None:
    with pytest.raises(RowError, match=reason.replace("|", r"\|")):
        preference_columns(formatter, pair)
