"""Recipes of real kinds, and what people and editors do to them: random mutations of their text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

ROWS = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'
TRAINED = """\
[model.llama]
config = { model_type = "llama", hidden_size = 8, num_attention_heads = 2 }
tokenizer = "tokenizer"
seed = 1
[dataset.chats]
source = "chats.jsonl"
type = "chat_template"
[train.sft]
method = "sft"
model = "model.llama"
datasets = ["dataset.chats"]
learning_rate = 2e-4
num_epochs = 3
batch_size = 8
micro_batch_size = 2
lr_scheduler = "cosine_with_min_lr"
warmup_ratio = 0.05
val_set_size = 0.5
roles_to_train = ["assistant"]
[train.sft.lr_scheduler_kwargs]
min_lr = 1e-5
[train.sft.adapter]
type = "lora"
r = 16
target_modules = "all-linear"
[train.sft.evaluation]
eval_steps = 10
[train.sft.trainer]
torch_empty_cache_steps = 5
"""
DELIVERED = """\
[model.base]
source = "org/base"
revision = "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"
[dataset.heldout]
source = "chats.jsonl"
[train.a]
method = "sft"
model = "model.base"
datasets = ["dataset.heldout"]
learning_rate = 1e-4
[train.a.adapter]
r = 4
[train.a.lifecycle]
protect = true
ignore_changes = ["learning_rate"]
[merge.a]
adapter = "train.a"
dtype = "bfloat16"
[eval.a]
model = "merge.a"
datasets = ["dataset.heldout"]
metrics = ["perplexity", "exact_match"]
[eval.a.gate]
exact_match = ">= 0.9"
[export.a]
model = "merge.a"
to = "outputs/a"
"""
ARRANGED = """\
[vars]
rate = 1e-4
name = "chats"
[state]
url = "shared"
[policy]
max_gpu_hours = 40
max_cost = 100.0
[hardware.host]
hourly_price = 2.5
gpu = "H100"
[dataset.all]
source = ["${name}.jsonl"]
[model.base]
source = "org/base"
[train.many]
method = "sft"
model = "model.base"
datasets = ["dataset.all"]
learning_rate = "${rate}"
[train.many.matrix]
seed = [1, 2]
batch_size = [8, 16]
[[moved]]
from = "dataset.old"
to = "dataset.all"
[[removed]]
from = "eval.gone"
[[import]]
to = "model.base"
from = "theirs"
"""
RECIPES = (TRAINED, DELIVERED, ARRANGED)
VALUES = (
    *("true", "no", "0", "-1", "1", "16", "0.5", "-0.0", "nan", "inf", "-inf", "1e400", "1e-400", "1_000", "0x10"),
    *('""', '"3"', '"no"', "''", '" "', '"../.."', '"/dev/null"', '"s3://bucket/x"', '"dataset.chats"', '"train.sft"'),
    *("[]", "[[]]", "{}", '["a"]', "[1, [2, [3]]]", "{ a = { b = 1 } }", "[{ a = 1 }]", '[""]', '["a", "a"]', "[nan]"),
    *(
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        '"\\u0000"',
        '"日本語"',
        '"\\U0001F600"',
        '"e\\u0301"',
        '"\\\\"',
    ),
    *('"${rate}"', '"${"', '"$${x}"', '"${no}"', '"{% x %}"', "9" * 30, "-" + "9" * 400, '"' + "x" * 5000 + '"'),
    *('">= 0.9"', '">>"', '"auto"', '"all-linear"', '"*"', '"[a-"', '"**/*"', '"~/x"', '"hub:a/b"', '"sk-abcdef"'),
)
PIECES = (*"[]=\"'\\\n.,{}#\t \r\0", "é", "\u202e", "\ufeff", "\U0001f600")


def _lines(change: Callable[[list[str], int, Random], None]) -> Callable[[str, Random], str]:
    def mutate(text: str, random: Random) -> str:
        lines = text.split("\n")
        change(lines, random.randrange(len(lines)), random)
        return "\n".join(lines)

    return mutate


def _drop(lines: list[str], at: int, _: Random) -> None:
    del lines[at]


def _repeat(lines: list[str], at: int, _: Random) -> None:
    lines.insert(at, lines[at])


def _shift(lines: list[str], at: int, random: Random) -> None:
    lines.insert(random.randrange(len(lines)), lines.pop(at))


def _retype(lines: list[str], at: int, random: Random) -> None:
    if " = " in lines[at]:
        lines[at] = f"{lines[at].partition(' = ')[0]} = {random.choice(VALUES)}"


def _rename(lines: list[str], at: int, random: Random) -> None:
    """A key or a table under another name: misspelt, dotted, quoted, another's, none."""
    name, equals, rest = lines[at].partition(" = ")
    inner = name.strip("[]")
    place = random.randrange(len(inner) + 1)
    others = (
        inner[:place] + inner[place + 1 :],
        inner[:place] + random.choice("aZ_-.9") + inner[place:],
        f'"{inner}"',
        f"{inner}.x",
        f"lifecycle.{inner}",
        inner.upper(),
        '""',
        "é",
        random.choice(("matrix", "lifecycle", "moved", "state", "vars", "extends", "tokens.sft", "policy", "a.b.c")),
    )
    lines[at] = f"{name.replace(inner, random.choice(others)) if inner else name}{equals}{rest}"


def _table(lines: list[str], at: int, random: Random) -> None:
    """A table more, or a table as a value, or a value as a table."""
    name = random.choice([one for one in lines if one.startswith("[")] or ["[x]"]).strip("[]")
    lines.insert(at, random.choice((f"[{name}]", f"[[{name}]]", f"[{name}.more]", f"{name} = 1", f"{name}.x = 1")))


def _delete(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + text[place + random.randrange(1, 4) :]


def _insert(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + str(random.choice(PIECES)) + text[place:]


def _cut(text: str, random: Random) -> str:
    return text[: random.randrange(len(text) + 1)]


MUTATIONS: tuple[Callable[[str, Random], str], ...] = (
    *(_lines(one) for one in (_drop, _repeat, _shift, _retype, _retype, _retype, _rename, _rename, _table)),
    *(_delete, _insert, _cut),
)


def mutated(text: str, random: Random) -> str:
    """The text after one to three mutations."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        text = random.choice(MUTATIONS)(text, random)
    return text
