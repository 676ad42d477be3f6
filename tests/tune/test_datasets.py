"""Datasets as a person meets them: a plan that tells what is wrong with rows, and hub data without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


def write(folder: Any, name: str, *rows: Any) -> None:
    path = folder.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


def recipe(folder: Any, text: str) -> None:
    (folder.path / "recipe.toml").write_text(text)


def test_broken_rows_of_every_kind_are_told_by_file_and_line(empty: Any) -> None:
    write(empty, "a.jsonl", {"prompt": "p", "chosen": "c", "rejected": "c"}, "nonsense\n")
    write(empty, "b.csv", "instruction,output\na,b\nc\n")
    write(empty, "c.json", '[\n{"segments": [{"label": false, "text": "t"}]}\n]')
    recipe(
        empty,
        '[dataset.a]\nsource = "a.jsonl"\n[dataset.b]\nsource = "b.csv"\n[dataset.c]\nsource = "c.json"\n',
    )
    assert empty.tune("plan", expect=1).stderr == (
        "a.jsonl:1: Error: Broken row [TUNE104]\n"
        "  This row has the same answer as chosen and as rejected.\n"
        "a.jsonl:2: Error: Broken row [TUNE104]\n"
        "  This row is not JSON: Expecting value in column 1.\n"
        "b.csv:3: Error: Broken row [TUNE104]\n"
        "  This row has 1 values, and the first line names 2 fields.\n"
        "c.json:2:1: Error: Broken row [TUNE104]\n"
        "  This row yields no trained token: no segment with a text has the label true.\n"
        "4 problems found; nothing was done.\n"
    )


def test_a_type_that_is_left_out_is_in_plan_and_state(empty: Any) -> None:
    write(empty, "rows.jsonl", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})
    recipe(empty, '[dataset.chats]\nsource = "rows.jsonl"\n')
    empty.apply()
    settings = empty.record("dataset.chats")["settings"]
    assert (settings["type"], settings["field_messages"]) == ("sharegpt", "conversations")
    empty.edit('source = "rows.jsonl"', 'source = "rows.jsonl"\ntype = "sharegpt"\nfield_messages = "conversations"')
    assert empty.summary() == {"reuse": 1}


def test_skipped_rows_are_counted(empty: Any) -> None:
    write(empty, "rows.jsonl", {"text": "a"}, "nonsense\n", {"text": "b"})
    recipe(empty, '[dataset.texts]\nsource = "rows.jsonl"\ntype = "completion"\non_bad_row = "skip"\n')
    empty.apply()
    assert empty.record("dataset.texts")["facts"] == {"rows": 2, "skipped": 1}
    empty.edit('on_bad_row = "skip"', 'on_bad_row = "error"')
    assert "rows.jsonl:2: Error: Broken row" in empty.tune("plan", expect=1).stderr


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on a machine without a network, with one dataset in it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = tmp_path / "hub" / "hub" / "datasets--org--chats"
    snapshot = repository / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for split, count in (("train", 5), ("test", 2)):
        rows = [{"messages": [{"role": "user", "content": f"{at}"}]} for at in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (snapshot / "data" / f"{split}-00000-of-00001.jsonl").write_text(text)
    return snapshot


@pytest.mark.usefixtures("hub")
def test_hub_datasets_are_pinned_to_a_commit(empty: Any) -> None:
    recipe(empty, '[dataset.chats]\nsource = "org/chats"\nsplit = "train[:60%]"\n')
    assert empty.summary() == {"build": 1}
    empty.apply()
    record = empty.record("dataset.chats")
    assert record["content"] == {"commit": COMMIT}
    assert record["settings"]["type"] == "chat_template"
    assert record["facts"] == {"rows": 3}
    assert empty.summary() == {"reuse": 1}
    empty.edit('source = "org/chats"', f'source = "org/chats"\nrevision = "{COMMIT}"')
    assert empty.summary() == {"update": 1}
    empty.edit("train[:60%]", "test")
    assert empty.summary() == {"rebuild": 1}


@pytest.mark.usefixtures("hub")
def test_hub_datasets_that_are_not_here_are_told_in_words(empty: Any) -> None:
    recipe(empty, '[dataset.chats]\nsource = "org/others"\n')
    said = empty.tune("plan", expect=1).stderr
    assert said.startswith(
        "recipe.toml:2:1: Error: Unresolved revision [TUNE130]\n  `org/others` is no folder here, and the hub"
    )
    recipe(empty, '[dataset.chats]\nsource = "org/chats"\nsplit = "validation"\n')
    assert empty.tune("plan", expect=1).stderr == (
        "recipe.toml:2:1: Error: Unknown split [TUNE106]\n"
        "  No file of `org/chats` belongs to the split `validation`; there are: test, train.\n"
        "  hint: Splits are told by the names of files and folders, or by a card.\n"
    )


@pytest.fixture
def repositories(hub_server: Any) -> Any:
    """A hub with two datasets: one whose files tell the splits, and one whose card tells configurations."""

    def texts(name: str, count: int) -> bytes:
        return "".join(json.dumps({"text": f"{name} {at}"}) + "\n" for at in range(count)).encode()

    card = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.jsonl\n" for name in ("de", "en")
    )
    hub_server.revisions["v1"] = "1" * 40
    hub_server.repositories |= {
        "org/texts": {
            "README.md": b"Texts.",
            "data/train-00000-of-00002.jsonl": texts("first", 6),
            "data/train-00001-of-00002.jsonl": texts("second", 4),
            "data/test-00000-of-00001.jsonl": texts("test", 5),
        },
        "org/languages": {
            "README.md": f"---\nconfigs:\n{card}---\n".encode(),
            "de.jsonl": texts("de", 3),
            "en.jsonl": texts("en", 2),
        },
    }
    return hub_server


@pytest.mark.usefixtures("repositories")
def test_hub_datasets_are_fetched_by_slice_configuration_and_revision(empty: Any) -> None:
    recipe(
        empty,
        '[dataset.sliced]\nsource = "org/texts"\ntype = "completion"\nsplit = "train[-30%:]+test[:2]"\n'
        '[dataset.tagged]\nsource = "org/texts"\ntype = "completion"\nrevision = "v1"\n'
        '[dataset.german]\nsource = "org/languages"\ntype = "completion"\nname = "de"\n',
    )
    empty.apply()
    records = {name: empty.record(f"dataset.{name}") for name in ("sliced", "tagged", "german")}
    assert {name: (record["facts"], record["content"]) for name, record in records.items()} == {
        "sliced": ({"rows": 5}, {"commit": COMMIT}),
        "tagged": ({"rows": 10}, {"commit": "1" * 40}),
        "german": ({"rows": 3}, {"commit": COMMIT}),
    }
    assert empty.summary() == {"reuse": 3}


@pytest.mark.usefixtures("repositories")
def test_what_the_hub_does_not_have_is_said_in_words(empty: Any) -> None:
    dataset = '[dataset.{0}]\ntype = "completion"\nsource = "{1}"\n'
    recipe(
        empty,
        dataset.format("none", "org/nothing") + dataset.format("moved", "org/texts") + 'revision = "v2"\n',
    )
    said = " ".join(empty.tune("plan", expect=1).stderr.split())  # wherever the terminal breaks lines
    hint = 'hint: Pin it: `revision = "<commit>"` in the recipe needs no network; or check that `{}` exists.'
    assert said == (
        "recipe.toml:3:1: Error: Unresolved revision [TUNE130] `org/nothing` is no folder here, and the hub did not "
        "say what main is: it has no such repository, or shows it only to those whose HF_TOKEN may read it. "
        f"{hint.format('org/nothing')} "
        "recipe.toml:6:1: Error: Unresolved revision [TUNE130] `org/texts` is no folder here, and the hub did not say "
        "what v2 is: the repository has no such revision. "
        f"{hint.format('org/texts')} 2 problems found; nothing was done."
    )
    for fields, said in (
        (
            'source = "org/texts"\nsplit = "dev"\n',
            "No file of `org/texts` belongs to the split `dev`; there are: test, train.",
        ),
        ('source = "org/languages"\n', "The dataset has several configurations: de, en."),
        ('source = "org/languages"\nname = "fr"\n', "There is no configuration `fr`; the dataset has: de, en."),
    ):
        recipe(empty, f'[dataset.x]\ntype = "completion"\n{fields}')
        assert said in empty.tune("apply", "--auto-approve", expect=1).stderr


TRAINED = (
    '[model.tiny]\ntokenizer = "tokenizer"\nconfig = {{ model_type = "llama", hidden_size = 16 }}\n'
    '[dataset.rows]\nsource = "rows.jsonl"\n{dataset}'
    '[train.it]\nmethod = "sft"\nmodel = "model.tiny"\ndatasets = ["dataset.rows"]\nlearning_rate = 1e-3\n{train}'
)


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"\xff", "it is not UTF-8")], ids=["missing", "bytes"]
)
def test_a_template_that_cannot_be_read_is_told_once(tokenizer: Any, content: bytes | None, why: str) -> None:
    write(tokenizer, "rows.jsonl", chat("What?", "That."))
    named = TRAINED.replace("[model.tiny]\n", '[model.tiny]\nchat_template = "own.jinja"\n')
    recipe(tokenizer, named.format(dataset="", train=""))
    if content is not None:
        (tokenizer.path / "own.jinja").write_bytes(content)
    said = f"  `chat_template` names `own.jinja`, which cannot be read: {why}.\n"
    hint = "  hint: Paths are relative to the recipe's folder.\n"
    for command in ("plan", "preview"):
        told = tokenizer.tune(command, expect=1).stderr
        assert told == f"recipe.toml:2:1: Error: Missing file [TUNE100]\n{said}{hint}"


def test_reasoning_that_no_template_writes_is_warned_of(tokenizer: Any) -> None:
    thinking = chat("What?", "That.")
    thinking["messages"][1]["thinking"] = "Hm."
    write(tokenizer, "rows.jsonl", chat("Who?", "Me."), thinking)
    recipe(tokenizer, TRAINED.format(dataset="", train=""))
    assert tokenizer.tune("plan").stdout.startswith(
        "recipe.toml:1:1: Warning: Unwritten reasoning [TUNE144]\n"
        "  Messages hold reasoning, first rows.jsonl:2, and the chat template leaves it out of the last\n"
        "  answer, too.\n"
    )
    tokenizer.edit('tokenizer = "tokenizer"', 'tokenizer = "tokenizer"\nchat_template = "qwen3"')
    assert "Unwritten reasoning" not in tokenizer.tune("plan").stdout


@pytest.mark.parametrize("role", ["system", "user"])
def test_messages_that_no_template_writes_are_warned_of(tokenizer: Any, role: str) -> None:
    asked = chat("What?", "That.")
    asked["messages"].insert(0, {"role": "system", "content": "Be brief."})
    write(tokenizer, "rows.jsonl", chat("Who?", "Me."), asked)
    named = TRAINED.replace("[model.tiny]\n", '[model.tiny]\nchat_template = "own.jinja"\n')
    recipe(tokenizer, named.format(dataset="", train=""))
    written = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    template = "{% for m in messages %}{% if m.role != 'PASSED' %}" + written + "{% endif %}{% endfor %}"
    template += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    (tokenizer.path / "own.jinja").write_text(template)
    assert "Warning" not in tokenizer.tune("plan").stdout
    (tokenizer.path / "own.jinja").write_text(template.replace("PASSED", role))
    first = {"system": 2, "user": 1}[role]
    told = " ".join(tokenizer.tune("plan").stdout.split("\n  hint")[0].split())
    assert told == (
        f"recipe.toml:2:1: Warning: Unwritten messages [TUNE146] Messages have the role {role}, first "
        f"rows.jsonl:{first}, and the chat template writes nothing of them."
    )


def test_a_template_that_is_no_template_is_told_where_it_is_named(tokenizer: Any) -> None:
    write(tokenizer, "rows.jsonl", chat("What?", "That."))
    named = TRAINED.replace("[model.tiny]\n", '[model.tiny]\nchat_template = "own.jinja"\n')
    recipe(tokenizer, named.format(dataset="", train=""))
    (tokenizer.path / "own.jinja").write_text("{% for")
    for command in ("plan", "preview"):
        assert tokenizer.tune(command, expect=1).stderr.startswith(
            "recipe.toml:2:1: Error: Broken chat template [TUNE136]\n"
        )


@pytest.fixture
def tokenizer(empty: Any) -> Any:
    """A folder with nothing but the quickstart's tokenizer."""
    quickstart = Path(__file__).parent.parent.parent / "examples" / "quickstart"
    shutil.copytree(quickstart / "tokenizer", empty.path / "tokenizer")
    return empty


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize("command", ["validate", "plan"])
@pytest.mark.parametrize("dataset", ["", 'type = "preference"\n'])
def test_rows_that_a_method_cannot_train_on_are_refused(tokenizer: Any, command: str, dataset: str) -> None:
    write(tokenizer, "rows.jsonl", {"prompt": "p", "chosen": "c", "rejected": "r"})
    recipe(tokenizer, TRAINED.format(dataset=dataset, train=""))
    assert tokenizer.tune(command, expect=1).stderr == (
        f"recipe.toml:{10 if dataset else 9}:1: Error: Contradicting fields [TUNE014]\n"
        "  train.it.datasets: dataset.rows is of the type preference, which sft cannot train on.\n"
        "  hint: It trains on alpaca, chat_template, completion, input_output, pretrain, sharegpt, tokenized.\n"
    )


