"""What a person gets wrong: every problem at once, with its place and what to do; nothing is written."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def problems(folder: Any, *command: str) -> str:
    """What a failing command says; it must have written nothing."""
    before = sorted(path.relative_to(folder.path) for path in folder.path.rglob("*"))
    done = folder.tune(*(command or ("plan",)), expect=1)
    assert done.stdout == ""
    assert sorted(path.relative_to(folder.path) for path in folder.path.rglob("*")) == before
    text: str = done.stderr
    return text


def line_of(folder: Any, text: str) -> int:
    lines: list[str] = (folder.path / "recipe.toml").read_text().splitlines()
    return 1 + lines.index(text)


def test_an_unknown_key_is_named_with_what_was_meant(fresh: Any) -> None:
    fresh.edit("learning_rate = 1e-3", "learning_rat = 1e-3")
    line = line_of(fresh, "learning_rat = 1e-3")
    header = line_of(fresh, "[train.assistant]                          # an adapter, on the chats")
    assert problems(fresh) == (
        f"recipe.toml:{header}:1: Error: Missing field [TUNE012]\n"
        "  train.assistant.learning_rate: this field is required.\n"
        "  hint: Write `learning_rate = ...`.\n"
        f"recipe.toml:{line}:1: Error: Unknown field [TUNE011]\n"
        "  train.assistant.learning_rat: there is no such field.\n"
        "  hint: Did you mean `learning_rate`?\n"
        "2 problems found; nothing was done.\n"
    )


def test_wrong_types_and_dangling_references_come_together(fresh: Any) -> None:
    fresh.edit("num_epochs = 3", 'num_epochs = "3"')
    fresh.edit("bf16 = false", 'bf16 = "no"')
    fresh.edit("r = 16", "r = 16.5")
    fresh.edit('datasets = ["dataset.chats"]', 'datasets = ["dataset.chat"]')
    said = problems(fresh)
    assert 'train.base.num_epochs: expected a number, got "3".' in said
    assert 'train.base.bf16: expected true or false, got "no".' in said
    assert "train.assistant.adapter.r: expected a whole number, got 16.5." in said


def test_a_wrong_place_of_state_hides_nothing_else(fresh: Any) -> None:
    fresh.edit(
        "[dataset.corpus]", '[state]\nurl = "s3://ada:planted-secret@bucket/x"\n[dataset.corpus]\ntyp = "completion"'
    )
    for command in ("plan", "validate", "apply"):
        said = fresh.tune(command, expect=1).stderr
        assert "state.url looks like a password or a token." in said
        assert "dataset.corpus.typ: there is no such field." in said
        assert said.endswith("2 problems found; nothing was done.\n")
    fresh.edit("s3://ada:planted-secret@bucket/x", "nowhere/state")
    (fresh.path / "nowhere").write_text("a file")
    said = fresh.tune("validate", expect=1).stderr
    assert "State cannot be reached" in said
    assert "dataset.corpus.typ: there is no such field." in said


def test_data_is_looked_at_even_if_the_recipe_is_wrong_elsewhere(fresh: Any) -> None:
    fresh.edit("learning_rate = 1e-3", "learning_rat = 1e-3")
    (fresh.path / "data" / "heldout.jsonl").write_text("nonsense\n")
    (fresh.path / "data" / "chats.jsonl").unlink()
    said = problems(fresh)
    assert "train.assistant.learning_rat: there is no such field." in said
    assert "dataset.chats.source names `data/chats.jsonl`, which matches no file." in said
    assert "data/heldout.jsonl:1: Error: Broken row" in said
    assert said.endswith("4 problems found; nothing was done.\n")


def test_a_dangling_reference_suggests_one_that_exists(fresh: Any) -> None:
    fresh.edit('datasets = ["dataset.chats"]', 'datasets = ["dataset.chat"]')
    line = line_of(fresh, 'datasets = ["dataset.chat"]')
    assert problems(fresh) == (
        f"recipe.toml:{line}:1: Error: Unknown reference [TUNE017]\n"
        "  train.assistant.datasets names dataset.chat, which the recipe does not define.\n"
        "  hint: Did you mean `dataset.chats`?\n"
    )


def test_a_cycle_names_everything_on_it(fresh: Any) -> None:
    fresh.edit('model = "model.tiny"', 'model = "train.assistant"')
    assert "These resources are made from each other: train.base -> train.assistant -> train.base." in problems(fresh)


def test_a_missing_file_is_missing_at_its_place(fresh: Any) -> None:
    (fresh.path / "data" / "chats.jsonl").unlink()
    line = line_of(fresh, 'source = "data/chats.jsonl"')
    said = problems(fresh)
    assert f"recipe.toml:{line}:1: Error: Missing file" in said
    assert "dataset.chats.source names `data/chats.jsonl`, which matches no file." in said


def test_an_empty_dataset_is_an_error(fresh: Any) -> None:
    (fresh.path / "data" / "chats.jsonl").write_text("\n\n")
    assert "dataset.chats has no rows." in problems(fresh)


def test_broken_rows_are_named_by_file_and_line(fresh: Any) -> None:
    with (fresh.path / "data" / "chats.jsonl").open("a") as chats:
        chats.write('{"messages": [\n')
        chats.write('{"messages": []}\n')
        chats.write('["no object"]\n')
        chats.write('{"messages": [{"role": "user", "content": "hi"}]}\n')
        chats.write('{"messages": [{"role": "user"}]}\n')
        chats.write(
            '{"messages": [{"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "a"}]}\n'
        )
    said = problems(fresh)
    assert re.findall(r"^data/chats.jsonl:(\d+): Error: Broken row", said, re.MULTILINE) == [
        "1601", "1602", "1603", "1604", "1605", "1606",
    ]  # fmt: skip
    assert "This row has no text content in message 1." in said
    assert "it has no message of a role to train (assistant)" in said
    assert "This row has the control token <|im_end|> in the text of message 1" in said


def test_a_thousand_broken_rows_do_not_make_a_thousand_messages(fresh: Any) -> None:
    (fresh.path / "data" / "chats.jsonl").write_text("nonsense\n" * 1000)
    said = problems(fresh)
    assert said.count("This row is not JSON") == 20
    assert "980 more rows are broken." in said


def test_a_template_that_trains_nothing_is_caught_by_the_plan(fresh: Any) -> None:
    (fresh.path / "tokenizer" / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert "This row yields no trained token" in problems(fresh)


def test_broken_templates_name_their_line(fresh: Any) -> None:
    (fresh.path / "tokenizer" / "chat_template.jinja").write_text("hello\n{% if %}")
    assert "Broken chat template" in problems(fresh)


@pytest.mark.parametrize("kept", [0, 1, 100, -10])
def test_a_truncated_state_file_is_damaged_not_empty(fresh: Any, kept: int) -> None:
    write_state(fresh, "tune-state/1")
    state = fresh.path / ".tune" / "state.json"
    state.write_bytes(state.read_bytes()[:kept])
    said = problems(fresh)
    assert ".tune/state.json: Error: Damaged state" in said


def test_a_state_from_a_newer_tune_is_refused_by_name(fresh: Any) -> None:
    write_state(fresh, "tune-state/2")
    said = problems(fresh)
    assert "Error: State from a newer tune" in said
    assert "has the format tune-state/2, written by tune 9.9." in said


def write_state(folder: Any, format_name: str) -> None:
    (folder.path / ".tune").mkdir()
    body = {"format": format_name, "tool": "9.9", "lineage": "a", "serial": 1, "records": {}, "digest": "0" * 32}
    (folder.path / ".tune" / "state.json").write_text(json.dumps(body, indent=1))


def test_a_recipe_that_is_not_there(empty: Any) -> None:
    assert problems(empty) == (
        "Error: Missing recipe [TUNE004]\n  There is no `recipe.toml`.\n"
        "  hint: Name a recipe file, or a folder with a recipe.toml in it.\n"
    )


def test_invalid_toml_names_line_and_column(fresh: Any) -> None:
    fresh.edit("[model.tiny]", "[model.tiny")
    assert re.match(r"recipe\.toml:3:\d+: Error: Invalid TOML \[TUNE001\]\n", problems(fresh))


def test_apply_asks_nobody_where_there_is_nobody(fresh: Any) -> None:
    done = fresh.tune("apply", expect=1)
    assert "There is nobody to approve the plan." in done.stderr
    assert not (fresh.path / ".tune").exists()


def test_fields_that_do_not_go_together_are_refused(fresh: Any) -> None:
    fresh.edit("batch_size = 32", "batch_size = 32\nmicro_batch_size = 5")
    fresh.edit('adapter = "train.assistant"', 'adapter = "train.base"')
    fresh.edit('exact_match = ">= 0.9"', 'exact_match = "good"\nbleu = ">= 1"')
    fresh.edit(
        "[merge.assistant]", "[train.assistant.trainer]\npacking = true\nneftune_noise_alph = 5\n\n[merge.assistant]"
    )
    said = problems(fresh)
    assert "5 does not divide `batch_size` = 32." in said
    assert "merge.assistant.adapter names train.base, which trains all weights" in said
    assert "expected a condition, got 'good'." in said
    assert "eval.assistant.gate.bleu: it is not among the metrics of this evaluation." in said
    assert "hint: Use `sample_packing`." in said
    assert "hint: Did you mean `neftune_noise_alpha`?" in said


def test_evaluations_that_measure_nothing_are_refused(fresh: Any) -> None:
    fresh.edit(
        "[train.base.checkpoints]",
        "[train.base.evaluation]\nsamples = 2\n\n[train.base.checkpoints]",
    )
    fresh.edit(
        "[train.assistant.adapter]",
        '[train.assistant.evaluation]\neval_steps = 5\nevals_per_epoch = 2\nmetrics = ["exact_mach"]\n'
        'metric_for_best_model = "f1"\n\n[train.assistant.adapter]',
    )
    fresh.edit("num_epochs = 3\nbf16", 'num_epochs = 3\nval_set_size = 0.1\ntest_datasets = ["dataset.heldout"]\nbf16')
    said = problems(fresh)
    assert "train.base.evaluation.samples: dataset.heldout holds plain texts" not in said
    assert "train.base.test_datasets: `val_set_size` is set too." in said
    assert "train.assistant.evaluation: there are no rows to evaluate on." in said
    assert "train.assistant.evaluation.evals_per_epoch: `eval_steps` is set too." in said
    assert "train.assistant.evaluation.metrics: there is no metric `exact_mach`." in said
    assert "train.assistant.evaluation.metric_for_best_model: the evaluation does not measure `f1`." in said
    fresh.edit('test_datasets = ["dataset.heldout"]\n', "")
    assert "train.base.evaluation.samples: dataset.corpus holds plain texts, which ask nothing." in problems(fresh)


def test_machines_get_the_same_problems_as_json(fresh: Any) -> None:
    fresh.edit("learning_rate = 1e-3", "learning_rat = 1e-3")
    verdict = json.loads(fresh.tune("validate", "--json", expect=1).stdout)
    assert verdict["valid"] is False
    assert [one["place"]["line"] for one in verdict["diagnostics"]] == [
        line_of(fresh, "[train.assistant]                          # an adapter, on the chats"),
        line_of(fresh, "learning_rat = 1e-3"),
    ]


def test_wrong_usage_is_an_error_and_not_a_change(fresh: Any) -> None:
    assert "No such option" in fresh.tune("plan", "--detailed-exitcod", expect=1).stderr
    assert fresh.tune("plann", expect=1).stderr == (
        "Error: Invalid usage [TUNE400]\n"
        "  There is no command `plann`. Did you mean `plan`?\n"
        "  hint: `tune --help` lists what there is.\n"
    )
    assert fresh.tune("state", "lst", expect=1).stderr == (
        "Error: Invalid usage [TUNE400]\n"
        "  There is no command `lst`. Did you mean `list`?\n"
        "  hint: `tune state --help` lists what there is.\n"
    )


def test_libraries_that_are_missing_are_told_before_any_step_and_by_the_doctor(fresh: Any) -> None:
    asking = 'logging = { report_to = ["trackio"] }\noptimizer = "schedule_free_adamw"'
    fresh.edit("[train.assistant.adapter]", f"{asking}\n\n[train.assistant.adapter]")
    assert fresh.tune("apply", "--auto-approve", expect=1).stderr == (
        "Error: Missing library [TUNE402]\n"
        '  train.assistant.optimizer = "schedule_free_adamw" needs schedulefree, which is not installed.\n'
        '  hint: Install it with `pip install schedulefree`, or use "adamw_torch".\n'
        "Error: Missing library [TUNE402]\n"
        '  train.assistant.logging.report_to = ["trackio"] needs trackio, which is not installed.\n'
        "  hint: Install it with `pip install trackio`, or take it out.\n"
        "2 problems found; nothing was done.\n"
    )
    told = json.loads(fresh.tune("doctor", "--json", expect=1).stdout)["findings"]
    assert [(one["name"], one["found"]) for one in told if one["verdict"] == "problem"] == [
        ("train.assistant", 'optimizer = "schedule_free_adamw" needs schedulefree, which is not installed'),
        ("train.assistant", 'logging.report_to = ["trackio"] needs trackio, which is not installed'),
    ]
    assert not (fresh.path / ".tune" / "state.json").exists()
    assert not (fresh.path / ".tune" / "artifacts").exists()


def test_values_that_no_field_can_have_come_together(fresh: Any) -> None:
    fresh.edit("batch_size = 32", "batch_size = 0")
    fresh.edit("learning_rate = 2e-3", "learning_rate = -1.0")
    fresh.edit('source = "data/corpus.jsonl"', 'source = ["data/corpus.jsonl", ""]')
    fresh.edit("[model.tiny]", "[policy]\nmax_cost = 3\n[hardware.host]\nhourly_price = 0\n[model.tiny]")
    assert re.findall("^  (.*)", problems(fresh, "validate"), re.MULTILINE) == [
        "hardware.host.hourly_price: expected a number above 0, got 0.0.",
        'dataset.corpus.source: expected a path in each entry, got "".',
        "train.base.learning_rate: expected a number above 0, got -1.0.",
        "train.base.batch_size: expected a number above 0, got 0.",
    ]


def test_what_the_system_refuses_is_told_in_words(empty: Any) -> None:
    said = "".join(problems(empty, "plan", f"{'a' * 300}.toml").split())
    assert said.startswith("Error:Filerefused[TUNE407]`aaa")
    assert said.endswith("a.toml`:Filenametoolong.hint:Lookatitspath,andatwhomayreadandwritethere.")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("mv", "dataset.a", "dataset.a"),
            "Error: Address in use [TUNE042]\n  `dataset.a` has this address already.\n  hint: Name another one.\n",
        ),
        (
            ("mv", "dataset.a", "dataset.b c"),
            (
                "Error: Invalid address [TUNE041]\n"
                "  No recipe can have a `dataset.b c`: names are made of letters, digits, `_` and `-`.\n"
                "  hint: Name it as its table is called in the recipe.\n"
            ),
        ),
        (
            ("push", "."),
            (
                "Error: No state [TUNE304]\n"
                "  `.` holds no state.json.\n"
                "  hint: Name a state file, or a folder that holds one.\n"
            ),
        ),
    ],
)
def test_a_state_is_not_put_where_no_recipe_finds_it(empty: Any, command: tuple[str, ...], said: str) -> None:
    (empty.path / "rows.jsonl").write_text('{"text": "a row"}\n')
    text = '[dataset.a]\nsource = "rows.jsonl"\ntype = "completion"\n'
    (empty.path / "recipe.toml").write_text(text, encoding="utf-8-sig")  # as some editors save it
    empty.apply()
    assert problems(empty, "state", *command) == said
    for name in ("dataset.x[seed=1]", "dataset.a"):
        (before,) = json.loads(empty.tune("state", "list", "--json").stdout)
        empty.tune("state", "mv", before, name)
    assert empty.tune("fmt").stdout == "recipe.toml\n"
    assert (empty.path / "recipe.toml").read_text() == text
    assert empty.summary() == {"reuse": 1}


def test_a_path_of_a_thousand_characters_does_not_fill_the_screen(fresh: Any) -> None:
    fresh.edit('tokenizer = "tokenizer"', f'tokenizer = "{"x" * 1000}"')
    refused = fresh.tune("plan", expect=1).stderr
    assert refused.startswith("recipe.toml:4:1: Error: Missing file [TUNE100]\n")
    said = "".join(line.strip() for line in refused.splitlines()[1:])
    assert f"`{'x' * 199}...{'x' * 18}`, which holds no tokenizer." in said


@pytest.mark.parametrize(
    ("hardware", "most"),
    [
        ("[hardware.a]\ngpus = 2\n[hardware.b]\ngpus = 4\n", "4"),
        ("[hardware.a]\ngpus = 8\n", ""),
        ("[hardware.a]\ngpus = 4\n[hardware.b]\nhourly_price = 1\n", ""),
        ("", ""),
    ],
)
def test_a_run_asks_for_no_more_processes_than_a_host_has_gpus(fresh: Any, hardware: str, most: str) -> None:
    fresh.edit("[train.base.checkpoints]", "[train.base.distributed]\nprocesses = 8\n\n[train.base.checkpoints]")
    fresh.edit("[model.tiny]", f"{hardware}[model.tiny]")
    planned = fresh.tune("plan", expect=1 if most else 0).stderr
    lines = fresh.path.joinpath("recipe.toml").read_text().splitlines()
    told = (
        f"recipe.toml:{lines.index('processes = 8') + 1}:1: Error: More processes than GPUs [TUNE063]\n"
        "  train.base asks for 8 processes on a host, and no hardware of the recipe has so many GPUs: "
        f"{most} at\n  most.\n"
        "  hint: Lower `distributed.processes`, or correct `gpus` of `[hardware.NAME]`.\n"
    )
    assert planned == (told if most else "")
