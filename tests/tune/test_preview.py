"""What `tune preview` shows: whole, at the width of a narrow and of a wide terminal, and as a page and as JSON."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from executor.data.rows import BrokenRow
from executor.tokens.decoding import Part
from executor.tokens.preview import Preview, ShownRow
from executor.tokens.supervision import RowSummary
from state.diagnostic import Diagnostic, Place, Severity
from tune.views.preview import as_text, print_preview, visible
from tune.views.preview_html import page

LONG = RowSummary(Place("chats.jsonl", 3), 1300, 40, 12, "c")
ROWS = (RowSummary(Place("chats.jsonl", 1), 9, 3, 3, "a"), RowSummary(Place("chats.jsonl", 2), 251, 7, 7, "b"), LONG)
PARTS = (
    Part("<s>", trained=False, special=True, kept=True),
    Part(
        "Say <b>hi</b>\x1b[31m\n to everyone who came here today, whoever that may be\n",
        trained=False,
        special=False,
        kept=True,
    ),
    Part("Hi ", trained=True, special=False, kept=True),
    Part("th\nere", trained=True, special=False, kept=False),
    Part("</s>", trained=True, special=True, kept=False),
    Part("\n", trained=False, special=False, kept=False),
)
PREVIEW = Preview(
    address="tokens.sft",
    datasets=("dataset.chats", "dataset.more"),
    model="model.base",
    template="llama3",
    limit=1024,
    strategy="truncate",
    rows=ROWS,
    broken=(BrokenRow(Place("chats.jsonl", 7), "yields no trained token: it has no message of a role to train"),),
    shown=(ShownRow(3, LONG, PARTS),),
    complete=False,
    evaluates=False,
    diagnostics=(
        Diagnostic(
            "Foreign chat template",
            "The model is of the type qwen2, but `llama3` is the template of llama.",
            "For qwen2: qwen2_5.",
            Place("recipe.toml", 4, 1),
            Severity.WARNING,
        ),
    ),
)


def shown(preview: Preview, width: int, *, colours: bool = False, whole: bool = False) -> str:
    stream = io.StringIO()
    system: Any = "standard" if colours else None
    out = Console(
        file=stream,
        width=width,
        color_system=system,
        force_terminal=colours,
        highlight=False,
        markup=False,
        emoji=False,
    )
    print_preview(out, preview, whole=whole)
    return stream.getvalue()


def test_a_narrow_terminal_shows_everything() -> None:
    assert shown(PREVIEW, 80) == (
        "recipe.toml:4:1: Warning: Foreign chat template [TUNE137]\n"
        "  The model is of the type qwen2, but `llama3` is the template of llama.\n"
        "  hint: For qwen2: qwen2_5.\n"
        "\n"
        "tokens.sft: dataset.chats, dataset.more as model.base sees it, with the chat\n"
        "template llama3\n"
        "\n"
        "  rows        3, the first ones of each dataset\n"
        "  broken      1\n"
        "  tokens      1,560\n"
        "  trained     50 (3.2%); 22 of them within `sequence_len`\n"
        "  masked      1,510 (96.8%)\n"
        "\n"
        "Tokens a row\n"
        "          0 to 199  ██████████████████████████████████████████████        1\n"
        "        200 to 399  ██████████████████████████████████████████████        1\n"
        "        400 to 599                                                        0\n"
        "        600 to 799                                                        0\n"
        "        800 to 999                                                        0\n"
        "    1,000 to 1,199                                                        0\n"
        "    1,200 to 1,399  ██████████████████████████████████████████████        1\n"
        "\n"
        "Longest rows\n"
        "  1,300 tokens, 40 trained, 12 of them kept  chats.jsonl:3\n"
        "  251 tokens, 7 trained  chats.jsonl:2\n"
        "  9 tokens, 3 trained  chats.jsonl:1\n"
        "\n"
        "Longer than `sequence_len` = 1024: cut off\n"
        "  1,300 tokens, 40 trained, 12 of them kept  chats.jsonl:3\n"
        "\n"
        "Rows that cannot be trained on\n"
        "  chats.jsonl:7: yields no trained token: it has no message of a role to train\n"
        "\n"
        "⟦trained⟧  ⏎ line break  ✂ cut off from here\n"
        "\n"
        "Row 3  chats.jsonl:3  1,300 tokens, 40 trained\n"
        "    <s>Say <b>hi</b>\\x1b[31m⏎\n"
        "     to everyone who came here today, whoever that may be⏎\n"
        "    ⟦Hi ✂th⏎\n"
        "    ere</s>⟧⏎\n"
    )


def test_a_wide_terminal_shows_the_same_in_fewer_lines() -> None:
    assert shown(PREVIEW, 200) == (
        "recipe.toml:4:1: Warning: Foreign chat template [TUNE137]\n"
        "  The model is of the type qwen2, but `llama3` is the template of llama.\n"
        "  hint: For qwen2: qwen2_5.\n"
        "\n"
        "tokens.sft: dataset.chats, dataset.more as model.base sees it, with the chat template llama3\n"
        "\n"
        "  rows        3, the first ones of each dataset\n"
        "  broken      1\n"
        "  tokens      1,560\n"
        "  trained     50 (3.2%); 22 of them within `sequence_len`\n"
        "  masked      1,510 (96.8%)\n"
        "\n"
        "Tokens a row\n"
        "          0 to 199  ████████████████████████████████████████████████████████████        1\n"
        "        200 to 399  ████████████████████████████████████████████████████████████        1\n"
        "        400 to 599                                                                      0\n"
        "        600 to 799                                                                      0\n"
        "        800 to 999                                                                      0\n"
        "    1,000 to 1,199                                                                      0\n"
        "    1,200 to 1,399  ████████████████████████████████████████████████████████████        1\n"
        "\n"
        "Longest rows\n"
        "  1,300 tokens, 40 trained, 12 of them kept  chats.jsonl:3\n"
        "  251 tokens, 7 trained  chats.jsonl:2\n"
        "  9 tokens, 3 trained  chats.jsonl:1\n"
        "\n"
        "Longer than `sequence_len` = 1024: cut off\n"
        "  1,300 tokens, 40 trained, 12 of them kept  chats.jsonl:3\n"
        "\n"
        "Rows that cannot be trained on\n"
        "  chats.jsonl:7: yields no trained token: it has no message of a role to train\n"
        "\n"
        "⟦trained⟧  ⏎ line break  ✂ cut off from here\n"
        "\n"
        "Row 3  chats.jsonl:3  1,300 tokens, 40 trained\n"
        "    <s>Say <b>hi</b>\\x1b[31m⏎\n"
        "     to everyone who came here today, whoever that may be⏎\n"
        "    ⟦Hi ✂th⏎\n"
        "    ere</s>⟧⏎\n"
    )


def test_colours_only_repeat_what_marks_say() -> None:
    import re

    coloured = shown(PREVIEW, 80, colours=True)
    assert "\x1b[32mHi " in coloured
    assert "\x1b[1;9;31m</s>" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == shown(PREVIEW, 80)


def test_a_preview_without_rows_says_so() -> None:
    from attrs import evolve

    nothing = evolve(PREVIEW, rows=(), broken=(), shown=(), diagnostics=(), complete=True, template="")
    assert shown(nothing, 80) == "tokens.sft: dataset.chats, dataset.more as model.base sees it\n\n  rows        0\n"


def test_long_texts_are_cut_in_their_middle_unless_asked_for() -> None:
    words = "abcdefghij" * 100
    part = Part(words, trained=True, special=False, kept=True)
    assert as_text((part,), whole=True).plain == f"⟦{words}⟧"
    assert as_text((part,), whole=False).plain == f"⟦{words[:200]} [... 600 characters ...] {words[-200:]}⟧"


def test_a_row_that_is_trained_to_its_end_is_closed() -> None:
    parts = [
        Part(text, trained, special=False, kept=True) for text, trained in (("a", True), ("b", False), ("c", True))
    ]
    assert as_text(parts, whole=True).plain == "⟦a⟧b⟦c⟧"
    assert as_text([], whole=True).plain == ""


@given(st.text())
def test_nothing_that_data_holds_moves_the_cursor(text: str) -> None:
    seen = visible(text)
    assert not [one for one in seen if (ord(one) < 32 and one != "\n") or 0x7F <= ord(one) < 0xA0]
    assert not set("\u202a\u202e\u2066\u2069") & set(seen)
    assert seen.count("\n") == text.count("\n")


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not {"src", "href", "onload", "onclick"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_page_holds_the_data_as_text_and_nothing_from_elsewhere() -> None:
    tags = Tags()
    tags.feed(page([PREVIEW, PREVIEW]))
    assert tags.open == []
    assert tags.names.isdisjoint({"script", "link", "img", "iframe"})
    text = "".join(tags.texts)
    assert "<s>Say <b>hi</b>\\x1b[31m⏎\n to everyone" in text
    assert "recipe" not in text.split("Rows")[-1]
    assert "http" not in page([PREVIEW]).replace("http-equiv", "")


def test_a_row_of_a_page_marks_what_is_trained_special_and_cut() -> None:
    row = page([PREVIEW]).partition("<pre>")[2].partition("</pre>")[0]
    assert row == (
        "<b>&lt;s&gt;</b>Say &lt;b&gt;hi&lt;/b&gt;\\x1b[31m<i>⏎</i>\n"
        " to everyone who came here today, whoever that may be<i>⏎</i>\n"
        "<mark>Hi </mark><del><mark>th<i>⏎</i>\nere</mark></del><del><mark><b>&lt;/s&gt;</b></mark></del>"
        "<del><i>⏎</i>\n</del>"
    )


pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")


def test_the_quickstart_is_previewed_before_anything_is_applied(fresh: Any) -> None:
    assert fresh.tune("preview", "eval.assistant", "--rows", "1").stdout == (
        "tokens.eval.assistant: dataset.heldout as model.tiny sees it, with the tokenizer's own chat template\n"
        "\n"
        "  rows        100\n"
        "  tokens      2,845\n"
        "  trained     700 (24.6%)\n"
        "  masked      2,145 (75.4%)\n"
        "\n"
        "Tokens a row\n"
        "          25 to 29  ████████████████████████████████████████████████████████████       83\n"
        "          30 to 34  █████████████                                                      17\n"
        "\n"
        "Longest rows\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:4\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:8\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:25\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:26\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:29\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:36\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:41\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:52\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:56\n"
        "  30 tokens, 7 trained  data/heldout.jsonl:60\n"
        "\n"
        "⟦trained⟧  ⏎ line break  ✂ cut off from here\n"
        "\n"
        "Row 1  data/heldout.jsonl:1  28 tokens, 7 trained\n"
        "    <|im_start|>user⏎\n"
        "    Write 6 December 2024 as an ISO date.<|im_end|>⏎\n"
        "    <|im_start|>assistant⏎\n"
        "    ⟦2024-12-06<|im_end|>⟧⏎\n"
    )
    assert not (fresh.path / ".tune").exists()


def test_everything_is_there_for_programs(fresh: Any) -> None:
    found = json.loads(fresh.tune("preview", "dataset.chats", "--row", "5", "--json").stdout)
    assert found == {"format": "tune-preview/1", "tokens": [found["tokens"][0]]}
    one = found["tokens"][0]
    assert (one["address"], one["rows"], one["tokens"], one["trained_tokens"]) == (
        "tokens.assistant",
        1600,
        45621,
        11200,
    )
    (row,) = one["shown"]
    assert (row["row"], row["place"]) == (5, "data/chats.jsonl:5")
    chat = json.loads((fresh.path / "data" / "chats.jsonl").read_text().splitlines()[4])["messages"]
    trained = [part["text"] for part in row["parts"] if part["trained"]]
    assert trained == [chat[1]["content"], "<|im_end|>"]
    assert sum(bar["rows"] for bar in one["histogram"]) == 1600


def test_a_page_is_written_where_asked(fresh: Any, tmp_path: Path) -> None:
    done = fresh.tune("preview", "--html", str(tmp_path / "page.html"))
    assert (done.stdout, done.stderr) == ("", f"Wrote {tmp_path / 'page.html'}.\n")
    text = (tmp_path / "page.html").read_text()
    for address in ("tokens.base", "tokens.assistant", "tokens.eval.assistant"):
        assert f"<h1>{address}: " in text


def test_rows_that_are_trained_on_and_evaluated_on_are_told(fresh: Any) -> None:
    chats = (fresh.path / "data" / "chats.jsonl").read_text().splitlines(keepends=True)
    with (fresh.path / "data" / "heldout.jsonl").open("a") as heldout:
        heldout.write(chats[6])
    fresh.edit(
        "learning_rate = 1e-3",
        'learning_rate = 1e-3\ntest_datasets = ["dataset.heldout"]\nevaluation = { eval_steps = 50 }',
    )
    warning = (
        "data/heldout.jsonl:101: Warning: Overlapping rows [TUNE111]\n"
        "  1 of 101 rows to evaluate on are trained on too: data/heldout.jsonl:101 is data/chats.jsonl:7.\n"
        "  hint: Metrics on them say nothing of new questions: remove them from one of the two.\n\n"
    )
    said = fresh.tune("preview", "--rows", "0").stdout
    for tokens in ("tokens.assistant.test", "tokens.eval.assistant"):
        assert f"{warning}{tokens}: dataset.heldout as " in said
    assert said.count("Warning") == 2
    assert fresh.tune("preview", "model.tiny", expect=1).stderr == (
        "Error: Unknown address [TUNE040]\n"
        "  `model.tiny` has no rows to show.\n"
        "  hint: Known: train.base, train.assistant, eval.assistant, dataset.corpus, dataset.chats,\n"
        "  dataset.heldout.\n"
    )


def test_texts_without_a_type_need_no_template(fresh: Any) -> None:
    (fresh.path / "tokenizer" / "chat_template.jinja").unlink()
    fresh.edit('source = "data/corpus.jsonl"\ntype = "completion"', 'source = "data/corpus.jsonl"')
    said = fresh.tune("preview", "train.base", "--rows", "0").stdout
    assert said.startswith("tokens.base: dataset.corpus as model.tiny sees it\n\n  rows ")


def test_a_template_that_does_not_fit_is_an_error_with_its_place(fresh: Any) -> None:
    fresh.edit('tokenizer = "tokenizer"', 'tokenizer = "tokenizer"\nchat_template = "gemma"')
    assert fresh.tune("preview", "train.assistant", "--rows", "0", expect=1).stdout.startswith(
        "recipe.toml:5:1: Error: Missing control tokens [TUNE138]\n"
        "  The template `gemma` writes <start_of_turn>, <end_of_turn>, which the tokenizer has no token for.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("train.bass",),
            (
                "Error: Unknown address [TUNE040]\n"
                "  `train.bass` has no rows to show.\n  hint: Did you mean `train.base`?\n"
            ),
        ),
        (
            ("train.assistant", "--row", "1601"),
            "Error: No such row [TUNE115]\n  There is no row 1601: 1600 were read.\n  hint: Rows count from 1.\n",
        ),
        (
            ("--json", "--html", "page.html"),
            (
                "Error: Invalid usage [TUNE400]\n"
                "  `--html` and `--json` do not go together.\n  hint: Choose one of them.\n"
            ),
        ),
    ],
)
def test_what_cannot_be_shown_is_said(arguments: tuple[str, ...], said: str, fresh: Any) -> None:
    done = fresh.tune("preview", *arguments, expect=1)
    assert (done.stdout, done.stderr) == ("", said)


def test_a_dataset_that_nothing_reads_and_files_that_are_not_there_are_told(fresh: Any) -> None:
    with (fresh.path / "recipe.toml").open("a") as recipe:
        recipe.write('\n[dataset.other]\nsource = "data/chats.jsonl"\ntype = "chat_template"\n')
    assert "dataset.other is read by nothing" in fresh.tune("preview", "dataset.other", expect=1).stderr
    (fresh.path / "data" / "heldout.jsonl").unlink()
    assert "which matches no file" in fresh.tune("preview", "eval.assistant", expect=1).stderr


@pytest.mark.parametrize("lengths", [[1], [9, 10], [0, 99], [100, 101], [5, 1000], [1000], [123_456, 7]])
def test_lengths_are_counted_in_few_equal_steps(lengths: list[int]) -> None:
    from attrs import evolve

    rows = tuple(RowSummary(Place("a", at), length, 0, 0, "") for at, length in enumerate(lengths))
    bars = evolve(PREVIEW, rows=rows).histogram()
    assert len(bars) <= 11
    assert sum(count for _, _, count in bars) == len(lengths)
    assert [high + 1 for _, high, _ in bars[:-1]] == [low for low, _, _ in bars[1:]]
    assert bars[0][0] <= min(lengths) <= bars[0][1]
    assert bars[-1][0] <= max(lengths) <= bars[-1][1]


def test_a_few_long_rows_do_not_hide_the_others() -> None:
    from attrs import evolve

    rows = tuple(RowSummary(Place("a", at), at % 50 if at else 9999, 0, 0, "") for at in range(200))
    bars = evolve(PREVIEW, rows=rows).histogram()
    assert bars == ((0, 4, 19), *((low, low + 4, 20) for low in range(5, 50, 5)), (50, 9999, 1))


def test_a_tokenizer_that_is_not_on_this_machine_is_told(empty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (empty.path / "chats.jsonl").write_text('{"text": "Hi"}\n')
    (empty.path / "recipe.toml").write_text(
        '[model.far]\nsource = "acme/nowhere"\n'
        '[dataset.texts]\nsource = "chats.jsonl"\ntype = "completion"\n'
        '[train.it]\nmethod = "sft"\nmodel = "model.far"\ndatasets = ["dataset.texts"]\nsequence_len = 8\n'
        "learning_rate = 1e-3\nbatch_size = 1\n"
    )
    assert empty.tune("preview", expect=1).stderr == (
        "recipe.toml:2:1: Error: Model not here [TUNE132]\n"
        "  The tokenizer of model.far (`acme/nowhere`) is not on this machine.\n"
        "  hint: A folder is relative to the recipe; a hub model is here once it was downloaded, as `tune\n"
        "  apply` does.\n"
    )