def test_only_plain_texts_can_be_split(tokenizer: Any) -> None:
    write(tokenizer, "rows.jsonl", chat("What?", "That."))
    recipe(tokenizer, TRAINED.format(dataset="", train='excess_length_strategy = "split"\n'))
    assert tokenizer.tune("plan", expect=1).stderr == (
        "recipe.toml:11:1: Error: Contradicting fields [TUNE014]\n"
        '  train.it.excess_length_strategy: "split" is for completion and pretrain, and dataset.rows is of\n'
        "  the type chat_template.\n"
        '  hint: Use "truncate" or "drop".\n'
    )
    write(tokenizer, "rows.jsonl", {"text": "That. " * 100})
    assert tokenizer.summary() == {"build": 4}


@pytest.mark.parametrize("dataset", ["", 'type = "sharegpt"\nfield_messages = "conversations"\n'])
def test_answers_are_compared_in_every_chat_whether_its_type_is_named_or_told(tokenizer: Any, dataset: str) -> None:
    evaluation = '[eval.it]\nmodel = "train.it"\ndatasets = ["dataset.rows"]\nmetrics = ["exact_match"]\n'
    write(tokenizer, "rows.jsonl", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})
    recipe(tokenizer, TRAINED.format(dataset=dataset, train="") + evaluation)
    assert tokenizer.summary() == {"build": 6}
    write(tokenizer, "rows.jsonl", {"text": "a"})
    recipe(tokenizer, TRAINED.format(dataset="", train="") + evaluation)
    assert tokenizer.tune("plan", expect=1).stderr == (
        "recipe.toml:13:1: Error: Contradicting fields [TUNE014]\n"
        "  eval.it.datasets: exact_match needs chats, and dataset.rows holds plain texts.\n"
        "  hint: Use perplexity there.\n"
    )


def test_a_plan_tells_what_a_length_limit_and_an_evaluation_undo(tokenizer: Any) -> None:
    rows = [chat("Hi?", "Hello."), chat("Hi?", "Hello " * 40), chat("Hi? " * 40, "Hello.")]
    write(tokenizer, "rows.jsonl", *rows)
    write(tokenizer, "others.jsonl", chat("Who?", "Me."), rows[0])
    recipe(
        tokenizer,
        TRAINED.format(dataset="", train='sequence_len = 32\nexcess_length_strategy = "truncate"\n')
        + '[dataset.others]\nsource = "others.jsonl"\ntype = "chat_template"\n'
        '[eval.it]\nmodel = "train.it"\ndatasets = ["dataset.others"]\nmetrics = ["perplexity"]\n',
    )
    assert tokenizer.tune("plan").stdout == (
        "rows.jsonl:2: Warning: Truncated answers [TUNE112]\n"
        "  1 of 3 rows lose the end of an answer at `sequence_len` = 32, first rows.jsonl:2.\n"
        "  hint: A model learns from them to stop nowhere: raise `sequence_len`, or drop long rows.\n"
        "rows.jsonl:3: Warning: Untrained rows [TUNE113]\n"
        "  1 of 3 rows have no trained token within `sequence_len` = 32, first rows.jsonl:3.\n"
        "  hint: They are left out: raise `sequence_len`, or shorten what stands before their answers.\n"
        "others.jsonl:2: Warning: Overlapping rows [TUNE111]\n"
        "  1 of 2 rows to evaluate on are trained on too: others.jsonl:2 is rows.jsonl:1.\n"
        "  hint: Metrics on them say nothing of new questions: remove them from one of the two.\n"
        "To make the models match recipe.toml, tune will:\n\n"
        "    + build\n\n"
        "    + model.tiny  build\n"
        "        not in state yet\n"
        "    + dataset.rows  build\n"
        "        not in state yet\n"
        '        type = "chat_template" (told from the first rows)\n'
        "    + dataset.others  build\n"
        "        not in state yet\n"
        "    + tokens.it  build\n"
        "        not in state yet\n"
        "    + train.it  build\n"
        "        not in state yet\n"
        "    + tokens.eval.it  build\n"
        "        not in state yet\n"
        "    + eval.it  build\n"
        "        not in state yet\n\n"
        "Plan: 7 to build.\n"
    )


def test_a_plan_tells_how_many_rows_are_left_out_and_refuses_to_leave_none(tokenizer: Any) -> None:
    mute = {"messages": [{"role": "user", "content": "Hi?"}]}
    write(tokenizer, "rows.jsonl", chat("Hi?", "Hello."), mute, chat("Hi?", "Hello " * 40), "nonsense\n")
    limit = 'sequence_len = 32\nexcess_length_strategy = "drop"\n'
    recipe(tokenizer, TRAINED.format(dataset='type = "chat_template"\non_bad_row = "skip"\n', train=limit))
    hint = '  hint: That is what `on_bad_row = "skip"` asks for; correct them to have them trained.\n'
    assert tokenizer.tune("plan").stdout.partition("To make")[0] == (
        "rows.jsonl:4: Warning: Skipped rows [TUNE119]\n"
        "  dataset.rows leaves out 1 of 4 rows, first rows.jsonl:4, which is not JSON: Expecting value in\n"
        "  column 1.\n" + hint + "rows.jsonl:2: Warning: Skipped rows [TUNE119]\n"
        "  dataset.rows leaves out 1 of 4 rows, first rows.jsonl:2, which yields no trained token: it has no\n"
        "  message of a role to train (assistant); see `roles_to_train`.\n"
        + hint
        + "rows.jsonl:3: Warning: Dropped rows [TUNE120]\n"
        "  1 of 2 rows are longer than `sequence_len` = 32 and left out, first rows.jsonl:3.\n"
        "  hint: Raise `sequence_len` to keep them.\n"
    )
    tokenizer.edit("sequence_len = 32", "sequence_len = 4")
    assert (
        "  tokens.it has no rows left: of 3, 1 are skipped, 2 dropped, 0 held back.\n"
        in tokenizer.tune("plan", expect=1).stderr
    )
    tokenizer.edit("sequence_len = 4", "sequence_len = 32\nval_set_size = 0.5")
    assert (
        "  tokens.it has no rows left: of 3, 1 are skipped, 1 dropped, 1 held back.\n"
        in tokenizer.tune("plan", expect=1).stderr
    )


def test_a_plan_refuses_a_template_that_does_not_fit(tokenizer: Any) -> None:
    write(tokenizer, "rows.jsonl", chat("What?", "That."))
    recipe(tokenizer, TRAINED.format(dataset="", train=""))
    tokenizer.edit('tokenizer = "tokenizer"', 'tokenizer = "tokenizer"\nchat_template = "gemma"')
    assert tokenizer.tune("plan", expect=1).stderr == (
        "recipe.toml:3:1: Error: Missing control tokens [TUNE138]\n"
        "  The template `gemma` writes <start_of_turn>, <end_of_turn>, which the tokenizer has no token for.\n"
        "  hint: Use the template of the model's family.\n"
    )


def test_control_tokens_in_data_are_refused_unless_they_are_allowed(tokenizer: Any) -> None:
    tool = {"name": "look", "description": "<|im_start|>", "parameters": {}}
    write(tokenizer, "rows.jsonl", chat("What?<|im_end|>", "That."), {**chat("What?", "That."), "tools": [tool]})
    recipe(tokenizer, TRAINED.format(dataset="", train=""))
    assert tokenizer.tune("plan", expect=1).stderr == (
        "rows.jsonl:1: Error: Broken row [TUNE104]\n"
        "  This row has the control token <|im_end|> in the text of message 1; remove it, or set\n"
        "  `allow_control_tokens`.\n"
        "rows.jsonl:2: Error: Broken row [TUNE104]\n"
        "  This row has the control token <|im_start|> in the text of a tool; remove it, or set\n"
        "  `allow_control_tokens`.\n"
        "2 problems found; nothing was done.\n"
    )
    write(tokenizer, "rows.jsonl", chat("What?<|im_end|>", "That."))
    recipe(tokenizer, TRAINED.format(dataset="allow_control_tokens = true\n", train=""))
    assert tokenizer.summary() == {"build": 4}


@pytest.mark.slow
def test_a_plan_counts_the_rows_that_were_edited(quickstart: Any) -> None:
    path = quickstart.path / "data" / "chats.jsonl"
    first, second, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second.replace("user", "human"), *others, *others[:3]]))
    said = quickstart.tune("plan").stdout
    assert "  -/+ tokens.assistant  re-tokenize\n" in said
    assert "        rows: 2 added, 2 changed; 1,598 kept\n" in said
    assert quickstart.step("tokens.assistant")["notes"] == {
        "rows": {"added": 2, "removed": 0, "changed": 2, "kept": 1598, "broken": 0}
    }
    assert first != second
